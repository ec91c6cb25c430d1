"""Do 95% intervals hold what they promise? In simulated features.

  python -m benchmarks.intervals --metric=frechet --features=64 --images=1000
  python -m benchmarks.intervals --metric=recall --images=500

Draws sets of features from a known world again and again, and counts how often
the interval of a set holds the mean over all sets: what the figure is on
average, of as many images. "width" is the interval's, on average, as a multiple
of 3.92 standard deviations that the figure really has: 1 is as wide as it
should be. Worlds: features that are normal, have heavy tails (Student's t with
5 degrees) or are skewed (log-normal), mixed by a matrix whose spectrum falls as
1 / k, with the reference apart from them or of the same distribution.
"""

import itertools
import os
from collections.abc import Callable

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
  'Whose intervals.',
)
FEATURES = flags.DEFINE_integer('features', 64, 'Of each image.')
IMAGES = flags.DEFINE_integer('images', 1000, 'Of a set.')
SETS = flags.DEFINE_integer('sets', 200, 'Drawn with an interval.')
RESAMPLES = flags.DEFINE_integer('resamples', 40, 'Of subsets and bootstraps.')

LAWS = ('normal', 'heavy', 'skewed')


class World:
  """Where a model's features come from, and those of the originals."""

  def __init__(self, law: str, apart: bool):
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
    # As of a reference so large that its own number does not matter.
    self.moments = frechet.Moments(2, np.zeros(d), covariance)
    self.reference = self._latent(500, draw) @ self.originals.T
    self.reference = self.reference.astype(np.float32)

  def draw(self, draw: np.random.Generator) -> np.ndarray:
    latent = self._latent(IMAGES.value, draw)
    return (latent @ self.mixing.T + self.shift).astype(np.float32)

  def _latent(self, n, draw):
    latent = draw.standard_normal([n, FEATURES.value])
    if self.law == 'heavy':
      latent *= np.sqrt(3 / draw.chisquare(5, [n, 1]))
    elif self.law == 'skewed':
      variance = (np.exp(0.64) - 1) * np.exp(0.64)
      latent = (np.exp(0.8 * latent) - np.exp(0.32)) / np.sqrt(variance)
    return latent


def frechet_value(features: np.ndarray, factor: np.ndarray) -> float:
  """From the factor F of the reference's covariance F F', mean 0."""
  moments = frechet.Moments().add(features)
  spectrum = np.linalg.eigvalsh(factor.T @ moments.covariance @ factor)
  overlap = np.sqrt(np.maximum(spectrum, 0)).sum()
  spread = np.trace(moments.covariance) + np.sum(factor**2)
  return float(np.sum(moments.mean**2) + spread - 2 * overlap)


def frechet_rivals(features, factor, value, draw) -> dict[str, tuple]:
  """Intervals of the distance by what was not adopted."""
  n, count = len(features), RESAMPLES.value
  group = intervals.groups(n)
  numbers = range(intervals.GROUPS)
  left_out = [frechet_value(features[group != j], factor) for j in numbers]
  by_groups = intervals.jackknife(value, left_out, n)
  halves = [draw.permutation(n)[: n // 2] for _ in range(count)]
  drawn = [draw.integers(0, n, n) for _ in range(count)]
  halves = [frechet_value(features[chosen], factor) for chosen in halves]
  drawn = [frechet_value(features[chosen], factor) for chosen in drawn]
  around = lambda found: 1.96 * np.std(found, ddof=1) * np.array([-1, 1])  # noqa: E731
  return {
    'groups': (by_groups.low, by_groups.high),
    'halves': tuple(value + around(halves)),
    'bootstrap deviation': tuple(value + around(drawn)),
    'bootstrap percentile': tuple(np.quantile(drawn, [0.025, 0.975])),
  }


def measure(world: World) -> Callable:
  """features, generator -> Estimate, of --metric."""
  classes = np.random.default_rng(1).standard_normal([FEATURES.value, 100])
  classes *= 2 / np.sqrt(FEATURES.value)

  def difference(features, draw):
    worse = features + 0.3 * draw.standard_normal(features.shape, np.float32)
    return frechet.difference(worse, features, world.moments)

  def share(features, draw):
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


def main(argv):
  del argv
  print(f'{METRIC.value}, {FEATURES.value} features, {IMAGES.value} images')
  for law, apart in itertools.product(LAWS, (True, False)):
    world, draw = World(law, apart), np.random.default_rng(2)
    figure = measure(world)
    values, found = [], {}
    for _ in range(SETS.value):
      features = world.draw(draw)
      estimate = figure(features, draw)
      values.append(estimate.value)
      rows = {'ours': (estimate.low, estimate.high)}
      if METRIC.value == 'frechet':
        factor, value = world.originals, estimate.value
        rows |= frechet_rivals(features, factor, value, draw)
      for name, interval in rows.items():
        found.setdefault(name, []).append(interval)
    report(law, apart, np.array(values), found)


def report(law, apart, values, found):
  """Coverage of the sets' mean, and the mean width beside what it should be."""
  target, deviation = values.mean(), values.std(ddof=1)
  cells = []
  for name, ends in found.items():
    low, high = np.array(ends, np.float64).T
    held = 100 * np.mean((low <= target) & (target <= high))
    width = np.mean(high - low) / (3.92 * deviation)
    cells.append(f'{name} {held:.0f}% x{width:.2f}')
  place = 'apart' if apart else 'same'
  known = f'{law:8}{place:6}{target:10.4f} +-{deviation:8.4f}'
  print(known, ' | '.join(cells), sep=' | ', flush=True)


if __name__ == '__main__':
  app.run(main)
