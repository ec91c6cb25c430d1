"""Uncropping: the image goes on beyond its edge (Palette, section 5.3).

One side, or a border along all four, always half of the area, is replaced by
Gaussian noise; everything else is as in inpainting.

Next: palette_jax/tasks/jpeg.py
"""

from etils import epy

from palette_jax import masks
from palette_jax.tasks import inpainting

with epy.lazy_imports():
  import tensorflow as tf

prepare = inpainting.prepare  # the user's photo lies on a larger canvas


def corrupt(record: dict, seed: 'tf.Tensor') -> tuple:
  """The task contract (palette_jax/tasks/__init__.py)."""
  height, width, _ = record['image'].shape
  seed_mask, seed_fill = _seeds(seed)
  mask = masks.uncropping(seed_mask, height, width)
  return inpainting.fill(record['image'], mask, seed_fill)


def drawn(seed: 'tf.Tensor') -> dict:
  """The task contract: the side that goes on."""
  seed_mask, _ = _seeds(seed)
  return {'side': tf.constant(masks.SIDES)[masks.side(seed_mask)]}


def _seeds(seed):
  """Of the mask and of what fills it."""
  return tf.unstack(tf.random.experimental.stateless_split(seed, 2))
