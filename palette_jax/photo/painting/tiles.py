"""Tiles: overlapping parts of a canvas, blended with smooth weights.

Everything is separable: tiles lie on a grid, the weight of a pixel is that of
its row times that of its column, and the weights of all tiles sum to one. `cut`
and `blend` accept NumPy and JAX arrays and can be traced, so that a sampler can
blend in every step, which keeps tiles from diverging.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Layout(NamedTuple):
  """The grid of the tiles.

  Attributes:
    height: height of the canvas in pixels.
    width: width of the canvas in pixels.
    tops: first pixel of each row of tiles, ascending.
    lefts: first pixel of each column of tiles, ascending.
    tile: height and width of every tile. A smaller canvas is reflected.
    overlap: smallest number of pixels over which two tiles are blended.
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
  """Returns the fewest tiles that cover a canvas, evenly spread.

  Args:
    height: height of the canvas in pixels, at least 1.
    width: width of the canvas in pixels, at least 1.
    tile: side of a tile. A shorter side of the canvas gets one tile, of the
      next multiple.
    overlap: overlap of neighbours in pixels, at most half a tile.
    multiple: the network's sides are multiples of it.
    grid: tiles start at multiples of it, in pixels; at most half a tile.

  Raises:
    ValueError: if the numbers contradict each other.
  """
  if height < 1 or width < 1:
    raise ValueError(f'A canvas of {width} x {height} pixels has no tiles.')
  if tile < 1 or tile % multiple:
    raise ValueError(
      f'Tiles of {tile} pixels do not suit the network, whose sides are '
      f'multiples of {multiple}.'
    )
  if not 0 <= overlap <= tile // 2:
    raise ValueError(
      f'Tiles of {tile} pixels can overlap by 0 to {tile // 2}, not {overlap}.'
    )
  sides, starts = [], []
  for length in (height, width):
    side = min(tile, math.ceil(length / multiple) * multiple)
    last = max(length - side, 0)
    if last % grid:
      raise ValueError(
        f'{length} pixels: the last tile of {side} would not start at a '
        f'multiple of {grid}.'
      )
    steps = last // grid
    count = math.ceil(steps / max(1, (side - overlap) // grid)) + 1
    places = np.linspace(0, steps, count if last else 1).round() * grid
    starts.append(tuple(places.astype(int)))
    sides.append(side)
  tops, lefts = (tuple(map(int, places)) for places in starts)
  return Layout(height, width, tops, lefts, (sides[0], sides[1]), overlap)


def whole(height: int, width: int) -> Layout:
  """Returns a canvas as one tile, of a size that the network takes."""
  return Layout(height, width, (0,), (0,), (height, width), 0)


def cut(image: Float[Any, 'h w c'], plan: Layout) -> Float[Any, 'n y x c']:
  """Returns the tiles of a canvas, row by row, reflected beyond its edges."""
  rows = _reflected(plan.tops, plan.tile[0], plan.height)
  columns = _reflected(plan.lefts, plan.tile[1], plan.width)
  # [i, y, j, x, c] -> [i j, y, x, c]
  tiles = image[rows.reshape(-1)][:, columns.reshape(-1)]
  tiles = tiles.reshape([*rows.shape, *columns.shape, image.shape[-1]])
  tiles = tiles.swapaxes(1, 2)
  return tiles.reshape([-1, *plan.tile, image.shape[-1]])


def blend(tiles: Float[Any, 'n y x c'], plan: Layout) -> Float[Any, 'h w c']:
  """Returns a canvas of all tiles, whose weight falls towards inner borders.

  Pixels that are in one tile only are taken as they are.
  """
  grid = [len(plan.tops), len(plan.lefts), *plan.tile, tiles.shape[-1]]
  (height, width), overlap = plan.tile, plan.overlap
  columns = tiles.reshape(grid).transpose(1, 3, 0, 2, 4)  # [j x i y c]
  rows = _blend_axis(columns, _shares(plan.lefts, width, plan.width, overlap))
  rows = rows.transpose(1, 2, 0, 3)  # [w i y c] -> [i y w c]
  return _blend_axis(rows, _shares(plan.tops, height, plan.height, overlap))


def _blend_axis(
  tiles: Any, shares: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> Any:
  """Blends [tiles, places in a tile, ...] to [places in the canvas, ...]."""
  total = 0
  for number, place, weight in zip(*shares):
    weight = weight.reshape([-1] + [1] * (tiles.ndim - 2))
    total = total + weight.astype(tiles.dtype) * tiles[number, place]
  return total


@functools.lru_cache(64)
def _shares(
  starts: tuple[int, ...], side: int, length: int, overlap: int
) -> tuple[
  Int[np.ndarray, 'k {length}'],
  Int[np.ndarray, 'k {length}'],
  Float[np.ndarray, 'k {length}'],
]:
  """Returns the tiles of each place, its position in them, and their weights.

  k is the largest number of tiles that a place is in; where there are fewer,
  the rest have weight 0.
  """
  inside = np.arange(length) - np.array(starts)[:, None]  # [n, length]
  # A tile fades over `overlap` pixels, except at the edges of the canvas.
  fade = np.ones(inside.shape)
  if overlap:
    rise, fall = (inside + 0.5) / overlap, (side - inside - 0.5) / overlap
    fade[1:] *= np.sin(np.pi / 2 * np.clip(rise[1:], 0, 1)) ** 2
    fade[:-1] *= np.sin(np.pi / 2 * np.clip(fall[:-1], 0, 1)) ** 2
  covers = (inside >= 0) & (inside < side)
  fade = np.where(covers, fade, 0)
  fade /= fade.sum(axis=0)
  most = covers.sum(axis=0).max()
  number = np.argsort(~covers, axis=0, kind='stable')[:most]
  place = np.clip(np.take_along_axis(inside, number, 0), 0, side - 1)
  weight = np.take_along_axis(fade, number, 0).astype(np.float32)
  return number, place, weight


@functools.lru_cache(64)
def _reflected(
  starts: tuple[int, ...], side: int, length: int
) -> Int[np.ndarray, 'n {side}']:
  """Returns the index in the canvas of each place of each tile."""
  places = np.array(starts)[:, None] + np.arange(side)
  period = max(2 * length - 2, 1)
  places = places % period
  return np.where(places < length, places, period - places)
