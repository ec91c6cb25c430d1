"""Growing a photo beyond its edges, half an image at a time.

Palette, section 5.6 and Figure 10: repeated uncropping, with half of an image
known each time, extends 256x256 to panoramas of 256x2304. Photos grow sideways
first, then up and down. A panorama can be closed to a ring: its last piece then
sees both ends of the photo.

Each piece is painted from the one before and inherits its errors: after some
pieces colours diverge. The mean and the spread of brightness and colour of each
piece are therefore kept within the range of the photo's own parts, with some
slack. Pieces within the range are not changed; others are corrected, with full
strength from the middle of the piece on and none at the seam.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from palette_jax import images as pixels
from palette_jax.photo.painting import region, windows

# Slack beyond the range of the photo itself: of means, in [-1, 1], and a factor
# of standard deviations.
SLACK_MEAN = 0.1
SLACK_SPREAD = 1.2


def known_part(mask: Float[np.ndarray, 'h w 1']) -> windows.Window:
  """Returns the rectangle that is known."""
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
  """Returns the rectangles that the photo fills, one piece larger each time.

  Args:
    known: the photo.
    height: height of the result in pixels.
    width: width of the result in pixels.
    counts: number of pieces by side, 'left', 'right', 'top' and 'bottom'; left
      and right alternate, then top and bottom.
  """
  top, left = known.top, known.left
  bottom, right = top + known.height, left + known.width
  ends = dict(left=(left, 0), right=(right, width))
  ends |= dict(top=(top, 0), bottom=(bottom, height))
  current = dict(left=left, right=right, top=top, bottom=bottom)
  rectangles: list[windows.Window] = []
  for pair in (('right', 'left'), ('bottom', 'top')):
    for turn in range(1, 1 + max(counts.get(side, 0) for side in pair)):
      for side in pair:
        if turn > counts.get(side, 0):
          continue
        first, last = ends[side]
        current[side] = first + round((last - first) * turn / counts[side])
        rectangle = windows.Window(
          current['top'],
          current['left'],
          current['bottom'] - current['top'],
          current['right'] - current['left'],
        )
        if rectangle != (rectangles[-1] if rectangles else known):
          rectangles.append(rectangle)
  return rectangles


def count_pieces(
  known: windows.Window, height: int, width: int, reach: int
) -> dict[str, int]:
  """Returns the number of pieces by side.

  No piece is longer than `reach`, nor larger than the photo.
  """
  across, down = (min(reach, side) for side in (known.width, known.height))
  right, bottom = known.left + known.width, known.top + known.height
  return dict(
    left=math.ceil(known.left / across),
    right=math.ceil((width - right) / across),
    top=math.ceil(known.top / down),
    bottom=math.ceil((height - bottom) / down),
  )


def plan_regions(
  painting: region.Painting,
  known: windows.Window,
  rectangles: list[windows.Window],
  height: int,
  width: int,
) -> list[region.Region]:
  """Returns the region that each stage adds, with its surroundings by then."""
  regions, before = [], known
  for rectangle in rectangles:
    mask = np.zeros([height, width, 1], np.float32)
    mask[rectangle.slices] = 1
    mask[before.slices] = 0
    regions.append(region.enclosing(mask, painting, within=rectangle))
    before = rectangle
  return regions


def closing_region(
  painting: region.Painting,
  before: windows.Window,
  last: windows.Window,
  height: int,
  width: int,
) -> tuple[region.Region, int]:
  """Returns the region that closes a ring and sees both ends of the photo.

  Args:
    painting: the network, the sampler and the samples' keys.
    before: the last rectangle but one.
    last: the last rectangle, which is the whole result.
    height: height of the result in pixels.
    width: width of the result in pixels.

  Returns:
    The region, in the result rolled to the right by a number of pixels.
  """
  mask = np.zeros([height, width, 1], np.float32)
  mask[last.slices] = 1
  mask[before.slices] = 0
  places = np.flatnonzero(mask[0, :, 0])
  middle = (int(places[0]) + int(places[-1])) // 2
  shift = width // 2 - middle
  return region.enclosing(np.roll(mask, shift, axis=1), painting), shift


def grow(
  painting: region.Painting,
  images: Float[np.ndarray, 's h w 3'],
  known: windows.Window,
  counts: dict[str, int],
  loop: bool,
) -> None:
  """Grows the photo in each image to the left and right, in place.

  Args:
    painting: the network, the sampler and the samples' keys.
    images: the image of each sample, which has the photo in `known`.
    known: position of the photo.
    counts: number of pieces by side, 'left' and 'right'.
    loop: whether the last piece closes a ring.
  """
  size = images.shape[1:3]
  rectangles = stages(known, *size, counts)
  regions, shift = plan_regions(painting, known, rectangles, *size), 0
  if loop:
    before, last = (known, *rectangles)[-2:]
    regions[-1], shift = closing_region(painting, before, last, *size)
  passes = sum(region.count_passes(r, painting) for r in regions)
  painting.counter.expect(passes)
  bounds = photo_bounds(images[0][known.slices], known.height // 2)
  before = known
  for number, (piece, now) in enumerate(zip(regions, rectangles)):
    if loop and number == len(regions) - 1:
      rolled = np.roll(images, shift, axis=2)
      region.paint(piece, painting, rolled, number)
      images[:] = np.roll(rolled, -shift, axis=2)
      break
    region.paint(piece, painting, images, number)
    steady_all(images, before, now, bounds)
    before = now


class Bounds(NamedTuple):
  """Range of the parts of a photo.

  Attributes:
    low: lowest mean and standard deviation of luma, R-Y and B-Y.
    high: highest mean and standard deviation of each.
  """

  low: Float[np.ndarray, '2 3']
  high: Float[np.ndarray, '2 3']


def photo_bounds(photo: Float[np.ndarray, 'h w 3'], width: int) -> Bounds:
  """Returns the range of the parts of a photo that are as wide as a piece.

  Args:
    photo: image in [-1, 1].
    width: width of a piece in pixels.
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
  images: Float[np.ndarray, 's h w 3'],
  before: windows.Window,
  now: windows.Window,
  bounds: Bounds,
) -> None:
  """Steadies the last piece of each image, in place."""
  if now.left < before.left:
    columns, seam = slice(now.left, before.left), 'right'
  else:
    columns = slice(before.left + before.width, now.left + now.width)
    seam = 'left'
  for image in images:
    image[:, columns] = steady(image[:, columns], bounds, seam)


