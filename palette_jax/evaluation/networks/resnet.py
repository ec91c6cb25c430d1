"""ResNet-50, the classifier of the paper's classification accuracy.

He et al. 2015, with the stride on the 3x3 convolution (v1.5) and PyTorch's
padding, as trained by torchvision: 76.1% top-1 on ImageNet's validation images.
The paper (section 4) names the network but not its weights, and reports 76.0%
for originals.
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

NAME = 'resnet50-v1'
BLOCKS = (3, 4, 6, 3)
# Of red, green and blue over ImageNet, in [0, 1].
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
PREPARATIONS = {
  'centre': 'centre: Pillow bilinear with antialias to a short side of 256 '
  "(256x256: as it is), central 224x224, ImageNet's mean and deviation",
  'resize': 'resize: all of it by PyTorch bicubic to 224x224, '
  "ImageNet's mean and deviation",
}


def _conv(name: str, features: int, size: int, stride: int = 1) -> nn.Conv:
  """Returns a convolution with folded batch norm and symmetric padding.

  'SAME' would pad asymmetrically.
  """
  pad = size // 2
  return nn.Conv(
    features,
    (size, size),
    stride,
    [(pad, pad)] * 2,
    precision='highest',
    name=name,
  )


class Bottleneck(nn.Module):
  """A bottleneck block: 1x1, 3x3 and 1x1 convolutions with a shortcut."""

  features: int
  stride: int
  project: bool  # whether the shortcut has a convolution

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 d']:
    shortcut, out = x, 4 * self.features
    if self.project:
      shortcut = _conv('downsample', out, 1, self.stride)(x)
    x = nn.relu(_conv('conv1', self.features, 1)(x))
    x = nn.relu(_conv('conv2', self.features, 3, self.stride)(x))
    return nn.relu(_conv('conv3', out, 1)(x) + shortcut)


class ResNet(nn.Module):
  """Maps normalised images, 224x224, to logits."""

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w 3']) -> Float[Array, 'b 1000']:
    x = nn.relu(_conv('conv1', 64, 7, 2)(x))
    x = nn.max_pool(x, (3, 3), (2, 2), [(1, 1)] * 2)
    for level, blocks in enumerate(BLOCKS):
      for i in range(blocks):
        stride = 2 if i == 0 and level > 0 else 1
        name = f'layer{level + 1}_{i}'
        x = Bottleneck(64 * 2**level, stride, i == 0, name=name)(x)
    x = jnp.mean(x, axis=(1, 2))
    return nn.Dense(1000, precision='highest', name='fc')(x)


@functools.cache
def shapes() -> arrays.Params:
  """Returns the shapes of the weights."""
  image = jax.ShapeDtypeStruct([1, 224, 224, 3], jnp.float32)
  return jax.eval_shape(ResNet().init, jax.random.key(0), image)['params']


def file_shapes() -> dict[str, tuple[int, ...]]:
  """Returns the shapes in the published file, by key."""
  return converter.shapes_of(shapes(), places())


def places() -> dict[str, converter.Place]:
  """Returns the keys of our layers in the published file."""
  keys = {'fc': converter.Place('fc.weight', bias='fc.bias')}
  for layer in converter.layers_of(shapes()):
    key = layer.replace('_', '.').replace('/', '.')
    if key.endswith('downsample'):
      keys[layer] = converter.Place(f'{key}.0.weight', norm=f'{key}.1')
    elif key != 'fc':
      norm = key.replace('conv', 'bn')
      keys[layer] = converter.Place(f'{key}.weight', norm=norm)
  return keys


def convert(path: str, tensors: converter.Tensors) -> arrays.Params:
  """Converts the published file's tensors to weights.

  Raises:
    ValueError: naming the first key that does not match.
  """
  converter.check(path, tensors, file_shapes())
  return converter.convert(tensors, shapes(), places(), epsilon=1e-5)


def prepare(
  images: UInt8[Array, 'b h w 3'], crop: str
) -> Float[Array, 'b 224 224 3']:
  """Preprocesses 8-bit images for the network, by a name of PREPARATIONS."""
  if crop == 'centre':
    levels = resize.centre_224(images, resize.pil_bilinear)
  else:
    levels = resize.apply(images, 224, 224, resize.torch_bicubic)
  mean, deviation = (jnp.array(x)[None, None, None] for x in (MEAN, DEVIATION))
  return (levels / 255.0 - mean) / deviation


def build(
  params: arrays.Params, sha256: str, crop: str = 'centre'
) -> networks.Network:
  """Returns the network with these weights.

  Raises:
    ValueError: if there is no such crop.
  """
  if crop not in PREPARATIONS:
    raise ValueError(f'{crop!r} is not one of {", ".join(PREPARATIONS)}.')

  def apply(params: arrays.Params, images_u8: Array) -> dict[str, Any]:
    networks.check_images(images_u8)
    images = prepare(images_u8, crop)
    return dict(logits=ResNet().apply({'params': params}, images))

  return networks.Network(NAME, sha256, PREPARATIONS[crop], params, apply)


def load(crop: str = 'centre', path: str | None = None) -> networks.Network:
  """Loads the classifier with its published weights.

  The paper states neither the cropping of images nor the origin of its weights.

  Args:
    crop: 'centre' as in torchvision's tests, or 'resize' as in the paper of
      I2SB (Liu et al. 2023), which compares itself with Palette.
    path: path of the published file; by default published.py finds it.

  Returns:
    A network whose `apply` maps uint8 [b h w 3] of any size to 'logits'
    [b 1000].

  Raises:
    FileNotFoundError: if the file is missing; says where to get it.
    ValueError: if the file has another hash.
  """

  def read(file: str) -> arrays.Params:
    return convert(file, torch_file.tensors(file, torch_file.read(file)))

  params, sha256 = published.load(
    published.RESNET50, NAME, shapes(), read, path
  )
  return build(params, sha256, crop)
