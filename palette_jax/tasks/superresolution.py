"""Super-resolution: enlarges an image four times in height and width.

Not one of the paper's four tasks. As in SR3 (Saharia et al. 2021), the image is
reduced and brought back to its size by bicubic interpolation, and the model
adds the lost detail. A photo must be enlarged to its new size beforehand.
"""

from etils import epy

from palette_jax import givens, tasks

with epy.lazy_imports():
  import tensorflow as tf

LABEL = 'Super-resolution'
BASELINE_LABEL = 'Bicubic'


def corrupt(
  record: dict[str, 'tf.Tensor'], seed: 'tf.Tensor', factor: int = 4
) -> tasks.Example:
  """Makes an example: see `tasks.Task`.

  Args:
    record: of the clean image.
    seed: not used; nothing is random.
    factor: by which height and width are divided, rounded down.

  Returns:
    target, cond, given.

  Raises:
    ValueError: if the reduced image has no pixels.
  """
  del seed
  target = record['image']
  height, width, _ = target.shape
  if not 1 <= factor <= min(height, width):
    raise ValueError(
      f'superresolution: a factor of {factor} leaves no pixels of {height}x'
      f'{width}. It should be between 1 and {min(height, width)}.'
    )
  small = height // factor, width // factor
  cond = _resize(_resize(target, small), (height, width))
  return target, cond, givens.DEGRADED * tf.ones_like(target[..., :1])


def draws(seed: 'tf.Tensor', factor: int = 4) -> dict[str, 'tf.Tensor']:
  """Returns the factor, which no seed changes."""
  del seed
  return {'factor': tf.constant(factor)}


def _resize(image: 'tf.Tensor', size: tuple[int, int]) -> 'tf.Tensor':
  """Resizes by antialiased bicubic interpolation, rounded to 8 bits."""
  levels = tf.image.resize(image, size, 'bicubic', antialias=True)
  levels = tf.clip_by_value(tf.round(levels), 0.0, 255.0)
  return tf.ensure_shape(tf.cast(levels, tf.uint8), [*size, 3])
