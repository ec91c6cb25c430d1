"""No task at all: cond is empty, everything is painted (Palette, Figure 9).

The unconditional model is the paper's point of comparison: inpainting by
imputation, without ever having been trained to inpaint.
"""

import numpy as np
from etils import epy

from palette_jax import givens

with epy.lazy_imports():
  import tensorflow as tf


def corrupt(record: dict, seed: 'tf.Tensor') -> tuple:
  """The task contract (palette_jax/tasks/__init__.py)."""
  del seed
  target = record['image']
  return target, target, givens.NOTHING * tf.ones_like(target[..., :1])


def prepare(
  photo: np.ndarray, mask: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """The task contract: only the photo's size counts.

  Raises:
    ValueError: if a mask is given; the whole image is painted.
  """
  del seed
  if mask is not None:
    raise ValueError('The unconditional model paints everything: no mask.')
  return np.zeros_like(photo), np.ones_like(photo[..., :1])
