"""The holes of the paper's evaluation (Palette, section 5 and appendix C).

The hole of an image never changes. palette_jax/masks.py has those of training.
"""

import hashlib
import zipfile

import numpy as np
from etils import epy
from jaxtyping import Float, UInt8

from palette_jax import masks

with epy.lazy_imports():
  import tensorflow as tf

# The share of the image that a free-form hole covers.
BINS = {'10-20%': (0.1, 0.2), '20-30%': (0.2, 0.3), '30-40%': (0.3, 0.4)}


def centre(height: int, width: int) -> Float[np.ndarray, 'h w 1']:
  """Masks the middle, half as high and half as wide (Table 2): zeros and ones.

  The hole of a 256x256 image is 128x128.
  """
  mask = np.zeros([height, width, 1], np.float32)
  top, left = height // 4, width // 4
  mask[top : top + height // 2, left : left + width // 2] = 1
  return mask


def right_half(height: int, width: int) -> Float[np.ndarray, 'h w 1']:
  """Masks the right half, the hole of uncropping (appendix C.3)."""
  mask = np.zeros([height, width, 1], np.float32)
  mask[:, width - width // 2 :] = 1
  return mask


def free_form(
  share: str, name: str, height: int, width: int
) -> Float[np.ndarray, 'h w 1']:
  """Draws the brush strokes that belong to an image, until they fill the bin.

  Args:
    share: of the image that is painted, a name in BINS; a bin includes its
      lower end and excludes its upper one.
    name: of the image; the same name has the same mask, on every machine.
    height: of the image, pixels.
    width: of the image, pixels.

  Returns:
    float32 [height, width, 1] of zeros and ones.
  """
  low, high = BINS[share]
  digest = hashlib.sha256(f'{share} {name}'.encode()).digest()
  seed = tf.constant(np.frombuffer(digest[:8], '<i4').astype(np.int32))
  mask = masks.draw_until(
    lambda seed: masks.free_form(seed, height, width),
    lambda area: (low <= area) & (area < high),
    seed,
  )
  return mask.numpy()


def read_released(path: str, share: str) -> UInt8[np.ndarray, 'n 8192']:
  """Reads the masks published with Palette's results, as packed bits.

  Args:
    path: the .npz file; its masks are 256x256.
    share: a name in BINS.

  Returns:
    Rows for `unpack_released`.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if the file holds something else.
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


def unpack_released(
  row: UInt8[np.ndarray, '8192'],
) -> Float[np.ndarray, '256 256 1']:
  """Unpacks a row of the published masks to zeros and ones."""
  return np.unpackbits(row).reshape(256, 256, 1).astype(np.float32)
