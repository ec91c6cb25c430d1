"""Does an output say what its input says? One question for each task.

A realistic picture of something else has a good FID. So: are known pixels
untouched (inpainting, uncropping), is the grey version of a colorization its
input, and does an output, compressed again, become the JPEG that was given? And
for all tasks: have colours drifted from the originals'? The paper looks at none
of these.
"""

from typing import NamedTuple

import jax
import numpy as np
from etils import epy
from jaxtyping import Float, Int, Shaped, UInt8

from palette_jax import images
from palette_jax.evaluation.metrics import similarity
from palette_jax.tasks import jpeg

with epy.lazy_imports():
  import tensorflow as tf

_psnr = jax.jit(similarity.psnr)


def known_changed(
  outputs_u8: UInt8[np.ndarray, 'n h w 3'],
  originals_u8: UInt8[np.ndarray, 'n h w 3'],
  masks: Shaped[np.ndarray, 'n h w 1'],
) -> Int[np.ndarray, ' n']:
  """Pixels outside of the hole that differ, by any level: must be 0.

  Args:
    outputs_u8: of the model, 8 bits as in its files. JPEG files change pixels.
    originals_u8: what it was given, or the originals; equal where it is known.
    masks: of any type, 1 where the model painted and 0 elsewhere.
  """
  changed = np.any(outputs_u8 != originals_u8, axis=-1)
  return np.sum(changed & (masks[..., 0] == 0), axis=(1, 2))


def luma_error(
  outputs_u8: UInt8[np.ndarray, 'n h w 3'],
  inputs_u8: UInt8[np.ndarray, 'n h w 3'],
) -> Float[np.ndarray, ' n']:
  """How far a colorization's luma is from its grey input's, mean of levels.

  BT.601's, rounded to 8 bits as the task rounds it (tasks/colorization.py): an
  original has the error 0 to its own input, and half a level is below notice.

  Returns:
    float64 [n], mean absolute difference, 0 to 255.
  """
  pairs = zip(outputs_u8, inputs_u8)
  return np.array([np.mean(np.abs(_luma(a) - _luma(b))) for a, b in pairs])


def compressed(
  outputs_u8: UInt8[np.ndarray, 'n h w 3'], quality: int
) -> UInt8[np.ndarray, 'n h w 3']:
  """What JPEG makes of them, by the encoder and decoder of the task.

  Args:
    outputs_u8: images.
    quality: the factor Q, 1 to 100, by which inputs were compressed.

  Raises:
    ValueError: of another quality.
  """
  if not 1 <= quality <= 100:
    raise ValueError(f'A JPEG has a quality from 1 to 100, not {quality}.')
  seed = tf.zeros([2], tf.int32)  # one quality: there is nothing to draw
  made = [
    jpeg.corrupt({'image': tf.constant(x)}, seed, (quality, quality))[1]
    for x in outputs_u8
  ]
  return np.stack([np.asarray(x) for x in made])


def jpeg_consistency(
  outputs_u8: UInt8[np.ndarray, 'n h w 3'],
  inputs_u8: UInt8[np.ndarray, 'n h w 3'],
  quality: int,
) -> Float[np.ndarray, ' n']:
  """PSNR in dB of the output, compressed again, with the input.

  Infinite where they are equal, as for the original of an input that the task
  made. Other encoders' inputs, even of the same quality, stay below.

  Args:
    outputs_u8: restored.
    inputs_u8: the decoded JPEGs that the model was given.
    quality: the factor Q by which they were compressed.
  """
  return np.asarray(_psnr(compressed(outputs_u8, quality), inputs_u8))


def colourfulness(
  images_u8: UInt8[np.ndarray, 'n h w 3'],
) -> Float[np.ndarray, ' n']:
  """How colourful images are (Hasler and Suesstrunk 2003, its M of 95%).

  0 where all is grey; about 15 for what people call slightly, 45 for what they
  call quite, and 109 for what they call extremely colourful. Averages of many
  colourings are greyer than any of them.
  """
  found = []
  for image in images_u8:
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    spread = np.linalg.norm(opponents.std(axis=(1, 2)))
    found.append(spread + 0.3 * np.linalg.norm(opponents.mean(axis=(1, 2))))
  return np.array(found)


class Colours(NamedTuple):
  """Per image and channel, in levels from 0 to 255 and their squares.

  Attributes:
    mean: float64 [n 3].
    variance: float64 [n 3], over the pixels of the image.
  """

  mean: Float[np.ndarray, 'n 3']
  variance: Float[np.ndarray, 'n 3']

  def over_set(self) -> tuple[np.ndarray, np.ndarray]:
    """Mean [3] and variance [3] of all pixels of images of one size."""
    between = self.mean.var(axis=0)
    return self.mean.mean(axis=0), self.variance.mean(axis=0) + between


def colours(images_u8: UInt8[np.ndarray, 'n h w 3']) -> Colours:
  """Mean and variance of every channel of every image."""
  levels = [x.astype(np.float64) for x in images_u8]
  mean = np.stack([x.mean(axis=(0, 1)) for x in levels])
  return Colours(mean, np.stack([x.var(axis=(0, 1)) for x in levels]))


class Drift(NamedTuple):
  """How outputs' colours differ from their originals': outputs less originals.

  Attributes:
    mean: float64 [n 3], of each image, in levels.
    variance: float64 [n 3], of each image, in levels squared.
    set_mean: float64 [3], over all pixels of the set: what is left of the
      images' drifts when they do not cancel.
    set_variance: float64 [3], likewise; below 0 where colours have faded.
  """

  mean: Float[np.ndarray, 'n 3']
  variance: Float[np.ndarray, 'n 3']
  set_mean: Float[np.ndarray, ' 3']
  set_variance: Float[np.ndarray, ' 3']


def colour_drift(outputs: Colours, originals: Colours) -> Drift:
  """The drift of a set; image i of both belongs together."""
  of_outputs, of_originals = outputs.over_set(), originals.over_set()
  return Drift(
    outputs.mean - originals.mean,
    outputs.variance - originals.variance,
    of_outputs[0] - of_originals[0],
    of_outputs[1] - of_originals[1],
  )


def _luma(image_u8):
  total = image_u8 @ np.array(images.LUMA)
  return (total + images.LUMA_UNIT // 2) // images.LUMA_UNIT
