"""The holes of the paper's evaluation (Palette, section 5 and appendix C).

They belong to an image and never change. The training's are in
palette_jax/masks.py.
"""

import hashlib
import zipfile

import numpy as np
from etils import epy

from palette_jax import masks

with epy.lazy_imports():
  import tensorflow as tf

# Of free-form masks: the share of the image that is painted.
BINS = {'10-20%': (0.1, 0.2), '20-30%': (0.2, 0.3), '30-40%': (0.3, 0.4)}


def centre(height: int, width: int) -> np.ndarray:
  """The middle, half as high and half as wide: 128x128 of 256x256 (Table 2).

  Returns:
    float32 [height, width, 1] of zeros and ones.
  """
  mask = np.zeros([height, width, 1], np.float32)
  top, left = height // 4, width // 4
  mask[top : top + height // 2, left : left + width // 2] = 1
  return mask


def right_half(height: int, width: int) -> np.ndarray:
  """What uncropping is evaluated on (appendix C.3).

  Returns:
    float32 [height, width, 1] of zeros and ones.
  """
  mask = np.zeros([height, width, 1], np.float32)
  mask[:, width - width // 2 :] = 1
  return mask


def free_form_of(name: str, share: str, height: int, width: int) -> 'tf.Tensor':
  """The brush strokes that belong to an image: drawn until they fill the bin.

  Args:
    name: of the image; the same name has the same mask, on every machine.
    share: which part of the image is painted, a name in BINS; the lower end
      belongs to a bin, the upper does not.
    height: of the image, pixels.
    width: of the image, pixels.

  Returns:
    float32 [height, width, 1] of zeros and ones.
  """
  low, high = BINS[share]
  digest = hashlib.sha256(f'{share} {name}'.encode()).digest()
  seed = tf.constant(np.frombuffer(digest[:8], '<i4').astype(np.int32))

  return masks.draw_until(
    lambda seed: masks.free_form(seed, height, width),
    lambda area: (low <= area) & (area < high),
    seed,
  )


def read_released(path: str, share: str) -> np.ndarray:
  """The masks that were published with Palette's results, still packed.

  Args:
    path: the .npz file; its masks are 256x256.
    share: a name in BINS.

  Returns:
    uint8 [n, 8192]; `unpack_released` makes a mask of a row.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is another file.
  """
  try:
    with open(path, 'rb') as raw, np.load(raw) as file:
      packed = file[f'{share} freeform']
  except (KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
    raise ValueError(
      f'{path} is not the file of the published masks: {error}. It has '
      f'{", ".join(repr(f"{name} freeform") for name in BINS)}.'
    ) from error
  if packed.dtype != np.uint8 or packed.size % 8192:
    raise ValueError(
      f'{path}: {share} is {packed.dtype} {packed.shape}; it should be bytes, '
      '8,192 for each mask of 256x256.'
    )
  return packed.reshape(-1, 8192)


def unpack_released(row: np.ndarray) -> np.ndarray:
  """uint8 [8192] -> float32 [256, 256, 1] of zeros and ones."""
  return np.unpackbits(row).reshape(256, 256, 1).astype(np.float32)
