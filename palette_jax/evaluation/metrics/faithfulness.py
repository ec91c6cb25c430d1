"""Faithfulness of an output to its input, one measure for each task.

A realistic picture of something else has a good FID. So these measure whether
known pixels are untouched (inpainting, uncropping), whether the grey version of
a colorization is its input, and whether an output, compressed again, becomes
the JPEG that it was made from; and, for all tasks, how far colours drift from
the originals. The paper reports none of these.
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
  """Counts the pixels outside the hole that differ at all, which must be none.

  Args:
    outputs_u8: outputs of the model, as in its files. JPEG changes pixels.
    originals_u8: conditions or originals, which are equal outside the hole.
    masks: 1 where the model painted and 0 elsewhere, of any type.
  """
  changed = np.any(outputs_u8 != originals_u8, axis=-1)
  return np.sum(changed & (masks[..., 0] == 0), axis=(1, 2))


def luma_error(
  outputs_u8: UInt8[np.ndarray, 'n h w 3'],
  inputs_u8: UInt8[np.ndarray, 'n h w 3'],
) -> Float[np.ndarray, ' n']:
  """Returns the distance of a colorization's luma from its grey input.

  Luma is BT.601's, rounded to 8 bits as the task rounds it
  (tasks/colorization.py): an original has an error of 0 to its own input, and
  half a level is invisible.

  Returns:
    float64 [n], mean absolute difference in levels, 0 to 255.
  """
  pairs = zip(outputs_u8, inputs_u8)
  return np.array([np.mean(np.abs(_luma(a) - _luma(b))) for a, b in pairs])


def compressed(
  outputs_u8: UInt8[np.ndarray, 'n h w 3'], quality: int
) -> UInt8[np.ndarray, 'n h w 3']:
  """Compresses images with the encoder of the task, and decodes them.

  Args:
    outputs_u8: images.
    quality: the quality factor of the inputs, 1 to 100.

  Raises:
    ValueError: if the quality is out of range.
  """
  if not 1 <= quality <= 100:
    raise ValueError(f'A JPEG has a quality from 1 to 100, not {quality}.')
  seed = tf.zeros([2], tf.int32)  # unused: there is only one quality to draw
  decoded = [
    jpeg.corrupt({'image': tf.constant(x)}, seed, (quality, quality))[1]
    for x in outputs_u8
  ]
  return np.stack([np.asarray(x) for x in decoded])


def jpeg_consistency(
  outputs_u8: UInt8[np.ndarray, 'n h w 3'],
  inputs_u8: UInt8[np.ndarray, 'n h w 3'],
  quality: int,
) -> Float[np.ndarray, ' n']:
  """Returns the PSNR in dB between the recompressed output and the input.

  It is infinite where they are equal, as for the original of an input that this
  task compressed. Inputs of other encoders of the same quality score lower.

  Args:
    outputs_u8: restored images.
    inputs_u8: the decoded JPEGs that the model was given.
    quality: the quality factor of the inputs.
  """
  return np.asarray(_psnr(compressed(outputs_u8, quality), inputs_u8))


def colourfulness(
  images_u8: UInt8[np.ndarray, 'n h w 3'],
) -> Float[np.ndarray, ' n']:
  """Returns the colourfulness of images (Hasler and Suesstrunk 2003, M of 95%).

  0 for a grey image; people call about 15 slightly, 45 quite and 109 extremely
  colourful. The average of many colourings is less colourful than any of them.
  """
  values = []
  for image in images_u8:
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    spread = np.linalg.norm(opponents.std(axis=(1, 2)))
    values.append(spread + 0.3 * np.linalg.norm(opponents.mean(axis=(1, 2))))
  return np.array(values)


class Colours(NamedTuple):
  """Statistics of each image and channel.

  Attributes:
    mean: in levels from 0 to 255.
    variance: over the pixels of an image, in squared levels.
  """

  mean: Float[np.ndarray, 'n 3']
  variance: Float[np.ndarray, 'n 3']

  def over_set(self) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and variance of all pixels; images have one size."""
    between = self.mean.var(axis=0)
    return self.mean.mean(axis=0), self.variance.mean(axis=0) + between


def colours(images_u8: UInt8[np.ndarray, 'n h w 3']) -> Colours:
  """Returns the mean and variance of every channel of every image."""
  levels = [x.astype(np.float64) for x in images_u8]
  mean = np.stack([x.mean(axis=(0, 1)) for x in levels])
  return Colours(mean, np.stack([x.var(axis=(0, 1)) for x in levels]))


class Drift(NamedTuple):
  """Drift of colours: statistics of outputs minus those of originals.

  Attributes:
    mean: of each image, in levels.
    variance: of each image, in squared levels.
    set_mean: over all pixels of the set, where opposite drifts cancel.
    set_variance: over all pixels of the set; negative where colours faded.
  """

  mean: Float[np.ndarray, 'n 3']
  variance: Float[np.ndarray, 'n 3']
  set_mean: Float[np.ndarray, ' 3']
  set_variance: Float[np.ndarray, ' 3']


def colour_drift(outputs: Colours, originals: Colours) -> Drift:
  """Returns the drift of a set; images are paired by their index."""
  of_outputs, of_originals = outputs.over_set(), originals.over_set()
  return Drift(
    outputs.mean - originals.mean,
    outputs.variance - originals.variance,
    of_outputs[0] - of_originals[0],
    of_outputs[1] - of_originals[1],
  )


def _luma(image_u8: UInt8[np.ndarray, 'h w 3']) -> Int[np.ndarray, 'h w']:
  total = image_u8 @ np.array(images.LUMA)
  return (total + images.LUMA_UNIT // 2) // images.LUMA_UNIT
