"""Views: the scale at which the network sees a hole.

A network was trained on images of one size, at most half of them missing. It
sees thin or small holes at full resolution, in tiles. Where more than half of a
tile would be missing, the photo is shrunk until it is not: the painted part is
then enlarged, and less sharp, but it fits its surroundings.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from palette_jax.photo.painting import luminance, tiles, windows

LARGEST_SHARE = 0.5  # of a tile that is painted, as in uncropping
OVERLAP = 4  # tiles overlap by a quarter of their side
_KERNEL = 4  # pixels: the reach of bicubic enlargement, with a margin
_SCALE_STEP = 2**-0.25  # between the scales that are tried


class View(NamedTuple):
  """A part of a photo at some scale.

  Attributes:
    window: position in the photo.
    height: height in pixels at which the network sees it.
    width: width in pixels at which the network sees it.
  """

  window: windows.Window
  height: int
  width: int

  @property
  def is_whole(self) -> bool:
    """True if the scale is 1."""
    return (self.height, self.width) == self.window[2:]


def sharpest(
  mask: Float[np.ndarray, 'h w 1'],
  window: windows.Window,
  tile: int,
  multiple: int,
) -> View:
  """Returns the sharpest view without a tile that is mostly hole.

  If that would show nothing known, the smallest view that shows something known
  is returned.

  Args:
    mask: mask of the photo, 1 where to paint.
    window: a part of the photo.
    tile: side of the network's images in pixels; no window is shrunk below it.
    multiple: the network's sides are multiples of it.
  """
  part = mask[window.slices]
  scale, larger = 1.0, at_scale(window, 1.0)
  while True:
    view = at_scale(window, scale)
    small = part if view.is_whole else _shrunken_mask(part, view)
    if small.all():
      return larger
    plan = tile_layout(view.height, view.width, tile, multiple)
    share = tiles.cut(small, plan).mean(axis=(1, 2, 3)).max()
    if share <= LARGEST_SHARE or max(view.height, view.width) <= tile:
      return view
    larger = view
    scale *= _SCALE_STEP
    scale = max(scale, tile / max(window.height, window.width))


def at_scale(window: windows.Window, scale: float) -> View:
  """Returns a window at a scale."""
  height, width = (max(1, round(side * scale)) for side in window[2:])
  return View(window, height, width)


def tile_layout(
  height: int, width: int, tile: int, multiple: int, grid: int = 1
) -> tiles.Layout:
  """Returns the tiles of a canvas, with the usual overlap."""
  return tiles.layout(height, width, tile, tile // OVERLAP, multiple, grid)


def surroundings(
  mask: Float[np.ndarray, 'h w 1'], tile: int
) -> windows.Window | None:
  """Returns the hole with the surroundings that the network can use.

  On each axis it is a tile long, or half a tile longer than the hole if that is
  more. Returns None if there is no hole.
  """
  hole = mask[..., 0] > 0.5
  firsts, sides = [], []
  for axis, length in enumerate(hole.shape):
    places = np.flatnonzero(hole.any(axis=1 - axis))
    if not places.size:
      return None
    first, last = int(places[0]), int(places[-1]) + 1
    side = min(length, max(tile, last - first + tile // 2))
    start = math.floor((first + last - side) / 2)
    firsts.append(min(max(start, 0), length - side))
    sides.append(side)
  return windows.Window(*firsts, *sides)


def shrink(
  view: View,
  image: Float[np.ndarray, 'h w 3'],
  mask: Float[np.ndarray, 'h w 1'],
) -> tuple[Float[np.ndarray, 'y x 3'], Float[np.ndarray, 'y x 1']]:
  """Returns the window at the view's scale, and its hole.

  Known pixels contain nothing of the hole's old content: a pixel that covers
  both counts as hole.
  """
  part, hole = image[view.window.slices], mask[view.window.slices]
  if view.is_whole:
    return part, hole
  known = (hole <= 0.5).astype(np.float32)
  small = luminance.resize(part * known, view.height, view.width)
  weight = luminance.resize(known, view.height, view.width)
  return small / np.maximum(weight, 1e-3), _is_hole(weight)


def _shrunken_mask(
  hole: Float[np.ndarray, 'h w 1'], view: View
) -> Float[np.ndarray, 'y x 1']:
  known = (hole <= 0.5).astype(np.float32)
  return _is_hole(luminance.resize(known, view.height, view.width))


def _is_hole(weight: Float[np.ndarray, 'y x 1']) -> Float[np.ndarray, 'y x 1']:
  return (weight < 0.999).astype(np.float32)


def enlarge(
  view: View, small: Float[np.ndarray, 'y x 3'], ring: bool = False
) -> Float[np.ndarray, 'h w 3']:
  """Returns a painted view at the window's own size; bicubic, in [-1, 1].

  Args:
    view: the view that was painted.
    small: the painted image.
    ring: whether the left edge continues the right one.
  """
  if view.is_whole:
    return small
  padded = np.pad(
    small, [(0, 0), (_KERNEL, _KERNEL), (0, 0)], 'wrap' if ring else 'edge'
  )
  large = luminance.resize(
    padded,
    view.window.height,
    view.window.width,
    Image.Resampling.BICUBIC,
    box=(float(_KERNEL), 0.0, float(_KERNEL + view.width), float(view.height)),
  )
  return np.clip(large, -1.0, 1.0)
