"""Unconditional generation: the network is given nothing (Palette, Figure 9).

The paper compares with this model, which inpaints by imputation although it was
never trained to inpaint.
"""

import numpy as np
from etils import epy
from jaxtyping import Float

from palette_jax import givens, tasks

with epy.lazy_imports():
  import tensorflow as tf

LABEL = 'Unconditional'
IS_UNCONDITIONAL = True


def corrupt(record: dict[str, 'tf.Tensor'], seed: 'tf.Tensor') -> tasks.Example:
  """Makes an example: see `tasks.Task`."""
  del seed
  target = record['image']
  return target, target, givens.NOTHING * tf.ones_like(target[..., :1])


def prepare(
  photo: Float[np.ndarray, 'h w 3'],
  mask: Float[np.ndarray, 'h w 1'] | None = None,
  seed: int = 0,
) -> tuple[Float[np.ndarray, 'h w 3'], Float[np.ndarray, 'h w 1']]:
  """Makes an empty condition of the photo's size: see `tasks.Task`.

  Raises:
    ValueError: if there is a mask; the whole image is painted.
  """
  photo, everywhere = tasks.take_whole(photo, mask, seed)
  return np.zeros_like(photo), everywhere
