"""Where to look in a large photo with a small hole: squares around it.

Palette's masks cover 10% to 40% of a training image (section 5.2 and appendix
B): a hole is at most three fifths as long as its window, 36% of its area.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import ndimage

_CELLS = 8  # of a tile's side: how finely holes are told apart


class Window(NamedTuple):
  """A part of a picture; pixels."""

  top: int
  left: int
  height: int
  width: int

  @property
  def slices(self) -> tuple[slice, slice]:
    """Of an array's rows and columns."""
    return (
      slice(self.top, self.top + self.height),
      slice(self.left, self.left + self.width),
    )


def around(mask: Float[np.ndarray, 'h w 1'], tile: int) -> list[Window]:
  """Squares that cover the holes, each hole whole and in one of them.

  A square's side is `tile`, or 5/3 of its holes' extent if that is more; where
  the picture is smaller than that, a window ends with the picture. Holes share
  one where `tile` suffices for all, or where one's context is another's hole.

  Args:
    mask: 1 in the holes.
    tile: the least side, pixels: the network's.

  Returns:
    Windows, from top to bottom; none for a mask without holes.
  """
  height, width, _ = mask.shape
  boxes = _boxes(mask[..., 0] > 0.5, max(1, tile // _CELLS))
  boxes = _joined(boxes, tile, height, width)
  return sorted(_window(box, tile, height, width) for box in boxes)


def _boxes(hole, cell):
  """int [n, 4]: top, left, bottom, right of each hole; close ones are one."""
  rows, columns = (np.arange(0, length, cell) for length in hole.shape)
  coarse = np.logical_or.reduceat(hole, rows, axis=0)
  coarse = np.logical_or.reduceat(coarse, columns, axis=1)
  # Cells that touch belong together, corners included.
  groups, _ = ndimage.label(coarse, structure=np.ones([3, 3]))
  places = ndimage.find_objects(groups)
  # Which holes are joined depends on their order. Recipes replay only in this
  # one, that of a set of cells.
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


def _joined(boxes, tile, height, width):
  """The boxes, those joined that share a window."""
  todo, done = list(map(tuple, boxes)), np.zeros([0, 4], int)
  while todo:
    box = np.array(todo.pop())
    if len(done):
      both = np.concatenate(
        [np.minimum(done[:, :2], box[:2]), np.maximum(done[:, 2:], box[2:])], 1
      )
      # With the context that a hole is given, both fit in one tile,
      share = _side(np.max(both[:, 2:] - both[:, :2], axis=1)) <= tile
      # or one would be seen in the other's window.
      mine = _window(box, tile, height, width)
      share |= _meet(done, mine)
      theirs = [_window(other, tile, height, width) for other in done]
      share |= np.array([_meet(box[None], other)[0] for other in theirs])
      if share.any():
        i = int(np.argmax(share))
        todo.append(tuple(both[i]))
        done = np.delete(done, i, axis=0)
        continue
    done = np.concatenate([done, box[None]])
  return done


def _meet(boxes, window):
  """Which boxes have a pixel in the window."""
  top, left, height, width = window
  return (
    (boxes[:, 0] < top + height)
    & (boxes[:, 2] > top)
    & (boxes[:, 1] < left + width)
    & (boxes[:, 3] > left)
  )


def _side(extent):
  return -(-5 * extent // 3)


def _window(box, tile, height, width):
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
