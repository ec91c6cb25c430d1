"""How alike two images are, pixel by pixel: PSNR, SSIM, MS-SSIM.

The paper warns of the first two as measures of quality, since they prefer
blurred outputs (Palette, section 4), and measures diversity by the third
(section 5.6). All are of RGB, the mean over channels, of levels up to 255.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

# Wang et al. 2004: the constants, and a Gaussian window of 11x11.
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SIDE = 11
_WINDOW = np.exp(-(np.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
# Numbers of float32 whose sum is 1 to the last bit: what it is short of, a flat
# image would have as its variance.
_WINDOW = np.round(_WINDOW / _WINDOW.sum() * 2**24) / 2**24
_WINDOW[5] += 1 - _WINDOW.sum()
# Wang, Simoncelli and Bovik 2003: the scales' exponents, finest first.
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def psnr(
  a_u8: UInt8[Array, 'b h w 3'], b_u8: UInt8[Array, 'b h w 3']
) -> Float[Array, ' b']:
  """Peak signal-to-noise ratio in dB; infinite for equal images."""
  # Whole numbers: a sum of float32 squares would round above 2^24.
  apart = jnp.abs(a_u8.astype(jnp.int32) - b_u8.astype(jnp.int32))
  rows = jnp.sum(apart**2, axis=(2, 3)).astype(jnp.float32)
  error = jnp.sum(rows, axis=1) / (3 * a_u8.shape[1] * a_u8.shape[2])
  return 20 * jnp.log10(255.0) - 10 * jnp.log10(error)


def ssim(
  a_u8: UInt8[Array, 'b h w 3'], b_u8: UInt8[Array, 'b h w 3']
) -> Float[Array, ' b']:
  """Structural similarity (Wang et al. 2004), at most 1, which is equal.

  Windows lie inside the image (VALID), as in tf.image.ssim. scikit-image's
  defaults are others: a uniform window of 7x7.

  Raises:
    ValueError: if a side is below 11 pixels.
  """
  _check_sides(a_u8.shape)
  likeness, contrast = _windows(_centred(a_u8), _centred(b_u8))
  return jnp.mean(likeness * contrast, axis=(1, 2, 3))


def scales(height: int, width: int) -> int:
  """Of how many scales MS-SSIM is: the paper's five from 176 pixels on.

  Raises:
    ValueError: if a side is below 11 pixels.
  """
  _check_sides((1, height, width, 3))
  count = (min(height, width) // SIDE).bit_length()
  return min(count, len(_EXPONENTS))


def ms_ssim(
  a_u8: UInt8[Array, 'b h w 3'], b_u8: UInt8[Array, 'b h w 3']
) -> Float[Array, ' b']:
  """Multi-scale structural similarity (Wang et al. 2003), from 0 to 1.

  Images below 176 pixels have fewer `scales`, whose exponents are divided by
  their sum. Negative contrasts count as 0, as in tf.image.ssim_multiscale.

  Raises:
    ValueError: if a side is below 11 pixels.
  """
  exponents = np.array(_EXPONENTS[: scales(*a_u8.shape[1:3])], np.float32)
  a, b, product = _centred(a_u8), _centred(b_u8), 1.0
  for i, exponent in enumerate(exponents / exponents.sum()):
    if i:
      a, b = _halved(a), _halved(b)
    likeness, contrast = _windows(a, b)
    if i == len(exponents) - 1:
      contrast = likeness * contrast
    by_channel = jnp.mean(contrast, axis=(1, 2))
    product *= jnp.maximum(by_channel, 0) ** exponent
  return jnp.mean(product, axis=1)


def _windows(a, b):
  """Likeness of means, and of contrast and structure, at every window.

  Both as 1 less a share, of the difference d and the sum s of the two images:
  2 cov(a, b) = var a + var b - var d. What is nearly 1 is then right to the
  last bits, where covariances of bright regions would have lost them.
  """
  d, s = a - b, a + b
  blurred = _blur(jnp.concatenate([d, s, d**2, s**2], axis=3))
  mean_d, mean_s, square_d, square_s = jnp.split(blurred, 4, axis=3)
  var_d, var_s = square_d - mean_d**2, square_s - mean_s**2
  contrast = 1 - var_d / ((var_d + var_s) / 2 + _C2)
  mean_s += 255  # which made squares small
  return 1 - mean_d**2 / ((mean_d**2 + mean_s**2) / 2 + _C1), contrast


def _blur(image):
  """Means weighted by the window: sums, which no device does in bf16."""
  for axis in (1, 2):
    length = image.shape[axis] - SIDE + 1
    image = sum(
      float(weight) * jax.lax.slice_in_dim(image, i, i + length, axis=axis)
      for i, weight in enumerate(_WINDOW)
    )
  return image


def _halved(image):
  """Means of 2x2 pixels; an odd last row or column is repeated."""
  _, height, width, _ = image.shape
  odd = [(0, 0), (0, height % 2), (0, width % 2), (0, 0)]
  image = jnp.pad(image, odd, mode='edge')
  rows = image[:, ::2] + image[:, 1::2]
  return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4


def _centred(image_u8):
  return image_u8.astype(jnp.float32) - 127.5


def _check_sides(shape):
  if min(shape[1:3]) < SIDE:
    raise ValueError(
      f'Images of {shape[1]}x{shape[2]} are too small for SSIM, whose window '
      f'is {SIDE}x{SIDE} pixels.'
    )
