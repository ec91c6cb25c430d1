"""How sure and how varied a classifier finds images: the Inception Score.

exp(mean of KL(p(y|x) || p(y))) over images x (Salimans et al. 2016; Palette,
section 4), of the 1,008 logits of the FID network without their bias, in
float64. Images are shuffled and cut into splits, and the mean over splits is
reported. The score grows with the images in a split: numbers of other N or
splits cannot be compared. The paper does not state its splits.

Next: palette_jax/evaluation/kernel_distance.py
"""

import numpy as np
from jaxtyping import Float

from palette_jax.evaluation import intervals


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
  found = intervals.linear(float(scores.mean()), influence)
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
    log_p = _log_softmax(np.asarray(logits[chosen], np.float64))
    p = np.exp(log_p)
    # A class that no image has at all, to the last bit, adds 0 * log(0) = 0.
    log_mean = np.log(np.maximum(p.mean(axis=0), np.finfo(np.float64).tiny))
    divergence = np.sum(p * (log_p - log_mean), axis=1)
    scores[i] = np.exp(divergence.mean())
    # d exp(KL) = exp(KL) dKL; an image weighs on the score of its split only.
    centred = divergence - divergence.mean()
    influence[chosen] = scores[i] * centred * n / (splits * len(chosen))
  return scores, influence


def _log_softmax(logits):
  shifted = logits - logits.max(axis=1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
