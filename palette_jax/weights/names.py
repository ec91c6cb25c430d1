"""Our parameters <-> guided-diffusion's names and layouts.

Its network is a list of entries on the way down, a middle, and a list on the
way up; ours has a name for each level and block. PyTorch holds a convolution
as [out, in, h, w] and a dense layer as [out, in]; JAX as [h, w, in, out] and
[in, out].
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import einops
import jax
import numpy as np

from palette_jax import arrays
from palette_jax.models import unet

# Our modules -> their names inside an entry.
_PARTS = {
  'norm_in': 'in_layers.0',
  'conv_in': 'in_layers.2',
  'emb': 'emb_layers.1',
  'norm_out': 'out_layers.0',
  'conv_out': 'out_layers.3',
  'shortcut': 'skip_connection',
  'norm': 'norm',
  'qkv': 'qkv',
  'out': 'proj_out',
}
_OUTSIDE = {
  'noise_level/hidden': '{}.0',
  'noise_level/out': '{}.2',
  'conv_in': 'input_blocks.0.0',
  'norm_out': 'out.0',
  'conv_out': 'out.2',
}


class Tensor(NamedTuple):
  """One parameter under both names.

  Attributes:
    ours: path in our tree, by slashes.
    theirs: name in a state_dict.
    pattern: einops pattern from their layout to ours; None if they are equal.
    sizes: of axes that the pattern does not determine.
    shape: in our layout.
  """

  ours: str
  theirs: str
  pattern: str | None
  sizes: dict[str, int]
  shape: tuple[int, ...]

  def to_ours(self, array: np.ndarray) -> np.ndarray:
    """Converts their layout to ours."""
    if self.pattern is None:
      return array
    return einops.rearrange(array, self.pattern, **self.sizes)

  def to_theirs(self, array: np.ndarray) -> np.ndarray:
    """Converts our layout to theirs."""
    if self.pattern is None:
      return array
    left, right = self.pattern.split(' -> ')
    return einops.rearrange(array, f'{right} -> {left}', **self.sizes)

  def their_shape(self) -> tuple[int, ...]:
    """Returns the shape of the tensor in a state_dict."""
    return self.to_theirs(np.broadcast_to(np.float32(0), self.shape)).shape


def tensors(
  model: unet.UNet,
  prefix: str = '',
  embedding: str = 'time_embed',
  new_attention_order: bool = False,
) -> Iterator[Tensor]:
  """Yields every parameter of the network under both names.

  Args:
    model: the network.
    prefix: of all their names.
    embedding: their name for our noise_level.
    new_attention_order: whether attention has all queries first, then keys,
      then values, as ours; otherwise each head has its three together.
  """
  entries = _entries(model)
  leaves = jax.tree_util.tree_leaves_with_path(unet.shapes(model))
  for path, leaf in leaves:
    ours = jax.tree_util.keystr(path, simple=True, separator='/')
    layer, _, kind = ours.rpartition('/')
    module, _, part = layer.partition('/')
    if layer in _OUTSIDE:
      place, part = _OUTSIDE[layer].format(embedding), ''
    else:
      place = f'{entries[module]}.{_PARTS[part]}' if part else entries[module]
    pattern, sizes = _layout(part, kind, leaf.ndim), {}
    if part == 'qkv' and not new_attention_order:
      left, right = (pattern or 'o -> o').split(' -> ')
      left = left.replace('o', '(heads three d)')
      right = right.replace('o', '(three heads d)')
      pattern = f'{left} -> {right}'
      sizes = dict(three=3, d=model.head_channels)
    yield Tensor(
      ours=ours,
      theirs=f'{prefix}{place}.{"bias" if kind == "bias" else "weight"}',
      pattern=pattern,
      sizes=sizes,
      shape=leaf.shape,
    )


def read_model(
  shapes: dict[str, tuple[int, ...]],
  prefix: str = '',
  embedding: str = 'time_embed',
  **hidden: Any,
) -> unet.UNet:
  """Returns the network whose tensors have these names and shapes.

  The way up shows levels, blocks, channels, attention and resampling: each
  level ends with an entry that resamples.

  Args:
    shapes: of the tensors, by their names.
    prefix: as in `tensors`.
    embedding: as in `tensors`.
    **hidden: fields of UNet that tensors do not show.

  Raises:
    KeyError: with the first name that every such network has, but is missing.
  """

  def up(entry: int, part: int, name: str) -> str:
    return f'{prefix}output_blocks.{entry}.{part}.{name}.weight'

  def has(entry: int, name: str) -> bool:
    return any(up(entry, part, name) in shapes for part in (1, 2))

  _, channels = shapes[f'{prefix}{embedding}.0.weight']
  entries = 0
  while up(entries, 0, 'in_layers.0') in shapes:
    entries += 1

  by_block = [i for i in range(entries) if has(i, 'in_layers.0')]
  by_conv = [i for i in range(entries) if has(i, 'conv')]
  levels = len(by_block or by_conv) + 1
  per_level = max(1, entries // levels)
  firsts = [per_level * i for i in reversed(range(levels))]
  widths = [shapes[up(i, 0, 'out_layers.3')][0] for i in firsts]
  return unet.UNet(
    channels=channels,
    channel_mult=tuple(width // channels for width in widths),
    num_res_blocks=per_level - 1,
    attention_levels=tuple(
      level for level, i in enumerate(firsts) if has(i, 'qkv')
    ),
    resblock_updown=not by_conv,
    **hidden,
  )


def params(named: Mapping[str, np.ndarray | jax.Array]) -> arrays.Params:
  """Nests by '/': {'a/b': array} -> {'a': {'b': array}}."""
  tree: dict[str, Any] = {}
  for name, array in named.items():
    *folders, leaf = name.split('/')
    branch = tree
    for folder in folders:
      branch = branch.setdefault(folder, {})
    branch[leaf] = array
  return tree


def to_theirs(params: arrays.Params, model: unet.UNet) -> dict[str, np.ndarray]:
  """Returns contiguous tensors by guided-diffusion's names; undone by `fit`."""
  named = arrays.leaves_by_path(params)
  return {
    tensor.theirs: np.array(
      tensor.to_theirs(np.asarray(named[tensor.ours])), order='C'
    )
    for tensor in tensors(model)
  }


