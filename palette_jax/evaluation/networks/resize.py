"""Resizing as others do it: each dialect is two matrices, one an axis.

What a program calls bilinear or bicubic differs in where it takes a pixel to
lie, in whether it averages when it shrinks, and in the cubic; FID moves with
each (Parmar et al. 2022, "On aliased resizing"). All are linear and work on
rows and columns apart, so that a dialect is what makes its matrix.
"""

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

# size in, size out -> [out, in]; the rows of a matrix sum to one.
Dialect = Callable[[int, int], np.ndarray]


def apply(
  images: UInt8[Array, 'b h w 3'] | Float[Array, 'b h w 3'],
  height: int,
  width: int,
  dialect: Dialect,
) -> Float[Array, 'b {height} {width} 3']:
  """Resizes. Nothing is rounded or clipped: a cubic may leave the range.

  Args:
    images: of any range.
    height: in pixels, of the result.
    width: in pixels, of the result.
    dialect: one of this file.
  """
  rows = dialect(images.shape[1], height)
  columns = dialect(images.shape[2], width)
  images = images.astype(jnp.float32)
  # A TPU multiplies in bfloat16 unless told not to: 8 bits would not survive.
  images = jnp.einsum('oh,bhwc->bowc', rows, images, precision='highest')
  return jnp.einsum('ow,bhwc->bhoc', columns, images, precision='highest')


def tf1_bilinear(size: int, out: int) -> np.ndarray:
  """`tf.compat.v1.image.resize_bilinear`: pixel i lies at i, nothing averages.

  It is what the graph of 2015 has inside, and the networks of FID since.
  """
  # In float32, as TensorFlow: where a pixel falls between two is 1e-5 off.
  position = np.arange(out, dtype=np.float32) * np.float32(size / out)
  return _between(position, size)


def torch_bilinear(size: int, out: int) -> np.ndarray:
  """`torch.nn.functional.interpolate(mode='bilinear')`: no averaging."""
  return _between(np.maximum(_centres(size, out), 0), size)


def torch_bicubic(size: int, out: int) -> np.ndarray:
  """`torch.nn.functional.interpolate(mode='bicubic')`: no averaging.

  Keys' cubic with a = -0.75; pixels beyond the edge repeat it.
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
  """Pillow's BILINEAR, of images in mode 'F': averages when it shrinks."""
  return _averaging(size, out, 1, lambda x: np.maximum(1 - np.abs(x), 0))


def pil_bicubic(size: int, out: int) -> np.ndarray:
  """Pillow's BICUBIC (a = -0.5), of images in mode 'F': averages likewise."""
  return _averaging(size, out, 2, functools.partial(_cubic, a=-0.5))


def centre_224(
  images: UInt8[Array, 'b h w 3'], dialect: Dialect
) -> Float[Array, 'b 224 224 3']:
  """The middle 224x224 of images that are brought to a short side of 256.

  How classifiers are tested. Images of 256x256 are cropped and no more.
  """
  height, width = images.shape[1:3]
  short = min(height, width)
  if short != 256:
    height, width = 256 * height // short, 256 * width // short
    images = apply(images, height, width, dialect)
  top, left = round((height - 224) / 2), round((width - 224) / 2)
  images = images[:, top : top + 224, left : left + 224]
  return images.astype(jnp.float32)


def _centres(size, out):
  """Where the middles of new pixels lie among the middles of old ones."""
  scale = np.float32(size / out)  # in float32, as PyTorch
  return (np.arange(out, dtype=np.float32) + np.float32(0.5)) * scale - (
    np.float32(0.5)
  )


def _between(position, size):
  """Each position by its two neighbours; beyond the last there is the last."""
  low = np.floor(position).astype(int)
  high = np.minimum(low + 1, size - 1)
  share = position - low.astype(np.float32)
  matrix, rows = (
    np.zeros([len(position), size], np.float32),
    np.arange(len(low)),
  )
  np.add.at(matrix, (rows, low), 1 - share)
  np.add.at(matrix, (rows, high), share)
  return matrix


def _averaging(size, out, support, kernel):
  """A kernel as wide as a new pixel, if that is wider than an old one."""
  scale = size / out
  width = max(scale, 1.0)
  centre = (np.arange(out)[:, None] + 0.5) * scale
  # Pillow cuts the kernel where a pixel is further than half a pixel out.
  first = np.floor(np.maximum(centre - support * width + 0.5, 0))
  last = np.floor(np.minimum(centre + support * width + 0.5, size))
  pixel = np.arange(size)[None]
  weights = kernel((pixel - centre + 0.5) / width)
  weights = np.where((first <= pixel) & (pixel < last), weights, 0.0)
  return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _cubic(x, a):
  """Keys' cubic convolution kernel (1981)."""
  x = np.abs(x)
  near = ((a + 2) * x - (a + 3)) * x * x + 1
  far = a * (((x - 5) * x + 8) * x - 4)
  return np.where(x < 1, near, np.where(x < 2, far, 0.0))
