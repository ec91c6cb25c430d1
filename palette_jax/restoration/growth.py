"""A picture that grows beyond its edges, half an image at a time.

Palette, section 5.6 and Figure 10: from 256x256 to panoramas of 256x2304 by
uncropping again and again, each time with half of an image known. Pictures grow
sideways first, then up and down. A panorama may be closed to a ring: its last
piece then sees the picture's other end, too.

Next: palette_jax/restoration/making.py
"""

import math

import numpy as np
from jaxtyping import Float

from palette_jax.restoration import piece as pieces
from palette_jax.restoration import windows


def known_part(mask: Float[np.ndarray, 'h w 1']) -> windows.Window:
  """The rectangle that is not to be painted."""
  known = mask[..., 0] <= 0.5
  rows, columns = (np.flatnonzero(known.any(axis)) for axis in (1, 0))
  assert rows.size, 'nothing is known'
  top, left = int(rows[0]), int(columns[0])
  return windows.Window(
    top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
  )


def stages(
  known: windows.Window,
  height: int,
  width: int,
  counts: dict[str, int],
) -> list[windows.Window]:
  """The rectangles that a picture fills, one piece larger each time.

  Args:
    known: what there is.
    height: of the whole, pixels.
    width: likewise.
    counts: into how many pieces each side's growth is cut, by 'left', 'right',
      'top' and 'bottom'; left and right take turns, then top and bottom.
  """
  top, left = known.top, known.left
  bottom, right = top + known.height, left + known.width
  ends = dict(left=(left, 0), right=(right, width))
  ends |= dict(top=(top, 0), bottom=(bottom, height))
  now = dict(left=left, right=right, top=top, bottom=bottom)
  found = []
  for pair in (('right', 'left'), ('bottom', 'top')):
    for turn in range(1, 1 + max(counts.get(side, 0) for side in pair)):
      for side in pair:
        if turn > counts.get(side, 0):
          continue
        first, last = ends[side]
        now[side] = first + round((last - first) * turn / counts[side])
        rectangle = windows.Window(
          now['top'],
          now['left'],
          now['bottom'] - now['top'],
          now['right'] - now['left'],
        )
        if rectangle != (found[-1] if found else known):
          found.append(rectangle)
  return found


def counts_of(
  known: windows.Window, height: int, width: int, reach: int
) -> dict[str, int]:
  """How many pieces each side needs, if one reaches no further than `reach`.

  Nor is a piece larger than what is known before it.
  """
  across, down = (min(reach, side) for side in (known.width, known.height))
  right, bottom = known.left + known.width, known.top + known.height
  return dict(
    left=math.ceil(known.left / across),
    right=math.ceil((width - right) / across),
    top=math.ceil(known.top / down),
    bottom=math.ceil((height - bottom) / down),
  )


def plan(
  drawing: pieces.Drawing,
  known: windows.Window,
  rectangles: list[windows.Window],
  height: int,
  width: int,
) -> list[pieces.Piece]:
  """A piece for each stage: what it adds, seen with what is there by then."""
  found, before = [], known
  for rectangle in rectangles:
    mask = np.zeros([height, width, 1], np.float32)
    mask[rectangle.slices] = 1
    mask[before.slices] = 0
    found.append(pieces.of(mask, drawing, within=rectangle))
    before = rectangle
  return found


def closing(
  drawing: pieces.Drawing,
  last: windows.Window,
  before: windows.Window,
  height: int,
  width: int,
) -> tuple[pieces.Piece, int]:
  """The piece that closes a ring: it sees both ends of the picture.

  Args:
    drawing: what it is painted with.
    last: the last rectangle, which is the whole picture.
    before: the one before.
    height: of the picture.
    width: likewise.

  Returns:
    The piece, in the picture rolled to the right by so many pixels.
  """
  mask = np.zeros([height, width, 1], np.float32)
  mask[last.slices] = 1
  mask[before.slices] = 0
  places = np.flatnonzero(mask[0, :, 0])
  middle = (int(places[0]) + int(places[-1])) // 2
  shift = width // 2 - middle
  return pieces.of(np.roll(mask, shift, axis=1), drawing), shift
