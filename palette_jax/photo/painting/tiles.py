"""Pictures larger than the network's: tiles that overlap, and smooth weights.

Everything is separable: tiles stand on a grid, a pixel's weight is that of its
row times that of its column, and the weights of all tiles sum to one. `cut` and
`blend` take NumPy and JAX arrays, and can be traced: a sampler may blend in
every step, which is what keeps tiles from telling different stories.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float


class Layout(NamedTuple):
  """Where the tiles lie: a grid.

  Attributes:
    height: of the picture, pixels.
    width: likewise.
    tops: first row of each row of tiles, ascending.
    lefts: first column of each column of tiles, ascending.
    tile: height and width of every tile. They reach beyond a picture that is
      smaller, which is then reflected.
    overlap: over how many pixels one tile gives way to the next, at least.
  """

  height: int
  width: int
  tops: tuple[int, ...]
  lefts: tuple[int, ...]
  tile: tuple[int, int]
  overlap: int


def layout(
  height: int,
  width: int,
  tile: int,
  overlap: int,
  multiple: int = 32,
  grid: int = 1,
) -> Layout:
  """As few tiles as cover a picture, evenly spread.

  Args:
    height: of the picture, pixels; 1 and more.
    width: likewise.
    tile: side of a tile. A side of the picture that is shorter gets one tile,
      of the next multiple.
    overlap: of neighbours, pixels; at most half a tile.
    multiple: of which the network's sides must be.
    grid: tiles start at multiples of it, pixels; at most half a tile.

  Raises:
    ValueError: if these numbers make no sense.
  """
  if height < 1 or width < 1:
    raise ValueError(f'A picture of {width} x {height} pixels has no tiles.')
  if tile < 1 or tile % multiple:
    raise ValueError(
      f'Tiles of {tile} pixels: the network takes multiples of {multiple}.'
    )
  if not 0 <= overlap <= tile // 2:
    raise ValueError(
      f'Tiles of {tile} pixels overlap by 0 to {tile // 2}, not {overlap}.'
    )
  sides, starts = [], []
  for length in (height, width):
    side = min(tile, math.ceil(length / multiple) * multiple)
    last = max(length - side, 0)
    if last % grid:
      raise ValueError(
        f'{length} pixels: the last of the tiles of {side} would not start at '
        f'a multiple of {grid}.'
      )
    steps = last // grid
    count = math.ceil(steps / max(1, (side - overlap) // grid)) + 1
    places = np.linspace(0, steps, count if last else 1).round() * grid
    starts.append(tuple(places.astype(int)))
    sides.append(side)
  tops, lefts = (tuple(map(int, places)) for places in starts)
  return Layout(height, width, tops, lefts, tuple(sides), overlap)


def whole(height: int, width: int) -> Layout:
  """A picture that is one tile: its sides are what the network takes."""
  return Layout(height, width, (0,), (0,), (height, width), 0)


def cut(image: Float[Any, 'h w c'], plan: Layout) -> Float[Any, 'n y x c']:
  """The tiles of a picture, row by row; reflected where they reach beyond."""
  rows = _reflected(plan.tops, plan.tile[0], plan.height)
  columns = _reflected(plan.lefts, plan.tile[1], plan.width)
  # [i, y, j, x, c] -> [i j, y, x, c]
  found = image[rows.reshape(-1)][:, columns.reshape(-1)]
  found = found.reshape([*rows.shape, *columns.shape, image.shape[-1]])
  found = found.swapaxes(1, 2)
  return found.reshape([-1, *plan.tile, image.shape[-1]])


def blend(tiles: Float[Any, 'n y x c'], plan: Layout) -> Float[Any, 'h w c']:
  """One picture of all tiles, each weighing less towards its inner borders.

  Where one tile alone lies, its pixels are taken as they are.
  """
  grid = [len(plan.tops), len(plan.lefts), *plan.tile, tiles.shape[-1]]
  (height, width), overlap = plan.tile, plan.overlap
  found = tiles.reshape(grid).transpose(1, 3, 0, 2, 4)  # [j x i y c]
  found = _blend_axis(found, _shares(plan.lefts, width, plan.width, overlap))
  found = found.transpose(1, 2, 0, 3)  # [w i y c] -> [i y w c]
  return _blend_axis(found, _shares(plan.tops, height, plan.height, overlap))


def _blend_axis(tiles, shares):
  """[tiles, places in a tile, ...] -> [places in the picture, ...]."""
  total = 0
  for which, place, weight in zip(*shares):
    weight = weight.reshape([-1] + [1] * (tiles.ndim - 2))
    total = total + weight.astype(tiles.dtype) * tiles[which, place]
  return total


@functools.lru_cache(64)
def _shares(starts, side, length, overlap):
  """Which tiles each place is in, where in them, and their weights.

  Returns:
    int [k, length], int [k, length], float32 [k, length]; k is the most tiles
    that any place lies in. Where there are fewer, the others weigh nothing.
  """
  starts = np.array(starts)[:, None]
  inside = np.arange(length) - starts  # [n, length]
  # A tile fades over `overlap` pixels, but for where the picture ends.
  fade = np.ones(inside.shape)
  if overlap:
    rise, fall = (inside + 0.5) / overlap, (side - inside - 0.5) / overlap
    fade[1:] *= np.sin(np.pi / 2 * np.clip(rise[1:], 0, 1)) ** 2
    fade[:-1] *= np.sin(np.pi / 2 * np.clip(fall[:-1], 0, 1)) ** 2
  covers = (inside >= 0) & (inside < side)
  fade = np.where(covers, fade, 0)
  fade /= fade.sum(axis=0)
  most = covers.sum(axis=0).max()
  which = np.argsort(~covers, axis=0, kind='stable')[:most]
  place = np.clip(np.take_along_axis(inside, which, 0), 0, side - 1)
  weight = np.take_along_axis(fade, which, 0).astype(np.float32)
  return which, place, weight


@functools.lru_cache(64)
def _reflected(starts, side, length):
  """int [n, side]: from which pixels those of each tile come."""
  places = np.array(starts)[:, None] + np.arange(side)
  period = max(2 * length - 2, 1)
  places = places % period
  return np.where(places < length, places, period - places)
