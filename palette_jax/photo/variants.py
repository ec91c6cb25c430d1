"""Several answers to one photo: side by side, where they differ, and how far.

A task like colorization has many right answers (section 5.5); to see how sure
the model is of one, look at several.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

CELL = 512  # longest side of a picture on the sheet, pixels
_GAP = 4
_TEXT = 16  # pixels
_STRIP = 64  # rows whose spread is computed at once: float64 takes memory
# From the same to apart, in equal steps of brightness: black, purple, orange,
# pale yellow.
_HEAT = ((0, 0, 0), (96, 24, 112), (236, 104, 40), (252, 252, 190))


class Pair(NamedTuple):
  """Two of several pictures.

  Attributes:
    first: index of one.
    second: index of the other.
    distance: between them, root mean square, in levels of 255.
  """

  first: int
  second: int
  distance: float


def sheet(
  pictures: Sequence[UInt8[np.ndarray, 'h w 3']],
  captions: Sequence[str],
  cell: int = CELL,
) -> UInt8[np.ndarray, 'y x 3']:
  """A contact sheet on white: pictures of one size, captions under them.

  Large ones are made smaller. The grid is as near a square as it goes.

  Args:
    pictures: at least one.
    captions: one each, a line.
    cell: longest side of a picture on the sheet, pixels.

  Raises:
    ValueError: if there are no pictures, of several sizes, or not as many
      captions.
  """
  shapes = {picture.shape for picture in pictures}
  if len(shapes) != 1 or len(pictures) != len(captions):
    raise ValueError(
      f'A sheet takes pictures of one size with a caption each, not '
      f'{len(pictures)} of sizes {sorted(shapes)} with {len(captions)}.'
    )
  height, width, _ = pictures[0].shape
  scale = min(1, cell / max(height, width))
  height, width = max(1, round(height * scale)), max(1, round(width * scale))
  columns = _columns(len(pictures), height + _TEXT + 8, width)
  rows = -(-len(pictures) // columns)
  step = height + _TEXT + 8 + _GAP, width + _GAP
  whole = (columns * step[1] - _GAP, rows * step[0] - _GAP)
  page = Image.new('RGB', whole, 'white')
  draw, font = ImageDraw.Draw(page), ImageFont.load_default(_TEXT)
  for i, (picture, caption) in enumerate(zip(pictures, captions)):
    top, left = i // columns * step[0], i % columns * step[1]
    small = Image.fromarray(picture)
    if scale < 1:
      small = small.resize((width, height), Image.Resampling.BOX)
    page.paste(small, (left, top))
    line = _shortened(caption, font, width)
    draw.text((left + 2, top + height + 3), line, fill='black', font=font)
  return np.asarray(page)


def _columns(count, height, width):
  """Of a grid that is as near a square as it goes, and wastes little."""
  shapes = [(n, -(-count // n)) for n in range(1, count + 1)]

  def cost(shape):
    columns, rows = shape
    ratio = math.log(columns * width / (rows * height))
    return abs(ratio) + (columns * rows - count) / count

  return min(shapes, key=cost)[0]


def _shortened(caption, font, width):
  line = caption.replace('\n', ' ')
  while line and font.getlength(line) > width - 4:
    line = line[:-2] + '…' if len(line) > 2 else ''
  return line


def spread(
  pictures: Sequence[UInt8[np.ndarray, 'h w 3']],
) -> Float[np.ndarray, 'h w 1']:
  """How far apart the pictures are at each pixel.

  Returns:
    The standard deviation over the pictures (of a population), root mean
    square over colours, in levels of 255.

  Raises:
    ValueError: if there are fewer than two.
  """
  _check_several(pictures)
  made = np.empty([*pictures[0].shape[:2], 1], np.float32)
  for top in range(0, len(made), _STRIP):
    strips = [picture[top : top + _STRIP] for picture in pictures]
    made[top : top + _STRIP] = _spread(strips)
  return made


def _spread(pictures):
  total, squares = 0.0, 0.0
  for picture in pictures:
    # Seen from the first: so that equal pictures give 0, and no more.
    values = picture.astype(np.float64) - pictures[0]
    total, squares = total + values, squares + values**2
  count = len(pictures)
  variance = np.maximum(squares / count - (total / count) ** 2, 0)
  return np.sqrt(variance.mean(-1, keepdims=True))


def heat(
  values: Float[np.ndarray, 'h w 1'], most: float
) -> UInt8[np.ndarray, 'h w 3']:
  """A map of numbers as colours: 0 is black, `most` and above pale yellow."""
  at = np.clip(values[..., 0] / max(most, 1e-6), 0, 1) * (len(_HEAT) - 1)
  steps = np.arange(len(_HEAT))
  channels = [np.interp(at, steps, channel) for channel in zip(*_HEAT)]
  return np.round(np.stack(channels, -1)).astype(np.uint8)


def most_different(pictures: Sequence[UInt8[np.ndarray, 'h w 3']]) -> Pair:
  """The two pictures that are furthest apart; the first two such.

  Raises:
    ValueError: if there are fewer than two.
  """
  _check_several(pictures)
  pairs = []
  for j in range(1, len(pictures)):
    for i in range(j):
      apart = pictures[i].astype(np.float32) - pictures[j]
      distance = math.sqrt(np.mean(apart**2, dtype=np.float64))
      pairs.append(Pair(i, j, distance))
  return max(pairs, key=lambda pair: (pair.distance, -pair.second, -pair.first))


def _check_several(pictures):
  if len(pictures) < 2:
    raise ValueError(
      f'{len(pictures)} picture: differences need two or more (-n 2).'
    )
