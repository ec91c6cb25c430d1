"""The network of FID and of the Inception Score: a graph of 2015-12-05.

Inception-v3 (Szegedy et al. 2015) as Google froze it for others to use, with
what differs from the paper and from torchvision's: 1,008 classes, means that
leave the padding out, and in the last block a maximum in the place of a mean.
Every published FID is of these features (Heusel et al. 2017, TTUR); Palette's
perceptual distance most likely, too.
"""

import functools

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
# Of resizing, name -> how, and then (x - middle) / half.
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
_AROUND = {(1, 1): (0, 0), (3, 3): (1, 1), (5, 5): (2, 2)}
_AROUND |= {(1, 7): (0, 3), (7, 1): (3, 0), (1, 3): (0, 1), (3, 1): (1, 0)}


def _conv(x, name, features, size=(1, 1), stride=1, pad=True):
  """Convolution, batch norm (in the kernel and bias, by now), ReLU."""
  around = _AROUND[size] if pad else (0, 0)
  conv = nn.Conv(
    features,
    size,
    stride,
    [(n, n) for n in around],
    precision='highest',
    name=name,
  )
  return nn.relu(conv(x))


def _halve(x):
  """The maximum of 3x3, every other row and column."""
  return nn.max_pool(x, (3, 3), (2, 2))


def _mean(x):
  """Of 3x3; at an edge, of those that are there."""
  return nn.avg_pool(x, (3, 3), (1, 1), 'SAME', count_include_pad=False)


def _maximum(x):
  return nn.max_pool(x, (3, 3), (1, 1), 'SAME')


class MixedA(nn.Module):
  """35x35 pixels: kernels of 1x1, 5x5, and two of 3x3."""

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
  """35x35 -> 17x17 pixels."""

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 d']:
    a = _conv(x, 'branch3x3', 384, (3, 3), 2, pad=False)
    b = _conv(x, 'branch3x3dbl_1', 64)
    b = _conv(b, 'branch3x3dbl_2', 96, (3, 3))
    b = _conv(b, 'branch3x3dbl_3', 96, (3, 3), 2, pad=False)
    return jnp.concatenate([a, b, _halve(x)], axis=-1)


class MixedC(nn.Module):
  """17x17 pixels: a kernel of 7x7 is a row and a column."""

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
  """17x17 -> 8x8 pixels."""

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
  """8x8 pixels: branches that part into rows and columns."""

  maximum: bool  # where the paper has a mean

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
  """Images in [-1, 1], 299x299 -> pool_3 and the logits without their bias."""

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
  """Of the weights."""
  image = jax.ShapeDtypeStruct([1, SIZE, SIZE, 3], jnp.float32)
  return jax.eval_shape(Inception().init, jax.random.key(0), image)['params']


def file_shapes() -> dict[str, tuple[int, ...]]:
  """What the published file holds: shapes by key."""
  return converter.shapes_of(shapes(), places()) | {'fc.bias': (1008,)}


def places() -> dict[str, converter.Place]:
  """Where the published file has our layers."""
  found = {}
  for layer in converter.layers_of(shapes()):
    key = layer.replace('/', '.')
    found[layer] = converter.Place(f'{key}.conv.weight', norm=f'{key}.bn')
  return found | {'fc': converter.Place('fc.weight')}


def convert(path: str, tensors: converter.Tensors) -> arrays.Params:
  """The published file's tensors -> weights.

  Raises:
    ValueError: naming the first key that does not fit.
  """
  rows = tensors['fc.weight'].shape[0] if 'fc.weight' in tensors else 0
  if rows == 1000 or any(key.startswith('AuxLogits') for key in tensors):
    raise ValueError(
      f'{path} is the Inception-v3 of torchvision, with 1,000 classes, which '
      'has other features: no FID of it compares with published ones. '
      f'{published.INCEPTION.names[0]} is needed, of '
      f'{published.INCEPTION.source}.'
    )
  converter.check(path, tensors, file_shapes())
  return converter.convert(tensors, shapes(), places(), epsilon=1e-3)


def prepare(
  images: UInt8[Array, 'b h w 3'], dialect: str
) -> Float[Array, 'b 299 299 3']:
  """8 bits -> what the network is given, by a name in DIALECTS."""
  how, middle, half = DIALECTS[dialect]
  images = resize.apply(images, SIZE, SIZE, how)
  if dialect == 'clean':
    images = jnp.clip(images, 0.0, 255.0)
  return (images - middle) / half


def build(
  params: arrays.Params, sha256: str, dialect: str = 'tf1'
) -> networks.Network:
  """The network of these weights.

  Raises:
    ValueError: if there is no such dialect.
  """
  if dialect not in DIALECTS:
    raise ValueError(f'{dialect!r} is not one of {", ".join(DIALECTS)}.')

  def apply(params, images_u8):
    networks.check_images(images_u8)
    images = prepare(images_u8, dialect)
    features, logits = Inception().apply({'params': params}, images)
    return dict(features=features, logits=logits)

  return networks.Network(NAME, sha256, PREPARATIONS[dialect], params, apply)


def load(dialect: str = 'tf1', path: str | None = None) -> networks.Network:
  """FID's network, with the published weights.

  Args:
    dialect: of resizing. 'tf1' as in the graph itself and most published
      figures, 'torch' as in pytorch-fid, 'clean' as in clean-fid.
    path: of the published file, if it is not where published.py looks.

  Returns:
    apply: uint8 [b h w 3], of any size, -> 'features' [b 2048], the layer
    pool_3, and 'logits' [b 1008], without bias as the Inception Score wants
    them.

  Raises:
    FileNotFoundError: saying what to download, and where to put it.
    ValueError: if the file is another one.
  """

  def read(file):
    return convert(file, torch_file.tensors(file, torch_file.read(file)))

  params, sha256 = published.load(
    published.INCEPTION, NAME, shapes(), read, path
  )
  return build(params, sha256, dialect)
