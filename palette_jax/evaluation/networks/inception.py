"""The network of FID and of the Inception Score, a graph of 2015-12-05.

Inception-v3 (Szegedy et al. 2015) as Google published it, frozen. It differs
from the paper and from torchvision's: 1,008 classes, average pooling without
the padding, and max pooling in place of average pooling in the last block.
Every published FID uses these features (Heusel et al. 2017, TTUR), and most
likely Palette's perceptual distance does too.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from palette_jax import arrays
from palette_jax.evaluation import networks
from palette_jax.evaluation.networks import converter, published, resize
from palette_jax.weights import torch_file

NAME = 'inception-2015-12-05'
SIZE = 299
# Dialects of resizing by name, each followed by (x - middle) / half.
DIALECTS = {
  'tf1': (resize.tf1_bilinear, 128.0, 128.0),
  'torch': (resize.torch_bilinear, 127.5, 127.5),
  'clean': (resize.pil_bicubic, 128.0, 128.0),
}
PREPARATIONS = {
  'tf1': 'tf1: TensorFlow 1 bilinear to 299x299, (x - 128) / 128',
  'torch': 'torch: PyTorch bilinear to 299x299, x / 127.5 - 1',
  'clean': 'clean: Pillow bicubic with antialias to 299x299, clipped to 0..255,'
  ' (x - 128) / 128',
}

# Rows and columns of padding around a kernel.
_PADDING = {(1, 1): (0, 0), (3, 3): (1, 1), (5, 5): (2, 2)}
_PADDING |= {(1, 7): (0, 3), (7, 1): (3, 0), (1, 3): (0, 1), (3, 1): (1, 0)}


def _conv(
  x: Float[Array, 'b h w c'],
  name: str,
  features: int,
  size: tuple[int, int] = (1, 1),
  stride: int = 1,
  pad: bool = True,
) -> Float[Array, 'b y x d']:
  """Applies a convolution with folded batch norm, and ReLU."""
  padding = _PADDING[size] if pad else (0, 0)
  conv = nn.Conv(
    features,
    size,
    stride,
    [(n, n) for n in padding],
    precision='highest',
    name=name,
  )
  return nn.relu(conv(x))


def _halve(x: Float[Array, 'b h w c']) -> Float[Array, 'b y x c']:
  """Applies 3x3 max pooling with stride 2."""
  return nn.max_pool(x, (3, 3), (2, 2))


def _mean(x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
  """Applies 3x3 average pooling that leaves the padding out."""
  return nn.avg_pool(x, (3, 3), (1, 1), 'SAME', count_include_pad=False)


def _maximum(x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
  return nn.max_pool(x, (3, 3), (1, 1), 'SAME')


class MixedA(nn.Module):
  """A block at 35x35 pixels: branches of 1x1, 5x5, and twice 3x3."""

  pooled: int

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h w d']:
    a = _conv(x, 'branch1x1', 64)
    b = _conv(x, 'branch5x5_1', 48)
    b = _conv(b, 'branch5x5_2', 64, (5, 5))
    c = _conv(x, 'branch3x3dbl_1', 64)
    c = _conv(c, 'branch3x3dbl_2', 96, (3, 3))
    c = _conv(c, 'branch3x3dbl_3', 96, (3, 3))
    d = _conv(_mean(x), 'branch_pool', self.pooled)
    return jnp.concatenate([a, b, c, d], axis=-1)


class MixedB(nn.Module):
  """Reduces 35x35 to 17x17 pixels."""

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 d']:
    a = _conv(x, 'branch3x3', 384, (3, 3), 2, pad=False)
    b = _conv(x, 'branch3x3dbl_1', 64)
    b = _conv(b, 'branch3x3dbl_2', 96, (3, 3))
    b = _conv(b, 'branch3x3dbl_3', 96, (3, 3), 2, pad=False)
    return jnp.concatenate([a, b, _halve(x)], axis=-1)


class MixedC(nn.Module):
  """A block at 17x17 pixels; 7x7 kernels are factored into rows and columns."""

  inner: int

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h w d']:
    row, column, inner = (1, 7), (7, 1), self.inner
    a = _conv(x, 'branch1x1', 192)
    b = _conv(x, 'branch7x7_1', inner)
    b = _conv(b, 'branch7x7_2', inner, row)
    b = _conv(b, 'branch7x7_3', 192, column)
    c = _conv(x, 'branch7x7dbl_1', inner)
    c = _conv(c, 'branch7x7dbl_2', inner, column)
    c = _conv(c, 'branch7x7dbl_3', inner, row)
    c = _conv(c, 'branch7x7dbl_4', inner, column)
    c = _conv(c, 'branch7x7dbl_5', 192, row)
    d = _conv(_mean(x), 'branch_pool', 192)
    return jnp.concatenate([a, b, c, d], axis=-1)


class MixedD(nn.Module):
  """Reduces 17x17 to 8x8 pixels."""

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 d']:
    a = _conv(x, 'branch3x3_1', 192)
    a = _conv(a, 'branch3x3_2', 320, (3, 3), 2, pad=False)
    b = _conv(x, 'branch7x7x3_1', 192)
    b = _conv(b, 'branch7x7x3_2', 192, (1, 7))
    b = _conv(b, 'branch7x7x3_3', 192, (7, 1))
    b = _conv(b, 'branch7x7x3_4', 192, (3, 3), 2, pad=False)
    return jnp.concatenate([a, b, _halve(x)], axis=-1)


class MixedE(nn.Module):
  """A block at 8x8 pixels, with branches that split into rows and columns."""

  maximum: bool  # max pooling, where the paper has average pooling

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h w d']:
    a = _conv(x, 'branch1x1', 320)
    b = _conv(x, 'branch3x3_1', 384)
    b1 = _conv(b, 'branch3x3_2a', 384, (1, 3))
    b2 = _conv(b, 'branch3x3_2b', 384, (3, 1))
    c = _conv(x, 'branch3x3dbl_1', 448)
    c = _conv(c, 'branch3x3dbl_2', 384, (3, 3))
    c1 = _conv(c, 'branch3x3dbl_3a', 384, (1, 3))
    c2 = _conv(c, 'branch3x3dbl_3b', 384, (3, 1))
    pooled = _maximum(x) if self.maximum else _mean(x)
    d = _conv(pooled, 'branch_pool', 192)
    return jnp.concatenate([a, b1, b2, c1, c2, d], axis=-1)


class Inception(nn.Module):
  """Maps images in [-1, 1], 299x299, to pool_3 and logits without bias."""

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b h w 3']
  ) -> tuple[Float[Array, 'b 2048'], Float[Array, 'b 1008']]:
    x = _conv(x, 'Conv2d_1a_3x3', 32, (3, 3), 2, pad=False)
    x = _conv(x, 'Conv2d_2a_3x3', 32, (3, 3), pad=False)
    x = _halve(_conv(x, 'Conv2d_2b_3x3', 64, (3, 3)))
    x = _conv(x, 'Conv2d_3b_1x1', 80)
    x = _halve(_conv(x, 'Conv2d_4a_3x3', 192, (3, 3), pad=False))
    for name, pooled in ('5b', 32), ('5c', 64), ('5d', 64):
      x = MixedA(pooled, name=f'Mixed_{name}')(x)
    x = MixedB(name='Mixed_6a')(x)
    for name, inner in ('6b', 128), ('6c', 160), ('6d', 160), ('6e', 192):
      x = MixedC(inner, name=f'Mixed_{name}')(x)
    x = MixedD(name='Mixed_7a')(x)
    x = MixedE(False, name='Mixed_7b')(x)
    x = MixedE(True, name='Mixed_7c')(x)
    features = jnp.mean(x, axis=(1, 2))
    fc = nn.Dense(1008, use_bias=False, precision='highest', name='fc')
    return features, fc(features)


@functools.cache
def shapes() -> arrays.Params:
  """Returns the shapes of the weights."""
  image = jax.ShapeDtypeStruct([1, SIZE, SIZE, 3], jnp.float32)
  return jax.eval_shape(Inception().init, jax.random.key(0), image)['params']


def file_shapes() -> dict[str, tuple[int, ...]]:
  """Returns the shapes in the published file, by key."""
  return converter.shapes_of(shapes(), places()) | {'fc.bias': (1008,)}


def places() -> dict[str, converter.Place]:
  """Returns the keys of our layers in the published file."""
  keys = {}
  for layer in converter.layers_of(shapes()):
    key = layer.replace('/', '.')
    keys[layer] = converter.Place(f'{key}.conv.weight', norm=f'{key}.bn')
  return keys | {'fc': converter.Place('fc.weight')}


def convert(path: str, tensors: converter.Tensors) -> arrays.Params:
  """Converts the published file's tensors to weights.

  Raises:
    ValueError: naming the first key that does not match.
  """
  rows = tensors['fc.weight'].shape[0] if 'fc.weight' in tensors else 0
  if rows == 1000 or any(key.startswith('AuxLogits') for key in tensors):
    raise ValueError(
      f'{path} is the Inception-v3 of torchvision, with 1,000 classes, which '
      'has other features: its FIDs are not comparable with published ones. '
      f'Get {published.INCEPTION.names[0]} from '
      f'{published.INCEPTION.source}.'
    )
  converter.check(path, tensors, file_shapes())
  return converter.convert(tensors, shapes(), places(), epsilon=1e-3)


def prepare(
  images: UInt8[Array, 'b h w 3'], dialect: str
) -> Float[Array, 'b 299 299 3']:
  """Preprocesses 8-bit images for the network, with a dialect of DIALECTS."""
  matrix, middle, half = DIALECTS[dialect]
  levels = resize.apply(images, SIZE, SIZE, matrix)
  if dialect == 'clean':
    levels = jnp.clip(levels, 0.0, 255.0)
  return (levels - middle) / half


def build(
  params: arrays.Params, sha256: str, dialect: str = 'tf1'
) -> networks.Network:
  """Returns the network with these weights.

  Raises:
    ValueError: if there is no such dialect.
  """
  if dialect not in DIALECTS:
    raise ValueError(f'{dialect!r} is not one of {", ".join(DIALECTS)}.')

  def apply(params: arrays.Params, images_u8: Array) -> dict[str, Any]:
    networks.check_images(images_u8)
    images = prepare(images_u8, dialect)
    features, logits = Inception().apply({'params': params}, images)
    return dict(features=features, logits=logits)

  return networks.Network(NAME, sha256, PREPARATIONS[dialect], params, apply)


def load(dialect: str = 'tf1', path: str | None = None) -> networks.Network:
  """Loads the network of FID with its published weights.

  Args:
    dialect: dialect of resizing: 'tf1' as in the graph itself and most
      published figures, 'torch' as in pytorch-fid, 'clean' as in clean-fid.
    path: path of the published file; by default published.py finds it.

  Returns:
    A network whose `apply` maps uint8 [b h w 3] of any size to 'features'
    [b 2048], the layer pool_3, and 'logits' [b 1008], without bias as the
    Inception Score requires.

  Raises:
    FileNotFoundError: if the file is missing; says where to get it.
    ValueError: if the file has another hash.
  """

  def read(file: str) -> arrays.Params:
    return convert(file, torch_file.tensors(file, torch_file.read(file)))

  params, sha256 = published.load(
    published.INCEPTION, NAME, shapes(), read, path
  )
  return build(params, sha256, dialect)
