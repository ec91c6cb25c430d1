"""The parts of the network: convolution, residual block, self-attention.

They follow guided-diffusion (Dhariwal and Nichol 2021, appendix A), which
Palette builds on: parameters, normalisation and softmax are in float32, and all
other arithmetic is in `dtype`.
"""

from collections.abc import Callable

import einops
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import ad_checkpoint
from jax.typing import DTypeLike
from jaxtyping import Array, Float

KEPT = 'kept'  # name of the arrays that remat keeps besides a block's input

# U(+-1 / sqrt(fan_in)), PyTorch's initial weights, as in guided-diffusion.
_uniform = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


class Conv(nn.Module):
  """A convolution, padded equally on both sides.

  Unlike Flax's, it adds the bias in float32, so that the bias's gradient, too,
  is summed over all pixels in float32.

  Attributes:
    features: number of output channels.
    dtype: type of the products and of the output.
    size: side of the kernel in pixels, odd.
    stride: distance in pixels between the positions of the kernel; the output
      has 1/stride of the height and width.
    dilation: distance in pixels between neighbours in the kernel.
    zero: whether the kernel's initial weights are zero.
  """

  features: int
  dtype: DTypeLike
  size: int = 3
  stride: int = 1
  dilation: int = 1
  zero: bool = False

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 d']:
    init = nn.initializers.zeros if self.zero else _uniform
    shape = [self.size, self.size, x.shape[-1], self.features]
    kernel = self.param('kernel', init, shape)
    bias = self.param('bias', nn.initializers.zeros, [self.features])
    margin = self.dilation * (self.size // 2)  # 'SAME' is one-sided at stride 2
    x = jax.lax.conv_general_dilated(
      x.astype(self.dtype),
      kernel.astype(self.dtype),
      window_strides=(self.stride, self.stride),
      padding=[(margin, margin)] * 2,
      rhs_dilation=(self.dilation, self.dilation),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    x = x.astype(jnp.float32) + bias[None, None, None]
    return x.astype(self.dtype)


def dense(
  features: int, dtype: DTypeLike, name: str, *, zero: bool = False
) -> nn.Dense:
  """Returns a dense layer over the last axis."""
  init = nn.initializers.zeros if zero else _uniform
  return nn.Dense(features, dtype=dtype, kernel_init=init, name=name)


class GroupNorm(nn.Module):
  """Normalises each group of channels over all pixels, always in float32.

  Its parameters and its output are those of Flax's GroupNorm, which forms
  groups before it sums over pixels. This one sums each channel, then groups the
  sums and applies one factor and one summand to each pixel, as PyTorch does. On
  a CPU, XLA takes a quarter of the time for it; no device does more work.

  Attributes:
    groups: number of groups. The norm removes the mean and scale that a group's
      channels share: a group of one channel loses the image's brightness or
      colour.
  """

  groups: int

  @nn.compact
  def __call__(
    self,
    x: Float[Array, 'b h w c'],
    factor: Float[Array, 'b c'] | float = 1.0,
    summand: Float[Array, 'b c'] | float = 0.0,
  ) -> Float[Array, 'b h w c']:
    """Returns normalised(x) * factor + summand."""
    channels = x.shape[-1]
    scale = self.param('scale', nn.initializers.ones, [channels])[None]
    bias = self.param('bias', nn.initializers.zeros, [channels])[None]
    x = x.astype(jnp.float32)

    def mean_of_group(
      values: Float[Array, 'b h w c'],
    ) -> Float[Array, 'b c']:
      means = jnp.mean(values, axis=(1, 2))
      means = einops.reduce(means, 'b (g c) -> b g', 'mean', g=self.groups)
      means = ad_checkpoint.checkpoint_name(means, KEPT)  # sum only once
      return einops.repeat(means, 'b g -> b (g c)', c=channels // self.groups)

    mean = mean_of_group(x)
    variance = jnp.maximum(mean_of_group(x * x) - mean * mean, 0.0)
    gain = jax.lax.rsqrt(variance + 1e-5) * scale
    summand = (bias - mean * gain) * factor + summand
    return x * (gain * factor)[:, None, None] + summand[:, None, None]


def downsample(x: Float[Array, 'b h w c']) -> Float[Array, 'b h//2 w//2 c']:
  """Averages 2x2 pixels."""
  return nn.avg_pool(x, (2, 2), strides=(2, 2))


def upsample(x: Float[Array, 'b h w c']) -> Float[Array, 'b 2*h 2*w c']:
  """Repeats every pixel 2x2 times."""
  return einops.repeat(x, 'b h w c -> b (h i) (w j) c', i=2, j=2)


class ResBlock(nn.Module):
  """Norm, SiLU and convolution, twice, with a shortcut around them.

  The noise level scales and shifts the second normalisation. The last
  convolution starts at zero, so that the block starts as its shortcut.

  Attributes:
    features: number of output channels.
    groups: number of groups of channels that are normalised together.
    dtype: type of the arithmetic.
    resample: `downsample`, `upsample` or None, applied to both branches.
    dilation: dilation of both convolutions.
  """

  features: int
  groups: int
  dtype: DTypeLike
  resample: Callable[[Array], Array] | None = None
  dilation: int = 1

  @nn.compact
  def __call__(
    self,
    x: Float[Array, 'b h w c'],
    emb: Float[Array, 'b e'],
    skip: Float[Array, 'b h w c2'] | None = None,
  ) -> Float[Array, 'b h2 w2 d']:
    """Applies the block.

    Args:
      x: the input.
      emb: the embedding of the noise level.
      skip: more input channels. The block itself appends them, so that remat
        does not keep the concatenated array.
    """
    if skip is not None:
      x = jnp.concatenate([x, skip], axis=-1)
    h = nn.silu(GroupNorm(self.groups, name='norm_in')(x).astype(self.dtype))
    if self.resample is not None:
      h, x = self.resample(h), self.resample(x)
    h = Conv(self.features, self.dtype, dilation=self.dilation, name='conv_in')(
      h
    )
    h = ad_checkpoint.checkpoint_name(h, KEPT)

    modulation = dense(2 * self.features, jnp.float32, 'emb')(nn.silu(emb))
    scale, shift = jnp.split(modulation, 2, axis=-1)
    h = GroupNorm(self.groups, name='norm_out')(h, 1.0 + scale, shift)
    h = h.astype(self.dtype)
    h = Conv(
      self.features,
      self.dtype,
      dilation=self.dilation,
      zero=True,
      name='conv_out',
    )(nn.silu(h))
    if x.shape[-1] != self.features:
      x = Conv(self.features, self.dtype, size=1, name='shortcut')(x)
    return x + h


class SelfAttention(nn.Module):
  """Self-attention, global or within windows (section 5.5).

  Attributes:
    head_channels: channels of each head, which determine the number of heads.
    groups: number of groups of channels that are normalised together.
    dtype: type of the arithmetic; the softmax is in float32.
    windows: number of windows along each side; 1 is global self-attention.
  """

  head_channels: int
  groups: int
  dtype: DTypeLike
  windows: int = 1

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
    height, width, channels = x.shape[1:]
    windows = dict(i=self.windows, j=self.windows)
    h = GroupNorm(self.groups, name='norm')(x).astype(self.dtype)
    qkv = dense(3 * channels, self.dtype, 'qkv')(h)
    qkv = ad_checkpoint.checkpoint_name(qkv, KEPT)
    query, key, value = einops.rearrange(
      qkv,
      'b (i h) (j w) (three heads d) -> three (b i j) (h w) heads d',
      three=3,
      d=self.head_channels,
      **windows,
    )
    out = jax.nn.dot_product_attention(query, key, value)
    out = einops.rearrange(
      out,
      '(b i j) (h w) heads d -> b (i h) (j w) (heads d)',
      h=height // self.windows,
      w=width // self.windows,
      **windows,
    )
    return x + dense(channels, self.dtype, 'out', zero=True)(out)
