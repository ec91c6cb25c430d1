"""EfficientNet-lite0, a small classifier whose weights pip can install.

Tan and Le 2019, without squeeze-and-excitation and with ReLU6 (the lite
variant of 2020). Its features replace Inception's where those are unavailable;
their Frechet distance is another metric and has another name.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from palette_jax import arrays
from palette_jax.evaluation import networks
from palette_jax.evaluation.networks import converter, published, resize
from palette_jax.weights import torch_file

NAME = 'efficientnet-lite0'
PREPARATION = (
  'Pillow bicubic with antialias to a short side of 256 (256x256: as it is), '
  'central 224x224, (x - 127) / 128'
)
# Blocks, kernel size, stride of the first block, expansion, output channels.
STAGES = (
  (1, 3, 1, 1, 16),
  (2, 3, 2, 6, 24),
  (2, 5, 2, 6, 40),
  (3, 3, 2, 6, 80),
  (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192),
  (1, 3, 1, 6, 320),
)
# Convolution and batch norm in the file for each of our layers in a block.
_LAYERS = {
  'expand': ('_expand_conv', '_bn0'),
  'depthwise': ('_depthwise_conv', '_bn1'),
  'project': ('_project_conv', '_bn2'),
}


def _conv(name: str, features: int, size: int = 1, stride: int = 1) -> nn.Conv:
  """Returns a convolution with folded batch norm and TensorFlow's padding."""
  return nn.Conv(
    features, (size, size), stride, 'SAME', precision='highest', name=name
  )


class Depthwise(nn.Module):
  """A depthwise convolution with folded batch norm.

  It is a sum of shifted images, which XLA fuses: XLA's own grouped convolution
  takes 4 to 30 times as long on CPU.
  """

  size: int
  stride: int

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c']:
    size, stride = self.size, self.stride
    rows, columns, channels = x.shape[1:]
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
  """An inverted bottleneck: expand, depthwise convolution, project."""

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
  """Maps images in [-1, 1], 224x224, to features and logits."""

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
  """Returns the shapes of the weights."""
  image = jax.ShapeDtypeStruct([1, 224, 224, 3], jnp.float32)
  init = EfficientNet().init
  return jax.eval_shape(init, jax.random.key(0), image)['params']


def file_shapes() -> dict[str, tuple[int, ...]]:
  """Returns the shapes in the published file, by key."""
  return converter.shapes_of(shapes(), places())


def places() -> dict[str, converter.Place]:
  """Returns the keys of our layers in the published file."""
  keys = {
    'stem': converter.Place('_conv_stem.weight', norm='_bn0'),
    'head': converter.Place('_conv_head.weight', norm='_bn1'),
    'fc': converter.Place('_fc.weight', bias='_fc.bias'),
  }
  for layer in converter.layers_of(shapes()):
    if layer.startswith('blocks_'):
      block, _, inner = layer.partition('/')
      key = f'_blocks.{block.removeprefix("blocks_")}'
      conv, norm = _LAYERS[inner]
      keys[layer] = converter.Place(f'{key}.{conv}.weight', f'{key}.{norm}')
  return keys


def convert(path: str, tensors: converter.Tensors) -> arrays.Params:
  """Converts the published file's tensors to weights.

  Raises:
    ValueError: naming the first key that does not match.
  """
  converter.check(path, tensors, file_shapes())
  return converter.convert(tensors, shapes(), places(), epsilon=1e-3)


def build(params: arrays.Params, sha256: str) -> networks.Network:
  """Returns the network with these weights."""

  def apply(params: arrays.Params, images_u8: Array) -> dict[str, Any]:
    networks.check_images(images_u8)
    features, logits = EfficientNet().apply(
      {'params': params}, prepare(images_u8)
    )
    return dict(features=features, logits=logits)

  return networks.Network(NAME, sha256, PREPARATION, params, apply)


def prepare(images: UInt8[Array, 'b h w 3']) -> Float[Array, 'b 224 224 3']:
  """Preprocesses 8-bit images for the network."""
  return (resize.centre_224(images, resize.pil_bicubic) - 127.0) / 128.0


def load(path: str | None = None) -> networks.Network:
  """Loads the classifier with its published weights.

  Args:
    path: path of the published file; by default published.py finds it.

  Returns:
    A network whose `apply` maps uint8 [b h w 3] of any size to 'features'
    [b 1280], averaged over the last layer's pixels, and 'logits' [b 1000].

  Raises:
    FileNotFoundError: if the file is missing; names a package that has it.
    ValueError: if the file has another hash.
  """

  def read(file: str) -> arrays.Params:
    return convert(file, torch_file.tensors(file, torch_file.read(file)))

  file = published.EFFICIENTNET_LITE0
  params, sha256 = published.load(file, NAME, shapes(), read, path)
  return build(params, sha256)
