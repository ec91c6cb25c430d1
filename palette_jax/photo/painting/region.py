"""Regions: parts of a photo that are painted in one go.

A region is cut out with its surroundings, reflected to a size that the network
takes, and cut into tiles. All samples are painted at once, as far as the device
gains by that.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from palette_jax.diffusion import objective as objectives
from palette_jax.photo.painting import painter as painters
from palette_jax.photo.painting import tiles, view, windows


class PassCounter:
  """Counts passes of the network, and reports them."""

  def __init__(
    self, progress: Callable[[int, int], None] | None = None
  ) -> None:
    """Starts at zero.

    Args:
      progress: called with (passes done, all passes) after each pass.
    """
    self._progress = progress
    self._done = self._total = 0

  def expect(self, passes: int) -> None:
    """Sets the number of all passes."""
    self._total = passes

  def tick(self) -> None:
    """Counts one pass; raises what `progress` raises."""
    self._done += 1
    if self._progress is not None:
      self._progress(self._done, self._total)


class Painting(NamedTuple):
  """Everything that the regions of a photo are painted with.

  Attributes:
    painter: the network.
    objective: the network's prediction, and the sampler.
    tile: side of the images that the network was trained on, in pixels.
    multiple: the network's sides are multiples of it.
    prepare: prepares a condition for the task: (photo, mask, seed) -> cond,
      mask.
    keys: random keys, one for each sample.
    counter: counts the network's passes.
  """

  painter: painters.Painter
  objective: objectives.Objective
  tile: int
  multiple: int
  prepare: Callable
  keys: Sequence[Key[Array, '']]
  counter: PassCounter


class Region(NamedTuple):
  """A part of a photo, with its canvas.

  Attributes:
    window: position in the photo; the network sees nothing beyond it.
    mask: 1 where to paint: the window's mask, reflected at the right and the
      bottom to a size that the network takes.
    plan: tiles of the canvas.
  """

  window: windows.Window
  mask: Float[np.ndarray, 'y x 1']
  plan: tiles.Layout

  @property
  def largest_share(self) -> float:
    """The largest share of a tile that is painted."""
    return float(tiles.cut(self.mask, self.plan).mean(axis=(1, 2, 3)).max())


def enclosing(
  mask: Float[np.ndarray, 'h w 1'],
  painting: Painting,
  within: windows.Window | None = None,
  grid: int = 1,
) -> Region:
  """Returns the region around the hole of a photo.

  Args:
    mask: 1 where to paint, at least somewhere.
    painting: the network, the sampler and the samples' keys.
    within: the part of the photo that exists; by default all of it.
    grid: tiles start at multiples of it.
  """
  within = within or windows.Window(0, 0, *mask.shape[:2])
  around = view.surroundings(mask[within.slices], painting.tile)
  assert around is not None, 'a photo without a hole'
  window = around._replace(
    top=within.top + around.top, left=within.left + around.left
  )
  part = _padded(mask[window.slices], painting, grid)
  tile, multiple = painting.tile, painting.multiple
  plan = view.tile_layout(*part.shape[:2], tile, multiple, grid)
  return Region(window, part, plan)


def whole(mask: Float[np.ndarray, 'h w 1']) -> Region:
  """Returns a photo as one tile; its sides are multiples of the network's."""
  height, width, _ = mask.shape
  window = windows.Window(0, 0, height, width)
  return Region(window, mask, tiles.whole(height, width))


def count_passes(region: Region, painting: Painting) -> int:
  """Returns the number of network passes that painting a region takes."""
  painter, objective = painting.painter, painting.objective
  return sum(
    painter.passes(objective, region.mask, region.plan, len(group))
    for group in _groups(region, painting)
  )


def paint(
  region: Region,
  painting: Painting,
  images: Float[np.ndarray, 's h w 3'],
  number: int = 0,
) -> None:
  """Paints a region of each sample's image, in place.

  Args:
    region: where to paint.
    painting: the network, the sampler and the samples' keys.
    images: the image of each sample, in [-1, 1]; only the hole changes.
    number: number of the region, so that each draws noise of its own.
  """
  hole = region.mask > 0.5
  rows, columns = region.window.slices
  part = images[:, rows, columns]
  for group in _groups(region, painting):
    conds, keys = [], []
    for i in group:
      key, key_cond = jax.random.split(
        jax.random.fold_in(painting.keys[i], number)
      )
      seed = int(jax.random.bits(key_cond))
      padded = _reflected(part[i], region.mask.shape[:2])
      mask = None if hole.all() else region.mask
      conds.append(painting.prepare(padded, mask, seed)[0])
      keys.append(key)
    painted = painting.painter.paint(
      painting.objective,
      np.stack(conds),
      region.mask,
      region.plan,
      keys,
      painting.counter.tick,
    )
    painted = painted[:, : region.window.height, : region.window.width]
    holes = hole[: region.window.height, : region.window.width]
    part[group] = np.where(holes, painted, part[group])


def paint_all(
  regions: Sequence[Region],
  painting: Painting,
  images: Float[np.ndarray, 's h w 3'],
) -> None:
  """Paints regions one after another, in place; each sees those before it."""
  painting.counter.expect(sum(count_passes(r, painting) for r in regions))
  for number, region in enumerate(regions):
    paint(region, painting, images, number)


def _groups(region: Region, painting: Painting) -> list[list[int]]:
  """Returns the samples, grouped into those that are painted together."""
  count = len(painting.keys)
  tiles_each = len(region.plan.tops) * len(region.plan.lefts)
  size = max(1, painting.painter.batch // tiles_each)
  return [
    list(range(first, min(first + size, count)))
    for first in range(0, count, size)
  ]


def _padded(
  mask: Float[np.ndarray, 'h w 1'], painting: Painting, grid: int
) -> Float[np.ndarray, 'y x 1']:
  """Returns the mask of a canvas of a size that tiles can cover."""
  height, width = (
    -(-length // unit) * unit
    for length in mask.shape[:2]
    for unit in [painting.multiple if length < painting.tile else grid]
  )
  return _reflected(mask, (height, width))


def _reflected(
  image: Float[np.ndarray, 'h w c'], size: tuple[int, ...]
) -> Float[np.ndarray, 'y x c']:
  (height, width), (old_height, old_width) = size, image.shape[:2]
  padding = [(0, height - old_height), (0, width - old_width), (0, 0)]
  return np.pad(image, padding, 'reflect')
