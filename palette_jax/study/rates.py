"""Shares of answers, with the variation of raters and of images.

Answers of one rater resemble each other, and so do those about one image:
counted as independent, they give intervals that are too narrow. Here raters and
images are both resampled (a two-way bootstrap; `scipy.stats.bootstrap` has one
way only). By itself, that counts the noise of a single answer three times
(Owen, The pigeonhole bootstrap, 2007), so the draws are scaled to the width of
the two-way variance (Cameron, Gelbach and Miller, Robust inference with
multiway clustering, 2011) and keep their shape.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

RESAMPLES = 4000
_Z = 1.96  # 95% of a normal distribution, in standard deviations
# Products at a time: so few that BLAS uses one thread, since two that wait for
# each other on a busy machine take a hundred times as long.
_BLOCK = 200_000


class Ratings(NamedTuple):
  """Answers of raters about images.

  Attributes:
    hits: whether each answer is a hit.
    raters: number of its rater; any numbers.
    images: number of its image; any numbers.
  """

  hits: Bool[np.ndarray, ' n']
  raters: Int[np.ndarray, ' n']
  images: Int[np.ndarray, ' n']

  def numbered(self) -> 'Ratings':
    """Returns the ratings with raters and images numbered from 0."""
    return Ratings(
      self.hits,
      np.unique(self.raters, return_inverse=True)[1],
      np.unique(self.images, return_inverse=True)[1],
    )


class Share(NamedTuple):
  """A share of answers, or a difference of two.

  Attributes:
    value: in [0, 1]; of a difference, in [-1, 1].
    low: the lower end of its 95% interval.
    high: the upper end.
    answers: the number of answers.
    raters: the number of raters who gave them.
    images: the number of originals that they are about.
  """

  value: float
  low: float
  high: float
  answers: int
  raters: int
  images: int


class Components(NamedTuple):
  """The parts of an answer's variance, which add up to about p (1 - p).

  Attributes:
    rater: between the shares of raters.
    image: between the shares of images.
    answer: the rest, of single answers.
  """

  rater: float
  image: float
  answer: float


def share(ratings: Ratings, seed: int = 0) -> Share:
  """Returns the share of hits, for raters and images like these.

  Args:
    ratings: at least one rating.
    seed: random seed of the bootstrap.

  Raises:
    ValueError: if there are no ratings.
  """
  if not len(ratings.hits):
    raise ValueError('A share needs at least one answer.')
  return _estimate(ratings, np.zeros(len(ratings.hits), int), 1, seed)


def difference(
  ratings: Ratings, second: Bool[np.ndarray, ' n'], seed: int = 0
) -> Share:
  """Returns the first kind's share of hits less the second's.

  Both are resampled together.

  Args:
    ratings: ratings of both kinds.
    second: whether each is of the second kind.
    seed: random seed of the bootstrap.

  Raises:
    ValueError: if there is only one kind.
  """
  if not second.any() or second.all():
    raise ValueError('A difference needs answers of two kinds.')
  return _estimate(ratings, second.astype(int), 2, seed)


def _estimate(
  ratings: Ratings, kind: Int[np.ndarray, ' n'], kinds: int, seed: int
) -> Share:
  hits, raters, images = ratings = ratings.numbered()
  sign = np.array([1.0, -1.0])[:kinds]
  counts = np.bincount(kind, minlength=kinds)
  shares = np.bincount(kind, hits, kinds) / counts
  value = float(sign @ shares)
  size = len(hits), int(raters.max()) + 1, int(images.max()) + 1
  if (shares * (1 - shares) == 0).all():
    return Share(value, *_certain(shares, sign, counts), *size)

  # Each answer's part in the deviation, to first order.
  parts = sign[kind] * (hits - shares[kind]) / counts[kind]
  draws = _draws(ratings, kind, sign, seed)
  spread = draws.std()
  scale = _deviation(parts, raters, images) / spread if spread else 0.0
  low, high = value + scale * (np.quantile(draws, [0.025, 0.975]) - value)
  least = -1.0 if kinds == 2 else 0.0
  return Share(value, max(least, float(low)), min(1.0, float(high)), *size)


def _certain(
  shares: Float[np.ndarray, ' k'],
  sign: Float[np.ndarray, ' k'],
  counts: Int[np.ndarray, ' k'],
) -> tuple[float, float]:
  """Returns the interval where all answers of a kind agree.

  Its ends are those of Clopper and Pearson, which have a closed form there.
  """
  hidden = 1 - 0.025 ** (1 / counts)
  low, high = shares - hidden * (shares == 1), shares + hidden * (shares == 0)
  ends = np.stack([sign * low, sign * high])
  return float(ends.min(0).sum()), float(ends.max(0).sum())


def _draws(
  ratings: Ratings,
  kind: Int[np.ndarray, ' n'],
  sign: Float[np.ndarray, ' k'],
  seed: int,
) -> Float[np.ndarray, ' resamples']:
  """Returns the value of each resample of raters and images."""
  generator = np.random.default_rng(seed)
  hits, raters, images = ratings
  rows, columns = int(raters.max()) + 1, int(images.max()) + 1

  def count(mask: Bool[np.ndarray, ' n']) -> Float[np.ndarray, 'rows columns']:
    cells = raters[mask] * columns + images[mask]
    counts = np.bincount(cells, minlength=rows * columns)
    return counts.reshape(rows, columns).astype(float)

  kinds = range(len(sign))
  right_tables = [count(hits & (kind == k)) for k in kinds]
  total_tables = [count(kind == k) for k in kinds]
  values: list[float] = []
  while len(values) < RESAMPLES:
    block = max(16, _BLOCK // (rows * columns))
    of_raters = _resample(generator, rows, block)
    of_images = _resample(generator, columns, block)
    right, total = (
      np.stack([((of_raters @ t) * of_images).sum(1) for t in tables], 1)
      for tables in (right_tables, total_tables)
    )
    full = (total > 0).all(1)  # a resample may miss all answers of a kind
    values.extend((right[full] / total[full]) @ sign)
  return np.array(values[:RESAMPLES])


def _resample(
  generator: np.random.Generator, count: int, block: int
) -> Int[np.ndarray, 'block count']:
  """Returns the number of times that each item is in each resample."""
  picks = generator.integers(0, count, [block, count])
  picks += count * np.arange(block)[:, None]
  return np.bincount(picks.ravel(), minlength=block * count).reshape(-1, count)


def _deviation(
  parts: Float[np.ndarray, ' n'],
  raters: Int[np.ndarray, ' n'],
  images: Int[np.ndarray, ' n'],
) -> float:
  """Returns the two-way clustered standard deviation of the sum of all parts.

  It is widened by the ratio of Student's quantile to the normal one, with
  Satterthwaite's degrees of freedom.
  """

  def clustered(groups: Int[np.ndarray, ' n']) -> tuple[float, int]:
    sums = np.bincount(groups, parts)
    free = max(1, len(sums) - 1)
    return float((free + 1) / free * np.sum(sums**2)), free

  (by_rater, rater_free), (by_image, image_free), (single, _) = map(
    clustered, (raters, images, np.arange(len(parts)))
  )
  # The difference may be too small by chance, but never below `single`.
  both = max(by_rater + by_image - single, single)
  of_groups = by_rater**2 / rater_free + by_image**2 / image_free
  free = both**2 / max(of_groups, both**2 / len(parts))
  # An expansion of Student's quantile. scipy.stats.t differs from it by more
  # than 1% below 5 degrees of freedom, and would change published reports.
  z2 = _Z**2
  wider = 1 + (z2 + 1) / (4 * free) + (5 * z2**2 + 16 * z2 + 3) / (96 * free**2)
  return float(np.sqrt(both) * wider)


def components(ratings: Ratings) -> Components | None:
  """Returns the variance between raters, between images, and of single answers.

  By the method of moments (Gao and Owen, Efficient moment calculations for
  variance components in large unbalanced crossed random effects models, 2017).

  Args:
    ratings: of one model.

  Returns:
    The components, none below 0; None if they cannot be told apart, as when no
    image was seen twice.
  """
  y, n = ratings.hits.astype(float), len(ratings.hits)
  _, raters, images = ratings.numbered()
  counts, within = [], []
  for groups in raters, images, np.zeros(n, int):
    size = np.bincount(groups)
    counts.append(size)
    within.append(
      np.sum((y - np.bincount(groups, y)[groups] / size[groups]) ** 2)
    )
  of_rater, of_image = (np.sum(size.astype(float) ** 2) for size in counts[:2])
  equations = np.array(
    [
      [0, n - len(counts[0]), n - len(counts[0])],
      [n - len(counts[1]), 0, n - len(counts[1])],
      [n - of_rater / n, n - of_image / n, n - 1],
    ]
  )
  if np.linalg.matrix_rank(equations) < 3:
    return None
  return Components(*np.linalg.solve(equations, within).clip(0).tolist())


def raters_needed(
  parts: Components, precision: float, trials: int | float, images: int
) -> int | None:
  """Returns the number of raters for an interval of value +- precision.

  Args:
    parts: of the model's answers.
    precision: half the width of the 95% interval, as a share.
    trials: of one rater with this model.
    images: in the study, over all raters.

  Returns:
    The number, or None if no number is enough with so few images.
  """
  left = (precision / _Z) ** 2 - parts.image / images
  if left <= 0:
    return None
  return max(2, int(np.ceil((parts.rater + parts.answer / trials) / left)))


def images_needed(parts: Components, precision: float) -> int:
  """Returns the number of images that leaves half of the variance for raters.

  Args:
    parts: of the model's answers.
    precision: half the width of the 95% interval, as a share.
  """
  return max(1, int(np.ceil(2 * parts.image / (precision / _Z) ** 2)))
