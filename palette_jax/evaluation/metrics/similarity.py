"""Pixelwise similarity of two images: PSNR, SSIM and MS-SSIM.

The paper warns against the first two as measures of quality, since they prefer
blurred outputs (Palette, section 4), and uses the third to measure diversity
(section 5.6). All take RGB levels up to 255 and average over channels.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

# The constants and the 11x11 Gaussian window of Wang et al. 2004.
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SIDE = 11
_WINDOW = np.exp(-(np.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
# Weights that are exact in float32 and sum to exactly 1: any shortfall would
# appear as variance in a flat image.
_WINDOW = np.round(_WINDOW / _WINDOW.sum() * 2**24) / 2**24
_WINDOW[5] += 1 - _WINDOW.sum()
# Exponents of the scales, finest first (Wang, Simoncelli and Bovik 2003).
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def psnr(
  a_u8: UInt8[Array, 'b h w 3'], b_u8: UInt8[Array, 'b h w 3']
) -> Float[Array, ' b']:
  """Returns the peak signal-to-noise ratio in dB; infinite for equal images."""
  # Integers: a sum of float32 squares would round above 2^24.
  difference = a_u8.astype(jnp.int32) - b_u8.astype(jnp.int32)
  rows = jnp.sum(difference**2, axis=(2, 3)).astype(jnp.float32)
  error = jnp.sum(rows, axis=1) / (3 * a_u8.shape[1] * a_u8.shape[2])
  return 20 * jnp.log10(255.0) - 10 * jnp.log10(error)


def ssim(
  a_u8: UInt8[Array, 'b h w 3'], b_u8: UInt8[Array, 'b h w 3']
) -> Float[Array, ' b']:
  """Returns the structural similarity (Wang et al. 2004); 1 for equal images.

  Windows lie inside the image (VALID), as in tf.image.ssim. scikit-image's
  default differs: a uniform window of 7x7.

  Raises:
    ValueError: if a side is below 11 pixels.
  """
  _check_sides(a_u8.shape)
  luminance, contrast = _windows(_centred(a_u8), _centred(b_u8))
  return jnp.mean(luminance * contrast, axis=(1, 2, 3))


def scales(height: int, width: int) -> int:
  """Returns the number of scales of MS-SSIM: five from 176 pixels on.

  Raises:
    ValueError: if a side is below 11 pixels.
  """
  _check_sides((1, height, width, 3))
  count = (min(height, width) // SIDE).bit_length()
  return min(count, len(_EXPONENTS))


def ms_ssim(
  a_u8: UInt8[Array, 'b h w 3'], b_u8: UInt8[Array, 'b h w 3']
) -> Float[Array, ' b']:
  """Returns the multi-scale structural similarity (Wang et al. 2003), 0 to 1.

  Images below 176 pixels have fewer `scales`, whose exponents are renormalised.
  Negative contrasts count as 0, as in tf.image.ssim_multiscale.

  Raises:
    ValueError: if a side is below 11 pixels.
  """
  exponents = np.array(_EXPONENTS[: scales(*a_u8.shape[1:3])], np.float32)
  a, b = _centred(a_u8), _centred(b_u8)
  product = jnp.ones([len(a), a.shape[-1]])
  for i, exponent in enumerate(exponents / exponents.sum()):
    if i:
      a, b = _halved(a), _halved(b)
    luminance, contrast = _windows(a, b)
    if i == len(exponents) - 1:
      contrast = luminance * contrast
    by_channel = jnp.mean(contrast, axis=(1, 2))
    product *= jnp.maximum(by_channel, 0) ** exponent
  return jnp.mean(product, axis=1)


def _windows(
  a: Float[Array, 'b h w c'], b: Float[Array, 'b h w c']
) -> tuple[Float[Array, 'b y x c'], Float[Array, 'b y x c']]:
  """Returns the luminance term and the contrast-structure term of all windows.

  Both are computed as 1 minus a fraction, from the difference d and the sum s
  of the two images: 2 cov(a, b) = var a + var b - var d. Values close to 1 are
  then accurate to the last bits, which covariances of bright regions lose.
  """
  d, s = a - b, a + b
  blurred = _blur(jnp.concatenate([d, s, d**2, s**2], axis=3))
  mean_d, mean_s, square_d, square_s = jnp.split(blurred, 4, axis=3)
  var_d, var_s = square_d - mean_d**2, square_s - mean_s**2
  contrast = 1 - var_d / ((var_d + var_s) / 2 + _C2)
  mean_s += 255  # which _centred has subtracted to keep squares small
  return 1 - mean_d**2 / ((mean_d**2 + mean_s**2) / 2 + _C1), contrast


def _blur(image: Float[Array, 'b h w c']) -> Float[Array, 'b y x c']:
  """Returns windowed means, as sums: convolutions may be computed in bf16."""
  for axis in (1, 2):
    length = image.shape[axis] - SIDE + 1
    image = functools.reduce(
      jnp.add,
      [
        float(weight) * jax.lax.slice_in_dim(image, i, i + length, axis=axis)
        for i, weight in enumerate(_WINDOW)
      ],
    )
  return image


def _halved(image: Float[Array, 'b h w c']) -> Float[Array, 'b y x c']:
  """Returns means of 2x2 pixels; an odd last row or column is repeated."""
  _, height, width, _ = image.shape
  odd = [(0, 0), (0, height % 2), (0, width % 2), (0, 0)]
  image = jnp.pad(image, odd, mode='edge')
  rows = image[:, ::2] + image[:, 1::2]
  return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4


def _centred(image_u8: UInt8[Array, 'b h w c']) -> Float[Array, 'b h w c']:
  return image_u8.astype(jnp.float32) - 127.5


def _check_sides(shape: Sequence[int]) -> None:
  if min(shape[1:3]) < SIDE:
    raise ValueError(
      f'Images of {shape[1]}x{shape[2]} are too small for SSIM, whose window '
      f'is {SIDE}x{SIDE} pixels.'
    )
