"""A photo as its file has it, and its pixels as the network sees them.

Levels stay as they are stored: 8 or 16 bits, grey or colour, in the colours of
the file's own profile, transparency apart. The network sees 8-bit sRGB. What it
paints is converted to the photo's kind; every other pixel stays as it was, bit
for bit.

  EXIF orientation   applied on reading, and not written
  other EXIF         kept, except the thumbnail, which shows the old photo
  ICC profile        kept, and painted pixels are converted to it; a colorized
                     photo is sRGB
  grey               stays grey, unless it is colorized
  transparency       restored; a hole that was itself transparent becomes opaque
  CMYK               becomes sRGB, since a PNG cannot hold it
  palette            becomes RGB: new colours have no place in it
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, UInt8

from palette_jax import images
from palette_jax.photo import profile

MOST_PIXELS = 150_000_000  # the largest cameras have 102 million


class TooLarge(ValueError):
  """A photo has more pixels than the limit."""


class Photo(NamedTuple):
  """A photo as its file has it, upright.

  Attributes:
    levels: uint8 or uint16 [h w c], 1 or 3 channels.
    alpha: of the same type, [h w 1], 0 where it is transparent; or None.
    profile: the ICC profile of `levels`; None for sRGB.
    exif: the part that is kept, encoded; b'' for none.
    dpi: pixels per inch, or None.
    source: the path of its file, '' for a photo without one.
    sha256: of that file, or of the pixels.
    notes: conversions on reading, a sentence each.
    quality: the quality setting of its encoder, 1 to 100, if it is a JPEG.
  """

  levels: Integer[np.ndarray, 'h w c']
  alpha: Integer[np.ndarray, 'h w 1'] | None = None
  profile: bytes | None = None
  exif: bytes = b''
  dpi: tuple[float, ...] | None = None
  source: str = ''
  sha256: str = ''
  notes: tuple[str, ...] = ()
  quality: int | None = None


def white(photo: Photo) -> int:
  """Returns the highest level: 255 or 65535."""
  return int(np.iinfo(photo.levels.dtype).max)


def rgb(photo: Photo) -> Float[np.ndarray, 'h w 3']:
  """Returns the image that the network sees: 8-bit sRGB, float32 in [-1, 1].

  Fully transparent pixels are white, as on a page; files hold anything there.
  """
  image_u8 = _srgb_u8(photo)
  if photo.alpha is not None:
    image_u8 = np.where(photo.alpha == 0, np.uint8(255), image_u8)
  return images.from_u8(image_u8)


def _srgb_u8(photo: Photo) -> UInt8[np.ndarray, 'h w 3']:
  levels = to_8_bits(photo.levels)
  if photo.profile is not None:
    return profile.to_srgb(levels, photo.profile)
  return np.broadcast_to(levels, [*levels.shape[:2], 3])


def to_8_bits(
  levels: Integer[np.ndarray, 'h w c'],
) -> UInt8[np.ndarray, 'h w c']:
  """Rounds levels of 16 bits to 8; 8 bits stay as they are."""
  if levels.dtype == np.uint8:
    return levels
  return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def luma(photo: Photo) -> Float[np.ndarray, 'h w 1']:
  """Returns luma of the sRGB colours, in [0, 1], at the file's precision."""
  levels = photo.levels.astype(np.float32) / np.float32(white(photo))
  if levels.shape[-1] == 3:
    if photo.profile is not None:
      levels = _srgb_u8(photo).astype(np.float32) / np.float32(255)
    return np.minimum(images.luma(levels), np.float32(1))
  if photo.profile is not None:  # by its curve: conversions give 8 bits only
    steps = np.arange(256, dtype=np.uint8)[None, :, None]
    curve = profile.to_srgb(steps, photo.profile)[0, :, 1] / 255
    levels = np.interp(levels, np.linspace(0, 1, 256), curve)
  return levels.astype(np.float32)


def paint(
  photo: Photo,
  image: Float[np.ndarray, 'h w 3'],
  mask: Float[np.ndarray, 'h w 1'],
  opaque: bool = False,
) -> Photo:
  """Replaces the pixels of a photo where the mask is 1.

  Args:
    photo: the known pixels.
    image: the new pixels, sRGB in [-1, 1].
    mask: 1 where `image` is taken.
    opaque: whether new pixels become opaque.

  Returns:
    A photo of the same kind; all other pixels are the same bits.
  """
  hole = mask > 0.5
  levels = np.where(hole, _in_kind(photo, image), photo.levels)
  alpha = photo.alpha
  if opaque and alpha is not None:
    alpha = np.where(hole, alpha.dtype.type(white(photo)), alpha)
  return photo._replace(levels=levels, alpha=alpha)


def _in_kind(
  photo: Photo, image: Float[np.ndarray, 'h w 3']
) -> Integer[np.ndarray, 'h w c']:
  """Converts sRGB in [-1, 1] to the photo's depth, channels and profile."""
  if photo.profile is not None:
    levels = profile.from_srgb(images.to_u8(image), photo.profile)
    return levels.astype(photo.levels.dtype) * (white(photo) // 255)
  if photo.levels.shape[-1] == 1:
    image = images.luma(image)
  return _levels(image, photo.levels.dtype)


def _levels(
  image: Float[np.ndarray, 'h w c'], dtype: np.dtype
) -> Integer[np.ndarray, 'h w c']:
  if dtype == np.uint8:
    return images.to_u8(image)
  top = np.iinfo(dtype).max
  scaled = (image.astype(np.float32) + 1) * np.float32(top / 2)
  np.clip(scaled, 0, top, out=scaled)
  return np.rint(scaled, out=scaled).astype(dtype)


def colour(photo: Photo, image: Float[np.ndarray, 'h w 3']) -> Photo:
  """Replaces all colours of a photo.

  Args:
    photo: keeps its transparency, depth and EXIF.
    image: the new colours, sRGB in [-1, 1].

  Returns:
    The photo as RGB, in sRGB.
  """
  return photo._replace(levels=_levels(image, photo.levels.dtype), profile=None)


def widen(
  photo: Photo, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0
) -> tuple[Photo, Float[np.ndarray, 'h w 1']]:
  """Puts a photo on a larger canvas, for uncropping.

  Args:
    photo: the known pixels.
    left: number of columns to add on this side; the others likewise.
    right: columns.
    top: rows.
    bottom: rows.

  Returns:
    The larger photo, and a mask that is 1 on the added pixels.

  Raises:
    ValueError: if a side is negative, or none is more than 0.
  """
  sides = {'left': left, 'right': right, 'top': top, 'bottom': bottom}
  if min(sides.values()) < 0 or not any(sides.values()):
    raise ValueError(
      f'Nothing to add: {sides}. Give at least one side a number of pixels.'
    )
  pad = [(top, bottom), (left, right), (0, 0)]
  known = np.zeros([*photo.levels.shape[:2], 1], np.float32)
  mask = np.pad(known, pad, constant_values=1)
  alpha = photo.alpha
  if alpha is not None:
    alpha = np.pad(alpha, pad, constant_values=white(photo))
  levels = np.pad(photo.levels, pad, constant_values=white(photo) // 2)
  return photo._replace(levels=levels, alpha=alpha), mask
