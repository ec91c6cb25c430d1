"""Luminance transfer: colour of a small image, luma of the large photo.

The network paints a few hundred pixels a side; eyes see colour no sharper than
that, so a 24-megapixel scan keeps all of its own detail and only takes colour.
Colour is represented by the differences R-Y, G-Y, B-Y of gamma-encoded sRGB
with BT.601's luma Y. The task makes photos grey by the same Y
(palette_jax/tasks/colorization.py), so the grey version of the result is the
photo. CIE Lab would keep another lightness, and leaves sRGB's gamut in more
ways.

Differences are enlarged bicubically. The detail that luma has beyond its own
enlargement then shifts them, by their slope over luma in a small window (as in
the guided filter, He et al. 2013, fitted to the small image, He and Sun 2015),
so that colours end at the edges of objects. On the package's 15 photos, with
the true colours at 128 pixels, that gives 38.5 dB, against 37.5 for bicubic
enlargement alone and 36.4 for the guided filter alone; at 64, 35.7 against
34.8.

A difference that would leave the gamut is scaled down, at the same luma and
hue: grey of any luma is in the gamut, so luma is always kept.
"""

import math

import numpy as np
from jaxtyping import Float
from PIL import Image

from palette_jax import images

RADIUS = 1  # of the window of the fit, in pixels of the small image
FLATNESS = 0.05**2  # variance of luma in [0, 1] below which it guides little
_ROWS = 256  # rows of the photo at a time, to bound memory


def small_size(
  height: int, width: int, side: int, multiple: int = 32
) -> tuple[int, int]:
  """Returns the size at which the network sees a photo.

  Args:
    height: height of the photo in pixels.
    width: width of the photo in pixels.
    side: geometric mean of the result's sides, approximately.
    multiple: both sides are multiples of it.

  Returns:
    Height and width; the aspect ratio is kept up to rounding, and no side is
    shorter than one multiple.
  """
  scale = side / math.sqrt(height * width)
  rows, columns = (
    max(1, round(length * scale / multiple)) for length in (height, width)
  )
  return rows * multiple, columns * multiple


def resize(
  image: Float[np.ndarray, 'h w c'],
  height: int,
  width: int,
  kernel: Image.Resampling = Image.Resampling.BILINEAR,
  box: tuple[float, float, float, float] | None = None,
) -> Float[np.ndarray, 'y x c']:
  """Resizes an image of any range, with antialiasing when it shrinks.

  Args:
    image: float32 image.
    height: height of the result in pixels.
    width: width of the result in pixels.
    kernel: Pillow's kernel.
    box: left, top, right, bottom of the part to resize; the kernel also uses
      pixels beyond it.
  """
  planes = [
    Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(
      (width, height), kernel, box
    )
    for plane in np.moveaxis(image, -1, 0)
  ]
  return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def add_colour(
  luma: Float[np.ndarray, 'h w 1'], coloured: Float[np.ndarray, 'y x 3']
) -> Float[np.ndarray, 'h w 3']:
  """Returns a photo with the colours of a small image.

  Args:
    luma: luma of the photo in [0, 1] (`photo.luma`).
    coloured: the network's image in [-1, 1], of any size.

  Returns:
    float32 in [-1, 1], with the luma of the photo.
  """
  height, width, _ = luma.shape
  guide = resize(luma, *coloured.shape[:2])
  differences = _differences(coloured)
  small = np.concatenate([differences, guide, _slope(guide, differences)], -1)
  merged = np.empty([height, width, 3], np.float32)
  for first in range(0, height, _ROWS):
    rows = slice(first, min(first + _ROWS, height))
    y = luma[rows]
    large = _enlarged(small, rows, height, width)
    difference = large[..., :3] + large[..., 4:] * (y - large[..., 3:4])
    merged[rows] = 2 * (y + _fitting(y, difference)) - 1
  return merged


def _differences(
  image: Float[np.ndarray, 'y x 3'],
) -> Float[np.ndarray, 'y x 3']:
  """Returns R-Y, G-Y, B-Y of an image in [-1, 1], for levels in [0, 1]."""
  levels = (image.astype(np.float32) + 1) / 2
  return levels - images.luma(levels)


def _slope(
  guide: Float[np.ndarray, 'y x 1'], values: Float[np.ndarray, 'y x 3']
) -> Float[np.ndarray, 'y x 3']:
  """Returns the local slope of values over the guide."""
  mean, means = _around(guide), _around(values)
  variance = np.maximum(_around(guide * guide) - mean * mean, 0)
  covariance = _around(guide * values) - mean * means
  return _around(covariance / (variance + np.float32(FLATNESS)))


def _around(image: Float[np.ndarray, 'y x c']) -> Float[np.ndarray, 'y x c']:
  """Returns the mean over windows of 2 * RADIUS + 1 pixels, edges repeated."""
  pad = [(RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0)]
  padded = np.pad(image.astype(np.float64), pad, mode='edge')
  for axis in (0, 1):
    windows = np.lib.stride_tricks.sliding_window_view(
      padded, 2 * RADIUS + 1, axis=axis
    )
    padded = windows.mean(axis=-1)
  return padded.astype(np.float32)


def _enlarged(
  small: Float[np.ndarray, 'y x c'], rows: slice, height: int, width: int
) -> Float[np.ndarray, 'r {width} c']:
  """Returns some rows of the bicubically enlarged image."""
  y, x, _ = small.shape
  # The kernel uses pixels beyond the box: strips join without a seam.
  box = (0.0, rows.start * y / height, float(x), rows.stop * y / height)
  size = (rows.stop - rows.start, width)
  return resize(small, *size, Image.Resampling.BICUBIC, box)


def _fitting(
  y: Float[np.ndarray, 'h w 1'], difference: Float[np.ndarray, 'h w 3']
) -> Float[np.ndarray, 'h w 3']:
  """Returns the difference, scaled down into sRGB's gamut at luma y."""
  room = np.where(difference > 0, 1 - y, -y)  # has the difference's sign
  with np.errstate(divide='ignore', invalid='ignore'):
    share = np.where(difference == 0, np.float32(1), room / difference)
  return difference * np.clip(share.min(-1, keepdims=True), 0, 1)
