"""What the page shows: pixels in sRGB and nothing else of anybody's file."""

import csv
import io
import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

import palette_jax
from palette_jax import images
from palette_jax.photo import photo as photos

LONGEST_SIDE = 1600  # of what is shown, pixels
_THUMBNAIL = 160  # longest side, pixels
_PHOTOS = pathlib.Path(palette_jax.__file__).parent / 'data/photos'


class Example(NamedTuple):
  """A photo that ships with the package.

  Attributes:
    name: what the page calls it.
    author: who took it.
    licence: under which it may be shown.
    encoded: the JPEG file.
  """

  name: str
  author: str
  licence: str
  encoded: bytes


def examples() -> dict[str, Example]:
  """The package's photos by their files' names."""
  with (_PHOTOS / 'ATTRIBUTION.tsv').open() as file:
    rows = list(csv.DictReader(file, delimiter='\t'))
  found = {}
  for row in rows:
    title = row['file'].removesuffix('.jpg').partition('-by-')[0]
    found[row['file']] = Example(
      title.replace('-', ' ').capitalize(),
      row['author'].removesuffix(' (Flickr)'),
      row['licence'],
      (_PHOTOS / row['file']).read_bytes(),
    )
  return found


def thumbnail(encoded: bytes) -> bytes:
  """An example, small, as a JPEG."""
  with Image.open(io.BytesIO(encoded)) as image:
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return _jpeg(np.asarray(image.convert('RGB')), 85)


def view(photo: photos.Photo, grey: bool = False) -> bytes:
  """A photo as a PNG of its sRGB colours, or of its luma, at most 1600 pixels.

  No EXIF, no profile, no text: a screenshot shows as much.
  """
  small = _reduced(photo)
  if grey:
    luma = np.repeat(photos.luma(small), 3, axis=-1)
    return images.png(images.to_u8(2 * luma - 1))
  return images.png(images.to_u8(photos.rgb(small)))


def _reduced(photo):
  """With at most LONGEST_SIDE pixels a side; 8 bits, if it was larger."""
  height, width = photo.levels.shape[:2]
  scale = LONGEST_SIDE / max(height, width)
  if scale >= 1:
    return photo
  size = max(1, round(width * scale)), max(1, round(height * scale))

  def small(levels):
    if levels is None:
      return None
    eight = (levels >> 8).astype(np.uint8) if levels.itemsize == 2 else levels
    eight = eight[..., 0] if eight.shape[-1] == 1 else eight
    image = Image.fromarray(eight).resize(size, Image.Resampling.BOX)
    return np.atleast_3d(np.asarray(image))

  return photo._replace(levels=small(photo.levels), alpha=small(photo.alpha))


def stem(photo: photos.Photo) -> str:
  """Its file's name, without folder and ending."""
  return pathlib.PurePosixPath(photo.source).stem or 'photo'


def mask_png(mask: Float[np.ndarray, 'h w 1']) -> bytes:
  """A mask as a PNG, white where it paints."""
  return images.png((mask[..., 0] > 0.5).astype(np.uint8) * 255)


def worsened(photo: photos.Photo, quality: int) -> bytes:
  """The photo as a JPEG file of that quality, 1 to 95, with 4:2:0 chroma."""
  return _jpeg(images.to_u8(photos.rgb(photo)), quality)


def _jpeg(image_u8, quality):
  encoded = io.BytesIO()
  Image.fromarray(image_u8).save(
    encoded, 'JPEG', quality=quality, subsampling='4:2:0'
  )
  return encoded.getvalue()
