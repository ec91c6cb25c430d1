"""JPEG restoration: compression artefacts are removed (Palette, section 5.4).

The quality factor Q is an integer of QUALITY, drawn with probability
proportional to exp(-Q / 10), so that strong artefacts are common. The encoder
is TensorFlow's libjpeg with 4:2:0 chroma, as most JPEG files have.
"""

import numpy as np
from etils import epy

from palette_jax import givens

with epy.lazy_imports():
  import tensorflow as tf

QUALITY = (5, 30)  # the lowest and the highest factor, both included


def corrupt(
  record: dict, seed: 'tf.Tensor', quality: tuple[int, int] = QUALITY
) -> tuple:
  """The task contract (palette_jax/tasks/__init__.py).

  Args:
    record: of the clean image.
    seed: int32[2].
    quality: the lowest and the highest quality factor, both included.

  Returns:
    target, cond, given.
  """
  target = record['image']
  encoded = tf.raw_ops.EncodeJpegVariableQuality(
    images=target, quality=draw_quality(seed, *quality)
  )
  # The accurate transform is what other programs' decoders use.
  decoded = tf.io.decode_jpeg(
    encoded, channels=3, dct_method='INTEGER_ACCURATE'
  )
  cond = tf.ensure_shape(decoded, target.shape)
  return target, cond, givens.DEGRADED * tf.ones_like(target[..., :1])


def drawn(seed: 'tf.Tensor', quality: tuple[int, int] = QUALITY) -> dict:
  """The task contract: the quality factor."""
  return {'quality': draw_quality(seed, *quality)}


def draw_quality(seed: 'tf.Tensor', lowest: int, highest: int) -> 'tf.Tensor':
  """An int32 in lowest..highest with p(Q) proportional to exp(-Q / 10)."""
  factors = tf.range(lowest, highest + 1)
  logits = -tf.cast(factors, tf.float32)[None] / 10.0
  index = tf.random.stateless_categorical(logits, 1, seed)[0, 0]
  return factors[index]


def prepare(
  photo: np.ndarray, mask: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """The task contract: the decoded JPEG is the condition as it is.

  Raises:
    ValueError: if a mask is given; the whole image is made anew.
  """
  del seed
  if mask is not None:
    raise ValueError('This task makes the whole image anew and takes no mask.')
  return photo, np.ones_like(photo[..., :1])
