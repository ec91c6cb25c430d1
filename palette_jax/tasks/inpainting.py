"""Inpainting: a hole is filled with what could have been there.

Palette, section 5.2 and appendix B: 60% of the training masks are free-form
brush strokes, 40% are one to five rectangles; the hole is filled with standard
Gaussian noise, which alone tells the network where it is: there is no mask
channel. The loss looks at the hole only, and the known pixels are kept.
"""

import numpy as np
from etils import epy

from palette_jax import givens, masks

with epy.lazy_imports():
  import tensorflow as tf


def corrupt(
  record: dict, seed: 'tf.Tensor', free_form_share: float = 0.6
) -> tuple:
  """The task contract (palette_jax/tasks/__init__.py)."""
  height, width, _ = record['image'].shape
  is_free_form, seed_mask = _draw(seed, free_form_share)
  mask = tf.cond(
    is_free_form,
    lambda: masks.free_form(seed_mask, height, width),
    lambda: masks.rectangles(seed_mask, height, width),
  )
  return cut(record['image'], mask)


def drawn(seed: 'tf.Tensor', free_form_share: float = 0.6) -> dict:
  """The task contract: strokes and the segments of each, or rectangles."""
  is_free_form, seed_mask = _draw(seed, free_form_share)
  segments = masks.stroke_segments(seed_mask)
  segments = tf.where(is_free_form, segments, 0)
  count = masks.rectangle_count(seed_mask)
  return {
    'strokes': tf.math.count_nonzero(segments, dtype=tf.int32),
    'segments': segments,
    'rectangles': tf.where(is_free_form, 0, count),
  }


def _draw(seed, free_form_share):
  """Whether strokes are drawn, and the seed of the mask."""
  seed_kind, seed_mask = tf.unstack(
    tf.random.experimental.stateless_split(seed, 2)
  )
  kind = tf.random.stateless_uniform([], seed_kind)
  return kind < free_form_share, seed_mask


def cut(target: 'tf.Tensor', mask: 'tf.Tensor') -> tuple:
  """A hole where the mask is 1: target, cond, given."""
  given = tf.cast(mask, tf.uint8) * givens.NOISE
  return target, target, given  # whoever makes the noise overwrites the hole


def prepare(
  photo: np.ndarray, mask: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """The task contract: a photo and its hole.

  Args:
    photo: [h, w, 3], float in [-1, 1]; what is in the hole does not matter.
    mask: [h, w, 1], 1 in the hole.
    seed: of the noise that fills the hole.

  Returns:
    cond [h, w, 3] and mask [h, w, 1].

  Raises:
    ValueError: if there is no mask.
  """
  if mask is None:
    raise ValueError('The hole is unknown: give a mask that is 1 inside it.')
  noise = np.random.default_rng(seed).standard_normal(photo.shape, np.float32)
  return np.where(mask > 0.5, noise, photo), mask
