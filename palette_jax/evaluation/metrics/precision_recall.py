"""Are images like real ones, and are all real ones reached: improved precision
and recall (Kynkaanniemi et al. 2019).

Around each image of a set lies a ball that reaches its k-th nearest neighbour
in the set. Precision is the share of images inside a ball of the reference, and
recall the share of the reference inside a ball of the images. Both depend on
the numbers of images on both sides.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from palette_jax.evaluation import intervals

_ROWS = 2048  # a block of distances is 16 MB


def estimate(
  features: Float[np.ndarray, 'n d'],
  reference: Float[np.ndarray, 'm e'],
  k: int = 3,
  seed: int = 0,
) -> tuple[intervals.Estimate, intervals.Estimate]:
  """Precision and recall, their intervals with the reference held fixed.

  Distances are float32: an image that is on the edge of a ball to 1e-6 of its
  radius may fall on either side.

  Args:
    features: of n images.
    reference: of m others, by the same network.
    k: which neighbour a ball reaches.
    seed: of the groups that are left out for recall's interval.

  Returns:
    Precision, whose images fall into balls independently: their share. Recall,
    whose balls the images make: by a jackknife.

  Raises:
    ValueError: of k images or fewer on a side, NaN, or other features.
  """
  for side in (features, reference):
    intervals.check_features(side, k + 1, f'A ball of {k} neighbours')
  if features.shape[1] != reference.shape[1]:
    raise ValueError(
      f'{features.shape[1]} and {reference.shape[1]} features cannot be '
      'compared: both sides must come from the same network.'
    )
  # Shifted to the middle, where rounding is finest, and groups side by side.
  group = intervals.groups(len(features), seed)
  order = np.argsort(group, kind='stable')
  group, middle = group[order], reference.mean(axis=0, dtype=np.float64)
  images = jnp.asarray(features[order] - middle, jnp.float32)
  reference = jnp.asarray(reference - middle, jnp.float32)

  whole = _nearest(reference, np.zeros(len(reference), int), k)
  inside = _reached(images, reference, _radii(whole, k)[None])
  precision = intervals.share(inside[:, 0])

  near = _nearest(images, group, k)
  radii = [_radii(near, k)]
  if len(features) >= 2 * intervals.GROUPS:
    for left_out in range(intervals.GROUPS):
      others = _radii(np.delete(near, left_out, axis=1), k)
      radii.append(np.where(group == left_out, -1, others))
  reached = _reached(reference, images, np.stack(radii)).mean(axis=0)
  recall = intervals.jackknife(
    float(reached[0]), reached[1:].tolist(), len(features)
  )
  return precision, intervals.within(recall, 0.0, 1.0)


def _nearest(points, group, k):
  """Of each point, the k nearest others in every group: squares, [n groups k].

  Groups lie side by side. What a group lacks is infinitely far.
  """
  n, last = len(points), group[-1] + 1
  near = np.full([n, last, 2 * k], np.inf, np.float32)
  ends = np.searchsorted(group, np.arange(last), side='right')
  for g, (start, end) in enumerate(zip([0, *ends], ends)):
    for column in range(start, end, _ROWS):
      others = points[column : min(column + _ROWS, end)]
      for row in range(0, n, _ROWS):
        rows = points[row : row + _ROWS]
        found = np.asarray(_smallest(rows, others, row - column, k))
        mine = near[row : row + _ROWS, g]
        mine[:, k : k + found.shape[1]] = found
        mine.sort(axis=1)
  return near[..., :k]


def _radii(near, k):
  """The square of the distance to the k-th nearest of all groups, [n]."""
  flat = near.reshape(len(near), -1)
  return np.partition(flat, k - 1, axis=1)[:, k - 1]


def _reached(points, centres, radii):
  """Which points lie in a ball, by each row of squared radii: bool [n rows]."""
  reached = np.zeros([len(points), len(radii)], bool)
  for row in range(0, len(points), _ROWS):
    for column in range(0, len(centres), _ROWS):
      chosen = slice(column, column + _ROWS)
      reached[row : row + _ROWS] |= np.asarray(
        _inside(points[row : row + _ROWS], centres[chosen], radii[:, chosen])
      )
  return reached


@functools.partial(jax.jit, static_argnames='k')
def _smallest(x, y, shift, k):
  """The k smallest squares to others; row i of x is row i + shift of y."""
  rows, columns = jnp.arange(len(x)), jnp.arange(len(y))
  itself = (rows + shift)[:, None] == columns[None]
  squares = jnp.where(itself, jnp.inf, _squares(x, y))
  return -jax.lax.top_k(-squares, min(k, len(y)))[0]


@jax.jit
def _inside(x, y, radii):
  squares = _squares(x, y)[None]
  return jnp.any(squares <= radii[:, None], axis=2).T


def _squares(x, y):
  products = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
  lengths = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1)[None]
  return jnp.maximum(lengths - 2 * products, 0)
