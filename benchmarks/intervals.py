"""Measures the coverage of 95% intervals on simulated features.

  python -m benchmarks.intervals --metric=frechet --features=64 --images=1000
  python -m benchmarks.intervals --metric=recall --images=500

Draws many sets of features from a known distribution and counts how often the
interval of a set contains the mean of the metric over all sets. Each row also
has the mean width of the intervals as a multiple (x) of 3.92 standard
deviations of the metric over the sets; the right width is x1. The features are
normal, heavy-tailed (Student's t with 5 degrees of freedom) or skewed
(log-normal), mixed by a matrix whose spectrum falls as 1 / k. The reference has
the same distribution or another ("apart").
"""

import itertools
import os
from collections.abc import Callable, Sequence

os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')  # small matrices

import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

from palette_jax.evaluation import intervals
from palette_jax.evaluation.metrics import (
  frechet,
  inception_score,
  kernel_distance,
  precision_recall,
)

METRIC = flags.DEFINE_enum(
  'metric',
  'frechet',
  ['frechet', 'difference', 'infinity', 'inception', 'kernel', 'recall']
  + ['mean', 'share'],
  'Metric whose intervals are measured.',
)
FEATURES = flags.DEFINE_integer('features', 64, 'Features of each image.')
IMAGES = flags.DEFINE_integer('images', 1000, 'Images of each set.')
SETS = flags.DEFINE_integer('sets', 200, 'Sets, each with its interval.')
RESAMPLES = flags.DEFINE_integer(
  'resamples', 40, 'Subsets and bootstrap resamples of each set.'
)

LAWS = ('normal', 'heavy', 'skewed')
Interval = tuple[float | None, float | None]  # None where nothing is known


class World:
  """Distributions of the features of a model and of the originals."""

  def __init__(self, law: str, apart: bool) -> None:
    self.law, d = law, FEATURES.value
    draw = np.random.default_rng(0)
    spectrum = 1 / np.arange(1, d + 1)
    spectrum *= d / spectrum.sum()
    axes = np.linalg.qr(draw.standard_normal([d, d]))[0]
    self.originals = axes * np.sqrt(spectrum)
    self.mixing, self.shift = self.originals, np.zeros(d)
    if apart:
      tilted = axes + 0.5 * draw.standard_normal([d, d]) / np.sqrt(d)
      spectrum = spectrum * np.exp(0.3 * draw.standard_normal(d))
      self.mixing = np.linalg.qr(tilted)[0] * np.sqrt(spectrum)
      self.shift = 0.2 * self.originals @ draw.standard_normal(d)
    covariance = self.originals @ self.originals.T
    # As if of an infinite reference: the count is not used.
    self.moments = frechet.Moments(2, np.zeros(d), covariance)
    self.reference = self._latent(500, draw) @ self.originals.T
    self.reference = self.reference.astype(np.float32)

  def draw(self, draw: np.random.Generator) -> np.ndarray:
    latent = self._latent(IMAGES.value, draw)
    return (latent @ self.mixing.T + self.shift).astype(np.float32)

  def _latent(self, n: int, draw: np.random.Generator) -> np.ndarray:
    latent = draw.standard_normal([n, FEATURES.value])
    if self.law == 'heavy':
      latent *= np.sqrt(3 / draw.chisquare(5, [n, 1]))
    elif self.law == 'skewed':
      variance = (np.exp(0.64) - 1) * np.exp(0.64)
      latent = (np.exp(0.8 * latent) - np.exp(0.32)) / np.sqrt(variance)
    return latent


def frechet_value(features: np.ndarray, factor: np.ndarray) -> float:
  """Returns the Frechet distance to a reference of mean 0, covariance F F'.

  Args:
    features: the features of the images.
    factor: F.
  """
  moments = frechet.Moments().add(features)
  spectrum = np.linalg.eigvalsh(factor.T @ moments.covariance @ factor)
  overlap = np.sqrt(np.maximum(spectrum, 0)).sum()
  spread = np.trace(moments.covariance) + np.sum(factor**2)
  return float(np.sum(moments.mean**2) + spread - 2 * overlap)


