"""The gallery: photos that come with the package, to try the demo on."""

import csv
import io
import pathlib
from typing import NamedTuple

from PIL import Image

import palette_jax

_FOLDER = pathlib.Path(palette_jax.__file__).parent / 'data/photos'
_THUMBNAIL = 160  # longest side, pixels


class GalleryPhoto(NamedTuple):
  """A photo of the gallery.

  Attributes:
    title: its name on the page.
    author: its photographer.
    licence: the licence under which it may be shown.
    encoded: the JPEG file.
  """

  title: str
  author: str
  licence: str
  encoded: bytes

  def thumbnail(self) -> bytes:
    """Returns a small JPEG of it."""
    encoded = io.BytesIO()
    with Image.open(io.BytesIO(self.encoded)) as image:
      image.thumbnail((_THUMBNAIL, _THUMBNAIL))
      image.convert('RGB').save(
        encoded, 'JPEG', quality=85, subsampling='4:2:0'
      )
    return encoded.getvalue()


def load() -> dict[str, GalleryPhoto]:
  """Returns the photos by the names of their files."""
  with (_FOLDER / 'ATTRIBUTION.tsv').open() as file:
    rows = list(csv.DictReader(file, delimiter='\t'))
  return {row['file']: _photo(row) for row in rows}


def _photo(row: dict[str, str]) -> GalleryPhoto:
  title = row['file'].removesuffix('.jpg').partition('-by-')[0]
  return GalleryPhoto(
    title.replace('-', ' ').capitalize(),
    row['author'].removesuffix(' (Flickr)'),
    row['licence'],
    (_FOLDER / row['file']).read_bytes(),
  )
