"""Finds the hole in a photo, in masks as people commonly make them.

A mask is white where the photo is painted and black where it is kept, as in
most programs; `invert` swaps the two. Transparency can mark the hole, too:

  the photo itself has transparent parts      they are painted
  the mask is one colour on transparent       the coloured part is painted
  the mask is a photo with transparent parts  they are painted

Edges may be soft, as JPEG makes them: half and more counts as white.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage

from palette_jax import images
from palette_jax.photo import photo as photos

_BRUSH_SHARE = 0.98  # least share of a brush's pixels that have one colour
_SOFT = (0.1, 0.9)  # between these, a pixel is neither black nor white
_SOFT_SHARE = 0.25  # of the pixels may be soft; with more it is not a mask
_MAGENTA = (1, -1, 1)  # which photos rarely have
_LEAST_CONTRAST = 64  # levels between black and white of a lossy mask

_Pixels = Bool[np.ndarray, 'h w 1']


class Hole(NamedTuple):
  """The part of a photo to be painted.

  Attributes:
    mask: float32 [h w 1], 1 where it is painted and 0 elsewhere.
    description: one line for the person who made the mask.
  """

  mask: Float[np.ndarray, 'h w 1']
  description: str


def find(
  photo: photos.Photo, mask: photos.Photo | None, invert: bool = False
) -> Hole:
  """Finds the hole of a photo, by a mask or else by its own transparency.

  Args:
    photo: the photo to be painted.
    mask: the mask, if there is one.
    invert: paints what would be kept otherwise.

  Raises:
    ValueError: if the mask is not one, has another shape than the photo, or
      paints nothing or everything; or if there is no mask and the photo is
      opaque.
  """
  if mask is None:
    return from_transparency(photo, invert)
  name = mask.source or 'that was given'
  return from_mask(mask, name, *photo.levels.shape[:2], invert)


def from_mask(
  mask: photos.Photo, name: str, height: int, width: int, invert: bool = False
) -> Hole:
  """Finds the hole that a mask describes.

  Args:
    mask: the mask, as it was read.
    name: stands for the mask in messages.
    height: height of the upright photo (EXIF orientation applied), in pixels.
    width: width of the upright photo, in pixels.
    invert: paints what would be kept otherwise.

  Raises:
    ValueError: see `find`.
  """
  try:
    hole, reason = _detect(mask)
    if invert:
      hole, reason = ~hole, f'{reason}, inverted'
    reason += _check_shape(hole.shape[:2], height, width)
    return _checked(_resized(hole, height, width), f'{name}: {reason}', invert)
  except ValueError as error:
    raise ValueError(f'The mask {name} {error}') from None


def from_transparency(photo: photos.Photo, invert: bool = False) -> Hole:
  """Finds the transparent part of a photo.

  Raises:
    ValueError: if the photo has none, or nothing else.
  """
  name = photo.source or 'The photo'
  if photo.alpha is None:
    raise ValueError(
      f'{name} has no transparent part that says where to paint: give --mask, '
      'an image that is white there and black elsewhere.'
    )
  hole = photo.alpha <= photos.white(photo) // 2
  soft = _soft_note(photo.alpha / photos.white(photo))
  try:
    reason = 'its transparent part is painted' + soft
    if invert:
      hole, reason = ~hole, 'its opaque part is painted (inverted)' + soft
    return _checked(hole, f'{name}: {reason}', invert)
  except ValueError as error:
    raise ValueError(f'The transparency of {name} {error}') from None


def overlay(
  image: Float[np.ndarray, 'h w 3'], mask: Float[np.ndarray, 'h w 1']
) -> UInt8[np.ndarray, 'h w 3']:
  """Draws a hole in magenta, to be checked before it is painted.

  Args:
    image: sRGB in [-1, 1].
    mask: 1 in the hole.
  """
  grey = image.mean(axis=-1, keepdims=True)
  shaded = 0.3 * grey + 0.7 * np.array(_MAGENTA, np.float32)
  return images.to_u8(np.where(mask > 0.5, shaded, image))


def _detect(mask: photos.Photo) -> tuple[_Pixels, str]:
  """Returns the hole, and how the mask was understood."""
  levels_u8 = images.to_u8(photos.rgb(mask._replace(alpha=None)))
  if mask.alpha is not None:
    opacity = mask.alpha / photos.white(mask)
    opaque = opacity >= 0.5
    if opaque.any() and not opaque.all():
      soft = _soft_note(opacity)
      if _is_brush(levels_u8[opaque[..., 0]]):
        return opaque, 'what the brush covers is painted' + soft
      return ~opaque, 'its transparent part is painted' + soft
  grey = levels_u8.astype(np.int32) @ np.array(images.LUMA)
  low, high = grey.min(), grey.max()
  if high - low < _LEAST_CONTRAST * images.LUMA_UNIT:
    # Two values alone, such as 0 and 1, are a mask however close they are.
    if low == high or len(np.unique(grey)) > 2:
      middle = 128 * images.LUMA_UNIT
      return (grey > middle)[..., None], 'white is painted'
  scaled = (grey - low) / (high - low)
  soft = _share_between(scaled)
  if soft > _SOFT_SHARE:
    raise ValueError(
      f'is not a mask: {soft:.0%} of its pixels are neither black nor white. '
      'Make it white where the photo must be painted and black elsewhere.'
    )
  hole = (scaled >= 0.5)[..., None]
  return hole, 'white is painted' + _soft_note(scaled)


def _is_brush(colours_u8: UInt8[np.ndarray, 'n 3']) -> bool:
  """Checks whether nearly all of the pixels have one colour."""
  middle = np.median(colours_u8, axis=0)
  near = np.abs(colours_u8 - middle).max(-1) <= 8
  return bool(near.mean() >= _BRUSH_SHARE)


def _share_between(shares: Float[np.ndarray, '...']) -> float:
  return float(((shares > _SOFT[0]) & (shares < _SOFT[1])).mean())


def _soft_note(shares: Float[np.ndarray, '...']) -> str:
  """Returns a remark on soft edges, '' if there are none."""
  between = _share_between(shares)
  if not between:
    return ''
  return f' (soft in {max(between, 1e-4):.2%} of it: half and more counts)'


def _check_shape(shape: tuple[int, ...], height: int, width: int) -> str:
  """Returns a remark on the mask's size, '' if it is the photo's.

  Raises:
    ValueError: if the photo has another aspect ratio.
  """
  size = f'is {shape[1]} x {shape[0]} pixels'
  if shape == (height, width):
    return ''
  if _is_scaled(shape, (height, width)):
    return f'; it {size} and was resized to {width} x {height}'
  advice = 'Make the mask on the photo itself, in the same size.'
  if _is_scaled(shape[::-1], (height, width)):
    advice = 'It lies on its side: make it on the photo as it is seen, upright.'
  raise ValueError(
    f'{size} (width x height), the photo {width} x {height}. {advice}'
  )


def _is_scaled(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
  """Checks that the aspect ratios agree within rounding to pixels."""
  small, large = sorted([shape, expected], key=max)
  # Programs round the smaller one's sides up, down or to nearest.
  least = max((a - 1) / b for a, b in zip(small, large))
  most = min((a + 1) / b for a, b in zip(small, large))
  return least <= most


def _resized(
  hole: _Pixels, height: int, width: int
) -> Bool[np.ndarray, 'y x 1']:
  if hole.shape[:2] == (height, width):
    return hole
  plain = Image.fromarray(hole[..., 0].astype(np.uint8) * 255)
  resized = plain.resize((width, height), Image.Resampling.BILINEAR)
  return np.asarray(resized)[..., None] >= 128


def _checked(hole: _Pixels, reason: str, invert: bool) -> Hole:
  """Describes a hole.

  Raises:
    ValueError: if it is empty, or the whole photo.
  """
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
  description = f'{reason}: {holes}, {share:.1%} of the photo.'
  if share > 0.5:
    description += (
      f' That is more than half: if it is the other way round, {flag}.'
    )
  return Hole(hole.astype(np.float32), description)
