"""Uncropping: the image goes on beyond its edge (Palette, section 5.3).

One side, or a border along all four, always half of the area, is replaced by
Gaussian noise; everything else is as in inpainting.
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
  mask = masks.uncropping(seed, height, width)
  return inpainting.cut(record['image'], mask)


def drawn(seed: 'tf.Tensor') -> dict:
  """The task contract: the side that goes on."""
  return {'side': tf.constant(masks.SIDES)[masks.side(seed)]}
