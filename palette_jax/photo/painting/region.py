"""A piece of a picture that is painted in one go.

Cut out with what is around it, reflected to a size that the network takes, cut
into tiles; all samples of it at once, as far as the device gains by that.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from palette_jax.diffusion import objective as objectives
from palette_jax.photo.painting import painter as canvas
from palette_jax.photo.painting import tiles, view, windows


class Counter:
  """Passes of the network, as whoever waits is told of them."""

  def __init__(self, progress: Callable[[int, int], None] | None = None):
    """`progress` is called with (done, of how many) after each."""
    self._progress = progress
    self._done = self._total = 0

  def expect(self, passes: int) -> None:
    """That there will be so many."""
    self._total = passes

  def tick(self) -> None:
    """That there was one; raises whatever `progress` does."""
    self._done += 1
    if self._progress is not None:
      self._progress(self._done, self._total)


class Drawing(NamedTuple):
  """What all pieces of a picture are painted with.

  Attributes:
    painter: the network.
    objective: what it predicts, and the sampler.
    tile: the side of the pictures that it knows, pixels.
    multiple: of which the network's sides must be.
    prepare: a task's: (photo, mask, seed) -> cond, mask.
    keys: of all chance, one a sample.
    counter: of the network's passes.
  """

  painter: canvas.Painter
  objective: objectives.Objective
  tile: int
  multiple: int
  prepare: Callable
  keys: list[Array]
  counter: Counter


class Piece(NamedTuple):
  """Where something is painted.

  Attributes:
    window: of the picture; nothing beyond is looked at.
    mask: 1 where to paint: the window's, reflected at the right and the bottom
      to a size that the network takes.
    plan: the tiles of that.
  """

  window: windows.Window
  mask: Float[np.ndarray, 'y x 1']
  plan: tiles.Layout

  @property
  def most(self) -> float:
    """The share of a tile that is painted, at most."""
    return float(tiles.cut(self.mask, self.plan).mean(axis=(1, 2, 3)).max())


def of(
  mask: Float[np.ndarray, 'h w 1'],
  drawing: Drawing,
  within: windows.Window | None = None,
  grid: int = 1,
) -> Piece:
  """The piece that holds the hole of a picture, which must have one.

  Args:
    mask: 1 where to paint.
    drawing: what it is painted with.
    within: the part of the picture that exists; all of it by default.
    grid: tiles start at multiples of it.
  """
  within = within or windows.Window(0, 0, *mask.shape[:2])
  found = view.around(mask[within.slices], drawing.tile)
  assert found is not None, 'a picture without a hole'
  window = found._replace(top=within.top + found.top)
  window = window._replace(left=within.left + found.left)
  part = _padded(mask[window.slices], drawing, grid)
  tile, multiple = drawing.tile, drawing.multiple
  plan = view.layout(*part.shape[:2], tile, multiple, grid)
  return Piece(window, part, plan)


def whole(mask: Float[np.ndarray, 'h w 1'], drawing: Drawing) -> Piece:
  """A picture that is one tile: its sides are multiples of the network's."""
  height, width, _ = mask.shape
  plan = tiles.whole(height, width)
  return Piece(windows.Window(0, 0, height, width), mask, plan)


def passes(piece: Piece, drawing: Drawing) -> int:
  """How often painting it asks the network."""
  painter, objective = drawing.painter, drawing.objective
  return sum(
    painter.passes(objective, piece.mask, piece.plan, len(group))
    for group in _groups(piece, drawing)
  )


def paint(
  piece: Piece,
  drawing: Drawing,
  pictures: Float[np.ndarray, 's h w 3'],
  number: int = 0,
) -> None:
  """Paints the piece into each sample's picture; nothing else changes.

  Args:
    piece: where.
    drawing: what with.
    pictures: of each sample, in [-1, 1]; changed.
    number: of the piece, so that each has chance of its own.
  """
  hole = piece.mask > 0.5
  rows, columns = piece.window.slices
  part = pictures[:, rows, columns]
  for group in _groups(piece, drawing):
    conds, keys = [], []
    for i in group:
      key, key_cond = jax.random.split(
        jax.random.fold_in(drawing.keys[i], number)
      )
      seed = int(jax.random.bits(key_cond))
      padded = _reflected(part[i], piece.mask.shape[:2])
      given = None if hole.all() else piece.mask
      conds.append(drawing.prepare(padded, given, seed)[0])
      keys.append(key)
    made = drawing.painter.paint(
      drawing.objective,
      np.stack(conds),
      piece.mask,
      piece.plan,
      keys,
      drawing.counter.tick,
    )
    made = made[:, : piece.window.height, : piece.window.width]
    holes = hole[: piece.window.height, : piece.window.width]
    part[group] = np.where(holes, made, part[group])


def _groups(piece, drawing):
  """Numbers of the samples that are painted together."""
  count = len(drawing.keys)
  tiles_each = len(piece.plan.tops) * len(piece.plan.lefts)
  size = max(1, drawing.painter.together // tiles_each)
  return [
    list(range(first, min(first + size, count)))
    for first in range(0, count, size)
  ]


def _padded(mask, drawing, grid):
  """The mask of a canvas of a size that there are tiles for."""
  sides = []
  for length in mask.shape[:2]:
    unit = drawing.multiple if length < drawing.tile else grid
    sides.append(-(-length // unit) * unit)
  return _reflected(mask, tuple(sides))


def _reflected(image, size):
  more = [(0, side - length) for side, length in zip(size, image.shape)]
  return np.pad(image, [*more, (0, 0)], 'reflect')
