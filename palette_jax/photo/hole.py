"""Which part of somebody's photo must be painted: masks as people make them.

A mask is white where the photo is painted anew and black where it is kept, as
in most programs; `invert` says the opposite. Or it is told by transparency:

  the photo itself is transparent somewhere       painted there
  the mask is one colour on transparent ground    painted under the brush
  the mask is a picture with transparent parts    painted where it is erased

Edges may be soft, as JPEG makes them: half and more counts as white.
"""

from typing import NamedTuple

import numpy as np
from etils import epath
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage

from palette_jax import images
from palette_jax.photo import photo as photos

_BRUSH_SHARE = 0.98  # of a brush's pixels that have its colour
_SOFT = (0.1, 0.9)  # between black and white: neither
_SOFT_SHARE = 0.25  # of the pixels; more are no mask
_MAGENTA = (1, -1, 1)  # which photos rarely have
_LEAST_CONTRAST = 64  # levels between black and white of a lossy mask


class Hole(NamedTuple):
  """What must be painted.

  Attributes:
    mask: float32 [h w 1], 1 where it must be painted and 0 elsewhere.
    said: what was found, one line for the person who made it.
  """

  mask: Float[np.ndarray, 'h w 1']
  said: str


def read(
  path: epath.PathLike, height: int, width: int, invert: bool = False
) -> Hole:
  """A mask for a photo of that size, from a file.

  Args:
    path: an image in any format that `photo.read` knows.
    height: of the photo as it is seen (EXIF orientation applied), pixels.
    width: likewise.
    invert: whether black, or what would be kept otherwise, is painted.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is no mask, of another shape than the photo, or paints
      nothing or everything.
  """
  return of(photos.read(path), str(path), height, width, invert)


def of(
  drawn: photos.Photo, name: str, height: int, width: int, invert: bool = False
) -> Hole:
  """As `read`, of a mask that has been read; `name` is said in messages."""
  try:
    hole, how = _detected(drawn)
    if invert:
      hole, how = ~hole, f'{how}, inverted'
    how += _check_shape(hole.shape[:2], height, width)
    return _hole(_resized(hole, height, width), f'{name}: {how}', invert)
  except ValueError as error:
    raise ValueError(f'The mask {name} {error}') from None


def found(
  photo: photos.Photo, drawn: photos.Photo | None, invert: bool = False
) -> Hole:
  """What must be painted of a photo: by its mask, or else its transparency.

  Args:
    photo: that will be painted.
    drawn: the mask, as it was read; or None.
    invert: as in `read`.

  Raises:
    ValueError: as `read` and `erased`.
  """
  if drawn is None:
    return erased(photo, invert)
  name = drawn.source or 'that was given'
  return of(drawn, name, *photo.levels.shape[:2], invert)


def erased(photo: photos.Photo, invert: bool = False) -> Hole:
  """The transparent part of the photo itself.

  Raises:
    ValueError: if it has none, or nothing else.
  """
  name = photo.source or 'The photo'
  if photo.alpha is None:
    raise ValueError(
      f'{name} has no transparent part that says where to paint: give --mask, '
      'a picture that is white there and black elsewhere.'
    )
  hole = photo.alpha <= photos.white(photo) // 2
  soft = _soft_note(photo.alpha / photos.white(photo))
  try:
    how = 'its transparent part is painted' + soft
    if invert:
      hole, how = ~hole, 'its opaque part is painted (inverted)' + soft
    return _hole(hole, f'{name}: {how}', invert)
  except ValueError as error:
    raise ValueError(f'The transparency of {name} {error}') from None


def overlay(
  image: Float[np.ndarray, 'h w 3'], mask: Float[np.ndarray, 'h w 1']
) -> UInt8[np.ndarray, 'h w 3']:
  """The photo with what will be painted in magenta, to be looked at before.

  Args:
    image: sRGB in [-1, 1].
    mask: 1 in the hole.
  """
  grey = image.mean(axis=-1, keepdims=True)
  shaded = 0.3 * grey + 0.7 * np.array(_MAGENTA, np.float32)
  return images.to_u8(np.where(mask > 0.5, shaded, image))


