"""Overviews of several samples: a sheet, a map of their spread, the extremes.

A task like colorization has many right answers (section 5.5); several samples
show how certain the model is.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from palette_jax import images
from palette_jax.photo import outputs

_LEAST_SPREAD = 16.0  # levels: a smaller spread is not shown at full brightness
_PAIR = images.PLAIN._replace(largest=1024)
_STRIP = 64  # rows whose spread is computed at once: float64 takes memory
# From equal to different, in equal steps of brightness: black, purple, orange,
# pale yellow.
_HEAT = ((0, 0, 0), (96, 24, 112), (236, 104, 40), (252, 252, 190))

Picture = UInt8[np.ndarray, 'h w 3']


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


def write(
  names: outputs.Names,
  pictures: Sequence[Picture],
  condition: Picture | None = None,
) -> str:
  """Writes the sheet, the map of the spread, and the most different pair.

  Args:
    names: of the files.
    pictures: two or more of one size.
    condition: what the network was given, of the same size, for the sheet.

  Returns:
    A sentence about how different they are.
  """
  assert names.spread and names.pair and names.sheet
  captions = [f'sample {i + 1}' for i in range(len(pictures))]
  levels = spread(pictures)
  most = max(float(levels.max()), _LEAST_SPREAD)
  spread_map = heat(levels, most)
  pair = most_different(pictures)
  indices = [pair.first, pair.second]
  description = (
    f'They differ by {levels.mean():.1f} levels of 255 on average (standard '
    f'deviation), by at most {levels.max():.0f}; the most different are '
    f'{pair.first + 1} and {pair.second + 1}.'
  )
  outputs.write(
    names.spread, spread_map, f'{description} Brightest: {most:.0f}.'
  )
  both = [pictures[i] for i in indices], [captions[i] for i in indices]
  outputs.write(names.pair, images.sheet(*both, style=_PAIR), description)
  pictures = [*pictures, spread_map]
  captions = [*captions, f'spread: 0 to {most:.0f} levels']
  if condition is not None:
    pictures, captions = [condition, *pictures], ['given', *captions]
  outputs.write(names.sheet, images.sheet(pictures, captions), description)
  return description


def spread(pictures: Sequence[Picture]) -> Float[np.ndarray, 'h w 1']:
  """Computes how far apart the pictures are at each pixel.

  Returns:
    The standard deviation over the pictures (of a population), root mean
    square over colours, in levels of 255.

  Raises:
    ValueError: if there are fewer than two.
  """
  _check_several(pictures)
  levels = np.empty([*pictures[0].shape[:2], 1], np.float32)
  for top in range(0, len(levels), _STRIP):
    strips = [picture[top : top + _STRIP] for picture in pictures]
    levels[top : top + _STRIP] = _spread(strips)
  return levels


def _spread(pictures: Sequence[Picture]) -> Float[np.ndarray, 'h w 1']:
  total, squares = 0.0, 0.0
  for picture in pictures:
    # Relative to the first: equal pictures give exactly 0.
    values = picture.astype(np.float64) - pictures[0]
    total, squares = total + values, squares + values**2
  count = len(pictures)
  variance = np.maximum(squares / count - (total / count) ** 2, 0)
  return np.sqrt(variance.mean(-1, keepdims=True))


def heat(values: Float[np.ndarray, 'h w 1'], most: float) -> Picture:
  """Maps numbers to colours: 0 is black, `most` and above pale yellow."""
  at = np.clip(values[..., 0] / max(most, 1e-6), 0, 1) * (len(_HEAT) - 1)
  steps = np.arange(len(_HEAT))
  channels = [np.interp(at, steps, channel) for channel in zip(*_HEAT)]
  return np.round(np.stack(channels, -1)).astype(np.uint8)


def most_different(pictures: Sequence[Picture]) -> Pair:
  """Returns the two pictures that are furthest apart; the first such pair.

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


def _check_several(pictures: Sequence[Picture]) -> None:
  if len(pictures) < 2:
    raise ValueError(
      f'{len(pictures)} picture: differences need two or more (-n 2).'
    )
