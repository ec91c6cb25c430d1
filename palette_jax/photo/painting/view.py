"""How large the network sees a hole: as sharp as it may, as small as it must.

A network knows pictures of one size, in which at most half was missing. Where a
hole is thin or small, it looks at the photo as it is, in tiles. Where some tile
would be asked for more than half, the photo is made smaller until none is: what
is painted then comes back enlarged, but belongs to what is around it.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from palette_jax.photo.painting import luminance, tiles, windows

MOST = 0.5  # of a tile that is painted: as in uncropping
OVERLAP = 4  # of a tile's side: tiles overlap by this part of it
_KERNEL = 4  # pixels that bicubic enlargement looks at, and a few
_FINER = 2**-0.25  # from one scale that is tried to the next


class View(NamedTuple):
  """A part of a picture, at some scale.

  Attributes:
    window: which part, pixels of the picture.
    height: at which the network sees it, pixels.
    width: likewise.
  """

  window: windows.Window
  height: int
  width: int

  @property
  def is_whole(self) -> bool:
    """Whether every pixel is seen as it is."""
    return (self.height, self.width) == self.window[2:]


def of(
  mask: Float[np.ndarray, 'h w 1'],
  window: windows.Window,
  tile: int,
  multiple: int,
) -> View:
  """The sharpest look at a window of which no tile has more than MOST to paint.

  Where that would leave nothing of what is known, the smallest that shows some.

  Args:
    mask: of the picture, 1 where to paint.
    window: a part of it.
    tile: the network's side, pixels. No window is made smaller than that.
    multiple: of which the network's sides must be.
  """
  part = mask[window.slices]
  scale, larger = 1.0, at_scale(window, 1.0)
  while True:
    view = at_scale(window, scale)
    small = part if view.is_whole else _shrunken_mask(part, view)
    if small.all():
      return larger
    plan = layout(view.height, view.width, tile, multiple)
    share = tiles.cut(small, plan).mean(axis=(1, 2, 3)).max()
    if share <= MOST or max(view.height, view.width) <= tile:
      return view
    larger = view
    scale *= _FINER
    scale = max(scale, tile / max(window.height, window.width))


def at_scale(window: windows.Window, scale: float) -> View:
  """A window, so many times as large as it is."""
  height, width = (max(1, round(side * scale)) for side in window[2:])
  return View(window, height, width)


def layout(
  height: int, width: int, tile: int, multiple: int, grid: int = 1
) -> tiles.Layout:
  """The tiles in which a network looks at a canvas (`tiles.layout`)."""
  return tiles.layout(height, width, tile, tile // OVERLAP, multiple, grid)


def around(
  mask: Float[np.ndarray, 'h w 1'], tile: int
) -> windows.Window | None:
  """The hole, and as much around it as the network makes use of.

  On each axis a tile, or half a tile more than the hole if that is longer;
  none if there is no hole.
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


def seen(
  view: View,
  image: Float[np.ndarray, 'h w 3'],
  mask: Float[np.ndarray, 'h w 1'],
) -> tuple[Float[np.ndarray, 'y x 3'], Float[np.ndarray, 'y x 1']]:
  """The window at the view's scale, and its hole.

  Nothing of the hole's old content is in what is known: where known pixels and
  others fall together, all of it counts as hole.
  """
  part, hole = image[view.window.slices], mask[view.window.slices]
  if view.is_whole:
    return part, hole
  known = (hole <= 0.5).astype(np.float32)
  small = luminance.resize(part * known, view.height, view.width)
  weight = luminance.resize(known, view.height, view.width)
  return small / np.maximum(weight, 1e-3), _is_hole(weight)


def _shrunken_mask(hole, view):
  known = (hole <= 0.5).astype(np.float32)
  return _is_hole(luminance.resize(known, view.height, view.width))


def _is_hole(weight):
  return (weight < 0.999).astype(np.float32)


def enlarged(
  view: View, small: Float[np.ndarray, 'y x 3'], ring: bool = False
) -> Float[np.ndarray, 'h w 3']:
  """What was painted, of the window's own size again; bicubic, in [-1, 1].

  Args:
    view: at which it was painted.
    small: what was painted.
    ring: whether the right edge goes on at the left one.
  """
  if view.is_whole:
    return small
  padded = np.pad(
    small, [(0, 0), (_KERNEL, _KERNEL), (0, 0)], 'wrap' if ring else 'edge'
  )
  made = luminance.resize(
    padded,
    view.window.height,
    view.window.width,
    Image.Resampling.BICUBIC,
    box=(float(_KERNEL), 0.0, float(_KERNEL + view.width), float(view.height)),
  )
  return np.clip(made, -1.0, 1.0)
