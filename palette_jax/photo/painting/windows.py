"""Windows: squares of a large photo around its holes.

Palette's masks cover 10% to 40% of a training image (section 5.2 and appendix
B): a hole is at most three fifths as long as its window, 36% of its area.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

_CELLS = 8  # cells in a tile's side; holes in adjacent cells are one


class Window(NamedTuple):
  """A part of a photo, in pixels."""

  top: int
  left: int
  height: int
  width: int

  @property
  def slices(self) -> tuple[slice, slice]:
    """Slices of rows and columns."""
    return (
      slice(self.top, self.top + self.height),
      slice(self.left, self.left + self.width),
    )


def covering(mask: Float[np.ndarray, 'h w 1'], tile: int) -> list[Window]:
  """Returns squares that cover the holes, each of which is in one of them.

  A square's side is `tile`, or 5/3 of its holes' extent if that is more; it is
  cut off at the photo's edges. Holes share a square if all fit into `tile`, or
  if one is in the surroundings of another.

  Args:
    mask: 1 in the holes.
    tile: smallest side in pixels, the network's.

  Returns:
    Windows from top to bottom; none for a mask without holes.
  """
  height, width, _ = mask.shape
  boxes = _boxes(mask[..., 0] > 0.5, max(1, tile // _CELLS))
  boxes = _joined(boxes, tile, height, width)
  return sorted(_window(box, tile, height, width) for box in boxes)


def _boxes(hole: Bool[np.ndarray, 'h w'], cell: int) -> Int[np.ndarray, 'n 4']:
  """Returns top, left, bottom, right of each hole; close ones are merged."""
  rows, columns = (np.arange(0, length, cell) for length in hole.shape)
  coarse = np.logical_or.reduceat(hole, rows, axis=0)
  coarse = np.logical_or.reduceat(coarse, columns, axis=1)
  # Cells that touch belong together, corners included.
  groups, _ = ndimage.label(coarse, structure=np.ones([3, 3]))
  places = ndimage.find_objects(groups)
  # Which holes are joined depends on their order: old recipes replay with this
  # one only, that of a set of cells.
  cells = {tuple(cell) for cell in np.argwhere(coarse).tolist()}
  boxes = []
  for i in dict.fromkeys(int(groups[place]) for place in cells):
    down, across = places[i - 1]
    inside = np.kron(groups[down, across] == i, np.ones([cell, cell], bool))
    top, left = down.start * cell, across.start * cell
    part = hole[top : down.stop * cell, left : across.stop * cell]
    part = part & inside[: part.shape[0], : part.shape[1]]
    y, x = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    boxes.append((top + y[0], left + x[0], top + y[-1] + 1, left + x[-1] + 1))
  return np.array(boxes, int).reshape(-1, 4)


def _joined(
  boxes: Int[np.ndarray, 'n 4'], tile: int, height: int, width: int
) -> Int[np.ndarray, 'm 4']:
  """Joins boxes that share a window."""
  todo, done = list(map(tuple, boxes)), np.zeros([0, 4], int)
  while todo:
    box = np.array(todo.pop())
    if len(done):
      both = np.concatenate(
        [np.minimum(done[:, :2], box[:2]), np.maximum(done[:, 2:], box[2:])], 1
      )
      # With their surroundings, both fit into one tile,
      share = _side(np.max(both[:, 2:] - both[:, :2], axis=1)) <= tile
      # or one is visible in the other's window.
      share |= _meet(done, _window(box, tile, height, width))
      others = [_window(other, tile, height, width) for other in done]
      share |= np.array([_meet(box[None], other)[0] for other in others])
      if share.any():
        i = int(np.argmax(share))
        todo.append(tuple(both[i]))
        done = np.delete(done, i, axis=0)
        continue
    done = np.concatenate([done, box[None]])
  return done


def _meet(
  boxes: Int[np.ndarray, 'n 4'], window: Window
) -> Bool[np.ndarray, ' n']:
  """Checks which boxes have a pixel in the window."""
  top, left, height, width = window
  return (
    (boxes[:, 0] < top + height)
    & (boxes[:, 2] > top)
    & (boxes[:, 1] < left + width)
    & (boxes[:, 3] > left)
  )


def _side(extent: Any) -> Any:
  """Returns the side of the window around a hole: 5/3, rounded up."""
  return -(-5 * extent // 3)


def _window(
  box: Int[np.ndarray, ' 4'], tile: int, height: int, width: int
) -> Window:
  top, left, bottom, right = map(int, box)
  side = max(tile, _side(max(bottom - top, right - left)))
  high, wide = min(side, height), min(side, width)
  middle = (top + bottom) / 2, (left + right) / 2
  first = math.floor(middle[0] - high / 2), math.floor(middle[1] - wide / 2)
  return Window(
    min(max(first[0], 0), height - high),
    min(max(first[1], 0), width - wide),
    high,
    wide,
  )
