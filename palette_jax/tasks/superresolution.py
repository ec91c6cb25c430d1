"""Super-resolution: an image of a quarter of the height and width is enlarged.

Not among Palette's four tasks; SR3 (Saharia et al. 2021), from which it comes,
trains so: the image is made smaller, and brought back to its size, by bicubic
interpolation, and the model puts in what was lost.
"""

from etils import epy

from palette_jax import givens
from palette_jax.tasks import jpeg

with epy.lazy_imports():
  import tensorflow as tf

prepare = jpeg.prepare  # the photo as it is: enlarged, bicubic, to its new size


def corrupt(record: dict, seed: 'tf.Tensor', factor: int = 4) -> tuple:
  """The task contract (palette_jax/tasks/__init__.py).

  Args:
    record: of the clean image.
    seed: not used: there is no chance in it.
    factor: by which height and width are divided, rounded down.

  Returns:
    target, cond, given.

  Raises:
    ValueError: if nothing would be left.
  """
  del seed
  target = record['image']
  height, width, _ = target.shape
  small = height // factor, width // factor
  if factor < 1 or not all(small):
    raise ValueError(
      f'superresolution: a factor of {factor} makes an image of {height}x'
      f'{width} {small[0]}x{small[1]}.'
    )
  cond = _resize(_resize(target, small), (height, width))
  return target, cond, givens.DEGRADED * tf.ones_like(target[..., :1])


def drawn(seed: 'tf.Tensor', factor: int = 4) -> dict:
  """The task contract: the factor, which no seed changes."""
  del seed
  return {'factor': tf.constant(factor)}


def _resize(image, size):
  """Bicubic, with antialias, onto the 8-bit grid, as files have it."""
  levels = tf.image.resize(image, size, 'bicubic', antialias=True)
  levels = tf.clip_by_value(tf.round(levels), 0.0, 255.0)
  return tf.ensure_shape(tf.cast(levels, tf.uint8), [*size, 3])