def _layout(part: str, kind: str, ndim: int) -> str | None:
  """Returns the pattern; attention's layers are convolutions of one pixel."""
  if kind != 'kernel':
    return None
  if ndim == 4:
    return 'o i h w -> h w i o'
  return 'o i 1 -> i o' if part in ('qkv', 'out') else 'o i -> i o'


def _entries(model: unet.UNet) -> dict[str, str]:
  """Maps our modules to their entries."""
  last = len(model.channel_mult) - 1
  entries: dict[str, str] = {}
  index = 1

  def add(place: str, level: int, i: int, entry: str) -> int:
    """Adds a residual block and its attention; returns their number."""
    entries[f'{place}{level}_block{i}'] = f'{entry}.0'
    entries[f'{place}{level}_attention{i}'] = f'{entry}.1'
    entries[f'{place}{level}_extra{i}'] = f'{entry}.1'
    attends = model.attention in unet.WINDOWS
    return 1 + (attends and level in model.attention_levels)

  for level in range(last + 1):
    for i in range(model.num_res_blocks):
      add('down', level, i, f'input_blocks.{index}')
      index += 1
    if level < last:
      inside = '0' if model.resblock_updown else '0.op'
      entries[f'down{level}_resample'] = f'input_blocks.{index}.{inside}'
      index += 1

  entries['middle_block0'] = 'middle_block.0'
  entries['middle_attention0'] = entries['middle_extra0'] = 'middle_block.1'
  entries['middle_block1'] = 'middle_block.2'

  index = 0
  for level in reversed(range(last + 1)):
    for i in range(model.num_res_blocks + 1):
      entry = f'output_blocks.{index}'
      position = add('up', level, i, entry)
      index += 1
    if level:
      inside = position if model.resblock_updown else f'{position}.conv'
      entries[f'up{level}_resample'] = f'{entry}.{inside}'
  return entries


def fit(
  path: str, tensors: dict[str, np.ndarray], network: Iterable[Tensor]
) -> arrays.Params:
  """Converts a file's tensors, which must be exactly those of a network.

  Args:
    path: of the file, for messages.
    tensors: by their names.
    network: the tensors that are expected, from `tensors`.

  Returns:
    Our parameters: NumPy arrays, float32.

  Raises:
    ValueError: naming the first key that does not fit.
  """
  expected = {tensor.theirs: tensor for tensor in network}
  for key, array in tensors.items():
    if key not in expected:
      raise ValueError(
        f'{path}: {key!r} does not fit: the network that the other tensors '
        'make has no such one.'
      )
    shape = expected[key].their_shape()
    if array.shape != shape:
      raise ValueError(
        f'{path}: {key!r} does not fit: its shape is {array.shape}, in '
        f'the network that the other tensors make it is {shape}.'
      )
    if not np.all(np.isfinite(array.astype(np.float32, copy=False))):
      raise ValueError(f'{path}: {key!r} has values that are not finite.')
  for key in expected:
    if key not in tensors:
      raise ValueError(f'{path}: {key!r} is missing.')
  return params(
    {
      tensor.ours: tensor.to_ours(tensors[key].astype(np.float32, copy=False))
      for key, tensor in expected.items()
    }
  )
