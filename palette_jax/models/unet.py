"""The network f(cond, y_t, gamma): guided-diffusion's 256x256 U-Net.

Palette, section 3, removes the class label, concatenates the condition to the
noisy image, and conditions on gamma instead of the time step. By default the
network has 552,814,083 parameters, the 552M of the paper's Table 5.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from palette_jax import arrays
from palette_jax.models import blocks, embeddings

Map = Float[Array, 'b _ _ _']  # features at some resolution
Side = Any  # in pixels: an int, or a symbol of jax.export, such as 32*h
DTYPES = ('bfloat16', 'float32')  # float16 would need a scaled loss
# Layers after the residual blocks of the attention levels (Table 5): either
# self-attention, with this number of windows along each side of the map, or one
# more residual block, plain or dilated, in these parts of the network.
WINDOWS = {'global': 1, 'local': 2}
EXTRA_BLOCKS = {'more_blocks': ('down',), 'dilated': ('down', 'middle')}
ATTENTION = (*WINDOWS, *EXTRA_BLOCKS)
# Layers that always compute in float32, as all norms and the last layer do.
EXACT = {'noise_level', 'emb'}


class UNet(nn.Module):
  """The U-Net: down the levels, through the middle, up again with skips.

  Attributes:
    channels: channels of the first level.
    channel_mult: channels of each level, in multiples of `channels`.
    num_res_blocks: residual blocks of each level on the way down; the way up
      has one more.
    groups: number of groups of channels in every norm. In guided-diffusion,
      each of the 32 groups has eight channels or more; narrow networks take
      fewer groups (see blocks.GroupNorm).
    attention: one of ATTENTION; 'global' is the paper's base model.
    attention_levels: levels with attention, counted from 0; the middle always
      has it.
    head_channels: channels of an attention head.
    resblock_updown: whether to resample inside a residual block instead of by a
      convolution.
    noise_level: embedding of gamma, one of embeddings.POSITIONS.
    dtype: type of the arithmetic, 'bfloat16' or 'float32'.
    remat: whether to drop each block's intermediate arrays except blocks.KEPT
      and recompute them for the gradient: less memory, the same numbers.
  """

  channels: int = 256
  channel_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
  num_res_blocks: int = 2
  groups: int = 32
  attention: str = 'global'
  attention_levels: tuple[int, ...] = (3, 4, 5)  # 32x32, 16x16, 8x8 of 256x256
  head_channels: int = 64
  resblock_updown: bool = True
  noise_level: str = 'gamma_root'
  dtype: str = 'bfloat16'
  remat: bool = False

  if TYPE_CHECKING:  # Flax adds it, unseen by type checkers

    def __hash__(self) -> int: ...

  @nn.compact
  def __call__(
    self,
    y_t: Float[Array, 'b h w 3'],
    cond: Float[Array, 'b h w 3'],
    gamma: Float[Array, ' b'],
  ) -> Float[Array, 'b h w 3']:
    """Predicts the noise in y_t, or whatever else the objective asks for.

    Args:
      y_t: the noisy image.
      cond: the degraded image.
      gamma: the noise level, in [0, 1].

    Returns:
      The prediction in float32, all zeros for fresh weights.
    """
    check(self, *y_t.shape[1:3])
    levels = [self.channels * mult for mult in self.channel_mult]
    last = len(levels) - 1
    emb = embeddings.NoiseLevel(
      self.channels, self.noise_level, name='noise_level'
    )(gamma)

    h = jnp.concatenate([cond, y_t], axis=-1).astype(self.dtype)
    h = blocks.Conv(levels[0], self.dtype, name='conv_in')(h)
    skips = [h]
    for level, features in enumerate(levels):
      for i in range(self.num_res_blocks):
        dilation = self._dilation(h, level, 2 * i)
        h = self._block(h, emb, features, f'down{level}_block{i}', dilation)
        h = self._attention(h, emb, level, f'down{level}', i)
        skips.append(h)
      if level < last:
        h = self._resample(h, emb, features, f'down{level}_resample')
        skips.append(h)

    h = self._block(h, emb, levels[last], 'middle_block0')
    h = self._attention(h, emb, last, 'middle')
    h = self._block(h, emb, levels[last], 'middle_block1')

    for level, features in reversed(list(enumerate(levels))):
      for i in range(self.num_res_blocks + 1):
        name = f'up{level}_block{i}'
        h = self._block(h, emb, features, name, skip=skips.pop())
        h = self._attention(h, emb, level, f'up{level}', i)
      if level > 0:
        h = self._resample(h, emb, features, f'up{level}_resample')

    h = nn.silu(blocks.GroupNorm(self.groups, name='norm_out')(h))
    return blocks.Conv(3, jnp.float32, zero=True, name='conv_out')(h)

  def _block(
    self,
    h: Map,
    emb: Float[Array, 'b e'],
    features: int,
    name: str,
    dilation: int = 1,
    resample: Callable[[Array], Array] | None = None,
    skip: Map | None = None,
  ) -> Map:
    module = self._maybe_remat(blocks.ResBlock)
    block = module(
      features, self.groups, self.dtype, resample, dilation, name=name
    )
    return block(h, emb, skip)

  def _maybe_remat(self, module: type[nn.Module]) -> Callable[..., nn.Module]:
    if not self.remat:
      return module
    policy = jax.checkpoint_policies.save_only_these_names(blocks.KEPT)
    return nn.remat(module, policy=policy)

  def _attention(
    self, h: Map, emb: Float[Array, 'b e'], level: int, place: str, i: int = 0
  ) -> Map:
    """Applies self-attention, its replacement, or neither."""
    if level not in self.attention_levels and place != 'middle':
      return h
    if self.attention in WINDOWS:
      module = self._maybe_remat(blocks.SelfAttention)
      windows, name = WINDOWS[self.attention], f'{place}_attention{i}'
      sizes = self.head_channels, self.groups
      return module(*sizes, self.dtype, windows, name=name)(h)
    if not place.startswith(EXTRA_BLOCKS[self.attention]):
      return h
    dilation = self._dilation(h, level, 2 * i + 1)
    return self._block(h, emb, h.shape[-1], f'{place}_extra{i}', dilation)

  def _dilation(self, h: Map, level: int, index: int) -> int:
    """Returns 1, 2, 4, ... over a level's blocks, at most half the map."""
    if self.attention != 'dilated' or level not in self.attention_levels:
      return 1
    return min(2**index, max(1, min(h.shape[1:3]) // 2))

  def _resample(
    self, h: Map, emb: Float[Array, 'b e'], features: int, name: str
  ) -> Map:
    down = name.startswith('down')
    if self.resblock_updown:
      move = blocks.downsample if down else blocks.upsample
      return self._block(h, emb, features, name, resample=move)
    if down:
      return blocks.Conv(features, self.dtype, stride=2, name=name)(h)
    return blocks.Conv(features, self.dtype, name=name)(blocks.upsample(h))


@functools.cache  # tracing the network takes time
def shapes(model: UNet) -> arrays.Params:
  """Returns the shapes and types of the parameters without computing them."""
  multiple = size_multiple(model)
  image = jax.ShapeDtypeStruct([1, multiple, multiple, 3], jnp.float32)
  gamma = jax.ShapeDtypeStruct([1], jnp.float32)
  init = functools.partial(model.init, jax.random.key(0))
  return jax.eval_shape(init, image, image, gamma)['params']


def dtypes(model: UNet) -> arrays.Params:
  """Returns the type in which each parameter is used."""

  def dtype(
    path: tuple[jax.tree_util.DictKey, ...], leaf: jax.ShapeDtypeStruct
  ) -> jnp.dtype:
    names = {key.key for key in path}
    exact = leaf.ndim == 1 or names & EXACT or path[0].key == 'conv_out'
    return jnp.dtype(jnp.float32 if exact else model.dtype)

  return jax.tree_util.tree_map_with_path(dtype, shapes(model))


def summary(model: UNet) -> str:
  """Describes the network in one sentence, for the log."""
  leaves = jax.tree.leaves(shapes(model))
  count = sum(math.prod(leaf.shape) for leaf in leaves)
  levels = ', '.join(map(str, model.attention_levels)) or 'the middle only'
  return (
    f'{count:,} parameters; {model.channels} channels times '
    f'{model.channel_mult}, {model.num_res_blocks} blocks a level, '
    f'{model.groups} groups, attention ({model.attention}) at levels: '
    f'{levels}, {model.head_channels} channels a head, '
    f'resblock_updown={model.resblock_updown}, noise level as '
    f'{model.noise_level}.'
  )


def from_config(config: Mapping[str, Any]) -> UNet:
  """Returns the network of a `config.model`; JSON's lists become tuples."""
  fields: dict[str, Any] = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in config.items()
  }
  return UNet(**fields)


def to_config(model: UNet) -> dict[str, Any]:
  """Returns the `config.model` of a network."""
  unset = ('parent', 'name')
  fields = dataclasses.fields(model)  # ty: ignore[invalid-argument-type]
  names = [field.name for field in fields if field.name not in unset]
  return {name: getattr(model, name) for name in names}


def size_multiple(model: UNet) -> int:
  """Returns the number of which height and width must be multiples."""
  halvings = len(model.channel_mult) - 1
  return 2 ** (halvings + (model.attention == 'local'))


def check(model: UNet, height: Side, width: Side) -> None:
  """Checks a network's settings and that it takes images of this size.

  Raises:
    ValueError: naming the setting, its value and what fits.
  """
  for field, known in (
    ('dtype', DTYPES),
    ('attention', ATTENTION),
    ('noise_level', tuple(embeddings.POSITIONS)),
  ):
    value = getattr(model, field)
    if value not in known:
      raise ValueError(f'model.{field}: {value!r} is not one of {known}.')
  multiple = size_multiple(model)
  if height % multiple or width % multiple:
    windows = ' and cuts it into windows' * (model.attention == 'local')
    raise ValueError(
      f'The network halves the image {len(model.channel_mult) - 1} times'
      f'{windows}, so height and width must be multiples of {multiple}; got '
      f'{height}x{width}.'
    )
  if model.groups < 1 or model.channels % model.groups:
    raise ValueError(
      f'model.channels must be a multiple of model.groups={model.groups}, the '
      f'number of groups that are normalised; got {model.channels}.'
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
