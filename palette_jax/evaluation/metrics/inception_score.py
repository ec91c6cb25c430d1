"""How sure and how varied a classifier finds images: the Inception Score.

exp(mean of KL(p(y|x) || p(y))) over images x (Salimans et al. 2016; Palette,
section 4), of the 1,008 logits of the FID network without their bias, in
float64. Images are shuffled and cut into splits, and the mean over splits is
reported. The score grows with the images in a split: numbers of other N or
splits cannot be compared. The paper does not state its splits.
"""

import numpy as np
from jaxtyping import Float

from palette_jax.evaluation import intervals

_ROWS = 2048  # images looked at together: 16 MB of 1,008 logits


def estimate(
  logits: Float[np.ndarray, 'n c'], splits: int = 10, seed: int = 0
) -> intervals.Estimate:
  """The mean score over splits, from 1 to the number of classes.

  Args:
    logits: of n images, before the softmax.
    splits: parts of almost equal size.
    seed: of the shuffle. Images that come by class must not stay so.

  Raises:
    ValueError: of fewer images than splits, or NaN.
  """
  scores, influence = _compare(logits, splits, seed)
  found = intervals.linear(
    float(scores.mean()), influence, 'jackknife over images'
  )
  return intervals.within(found, 1.0, float(logits.shape[1]))


def of_splits(
  logits: Float[np.ndarray, 'n c'], splits: int = 10, seed: int = 0
) -> Float[np.ndarray, ' splits']:
  """The score of each split: others report their deviation (ddof 0), too.

  It says how far splits differ, which is no interval of their mean.

  Raises:
    ValueError: as `estimate`.
  """
  return _compare(logits, splits, seed)[0]


def _compare(logits, splits, seed):
  """Scores [splits], and each image's influence on their mean [n]."""
  intervals.check_features(logits, splits, f'The score of {splits} splits')
  n = len(logits)
  order = np.random.default_rng(seed).permutation(n)
  scores, influence = np.empty(splits), np.empty(n)
  for i, chosen in enumerate(np.array_split(order, splits)):
    scores[i], left_out = _score(logits[chosen])
    # An image weighs on the score of its split only.
    weight = (len(chosen) - 1) * n / (splits * len(chosen))
    influence[chosen] = weight * (left_out.mean() - left_out)
  return scores, influence


def _score(logits):
  """The score of some images, and their scores without each of them.

  Left out and not by its derivative: an image is part of the mean that it is
  compared with, and of few images beside many classes a large one.
  """
  n, classes = logits.shape
  certainty, total = np.empty(n), np.zeros(classes)
  for rows in _blocks(n):
    p, log_p = _probabilities(logits[rows])
    certainty[rows] = np.sum(p * log_p, axis=1)
    total += p.sum(axis=0)
  score = np.exp(certainty.mean() - _certainty(total / n))
  left_out = np.full(n, score)
  for rows in _blocks(n) if n > 1 else []:
    p, _ = _probabilities(logits[rows])
    others = np.maximum(total - p, 0) / (n - 1)
    mean = (certainty.sum() - certainty[rows]) / (n - 1)
    left_out[rows] = np.exp(mean - _certainty(others))
  return score, left_out


def _blocks(n):
  return [slice(start, start + _ROWS) for start in range(0, n, _ROWS)]


def _probabilities(logits):
  """In float64, of the softmax, and their logarithms."""
  shifted = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
  log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
  return np.exp(log_p), log_p


def _certainty(p):
  """sum of p log p over classes; what no image has at all adds nothing."""
  return np.sum(p * np.log(np.maximum(p, np.finfo(np.float64).tiny)), axis=-1)
