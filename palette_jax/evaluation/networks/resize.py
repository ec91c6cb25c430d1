"""Resizing in the dialects of other programs, by one matrix for each axis.

What programs call bilinear or bicubic differs in the position of pixels, in
antialiasing, and in the cubic; FID depends on each (Parmar et al. 2022, "On
aliased resizing"). All are linear and separable, so a dialect is a function
that returns the matrix of an axis.
"""

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

# (size in, size out) -> [out, in]; the rows of a matrix sum to one.
Dialect = Callable[[int, int], np.ndarray]


def apply(
  images: UInt8[Array, 'b h w 3'] | Float[Array, 'b h w 3'],
  height: int,
  width: int,
  dialect: Dialect,
) -> Float[Array, 'b {height} {width} 3']:
  """Resizes images without rounding or clipping: a cubic may overshoot.

  Args:
    images: images of any range.
    height: height of the result in pixels.
    width: width of the result in pixels.
    dialect: one of the functions of this file.
  """
  rows = dialect(images.shape[1], height)
  columns = dialect(images.shape[2], width)
  images = images.astype(jnp.float32)
  # By default a TPU multiplies in bfloat16, which 8 bits do not survive.
  images = jnp.einsum('oh,bhwc->bowc', rows, images, precision='highest')
  return jnp.einsum('ow,bhwc->bhoc', columns, images, precision='highest')


def tf1_bilinear(size: int, out: int) -> np.ndarray:
  """Matches `tf.compat.v1.image.resize_bilinear`: pixel i at i, aliased.

  The graph of 2015 contains it, and FID networks have used it since.
  """
  # In float32, as in TensorFlow: positions between pixels are 1e-5 off.
  position = np.arange(out, dtype=np.float32) * np.float32(size / out)
  return _between(position, size)


def torch_bilinear(size: int, out: int) -> np.ndarray:
  """Matches torch's `interpolate(mode='bilinear')`, without antialiasing."""
  return _between(np.maximum(_centres(size, out), 0), size)


def torch_bicubic(size: int, out: int) -> np.ndarray:
  """Matches torch's `interpolate(mode='bicubic')`, without antialiasing.

  Keys' cubic with a = -0.75; edge pixels are repeated.
  """
  position = _centres(size, out)
  first = np.floor(position).astype(int)
  matrix = np.zeros([out, size], np.float32)
  for tap in range(-1, 3):
    weight = _cubic(position - (first + tap), -0.75)
    nearest = np.clip(first + tap, 0, size - 1)
    np.add.at(matrix, (np.arange(out), nearest), weight)
  return matrix


def pil_bilinear(size: int, out: int) -> np.ndarray:
  """Matches Pillow's BILINEAR for mode 'F', antialiased when it shrinks."""
  return _antialiased(size, out, 1, lambda x: np.maximum(1 - np.abs(x), 0))


def pil_bicubic(size: int, out: int) -> np.ndarray:
  """Matches Pillow's BICUBIC (a = -0.5) for mode 'F', also antialiased."""
  return _antialiased(size, out, 2, functools.partial(_cubic, a=-0.5))


def centre_224(
  images: UInt8[Array, 'b h w 3'], dialect: Dialect
) -> Float[Array, 'b 224 224 3']:
  """Resizes to a short side of 256 and crops the central 224x224.

  The usual preprocessing of classifiers. Images of 256x256 are only cropped.
  """
  height, width = images.shape[1:3]
  short = min(height, width)
  if short != 256:
    height, width = 256 * height // short, 256 * width // short
    images = apply(images, height, width, dialect)
  top, left = round((height - 224) / 2), round((width - 224) / 2)
  images = images[:, top : top + 224, left : left + 224]
  return images.astype(jnp.float32)


def _centres(size: int, out: int) -> Float[np.ndarray, '{out}']:
  """Returns the centres of output pixels in coordinates of input pixels."""
  scale, half = np.float32(size / out), np.float32(0.5)  # float32 as in PyTorch
  return (np.arange(out, dtype=np.float32) + half) * scale - half


def _between(
  position: Float[np.ndarray, ' out'], size: int
) -> Float[np.ndarray, 'out {size}']:
  """Returns the matrix of linear interpolation; the last pixel is repeated."""
  low = np.floor(position).astype(int)
  high = np.minimum(low + 1, size - 1)
  share = position - low.astype(np.float32)
  matrix = np.zeros([len(position), size], np.float32)
  rows = np.arange(len(low))
  np.add.at(matrix, (rows, low), 1 - share)
  np.add.at(matrix, (rows, high), share)
  return matrix


def _antialiased(
  size: int,
  out: int,
  support: int,
  kernel: Callable[[np.ndarray], np.ndarray],
) -> Float[np.ndarray, '{out} {size}']:
  """Returns the matrix of a kernel, which is widened when shrinking."""
  scale = size / out
  width = max(scale, 1.0)
  centre = (np.arange(out)[:, None] + 0.5) * scale
  # Pillow truncates the kernel half a pixel beyond its support.
  first = np.floor(np.maximum(centre - support * width + 0.5, 0))
  last = np.floor(np.minimum(centre + support * width + 0.5, size))
  pixel = np.arange(size)[None]
  weights = kernel((pixel - centre + 0.5) / width)
  weights = np.where((first <= pixel) & (pixel < last), weights, 0.0)
  return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
  """Returns Keys' cubic convolution kernel (1981)."""
  x = np.abs(x)
  near = ((a + 2) * x - (a + 3)) * x * x + 1
  far = a * (((x - 5) * x + 8) * x - 4)
  return np.where(x < 1, near, np.where(x < 2, far, 0.0))
