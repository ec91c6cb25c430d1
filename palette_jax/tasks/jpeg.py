"""JPEG restoration: removes compression artefacts (Palette, section 5.4).

The quality factor Q is an integer of QUALITY, drawn with probability
proportional to exp(-Q / 10), so that strong artefacts are common. The encoder
is TensorFlow's libjpeg with 4:2:0 chroma, as in most JPEG files.
"""

from etils import epy

from palette_jax import givens, tasks

with epy.lazy_imports():
  import tensorflow as tf

QUALITY = (5, 30)  # the lowest and the highest factor, both included

SECTION = '5.4'
LABEL = 'JPEG restoration'
VERB = 'restore_jpeg'
PARTICIPLE = 'restored'
SUMMARY = 'removes JPEG artefacts from photos'
DESCRIPTION = (
  'Removes the blocks and rings of a photo that was compressed too much.'
)
NEEDS_LOSSLESS = True
SETTINGS = {str(q): {'quality': (q, q)} for q in range(1, 101)}
CASES = ('5', '10', '20')
METRICS = ('jpeg_consistency',)
BASELINE_LABEL = 'The JPEG'


def corrupt(
  record: dict[str, 'tf.Tensor'],
  seed: 'tf.Tensor',
  quality: tuple[int, int] = QUALITY,
) -> tasks.Example:
  """Makes an example: see `tasks.Task`.

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
  # Other programs decode with the accurate transform.
  decoded = tf.io.decode_jpeg(
    encoded, channels=3, dct_method='INTEGER_ACCURATE'
  )
  cond = tf.ensure_shape(decoded, target.shape)
  return target, cond, givens.DEGRADED * tf.ones_like(target[..., :1])


def draws(
  seed: 'tf.Tensor', quality: tuple[int, int] = QUALITY
) -> dict[str, 'tf.Tensor']:
  """Returns the quality factor."""
  return {'quality': draw_quality(seed, *quality)}


def draw_quality(seed: 'tf.Tensor', lowest: int, highest: int) -> 'tf.Tensor':
  """Draws an int32 of lowest..highest; p(Q) is proportional to exp(-Q / 10)."""
  factors = tf.range(lowest, highest + 1)
  logits = -tf.cast(factors, tf.float32)[None] / 10.0
  index = tf.random.stateless_categorical(logits, 1, seed)[0, 0]
  return factors[index]
