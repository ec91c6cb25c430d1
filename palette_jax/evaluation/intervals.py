"""Estimates of metrics with 95% intervals over images.

An interval says where the metric would lie for as many other images; the
reference that they are compared with is held fixed. Means are resampled.
The Frechet distance, the Inception Score and the kernel distance are not:
images that come twice make a set look less varied, so that resampled distances
lie above the true one (benchmarks/intervals.py has the coverage of several
methods). Their variance comes from the effect of each image on the metric,
measured by the derivative or by leaving the image out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from scipy import stats

LEAST = 20  # images; with fewer, no interval would cover 95%
GROUPS = 20
RESAMPLES = 10_000
_UPPER = 0.975  # the quantile at the upper end of a 95% interval
_AT_ONCE = 2_000_000  # numbers resampled together: 32 MB


class Estimate(NamedTuple):
  """A metric's value and its 95% interval.

  Attributes:
    value: the value.
    low: lower end of the interval; None where there is none.
    high: upper end, likewise.
    n: number of images.
    method: the method of the interval, or why there is none, in a few words.
  """

  value: float
  low: float | None
  high: float | None
  n: int
  method: str


def mean(values: Num[np.ndarray, ' n'], seed: int = 0) -> Estimate:
  """Estimates the mean over images by a percentile bootstrap.

  Args:
    values: a value for each image, in any unit. An infinite one, such as the
      PSNR of equal images, makes the mean infinite and its interval undefined.
    seed: seed of the resamples.

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
    return _without_interval(value, n, LEAST)
  low, high = stats.bootstrap(
    [values],
    np.mean,
    n_resamples=RESAMPLES,
    batch=max(1, _AT_ONCE // n),
    method='percentile',
    rng=np.random.default_rng(seed),
  ).confidence_interval
  method = f'bootstrap over images, {RESAMPLES:,} resamples'
  return Estimate(value, float(low), float(high), n, method)


def paired(
  a: Num[np.ndarray, ' n'], b: Num[np.ndarray, ' m'], seed: int = 0
) -> Estimate:
  """Estimates the mean of a - b over the same images by a paired bootstrap.

  Raises:
    ValueError: if they are not of the same images, or as `mean` does. The
      difference of two infinite values is NaN.
  """
  check_pairs(len(a), len(b))
  with np.errstate(invalid='ignore'):  # inf - inf: `mean` reports the NaN
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
  estimate = mean(difference, seed)
  return estimate._replace(method=f'paired {estimate.method}')


def share(hits: Bool[np.ndarray, ' n']) -> Estimate:
  """Estimates the share of hits, with Wilson's score interval.

  It covers 95% even where nearly all or none are hits, and where a bootstrap
  would have no width (Wilson 1927, Probable inference).

  Raises:
    ValueError: if there are none.
  """
  n = len(hits)
  if not n:
    raise ValueError('There are no images to take a share of; it needs 1.')
  test = stats.binomtest(int(np.sum(hits)), n)
  low, high = test.proportion_ci(method='wilson')
  value = float(np.mean(hits))
  return Estimate(value, float(low), float(high), n, 'Wilson score interval')


def linear(
  value: float,
  influence: Float[np.ndarray, ' n'],
  method: str = 'infinitesimal jackknife over images',
) -> Estimate:
  """Estimates any smooth metric by the infinitesimal jackknife (Jaeckel 1972).

  Args:
    value: the metric.
    influence: its derivative by the weight of each image: for a mean, the
      image's value. A constant added to all of them changes nothing.
    method: the method, if the influences were obtained in another way.
  """
  n = len(influence)
  if n < LEAST:
    return _without_interval(value, n, LEAST)
  deviation = np.std(influence, ddof=1) / np.sqrt(n)
  half = float(stats.norm.ppf(_UPPER) * deviation)
  return Estimate(value, value - half, value + half, n, method)


def groups(n: int, seed: int = 0) -> Int[np.ndarray, ' n']:
  """Assigns each image at random to one of GROUPS equal parts."""
  return np.random.default_rng(seed).permutation(np.arange(n) % GROUPS)


def jackknife(value: float, left_out: Sequence[float], n: int) -> Estimate:
  """Estimates a metric that is not smooth by deleting groups of images.

  Args:
    value: the metric of all images.
    left_out: the metric without each of the `groups`; ignored if there are
      fewer than two images in each.
    n: number of images.
  """
  if n < 2 * GROUPS:
    return _without_interval(value, n, 2 * GROUPS)
  deviation = np.sqrt(np.var(np.asarray(left_out)) * (GROUPS - 1))
  half = float(stats.t.ppf(_UPPER, GROUPS - 1) * deviation)
  method = f'jackknife over {GROUPS} groups of images'
  return Estimate(value, value - half, value + half, n, method)


def within(estimate: Estimate, low: float, high: float) -> Estimate:
  """Cuts the interval to the range of the metric."""
  if estimate.low is None or estimate.high is None:
    return estimate
  return estimate._replace(
    low=max(estimate.low, low), high=min(estimate.high, high)
  )


def check_pairs(a: int, b: int) -> None:
  """Raises a ValueError unless two rows have the same number of images."""
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
    needed: the fewest images for which the metric is defined.
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


def _without_interval(value: float, n: int, needed: int) -> Estimate:
  reason = f'none: {n} images, {needed} are needed for an interval'
  return Estimate(value, None, None, n, reason)
