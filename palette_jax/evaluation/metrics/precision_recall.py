"""Improved precision and recall (Kynkaanniemi et al. 2019).

Each image of a set has a ball around it that reaches its k-th nearest neighbour
in the set. Precision is the share of images inside a ball of the reference;
recall is the share of the reference inside a ball of the images. Both depend on
the numbers of images on both sides.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from palette_jax.evaluation import intervals

_ROWS = 2048  # a block of distances is 16 MB


def estimate(
  features: Float[np.ndarray, 'n d'],
  reference: Float[np.ndarray, 'm e'],
  k: int = 3,
  seed: int = 0,
) -> tuple[intervals.Estimate, intervals.Estimate]:
  """Estimates precision and recall; intervals hold the reference fixed.

  Distances are float32: an image within 1e-6 of a ball's radius from its edge
  may fall on either side.

  Args:
    features: features of n images.
    reference: features of m other images by the same network.
    k: index of the neighbour that a ball reaches.
    seed: random seed of the groups of recall's jackknife.

  Returns:
    Precision, with the interval of a share, since images fall into balls
    independently; and recall, whose balls are the images', with a jackknife's.

  Raises:
    ValueError: if a side has k images or fewer, or NaN, or if the numbers of
      features differ.
  """
  for side in (features, reference):
    intervals.check_features(side, k + 1, f'A ball of {k} neighbours')
  if features.shape[1] != reference.shape[1]:
    raise ValueError(
      f'{features.shape[1]} and {reference.shape[1]} features cannot be '
      'compared: both sides must come from the same network.'
    )
  # Centred, where rounding is finest, and with the images of a group adjacent.
  group = intervals.groups(len(features), seed)
  order = np.argsort(group, kind='stable')
  group, middle = group[order], reference.mean(axis=0, dtype=np.float64)
  images = jnp.asarray(features[order] - middle, jnp.float32)
  originals = jnp.asarray(reference - middle, jnp.float32)

  whole = _nearest(originals, np.zeros(len(originals), int), k)
  inside = _reached(images, originals, _radii(whole, k)[None])
  precision = intervals.share(inside[:, 0])

  near = _nearest(images, group, k)
  radii = [_radii(near, k)]
  if len(features) >= 2 * intervals.GROUPS:
    for left_out in range(intervals.GROUPS):
      others = _radii(np.delete(near, left_out, axis=1), k)
      radii.append(np.where(group == left_out, -1, others))
  reached = _reached(originals, images, np.stack(radii)).mean(axis=0)
  recall = intervals.jackknife(
    float(reached[0]), reached[1:].tolist(), len(features)
  )
  return precision, intervals.within(recall, 0.0, 1.0)


def _nearest(
  points: Float[Array, 'n d'], group: Int[np.ndarray, ' n'], k: int
) -> Float[np.ndarray, 'n groups k']:
  """Returns squared distances to the k nearest others in every group.

  The points of a group are adjacent. Missing neighbours are infinitely far.
  """
  n, last = len(points), group[-1] + 1
  near = np.full([n, last, 2 * k], np.inf, np.float32)
  ends = np.searchsorted(group, np.arange(last), side='right')
  for g, (start, end) in enumerate(zip([0, *ends], ends)):
    for column in range(start, end, _ROWS):
      others = points[column : min(column + _ROWS, end)]
      for row in range(0, n, _ROWS):
        rows = points[row : row + _ROWS]
        squares = np.asarray(_smallest(rows, others, row - column, k))
        nearest = near[row : row + _ROWS, g]  # a view, sorted in place
        nearest[:, k : k + squares.shape[1]] = squares
        nearest.sort(axis=1)
  return near[..., :k]


def _radii(
  near: Float[np.ndarray, 'n groups k'], k: int
) -> Float[np.ndarray, ' n']:
  """Returns the squared distance to the k-th nearest of all groups."""
  flat = near.reshape(len(near), -1)
  return np.partition(flat, k - 1, axis=1)[:, k - 1]


def _reached(
  points: Float[Array, 'n d'],
  centres: Float[Array, 'm d'],
  radii: Float[np.ndarray, 'rows m'],
) -> Bool[np.ndarray, 'n rows']:
  """Checks which points lie in a ball, for each row of squared radii."""
  reached = np.zeros([len(points), len(radii)], bool)
  for row in range(0, len(points), _ROWS):
    for column in range(0, len(centres), _ROWS):
      block = slice(column, column + _ROWS)
      reached[row : row + _ROWS] |= np.asarray(
        _inside(points[row : row + _ROWS], centres[block], radii[:, block])
      )
  return reached


@functools.partial(jax.jit, static_argnames='k')
def _smallest(
  x: Float[Array, 'n d'],
  y: Float[Array, 'm d'],
  shift: Int[ArrayLike, ''],
  k: int,
) -> Float[Array, 'n _']:
  """Returns each row's k smallest squares; row i of x is row i + shift of y."""
  rows, columns = jnp.arange(len(x)), jnp.arange(len(y))
  itself = (rows + shift)[:, None] == columns[None]
  squares = jnp.where(itself, jnp.inf, _squares(x, y))
  return -jax.lax.top_k(-squares, min(k, len(y)))[0]


@jax.jit
def _inside(
  x: Float[Array, 'n d'], y: Float[Array, 'm d'], radii: Float[Array, 'rows m']
) -> Bool[Array, 'n rows']:
  squares = _squares(x, y)[None]
  return jnp.any(squares <= radii[:, None], axis=2).T


def _squares(
  x: Float[Array, 'n d'], y: Float[Array, 'm d']
) -> Float[Array, 'n m']:
  products = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
  lengths = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1)[None]
  return jnp.maximum(lengths - 2 * products, 0)
