"""What the page shows: pixels in sRGB and nothing else of anybody's file.

Next: palette_jax/restoration/demo/orders.py
"""

import csv
import io
import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

import palette_jax
from palette_jax import images
from palette_jax.restoration import photo as photos

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
  if grey:
    luma = np.repeat(photos.luma(photo), 3, axis=-1)
    return images.png(_reduced(images.to_u8(2 * luma - 1)))
  return images.png(_reduced(images.to_u8(photos.rgb(photo))))


def _reduced(image_u8: UInt8[np.ndarray, 'h w 3']):
  height, width = image_u8.shape[:2]
  scale = min(1, LONGEST_SIDE / max(height, width))
  if scale == 1:
    return image_u8
  size = max(1, round(width * scale)), max(1, round(height * scale))
  small = Image.fromarray(image_u8).resize(size, Image.Resampling.BOX)
  return np.asarray(small)


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
