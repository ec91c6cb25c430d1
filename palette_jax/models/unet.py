"""The network f(cond, y_t, gamma): guided-diffusion's 256x256 U-Net.

Palette, section 3: no class label; the condition is concatenated to the noisy
image; gamma in place of the time step. With the default settings it has
552,814,083 parameters, the 552M of the paper's Table 5.

Next: palette_jax/diffusion/schedule.py
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from palette_jax.models import blocks, embeddings

DTYPES = ('bfloat16', 'float32')  # float16 would need a scaled loss


class UNet(nn.Module):
  """Down over the levels, through the middle, up again over the skips.

  Attributes:
    channels: of the first level.
    channel_mult: of each level, in multiples of `channels`.
    num_res_blocks: per level on the way down; one more on the way up.
    attention: 'global', the paper's base model.
    attention_levels: levels, counted from 0, that have self-attention.
    head_channels: channels of one attention head.
    dtype: of the arithmetic, 'bfloat16' or 'float32'.
  """

  channels: int = 256
  channel_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
  num_res_blocks: int = 2
  attention: str = 'global'
  attention_levels: tuple[int, ...] = (3, 4, 5)  # 32x32, 16x16, 8x8 of 256x256
  head_channels: int = 64
  dtype: str = 'bfloat16'

  @nn.compact
  def __call__(
    self,
    y_t: Float[Array, 'b h w 3'],
    cond: Float[Array, 'b h w 3'],
    gamma: Float[Array, ' b'],
  ) -> Float[Array, 'b h w 3']:
    """Predicts the noise in y_t (or the image, for the regression baseline).

    Args:
      y_t: the noisy image.
      cond: the degraded image.
      gamma: the noise level, in [0, 1].

    Returns:
      float32, zeros for fresh weights.
    """
    check(self, *y_t.shape[1:3])
    dtype = jnp.dtype(self.dtype)
    levels = [self.channels * mult for mult in self.channel_mult]
    emb = embeddings.NoiseLevel(self.channels, name='noise_level')(gamma)

    def block(h, features, name, *, resample=None):
      return blocks.ResBlock(features, dtype, resample, name=name)(h, emb)

    def attend(h, level, name):
      if level not in self.attention_levels:
        return h
      return blocks.SelfAttention(self.head_channels, dtype, name=name)(h)

    h = jnp.concatenate([cond, y_t], axis=-1).astype(dtype)
    h = blocks.conv(levels[0], dtype, 'conv_in')(h)
    skips = [h]
    for level, features in enumerate(levels):
      for i in range(self.num_res_blocks):
        h = block(h, features, f'down{level}_block{i}')
        h = attend(h, level, f'down{level}_attention{i}')
        skips.append(h)
      if level + 1 < len(levels):
        name = f'down{level}_resample'
        h = block(h, features, name, resample=blocks.downsample)
        skips.append(h)

    h = block(h, levels[-1], 'middle_block0')
    h = blocks.SelfAttention(
      self.head_channels, dtype, name='middle_attention'
    )(h)
    h = block(h, levels[-1], 'middle_block1')

    for level, features in reversed(list(enumerate(levels))):
      for i in range(self.num_res_blocks + 1):
        h = jnp.concatenate([h, skips.pop()], axis=-1)
        h = block(h, features, f'up{level}_block{i}')
        h = attend(h, level, f'up{level}_attention{i}')
      if level > 0:
        name = f'up{level}_resample'
        h = block(h, features, name, resample=blocks.upsample)

    h = nn.silu(blocks.norm('norm_out')(h))
    return blocks.conv(3, jnp.float32, 'conv_out', zero=True)(h)


def check(model: UNet, height: int, width: int) -> None:
  """Refuses settings and image sizes that the network cannot work with.

  Raises:
    ValueError: naming the setting, what was found and what fits.
  """
  multiple = 2 ** (len(model.channel_mult) - 1)
  if height % multiple or width % multiple:
    raise ValueError(
      f'The network halves the image {len(model.channel_mult) - 1} times, so '
      f'height and width must be multiples of {multiple}; got {height}x{width}.'
    )
  if model.channels % blocks.GROUPS:
    raise ValueError(
      f'model.channels must be a multiple of {blocks.GROUPS}, the number of '
      f'groups that are normalised; got {model.channels}.'
    )
  if model.dtype not in DTYPES:
    raise ValueError(f'model.dtype: {model.dtype!r} is not one of {DTYPES}.')
  if model.attention != 'global':
    raise ValueError(
      f'model.attention={model.attention!r}: this version of the network has '
      'global attention only.'
    )
  attended = {len(model.channel_mult) - 1, *model.attention_levels}
  for level in attended:
    if not 0 <= level < len(model.channel_mult):
      raise ValueError(
        f'model.attention_levels: level {level} does not exist; there are '
        f'{len(model.channel_mult)}, counted from 0.'
      )
    features = model.channels * model.channel_mult[level]
    if features % model.head_channels:
      raise ValueError(
        f'model.head_channels: {model.head_channels} does not divide the '
        f'{features} channels of level {level}.'
      )
