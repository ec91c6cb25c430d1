"""Encodes images for the page: sRGB pixels, and nothing else of a file."""

import io

import numpy as np
from jaxtyping import Float, Integer
from PIL import Image

from palette_jax import images
from palette_jax.photo import photo as photos

LONGEST_SIDE = 1600  # of a preview, pixels


def photo_png(photo: photos.Photo, grey: bool = False) -> bytes:
  """Encodes a photo as a PNG of at most 1600 pixels a side.

  The PNG holds no EXIF, profile or text: it tells no more than a screenshot.

  Args:
    photo: of any size and kind.
    grey: whether its luma is shown in place of its colours.
  """
  small = _reduced(photo)
  if grey:
    luma = np.repeat(photos.luma(small), 3, axis=-1)
    return images.png(images.to_u8(2 * luma - 1))
  return images.png(images.to_u8(photos.rgb(small)))


def mask_png(mask: Float[np.ndarray, 'h w 1']) -> bytes:
  """Encodes a mask as a PNG, white in the hole."""
  return images.png((mask[..., 0] > 0.5).astype(np.uint8) * 255)


def jpeg(photo: photos.Photo, quality: int) -> bytes:
  """Encodes a photo as a JPEG of a quality of 1 to 95, with 4:2:0 chroma."""
  encoded = io.BytesIO()
  Image.fromarray(images.to_u8(photos.rgb(photo))).save(
    encoded, 'JPEG', quality=quality, subsampling='4:2:0'
  )
  return encoded.getvalue()


def _reduced(photo: photos.Photo) -> photos.Photo:
  """Reduces a photo to LONGEST_SIDE, and to 8 bits if it was larger."""
  height, width = photo.levels.shape[:2]
  scale = LONGEST_SIDE / max(height, width)
  if scale >= 1:
    return photo
  size = max(1, round(width * scale)), max(1, round(height * scale))
  alpha = photo.alpha
  return photo._replace(
    levels=_resized(photo.levels, size),
    alpha=None if alpha is None else _resized(alpha, size),
  )


def _resized(
  levels: Integer[np.ndarray, 'h w c'], size: tuple[int, int]
) -> Integer[np.ndarray, 'h2 w2 c']:
  if levels.dtype == np.uint16:
    levels = (levels >> 8).astype(np.uint8)
  if levels.shape[-1] == 1:
    levels = levels[..., 0]
  image = Image.fromarray(levels).resize(size, Image.Resampling.BOX)
  return np.atleast_3d(np.asarray(image))