def _detected(drawn) -> tuple[Bool[np.ndarray, 'h w 1'], str]:
  """The hole, and in words how it was told."""
  levels_u8 = images.to_u8(photos.rgb(drawn._replace(alpha=None)))
  if drawn.alpha is not None:
    opacity = drawn.alpha / photos.white(drawn)
    opaque = opacity >= 0.5
    if opaque.any() and not opaque.all():
      soft = _soft_note(opacity)
      if _is_brush(levels_u8[opaque[..., 0]]):
        return opaque, 'what the brush covers is painted' + soft
      return ~opaque, 'its transparent part is painted' + soft
  grey = levels_u8.astype(np.int32) @ np.array(images.LUMA)
  low, high = grey.min(), grey.max()
  if high - low < _LEAST_CONTRAST * images.LUMA_UNIT:
    # Two values only, as 0 and 1, are a mask however near they lie.
    if low == high or len(np.unique(grey)) > 2:
      middle = 128 * images.LUMA_UNIT
      return (grey > middle)[..., None], 'white is painted'
  scaled = (grey - low) / (high - low)
  soft = _share_between(scaled)
  if soft > _SOFT_SHARE:
    raise ValueError(
      f'is no mask: {soft:.0%} of its pixels are neither black nor white. Make '
      'it white where the photo must be painted and black elsewhere.'
    )
  hole = (scaled >= 0.5)[..., None]
  return hole, 'white is painted' + _soft_note(scaled)


def _is_brush(colours_u8: UInt8[np.ndarray, 'n 3']) -> bool:
  """Whether nearly all of them are one colour."""
  middle = np.median(colours_u8, axis=0)
  near = np.abs(colours_u8 - middle).max(-1) <= 8
  return bool(near.mean() >= _BRUSH_SHARE)


def _share_between(shares):
  return ((shares > _SOFT[0]) & (shares < _SOFT[1])).mean()


def _soft_note(shares):
  """'' or a remark on what is between, in [0, 1]."""
  between = _share_between(shares)
  if not between:
    return ''
  return f' (soft in {max(between, 1e-4):.2%} of it: half and more counts)'


def _check_shape(found, height, width):
  """A remark on its size, '' if it is the photo's.

  Raises:
    ValueError: if it cannot be the photo's, made smaller or larger.
  """
  is_size = f'is {found[1]} x {found[0]} pixels'
  if found == (height, width):
    return ''
  if _is_scaled(found, (height, width)):
    return f'; it {is_size} and was resized to {width} x {height}'
  advice = 'Make the mask on the photo itself, as large as it is.'
  if _is_scaled(found[::-1], (height, width)):
    advice = 'It lies on its side: make it on the photo as it is seen, upright.'
  raise ValueError(
    f'{is_size} (width x height), the photo {width} x {height}. {advice}'
  )


def _is_scaled(found, expected):
  """Whether one is the other times a factor, but for rounding to pixels."""
  small, large = sorted([found, expected], key=max)
  # Programs round the smaller one's sides up, down or to nearest.
  least = max((a - 1) / b for a, b in zip(small, large))
  most = min((a + 1) / b for a, b in zip(small, large))
  return least <= most


def _resized(hole, height, width):
  if hole.shape[:2] == (height, width):
    return hole
  plain = Image.fromarray(hole[..., 0].astype(np.uint8) * 255)
  resized = plain.resize((width, height), Image.Resampling.BILINEAR)
  return np.asarray(resized)[..., None] >= 128


def _hole(hole, said, invert):
  share = float(hole.mean())
  flag = 'leave out --invert' if invert else 'give --invert'
  if share == 0:
    raise ValueError(
      f'paints nothing. If it is the other way round, {flag}; otherwise make '
      'it white where the photo must be painted.'
    )
  if share == 1:
    raise ValueError(
      'paints everything, and nothing of the photo would be left. If it is the '
      f'other way round, {flag}.'
    )
  _, count = ndimage.label(hole[..., 0], np.ones([3, 3], int))
  holes = 'one hole' if count == 1 else f'{count} holes'
  said = f'{said}: {holes}, {share:.1%} of the photo.'
  if share > 0.5:
    said += f' That is more than half: if it is the other way round, {flag}.'
  return Hole(hole.astype(np.float32), said)
