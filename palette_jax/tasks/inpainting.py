"""Inpainting: fills a hole with something that fits (Palette, section 5.2).

By appendix B, 60% of the training masks are free-form brush strokes and 40% are
one to five rectangles. The hole holds standard Gaussian noise, which alone
tells the network where it is: there is no mask channel. The loss covers the
hole only, and known pixels are kept.
"""

import functools

import numpy as np
from etils import epy
from jaxtyping import Bool, UInt8

from palette_jax import givens, holes, masks, tasks

with epy.lazy_imports():
  import scipy.sparse
  import scipy.sparse.linalg
  import tensorflow as tf

SECTION = '5.2'
LABEL = 'Inpainting'
VERB = 'inpaint'
PARTICIPLE = 'inpainted'
SUMMARY = 'repaints the part of a photo that a mask marks'
DESCRIPTION = (
  'Repaints the part of a photo that is white in a mask. All other pixels stay '
  'as they are, bit for bit.'
)
HAS_HOLE = True
HOLES = {
  'centre': lambda name, height, width: holes.centre(height, width),
  **{share: functools.partial(holes.free_form, share) for share in holes.BINS},
}
CASES = ('20-30%', 'centre')
BASELINE_LABEL = 'Diffusion fill'


def corrupt(
  record: dict[str, 'tf.Tensor'],
  seed: 'tf.Tensor',
  free_form_share: float = 0.6,
) -> tasks.Example:
  """Makes an example: see `tasks.Task`."""
  height, width, _ = record['image'].shape
  is_free_form, seed_mask = _choose(seed, free_form_share)
  mask = tf.cond(
    is_free_form,
    lambda: masks.free_form(seed_mask, height, width),
    lambda: masks.rectangles(seed_mask, height, width),
  )
  return cut(record['image'], mask)


def draws(
  seed: 'tf.Tensor', free_form_share: float = 0.6
) -> dict[str, 'tf.Tensor']:
  """Returns the strokes and the segments of each, or the rectangles."""
  is_free_form, seed_mask = _choose(seed, free_form_share)
  segments = masks.stroke_segments(seed_mask)
  segments = tf.where(is_free_form, segments, 0)
  count = masks.rectangle_count(seed_mask)
  return {
    'strokes': tf.math.count_nonzero(segments, dtype=tf.int32),
    'segments': segments,
    'rectangles': tf.where(is_free_form, 0, count),
  }


def _choose(
  seed: 'tf.Tensor', free_form_share: float
) -> tuple['tf.Tensor', 'tf.Tensor']:
  """Returns whether the mask is of strokes, and the seed of the mask."""
  seed_kind, seed_mask = tf.unstack(
    tf.random.experimental.stateless_split(seed, 2)
  )
  kind = tf.random.stateless_uniform([], seed_kind)
  return kind < free_form_share, seed_mask


def cut(target: 'tf.Tensor', mask: 'tf.Tensor') -> tasks.Example:
  """Cuts a hole where the mask is 1."""
  given = tf.cast(mask, tf.uint8) * givens.NOISE
  return target, target, given  # The device overwrites the hole with noise.


def baseline(
  image_u8: UInt8[np.ndarray, 'h w 3'], mask: Bool[np.ndarray, 'h w']
) -> UInt8[np.ndarray, 'h w 3']:
  """Solves Laplace's equation in the hole, with the known pixels as boundary.

  Every pixel of the hole becomes the mean of its neighbours. The edge of the
  image is not a boundary: nothing flows across it.
  """
  height, width = mask.shape
  number = np.full(mask.shape, -1)
  number[mask] = np.arange(mask.sum())
  y, x = np.nonzero(mask)
  own = number[mask]
  neighbours = np.zeros(len(own))
  known = np.zeros([len(own), 3])
  entries = []
  for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
    v, u = y + dy, x + dx
    inside = (0 <= v) & (v < height) & (0 <= u) & (u < width)
    neighbours += inside
    v, u, row = v[inside], u[inside], own[inside]
    free = mask[v, u]
    entries.append((row[free], number[v[free], u[free]]))
    np.add.at(known, row[~free], image_u8[v[~free], u[~free]].astype(float))
  rows, columns = map(np.concatenate, zip(*entries))
  between = scipy.sparse.coo_matrix(
    (np.ones(len(rows)), (rows, columns)), shape=(len(own), len(own))
  )
  matrix = scipy.sparse.diags(neighbours) - between
  filled = image_u8.copy()
  solution = scipy.sparse.linalg.spsolve(matrix.tocsc(), known)
  filled[mask] = np.clip(np.rint(solution), 0, 255)
  return filled
