"""A picture that grows beyond its edges, half an image at a time.

Palette, section 5.6 and Figure 10: from 256x256 to panoramas of 256x2304 by
uncropping again and again, each time with half of an image known. Pictures grow
sideways first, then up and down. A panorama may be closed to a ring: its last
piece then sees the picture's other end, too.

Each piece is made of the one before, and so are its errors: after some pieces
the colours have run away. Brightness and colour of a panorama's pieces, and how
much they vary, are therefore kept within what the photo itself has from one
part to another, with some slack. A piece within that is left as it is; what is
not is moved back, more and more with the distance from the seam.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from palette_jax import images
from palette_jax.photo.painting import region as pieces
from palette_jax.photo.painting import windows

# Beyond the range that the photo itself has: in levels of [-1, 1], and as a
# factor of how much they vary.
SLACK_MEAN = 0.1
SLACK_SPREAD = 1.2


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
  before: windows.Window,
  last: windows.Window,
  height: int,
  width: int,
) -> tuple[pieces.Piece, int]:
  """The piece that closes a ring: it sees both ends of the picture.

  Args:
    drawing: what it is painted with.
    before: what is there.
    last: the last rectangle, which is the whole picture.
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


class Bounds(NamedTuple):
  """What the parts of a photo are like: brightness, and two of colour.

  Attributes:
    low: [2, 3], of mean and of standard deviation of luma, R-Y and B-Y.
    high: likewise.
  """

  low: Float[np.ndarray, '2 3']
  high: Float[np.ndarray, '2 3']


def bounds_of(photo: Float[np.ndarray, 'h w 3'], width: int) -> Bounds:
  """From the parts of a photo that are as wide as a piece.

  Args:
    photo: in [-1, 1].
    width: of a piece, pixels.
  """
  width = min(max(width, 1), photo.shape[1])
  starts = np.linspace(0, photo.shape[1] - width, 9).round().astype(int)
  parts = np.stack(
    [_moments(photo[:, start : start + width]) for start in starts]
  )
  low, high = parts.min(axis=0), parts.max(axis=0)
  low[0] -= SLACK_MEAN
  high[0] += SLACK_MEAN
  low[1] /= SLACK_SPREAD
  high[1] *= SLACK_SPREAD
  return Bounds(low, high)


def steady_all(
  pictures: Float[np.ndarray, 's h w 3'],
  before: windows.Window,
  now: windows.Window,
  bounds: Bounds,
) -> None:
  """`steady`, of what each picture has grown by to one side; in place."""
  if now.left < before.left:
    columns, seam = slice(now.left, before.left), 'right'
  else:
    columns, seam = (
      slice(before.left + before.width, now.left + now.width),
      'left',
    )
  for picture in pictures:
    picture[:, columns] = steady(picture[:, columns], bounds, seam)


def steady(
  new: Float[np.ndarray, 'h w 3'], bounds: Bounds, seam: str
) -> Float[np.ndarray, 'h w 3']:
  """A new piece, moved back into the bounds.

  Args:
    new: in [-1, 1].
    bounds: of the photo.
    seam: which of its sides lies at what was there before: 'left' or 'right'.
  """
  mean, spread = moments = _moments(new)
  wanted = np.clip(moments, bounds.low, bounds.high)
  if np.array_equal(wanted, moments):
    return new
  # Less than a level of 8 bits is rounding: nothing is made of it.
  scale = wanted[1] / np.maximum(spread, images.LEVEL)
  moved = _to_rgb((_to_luma(new) - mean) * scale + wanted[0])
  share = np.minimum(1, 2 * (np.arange(new.shape[1]) + 0.5) / new.shape[1])
  share = share[:, None] if seam == 'left' else share[::-1, None]
  steadied = new + share.astype(np.float32) * (moved - new)
  return np.clip(steadied, -1, 1).astype(np.float32)


def _to_luma(image):
  """Luma, R-Y and B-Y."""
  luma = images.luma(image)
  return np.concatenate([luma, image[..., ::2] - luma], axis=-1)


def _to_rgb(image):
  luma, red, blue = np.moveaxis(image, -1, 0)
  of_red, of_green, of_blue = images.LUMA
  green = -(of_red * red + of_blue * blue) / of_green
  return np.stack([luma + red, luma + green, luma + blue], axis=-1)


def _moments(image):
  """[2, 3]: mean and standard deviation of each."""
  values = _to_luma(image.astype(np.float32)).reshape(-1, 3)
  return np.stack([values.mean(axis=0), values.std(axis=0)])
