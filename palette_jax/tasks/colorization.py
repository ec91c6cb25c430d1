"""Colorization: grey in, colour out (Palette, section 5.1).

Input and output are RGB images; the grey one is repeated three times. Its luma
is BT.601's, rounded to 8 bits as a grey file would be, so that a user's grey
photo reaches the network exactly as a training example does.
"""

import numpy as np
from etils import epy

from palette_jax import givens, images

with epy.lazy_imports():
  import tensorflow as tf


def corrupt(record: dict, seed: 'tf.Tensor') -> tuple:
  """The task contract (palette_jax/tasks/__init__.py)."""
  del seed  # there is one grey version of an image
  target = record['image']
  total = tf.add_n(
    [
      tf.cast(target[..., i], tf.float32) * weight
      for i, weight in enumerate(images.LUMA)
    ]
  )
  grey = tf.floor((total + images.LUMA_UNIT / 2) / images.LUMA_UNIT)
  # Three equal bytes of a number are three equal channels, at half the time
  # of copying one channel thrice.
  thrice = tf.bitcast(tf.cast(grey, tf.int32) * 0x010101, tf.uint8)
  cond = tf.ensure_shape(thrice[..., :3], target.shape)
  return target, cond, givens.DEGRADED * tf.ones_like(target[..., :1])


def prepare(
  photo: np.ndarray, mask: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """The task contract: any photo, grey or colour, to its grey version.

  Raises:
    ValueError: if a mask is given; colorization paints the whole image.
  """
  del seed
  if mask is not None:
    raise ValueError('Colorization paints the whole image and takes no mask.')
  total = np.sum(images.to_u8(photo) * np.array(images.LUMA), -1, keepdims=True)
  grey = (total + images.LUMA_UNIT // 2) // images.LUMA_UNIT
  cond = np.repeat(images.from_u8(grey), 3, axis=-1)
  return cond, np.ones_like(cond[..., :1])
