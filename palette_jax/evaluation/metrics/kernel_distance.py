"""Kernel distance (KID), an unbiased distance between two sets of images.

The squared maximum mean discrepancy of Inception's features (Binkowski et al.
2018), with the kernel (x.y / d + 1)^3, over all pairs of different images. Its
expectation does not depend on the number of images, and it may be negative.
torch-fidelity's mean over random subsets of 1,000 has the same expectation and
a larger variance; the deviation it prints is not a confidence interval.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from palette_jax.evaluation import intervals

_ROWS = 2048  # a block of the kernel's matrix is 16 MB


def estimate(
  features: Float[np.ndarray, 'n d'], reference: Float[np.ndarray, 'm e']
) -> intervals.Estimate:
  """Estimates the distance; its interval holds the reference fixed.

  The kernel is computed in float32, with a relative error of 1e-6 a pair, and
  summed in float64: distances are accurate to 1e-7, and good models have
  distances of 1e-3 to 1e-2.

  Args:
    features: features of n images, float32.
    reference: features of m other images by the same network.

  Raises:
    ValueError: if a side has fewer than two images or contains NaN, or if the
      two sides have different numbers of features.
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


def _others(features: Float[np.ndarray, 'n d']) -> Float[np.ndarray, ' n']:
  """Returns each image's mean kernel with all others of its set, in float64."""
  exact = np.asarray(features, np.float64)
  itself = (np.sum(exact**2, axis=1) / exact.shape[1] + 1) ** 3
  return (_sums(features, features) - itself) / (len(features) - 1)


def _sums(
  a: Float[np.ndarray, 'n d'], b: Float[np.ndarray, 'm d']
) -> Float[np.ndarray, ' n']:
  """Returns the kernel of each row of `a` summed over `b`, in float64."""
  sums = [
    [np.asarray(_row_sums(x, y), np.float64) for y in _blocks(b)]
    for x in _blocks(a)
  ]
  return np.concatenate([np.sum(parts, axis=0) for parts in sums])


def _blocks(features: Float[np.ndarray, 'n d']) -> list[Float[Array, '_ d']]:
  array = jnp.asarray(features, jnp.float32)
  return [array[i : i + _ROWS] for i in range(0, len(array), _ROWS)]


@jax.jit
def _row_sums(
  x: Float[Array, 'n d'], y: Float[Array, 'm d']
) -> Float[Array, ' n']:
  products = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
  return jnp.sum((products / x.shape[1] + 1) ** 3, axis=1)
