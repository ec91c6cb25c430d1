"""How far apart two sets are, without a bias: the kernel distance, or KID.

The squared maximum mean discrepancy of Inception's features (Binkowski et al.
2018), with the kernel (x.y / d + 1)^3, over all pairs of different images. Its
expectation does not depend on the number of images, and it may be below 0.
torch-fidelity's mean over random subsets of 1,000 has the same expectation and
a larger variance; the deviation that it prints beside it is no interval.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from palette_jax.evaluation import intervals

_ROWS = 2048  # a block of the kernel's matrix is 16 MB


def estimate(
  features: Float[np.ndarray, 'n d'], reference: Float[np.ndarray, 'm e']
) -> intervals.Estimate:
  """The distance, its interval with the reference held fixed.

  The kernel is computed in float32, where a pair's error is 1e-6 of it, and
  summed in float64: distances are right to 1e-7, and those of good models are
  1e-3 to 1e-2.

  Args:
    features: of n images, float32.
    reference: of m others, by the same network.

  Raises:
    ValueError: of fewer than two images on a side, NaN, or other features.
  """
  for side in (features, reference):
    intervals.check_features(side, 2, 'The kernel distance')
  if features.shape[1] != reference.shape[1]:
    raise ValueError(
      f'{features.shape[1]} and {reference.shape[1]} features cannot be '
      'compared: both sides must come from the same network.'
    )
  within = _others(features)
  across = _sums(features, reference) / len(reference)
  value = within.mean() + _others(reference).mean() - 2 * across.mean()
  return intervals.linear(float(value), 2 * (within - across))


def _others(features):
  """Each image's mean kernel with all others of its set, float64 [n]."""
  exact = np.asarray(features, np.float64)
  itself = (np.sum(exact**2, axis=1) / exact.shape[1] + 1) ** 3
  return (_sums(features, features) - itself) / (len(features) - 1)


def _sums(a, b):
  """Each row's kernel with all of the others, summed: float64 [len(a)]."""
  a, b = (_blocks(side) for side in (a, b))
  return np.concatenate(
    [sum(np.asarray(_row_sums(x, y), np.float64) for y in b) for x in a]
  )


def _blocks(features):
  features = jnp.asarray(features, jnp.float32)
  return [
    features[start : start + _ROWS] for start in range(0, len(features), _ROWS)
  ]


@jax.jit
def _row_sums(x, y):
  products = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
  return jnp.sum((products / x.shape[1] + 1) ** 3, axis=1)
