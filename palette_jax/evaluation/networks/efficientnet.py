"""A small classifier whose weights pip can bring: EfficientNet-lite0.

Tan and Le 2019, without squeeze-and-excitation and with ReLU6 (the lite
variant of 2020). Its features stand in for Inception's where those cannot be
had; a Frechet distance of them is another figure and has another name.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from palette_jax import arrays
from palette_jax.evaluation import networks
from palette_jax.evaluation.networks import converter, resize
from palette_jax.evaluation.networks import published as weights
from palette_jax.weights import torch_file

NAME = 'efficientnet-lite0'
PREPARATION = (
  'Pillow bicubic with antialias to a short side of 256 (256x256: as it is), '
  'central 224x224, (x - 127) / 128'
)
# Blocks, kernel, stride of the first, expansion, channels out.
STAGES = (
  (1, 3, 1, 1, 16),
  (2, 3, 2, 6, 24),
  (2, 5, 2, 6, 40),
  (3, 3, 2, 6, 80),
  (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192),
  (1, 3, 1, 6, 320),
)
# Our layers inside a block -> the file's convolution and batch norm.
_LAYERS = {
  'expand': ('_expand_conv', '_bn0'),
  'depthwise': ('_depthwise_conv', '_bn1'),
  'project': ('_project_conv', '_bn2'),
}


def _conv(name, features, size=1, stride=1):
  """Convolution and batch norm, padded as TensorFlow pads."""
  return nn.Conv(
    features, (size, size), stride, 'SAME', precision='highest', name=name
  )


class Depthwise(nn.Module):
  """A convolution that keeps channels apart, and batch norm.

  As a sum of shifted images, which XLA fuses: its own convolution of as many
  groups as channels took 4 to 30 times as long on CPU.
  """

  size: int
  stride: int

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c']:
    size, stride, (rows, columns, channels) = (
      self.size,
      self.stride,
      x.shape[1:],
    )
    ones = nn.initializers.ones
    kernel = self.param('kernel', ones, [size, size, 1, channels])
    bias = self.param('bias', ones, [channels])
    window = dict(window_shape=(size, size), window_strides=(stride, stride))
    pads = jax.lax.padtype_to_pads((rows, columns), padding='SAME', **window)
    padded = jnp.pad(x, [(0, 0), *pads, (0, 0)])
    height, width = -(-rows // stride), -(-columns // stride)
    total = jnp.broadcast_to(
      bias[None, None, None], [x.shape[0], height, width, channels]
    )
    for i, j in np.ndindex(size, size):
      below = i + (height - 1) * stride + 1
      right = j + (width - 1) * stride + 1
      shifted = padded[:, i:below:stride, j:right:stride]
      total = total + shifted * kernel[i, j, 0][None, None, None]
    return total


class Block(nn.Module):
  """To many channels, each with a kernel of its own, and to few again."""

  size: int
  stride: int
  expansion: int
  out: int

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 d']:
    shortcut, inner = x, x.shape[-1] * self.expansion
    if self.expansion > 1:
      x = nn.relu6(_conv('expand', inner)(x))
    x = Depthwise(self.size, self.stride, name='depthwise')(x)
    x = nn.relu6(x)
    x = _conv('project', self.out)(x)
    return x + shortcut if x.shape == shortcut.shape else x


class EfficientNet(nn.Module):
  """Images in [-1, 1], 224x224 -> features and logits."""

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b h w 3']
  ) -> tuple[Float[Array, 'b 1280'], Float[Array, 'b 1000']]:
    x = nn.relu6(_conv('stem', 32, 3, 2)(x))
    number = 0
    for blocks, size, stride, expansion, out in STAGES:
      for i in range(blocks):
        name = f'blocks_{number}'
        x = Block(size, 1 if i else stride, expansion, out, name=name)(x)
        number += 1
    x = nn.relu6(_conv('head', 1280)(x))
    features = jnp.mean(x, axis=(1, 2))
    return features, nn.Dense(1000, precision='highest', name='fc')(features)


@functools.cache
def shapes() -> arrays.Params:
  """Of the weights."""
  image = jax.ShapeDtypeStruct([1, 224, 224, 3], jnp.float32)
  init = EfficientNet().init
  return jax.eval_shape(init, jax.random.key(0), image)['params']


def file_shapes() -> dict[str, tuple[int, ...]]:
  """What the published file holds: shapes by key."""
  return converter.shapes_of(shapes(), places())


def places() -> dict[str, converter.Place]:
  """Where the published file has our layers."""
  found = {
    'stem': converter.Place('_conv_stem.weight', norm='_bn0'),
    'head': converter.Place('_conv_head.weight', norm='_bn1'),
    'fc': converter.Place('_fc.weight', bias='_fc.bias'),
  }
  for layer in converter.layers_of(shapes()):
    if layer.startswith('blocks_'):
      block, _, inner = layer.partition('/')
      key = f'_blocks.{block.removeprefix("blocks_")}'
      conv, norm = _LAYERS[inner]
      found[layer] = converter.Place(f'{key}.{conv}.weight', f'{key}.{norm}')
  return found


def convert(path: str, tensors: converter.Tensors) -> arrays.Params:
  """The published file's tensors -> weights.

  Raises:
    ValueError: naming the first key that does not fit.
  """
  converter.check(path, tensors, file_shapes())
  return converter.convert(tensors, shapes(), places(), epsilon=1e-3)


def build(params: arrays.Params, sha256: str) -> networks.Network:
  """The network of these weights."""

  def apply(params, images_u8):
    networks.check_images(images_u8)
    features, logits = EfficientNet().apply(
      {'params': params}, prepare(images_u8)
    )
    return dict(features=features, logits=logits)

  return networks.Network(NAME, sha256, PREPARATION, params, apply)


def prepare(images: UInt8[Array, 'b h w 3']) -> Float[Array, 'b 224 224 3']:
  """8 bits -> what the network is given."""
  return (resize.centre_224(images, resize.pil_bicubic) - 127.0) / 128.0


def load(path: str | None = None) -> networks.Network:
  """The classifier, with the published weights.

  Args:
    path: of the published file, if it is not where published.py looks.

  Returns:
    apply: uint8 [b h w 3], of any size, -> 'features' [b 1280], the means over
    the last layer's pixels, and 'logits' [b 1000].

  Raises:
    FileNotFoundError: saying which package brings it.
    ValueError: if the file is another one.
  """

  def read(file):
    return convert(file, torch_file.tensors(file, torch_file.read(file)))

  published = weights.EFFICIENTNET_LITE0
  params, sha256 = weights.load(published, NAME, shapes(), read, path)
  return build(params, sha256)
