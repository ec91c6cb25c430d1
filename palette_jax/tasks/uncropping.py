"""Uncropping: continues an image beyond its edges (Palette, section 5.3).

One side, or a border along all four, always half of the area, is replaced by
Gaussian noise; everything else is as in inpainting.
"""

import numpy as np
from etils import epy
from jaxtyping import Bool, UInt8

from palette_jax import holes, masks, tasks
from palette_jax.tasks import inpainting

with epy.lazy_imports():
  import scipy.ndimage
  import tensorflow as tf

SECTION = '5.3'
LABEL = 'Uncropping'
VERB = 'uncrop'
PARTICIPLE = 'uncropped'
SUMMARY = 'continues photos beyond their edges'
DESCRIPTION = (
  'Continues a photo beyond its edges. Its own pixels stay as they are.'
)
HAS_HOLE = True
HOLES = {'right': lambda name, height, width: holes.right_half(height, width)}
CASES = ('right',)
BASELINE_LABEL = 'Edge replication'


def corrupt(record: dict[str, 'tf.Tensor'], seed: 'tf.Tensor') -> tasks.Example:
  """Makes an example: see `tasks.Task`."""
  height, width, _ = record['image'].shape
  mask = masks.uncropping(seed, height, width)
  return inpainting.cut(record['image'], mask)


def draws(seed: 'tf.Tensor') -> dict[str, 'tf.Tensor']:
  """Returns the side that is painted."""
  return {'side': tf.constant(masks.SIDES)[masks.side(seed)]}


def baseline(
  image_u8: UInt8[np.ndarray, 'h w 3'], mask: Bool[np.ndarray, 'h w']
) -> UInt8[np.ndarray, 'h w 3']:
  """Copies the nearest known pixel to every pixel of the hole."""
  rows, columns = scipy.ndimage.distance_transform_edt(
    mask, return_distances=False, return_indices=True
  )
  return image_u8[rows, columns]
