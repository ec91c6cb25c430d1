"""How sure a figure is: 95% intervals over images.

All say where the figure would lie if other images of the same number were
drawn; the reference that they are compared with stays as it is. Means are
resampled. The Frechet distance, the Inception Score and the kernel distance are
not: images that come twice make a set look less varied, so that resampled
distances lie above the true one (benchmarks/intervals.py has the coverage of
what was tried). There the spread of what each image does to the figure is its
variance: by the derivative, or by leaving the image out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped

LEAST = 20  # images, below which no interval would keep its promise
GROUPS = 20
RESAMPLES = 10_000
_NORMAL = 1.959964  # 97.5% of the normal distribution
_STUDENT = 2.093024  # the same of Student's t with GROUPS - 1 degrees
_AT_ONCE = 2_000_000  # numbers resampled together: 32 MB


class Estimate(NamedTuple):
  """A figure and its 95% interval.

  Attributes:
    value: the figure.
    low: lower end of the interval; None where none can be given.
    high: upper end, likewise.
    n: images it was made from.
    method: how the interval was made, or why there is none, in a few words.
  """

  value: float
  low: float | None
  high: float | None
  n: int
  method: str


def mean(values: Num[np.ndarray, ' n'], seed: int = 0) -> Estimate:
  """The mean over images, by a percentile bootstrap.

  Args:
    values: one of each image, in any unit. Infinite ones make the mean infinite
      and leave it without an interval: the PSNR of equal images.
    seed: of the resamples.

  Raises:
    ValueError: if there is no value, or one is NaN.
  """
  values = np.asarray(values, np.float64)
  n = len(values)
  if not n:
    raise ValueError('There are no images to take a mean of; it needs 1.')
  if np.isnan(values).any():
    raise ValueError(
      f'{np.isnan(values).sum()} of {n} values are NaN, the first of image '
      f'{np.argmax(np.isnan(values))}. Look at that image, or leave it out.'
    )
  value = float(np.mean(values))
  if infinite := int(np.isinf(values).sum()):
    reason = f'none: {infinite} of {n} values are infinite'
    return Estimate(value, None, None, n, reason)
  if n < LEAST:
    return _without(value, n)
  low, high = np.quantile(_resampled_means(values, seed), [0.025, 0.975])
  method = f'bootstrap over images, {RESAMPLES:,} resamples'
  return Estimate(value, float(low), float(high), n, method)


def paired(
  a: Num[np.ndarray, ' n'], b: Num[np.ndarray, ' m'], seed: int = 0
) -> Estimate:
  """The mean of a - b over images that both models had, by a paired bootstrap.

  Raises:
    ValueError: if they are not of the same images, or as `mean` says. The
      difference of two infinite values is NaN.
  """
  check_pairs(len(a), len(b))
  with np.errstate(invalid='ignore'):  # inf - inf: `mean` says what is wrong
    found = mean(np.asarray(a, np.float64) - np.asarray(b, np.float64), seed)
  return found._replace(method=f'paired {found.method}')


def share(hits: Bool[np.ndarray, ' n']) -> Estimate:
  """The share of hits, by Wilson's score interval, which needs no chance.

  It keeps its promise where nearly all are hits or none is, and a bootstrap has
  the width 0 (Wilson 1927, Probable inference).

  Raises:
    ValueError: if there are none.
  """
  n = len(hits)
  if not n:
    raise ValueError('There are no images to take a share of; it needs 1.')
  value = float(np.mean(hits))
  square = _NORMAL**2 / n
  middle = (value + square / 2) / (1 + square)
  half = np.sqrt(value * (1 - value) * square + square**2 / 4) / (1 + square)
  low, high = max(middle - half, 0.0), min(middle + half, 1.0)
  return Estimate(value, float(low), float(high), n, 'Wilson score interval')


def linear(
  value: float,
  influence: Float[np.ndarray, ' n'],
  method: str = 'infinitesimal jackknife over images',
) -> Estimate:
  """Any smooth figure, by the infinitesimal jackknife (Jaeckel 1972).

  Args:
    value: the figure.
    influence: how fast it changes, an image, with that image's weight: for a
      mean the image's value. A constant in all of them changes nothing.
    method: how the influences were found, where it was in another way.
  """
  n = len(influence)
  if n < LEAST:
    return _without(value, n)
  half = float(_NORMAL * np.std(influence, ddof=1) / np.sqrt(n))
  return Estimate(value, value - half, value + half, n, method)


def groups(n: int, seed: int = 0) -> Int[np.ndarray, ' n']:
  """To which of GROUPS equal parts, drawn at random, each image belongs."""
  return np.random.default_rng(seed).permutation(np.arange(n) % GROUPS)


def jackknife(value: float, left_out: Sequence[float], n: int) -> Estimate:
  """A figure that is not smooth, by a jackknife that deletes groups.

  Args:
    value: the figure of all images.
    left_out: the figure without each of the `groups`; not looked at where there
      are fewer than two images in each.
    n: images.
  """
  if n < 2 * GROUPS:
    reason = f'none: {n} images, {2 * GROUPS} are needed for an interval'
    return Estimate(value, None, None, n, reason)
  deviation = np.sqrt(np.var(np.asarray(left_out)) * (GROUPS - 1))
  half = float(_STUDENT * deviation)
  method = f'jackknife over {GROUPS} groups of images'
  return Estimate(value, value - half, value + half, n, method)


def within(found: Estimate, low: float, high: float) -> Estimate:
  """The interval cut to what values the figure can have."""
  if found.low is None or found.high is None:
    return found
  return found._replace(low=max(found.low, low), high=min(found.high, high))


def check_pairs(a: int, b: int) -> None:
  """Raises a ValueError unless two models have as many images."""
  if a != b:
    raise ValueError(
      f'{a} and {b} images cannot be paired: give both models the same images, '
      'in the same order.'
    )


def check_features(
  features: Shaped[np.ndarray, 'n d'], needed: int, metric: str
) -> None:
  """Raises a ValueError if there are too few, or one is NaN or infinite.

  Args:
    features: of n images, or their logits.
    needed: images without which the metric is not defined.
    metric: its name, for the message.
  """
  n = len(features)
  if n < needed:
    raise ValueError(f'{metric} needs {needed} images at least, not {n}.')
  broken = ~np.isfinite(features).all(axis=1)
  if broken.any():
    raise ValueError(
      f'{metric}: features of {broken.sum()} of {n} images are NaN or '
      f'infinite, the first of image {np.argmax(broken)}. Look at that image, '
      'or leave it out.'
    )


def _without(value, n):
  reason = f'none: {n} images, {LEAST} are needed for an interval'
  return Estimate(value, None, None, n, reason)


def _resampled_means(values, seed):
  n = len(values)
  draw = np.random.default_rng(seed)
  means = np.empty(RESAMPLES)
  rows = max(1, _AT_ONCE // n)
  for start in range(0, RESAMPLES, rows):
    drawn = means[start : start + rows]
    drawn[:] = values[draw.integers(0, n, [len(drawn), n])].mean(axis=1)
  return means