def frechet_alternatives(
  features: np.ndarray,
  factor: np.ndarray,
  value: float,
  draw: np.random.Generator,
) -> dict[str, Interval]:
  """Returns intervals of the distance by the methods that are not adopted."""
  n, count = len(features), RESAMPLES.value
  group = intervals.groups(n)
  numbers = range(intervals.GROUPS)
  left_out = [frechet_value(features[group != j], factor) for j in numbers]
  by_groups = intervals.jackknife(value, left_out, n)
  halves = [draw.permutation(n)[: n // 2] for _ in range(count)]
  resamples = [draw.integers(0, n, n) for _ in range(count)]
  of_halves = [frechet_value(features[rows], factor) for rows in halves]
  bootstrap = [frechet_value(features[rows], factor) for rows in resamples]

  def around(values: list[float]) -> tuple[float, float]:
    half_width = 1.96 * float(np.std(values, ddof=1))
    return value - half_width, value + half_width

  low, high = np.quantile(bootstrap, [0.025, 0.975])
  return {
    'groups': (by_groups.low, by_groups.high),
    'halves': around(of_halves),
    'bootstrap deviation': around(bootstrap),
    'bootstrap percentile': (float(low), float(high)),
  }


Metric = Callable[[np.ndarray, np.random.Generator], intervals.Estimate]


def metric_in(world: World) -> Metric:
  """Returns the function that estimates --metric from features."""
  classes = np.random.default_rng(1).standard_normal([FEATURES.value, 100])
  classes *= 2 / np.sqrt(FEATURES.value)

  def difference(
    features: np.ndarray, draw: np.random.Generator
  ) -> intervals.Estimate:
    worse = features + 0.3 * draw.standard_normal(features.shape, np.float32)
    return frechet.difference(worse, features, world.moments)

  def share(
    features: np.ndarray, draw: np.random.Generator
  ) -> intervals.Estimate:
    del draw
    rare = 1.5 * np.linalg.norm(world.mixing[0])
    return intervals.share(features[:, 0] > rare)

  return {
    'frechet': lambda x, draw: frechet.estimate(x, world.moments),
    'difference': difference,
    'infinity': lambda x, draw: frechet.at_infinity(x, world.moments),
    'inception': lambda x, draw: inception_score.estimate(x @ classes),
    'kernel': lambda x, draw: kernel_distance.estimate(x, world.reference),
    'recall': lambda x, draw: precision_recall.estimate(x, world.reference)[1],
    'mean': lambda x, draw: intervals.mean(x[:, 0] ** 2),
    'share': share,
  }[METRIC.value]


def main(argv: Sequence[str]) -> None:
  del argv
  print(f'{METRIC.value}, {FEATURES.value} features, {IMAGES.value} images')
  for law, apart in itertools.product(LAWS, (True, False)):
    world, draw = World(law, apart), np.random.default_rng(2)
    metric = metric_in(world)
    values, ends_by_method = [], {}
    for _ in range(SETS.value):
      features = world.draw(draw)
      estimate = metric(features, draw)
      values.append(estimate.value)
      rows = {'ours': (estimate.low, estimate.high)}
      if METRIC.value == 'frechet':
        factor, value = world.originals, estimate.value
        rows |= frechet_alternatives(features, factor, value, draw)
      for name, interval in rows.items():
        ends_by_method.setdefault(name, []).append(interval)
    report(law, apart, np.array(values), ends_by_method)


def report(
  law: str,
  apart: bool,
  values: np.ndarray,
  ends_by_method: dict[str, list[Interval]],
) -> None:
  """Prints each method's coverage and its width relative to the right one."""
  target, deviation = values.mean(), values.std(ddof=1)
  cells = []
  for name, ends in ends_by_method.items():
    low, high = np.array(ends, np.float64).T
    held = 100 * np.mean((low <= target) & (target <= high))
    width = np.mean(high - low) / (3.92 * deviation)
    cells.append(f'{name} {held:.0f}% x{width:.2f}')
  place = 'apart' if apart else 'same'
  known = f'{law:8}{place:6}{target:10.4f} +-{deviation:8.4f}'
  print(known, ' | '.join(cells), sep=' | ', flush=True)


if __name__ == '__main__':
  app.run(main)
