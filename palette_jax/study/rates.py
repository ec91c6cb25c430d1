"""Shares of answers, with the chance of raters and of images in them.

Answers of one rater resemble each other, and so do those about one image:
counted as independent, they give intervals that are too narrow. Here raters and
images are both drawn anew (a two-way bootstrap). Left alone, that counts the
noise of a single answer three times (Owen, The pigeonhole bootstrap, 2007), so
the draws are brought to the width of the two-way variance (Cameron, Gelbach and
Miller, Robust inference with multiway clustering, 2011) and keep their shape.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

RESAMPLES = 4000
_Z = 1.96  # 95% of a normal distribution, in standard deviations
# Products at once: so few that BLAS takes one thread, since two that wait for
# each other on a busy machine take a hundred times as long.
_BLOCK = 200_000


class Share(NamedTuple):
  """A share of answers, or a difference of two.

  Attributes:
    value: in [0, 1]; of a difference, in [-1, 1].
    low: the lower end of its 95% interval.
    high: the upper end.
    answers: how many it is made of.
    raters: by how many people.
    images: about how many originals.
  """

  value: float
  low: float
  high: float
  answers: int
  raters: int
  images: int


class Components(NamedTuple):
  """Where an answer's variance comes from; they add up to about p (1 - p).

  Attributes:
    rater: of one rater's own share around everybody's.
    image: of one image's own share around that of all.
    answer: what is left, of one answer.
  """

  rater: float
  image: float
  answer: float


def share(
  hits: Bool[np.ndarray, ' n'],
  raters: Int[np.ndarray, ' n'],
  images: Int[np.ndarray, ' n'],
  seed: int = 0,
) -> Share:
  """The share of hits, for raters and images like these.

  Args:
    hits: of each answer.
    raters: who gave it; any numbers.
    images: what it was about; any numbers.
    seed: of the bootstrap.

  Raises:
    ValueError: without answers.
  """
  if not len(hits):
    raise ValueError('A share of no answers was asked for.')
  return _estimate(hits, raters, images, np.zeros(len(hits), int), 1, seed)


def difference(
  hits: Bool[np.ndarray, ' n'],
  raters: Int[np.ndarray, ' n'],
  images: Int[np.ndarray, ' n'],
  second: Bool[np.ndarray, ' n'],
  seed: int = 0,
) -> Share:
  """The first kind's share of hits less the second's, by the same draws.

  Args:
    hits: of each answer.
    raters: who gave it.
    images: what it was about.
    second: whether it is of the second kind.
    seed: of the bootstrap.

  Raises:
    ValueError: without answers of both kinds.
  """
  if not second.any() or second.all():
    raise ValueError('A difference needs answers of two kinds.')
  return _estimate(hits, raters, images, second.astype(int), 2, seed)


def _estimate(hits, raters, images, kind, kinds, seed):
  sign = np.array([1.0, -1.0])[:kinds]
  raters, images = (
    np.unique(x, return_inverse=True)[1] for x in (raters, images)
  )
  counts = np.bincount(kind, minlength=kinds)
  shares = np.bincount(kind, hits, kinds) / counts
  value = float(sign @ shares)
  size = len(hits), int(raters.max()) + 1, int(images.max()) + 1
  if (shares * (1 - shares) == 0).all():
    return Share(value, *_certain(shares, sign, counts), *size)

  # Each answer's part in the deviation, to first order.
  parts = sign[kind] * (hits - shares[kind]) / counts[kind]
  draws = _draws(hits, raters, images, kind, kinds, sign, seed)
  spread = draws.std()
  scale = _deviation(parts, raters, images) / spread if spread else 0.0
  low, high = value + scale * (np.quantile(draws, [0.025, 0.975]) - value)
  least = -1.0 if kinds == 2 else 0.0
  return Share(value, max(least, float(low)), min(1.0, float(high)), *size)


def _certain(shares, sign, counts):
  """Ends where all answers of a kind agree: what 2.5% of chance could hide."""
  hidden = 1 - 0.025 ** (1 / counts)
  low, high = shares - hidden * (shares == 1), shares + hidden * (shares == 0)
  ends = np.stack([sign * low, sign * high])
  return float(ends.min(0).sum()), float(ends.max(0).sum())


def _draws(hits, raters, images, kind, kinds, sign, seed):
  """[RESAMPLES] of the value, with raters and images drawn with replacement."""
  draw = np.random.default_rng(seed)
  several, many = int(raters.max()) + 1, int(images.max()) + 1

  def table(which):  # [raters, images] how many such answers there are
    cells = raters[which] * many + images[which]
    return np.bincount(cells, minlength=several * many).reshape(several, many)

  tables = [
    (table(hits & (kind == k)).astype(float), table(kind == k).astype(float))
    for k in range(kinds)
  ]
  values = []
  while len(values) < RESAMPLES:
    block = max(16, _BLOCK // (several * many))
    people, photos = _drawn(draw, several, block), _drawn(draw, many, block)
    right, total = (
      np.stack([((people @ t[of]) * photos).sum(1) for t in tables], 1)
      for of in (0, 1)
    )
    full = (total > 0).all(1)  # a draw may miss all answers of a kind
    values.extend((right[full] / total[full]) @ sign)
  return np.array(values[:RESAMPLES])


def _drawn(draw, count, block):
  """[block, count]: how often each was drawn, of as many draws."""
  drawn = draw.integers(0, count, [block, count])
  drawn += count * np.arange(block)[:, None]
  return np.bincount(drawn.ravel(), minlength=block * count).reshape(-1, count)


def _deviation(parts, raters, images):
  """The standard deviation of a sum of parts that go by raters and images.

  Wider by as much as Student's t is wider than the normal distribution, with
  Satterthwaite's degrees of freedom.
  """

  def clustered(groups):
    sums = np.bincount(groups, parts)
    free = max(1, len(sums) - 1)
    return (free + 1) / free * np.sum(sums**2), free

  (by_rater, people), (by_image, photos), (single, _) = map(
    clustered, (raters, images, np.arange(len(parts)))
  )
  # The difference can be too small, by chance, but not than without clusters.
  both = max(by_rater + by_image - single, single)
  of_groups = by_rater**2 / people + by_image**2 / photos
  free = both**2 / max(of_groups, both**2 / len(parts))
  z2 = _Z**2  # the expansion of Student's quantile for many degrees of freedom
  wider = 1 + (z2 + 1) / (4 * free) + (5 * z2**2 + 16 * z2 + 3) / (96 * free**2)
  return float(np.sqrt(both) * wider)


def components(
  hits: Bool[np.ndarray, ' n'],
  raters: Int[np.ndarray, ' n'],
  images: Int[np.ndarray, ' n'],
) -> Components | None:
  """Variance between raters, between images, and of single answers.

  By the method of moments (Gao and Owen, Efficient moment calculations for
  variance components in large unbalanced crossed random effects models, 2017).

  Args:
    hits: of each answer.
    raters: who gave it.
    images: what it was about.

  Returns:
    The components, none below 0; None if they cannot be told apart, as when no
    image was seen twice.
  """
  y, n = hits.astype(float), len(hits)
  counts, within = [], []
  for groups in raters, images, np.zeros(n, int):
    groups = np.unique(groups, return_inverse=True)[1]
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
  """How many raters an interval of value +- precision takes.

  Args:
    parts: of the model's answers.
    precision: half the width of the 95% interval, as a share.
    trials: of one rater with this model.
    images: in the study, over all raters.

  Returns:
    Raters; None if no number is enough with so few images.
  """
  left = (precision / _Z) ** 2 - parts.image / images
  if left <= 0:
    return None
  return max(2, int(np.ceil((parts.rater + parts.answer / trials) / left)))


def images_needed(parts: Components, precision: float) -> int:
  """Images with which half of the variance is left for raters' share.

  Args:
    parts: of the model's answers.
    precision: half the width of the 95% interval, as a share.
  """
  return max(1, int(np.ceil(2 * parts.image / (precision / _Z) ** 2)))
