"""Inception Score: how confidently and how variedly images are classified.

exp(mean of KL(p(y|x) || p(y))) over images x (Salimans et al. 2016; Palette,
section 4), from the 1,008 logits of the FID network without their bias, in
float64. Images are shuffled and split, and the mean over splits is reported.
The score grows with the number of images in a split: scores with another N or
another number of splits are not comparable. The paper does not state its own.
"""

import numpy as np
from jaxtyping import Float

from palette_jax.evaluation import intervals

_ROWS = 2048  # images at a time: 16 MB of 1,008 logits


def estimate(
  logits: Float[np.ndarray, 'n c'], splits: int = 10, seed: int = 0
) -> intervals.Estimate:
  """Estimates the mean score over splits, from 1 to the number of classes.

  Args:
    logits: logits of n images, before the softmax.
    splits: number of parts, of almost equal size.
    seed: random seed of the shuffle, which breaks up images sorted by class.

  Raises:
    ValueError: if there are fewer images than splits, or NaN.
  """
  scores, influence = _compare(logits, splits, seed)
  score = intervals.linear(
    float(scores.mean()), influence, 'jackknife over images'
  )
  return intervals.within(score, 1.0, float(logits.shape[1]))


def of_splits(
  logits: Float[np.ndarray, 'n c'], splits: int = 10, seed: int = 0
) -> Float[np.ndarray, ' splits']:
  """Returns the score of each split.

  Others also report their standard deviation (ddof 0), which measures the
  spread of splits and is not an interval of their mean.

  Raises:
    ValueError: see `estimate`.
  """
  return _compare(logits, splits, seed)[0]


def _compare(
  logits: Float[np.ndarray, 'n c'], splits: int, seed: int
) -> tuple[Float[np.ndarray, ' splits'], Float[np.ndarray, ' n']]:
  """Returns split scores, and each image's influence on their mean."""
  intervals.check_features(logits, splits, f'The score of {splits} splits')
  n = len(logits)
  order = np.random.default_rng(seed).permutation(n)
  scores, influence = np.empty(splits), np.empty(n)
  for i, split in enumerate(np.array_split(order, splits)):
    scores[i], left_out = _score(logits[split])
    # An image only influences the score of its own split.
    weight = (len(split) - 1) * n / (splits * len(split))
    influence[split] = weight * (left_out.mean() - left_out)
  return scores, influence


def _score(
  logits: Float[np.ndarray, 'n c'],
) -> tuple[float, Float[np.ndarray, ' n']]:
  """Returns the score of some images, and their score without each image.

  Each image is really left out, since a derivative would not do: an image is
  part of the mean that it is compared with, and a large part of it where there
  are few images and many classes.
  """
  n, classes = logits.shape
  certainty, total = np.empty(n), np.zeros(classes)
  for rows in _blocks(n):
    p, log_p = _probabilities(logits[rows])
    certainty[rows] = np.sum(p * log_p, axis=1)
    total += p.sum(axis=0)
  score = float(np.exp(certainty.mean() - _certainty(total / n)))
  left_out = np.full(n, score)
  for rows in _blocks(n) if n > 1 else []:
    p, _ = _probabilities(logits[rows])
    others = np.maximum(total - p, 0) / (n - 1)
    mean = (certainty.sum() - certainty[rows]) / (n - 1)
    left_out[rows] = np.exp(mean - _certainty(others))
  return score, left_out


def _blocks(n: int) -> list[slice]:
  return [slice(start, start + _ROWS) for start in range(0, n, _ROWS)]


def _probabilities(
  logits: Float[np.ndarray, 'n c'],
) -> tuple[Float[np.ndarray, 'n c'], Float[np.ndarray, 'n c']]:
  """Returns the softmax and its logarithm, in float64."""
  shifted = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
  log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
  return np.exp(log_p), log_p


def _certainty(
  p: Float[np.ndarray, '*n c'],
) -> Float[np.ndarray, '*n'] | np.float64:
  """Returns the sum of p log p over classes; a p of 0 contributes nothing."""
  return np.sum(p * np.log(np.maximum(p, np.finfo(np.float64).tiny)), axis=-1)
