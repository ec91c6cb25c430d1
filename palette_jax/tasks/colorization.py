"""Colorization: grey in, colour out (Palette, section 5.1).

Input and output are RGB images; the grey one is repeated three times. Its luma
is that of BT.601, rounded to 8 bits as in a grey file, so that a user's grey
photo reaches the network exactly as a training example does.
"""

import numpy as np
from etils import epy
from jaxtyping import Float

from palette_jax import givens, images, tasks

with epy.lazy_imports():
  import tensorflow as tf

SECTION = '5.1'
LABEL = 'Colorization'
VERB = 'colorize'
PARTICIPLE = 'colorized'
SUMMARY = 'adds colour to grey photos'
DESCRIPTION = (
  'Adds colour to photos. Size, sharpness and brightness stay as they are. The '
  'colours that a photo has already are ignored.'
)
METRICS = ('luma_error',)
BASELINE_LABEL = 'Grey copy'


def corrupt(record: dict[str, 'tf.Tensor'], seed: 'tf.Tensor') -> tasks.Example:
  """Makes an example: see `tasks.Task`."""
  del seed  # An image has one grey version.
  target = record['image']
  total = tf.add_n(
    [
      tf.cast(target[..., i], tf.float32) * weight
      for i, weight in enumerate(images.LUMA)
    ]
  )
  grey = tf.floor((total + images.LUMA_UNIT / 2) / images.LUMA_UNIT)
  # Three equal bytes of one integer are three equal channels, in half the time
  # that it takes to copy one channel three times.
  rgb = tf.bitcast(tf.cast(grey, tf.int32) * 0x010101, tf.uint8)
  cond = tf.ensure_shape(rgb[..., :3], target.shape)
  return target, cond, givens.DEGRADED * tf.ones_like(target[..., :1])


def prepare(
  photo: Float[np.ndarray, 'h w 3'],
  mask: Float[np.ndarray, 'h w 1'] | None = None,
  seed: int = 0,
) -> tuple[Float[np.ndarray, 'h w 3'], Float[np.ndarray, 'h w 1']]:
  """Makes a photo, grey or in colour, grey: see `tasks.Task`.

  Raises:
    ValueError: if there is a mask; colorization paints the whole image.
  """
  photo, everywhere = tasks.take_whole(photo, mask, seed)
  total = np.sum(images.to_u8(photo) * np.array(images.LUMA), -1, keepdims=True)
  grey = (total + images.LUMA_UNIT // 2) // images.LUMA_UNIT
  return np.repeat(images.from_u8(grey), 3, axis=-1), everywhere