def steady(
  piece: Float[np.ndarray, 'h w 3'], bounds: Bounds, seam: str
) -> Float[np.ndarray, 'h w 3']:
  """Returns a new piece, corrected to lie within the bounds.

  Args:
    piece: image in [-1, 1].
    bounds: range of the photo.
    seam: side of the piece that joins the photo, 'left' or 'right'.
  """
  mean, spread = moments = _moments(piece)
  target = np.clip(moments, bounds.low, bounds.high)
  if np.array_equal(target, moments):
    return piece
  # A spread of less than one 8-bit level is rounding: do not amplify it.
  scale = target[1] / np.maximum(spread, pixels.LEVEL)
  moved = _to_rgb((_to_luma(piece) - mean) * scale + target[0])
  share = np.minimum(1, 2 * (np.arange(piece.shape[1]) + 0.5) / piece.shape[1])
  share = share[:, None] if seam == 'left' else share[::-1, None]
  steadied = piece + share.astype(np.float32) * (moved - piece)
  return np.clip(steadied, -1, 1).astype(np.float32)


def _to_luma(image: Float[np.ndarray, 'h w 3']) -> Float[np.ndarray, 'h w 3']:
  """Converts RGB to luma, R-Y and B-Y."""
  luma = pixels.luma(image)
  return np.concatenate([luma, image[..., ::2] - luma], axis=-1)


def _to_rgb(image: Float[np.ndarray, 'h w 3']) -> Float[np.ndarray, 'h w 3']:
  luma, red, blue = np.moveaxis(image, -1, 0)
  of_red, of_green, of_blue = pixels.LUMA
  green = -(of_red * red + of_blue * blue) / of_green
  return np.stack([luma + red, luma + green, luma + blue], axis=-1)


def _moments(image: Float[np.ndarray, 'h w 3']) -> Float[np.ndarray, '2 3']:
  """Returns the mean and standard deviation of luma, R-Y and B-Y."""
  values = _to_luma(image.astype(np.float32)).reshape(-1, 3)
  return np.stack([values.mean(axis=0), values.std(axis=0)])
