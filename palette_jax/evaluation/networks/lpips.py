"""LPIPS, a perceptual distance between two images.

Zhang et al. 2018, version 0.1: the features of each pixel are normalised to
unit length, subtracted and squared; channels are weighted by a head trained on
human judgements, and means over pixels are summed over five layers. Palette
uses it between samples of one input, to measure diversity (section 5.6).
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float

from palette_jax import arrays
from palette_jax.evaluation import networks
from palette_jax.evaluation.networks import converter, numpy_file, published

PREPARATION = 'LPIPS 0.1, as large as it is, x / 127.5 - 1'
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


class Layer(NamedTuple):
  """A convolution with ReLU.

  Attributes:
    features: number of output channels.
    tap: whether LPIPS uses its output.
    pool: side of the max pooling before it; 0 for none.
    size: side of the kernel.
    stride: stride in pixels.
    pad: padding on each side in pixels.
  """

  features: int
  tap: bool
  pool: int = 0
  size: int = 3
  stride: int = 1
  pad: int = 1


# Krizhevsky 2014, and Simonyan and Zisserman 2014 with 16 layers, as in
# torchvision, up to the last convolution.
TRUNKS = {
  'alex': (
    Layer(64, True, size=11, stride=4, pad=2),
    Layer(192, True, pool=3, size=5, pad=2),
    Layer(384, True, pool=3),
    Layer(256, True),
    Layer(256, True),
  ),
  'vgg': (
    Layer(64, False),
    Layer(64, True),
    Layer(128, False, pool=2),
    Layer(128, True),
    Layer(256, False, pool=2),
    Layer(256, False),
    Layer(256, True),
    Layer(512, False, pool=2),
    Layer(512, False),
    Layer(512, True),
    Layer(512, False, pool=2),
    Layer(512, False),
    Layer(512, True),
  ),
}
SMALLEST = {'alex': 31, 'vgg': 16}  # side in pixels; below, a layer is empty
PUBLISHED = {'alex': published.LPIPS_ALEX, 'vgg': published.LPIPS_VGG}
_TRUNK_KEYS = {'alex': 'AlexNet_0', 'vgg': 'VGG16_0'}


class Trunk(nn.Module):
  """Maps normalised images to the outputs of the tapped layers."""

  layers: tuple[Layer, ...]

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b h w c']
  ) -> list[Float[Array, 'b _ _ _']]:
    taps = []
    for i, layer in enumerate(self.layers):
      if layer.pool:
        x = nn.max_pool(x, (layer.pool, layer.pool), (2, 2))
      pad: str | list[tuple[int, int]] = [(layer.pad, layer.pad)] * 2
      # XLA on CPU takes 80 times as long for a kernel larger than its image;
      # without the barrier it would merge the padding into the convolution.
      if min(x.shape[1:3]) < layer.size:
        x = jax.lax.optimization_barrier(
          jnp.pad(x, [(0, 0), *[(layer.pad, layer.pad)] * 2, (0, 0)])
        )
        pad = 'VALID'
      conv = nn.Conv(
        layer.features,
        (layer.size, layer.size),
        layer.stride,
        pad,
        precision='highest',
        name=f'conv_{i}',
      )
      x = nn.relu(conv(x))
      if layer.tap:
        taps.append(x)
    return taps


class Lpips(nn.Module):
  """Maps two images in [-1, 1] to their distance."""

  trunk: str

  @nn.compact
  def __call__(
    self, a: Float[Array, 'b h w 3'], b: Float[Array, 'b h w 3']
  ) -> Float[Array, ' b']:
    trunk = Trunk(TRUNKS[self.trunk], name='trunk')
    shift, scale = (jnp.array(x)[None, None, None] for x in (SHIFT, SCALE))
    # One after the other: in one batch, devices would have to exchange rows.
    taps = zip(trunk((a - shift) / scale), trunk((b - shift) / scale))
    total = jnp.zeros(a.shape[0])
    for i, (left, right) in enumerate(taps):
      shape = [left.shape[-1]]
      head = self.param(f'head_{i}', nn.initializers.ones, shape)
      square = (_unit(left) - _unit(right)) ** 2
      weighted = jnp.sum(square * head[None, None, None], axis=-1)
      total = total + jnp.mean(weighted, axis=(1, 2))
    return total


def _unit(x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
  """Normalises the features of each pixel to unit length."""
  length = jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True))
  return x / (length + 1e-10)


@functools.cache
def shapes(trunk: str) -> arrays.Params:
  """Returns the shapes of the weights."""
  image = jax.ShapeDtypeStruct([1, 64, 64, 3], jnp.float32)
  init = Lpips(trunk).init
  return jax.eval_shape(init, jax.random.key(0), image, image)['params']


def places(trunk: str) -> dict[str, tuple[str, tuple[int, ...]]]:
  """Returns the key and the shape in the published file, by our names."""
  keys = {}
  leaves = traverse_util.flatten_dict(shapes(trunk), sep='/')
  for name, leaf in leaves.items():  # 'trunk/conv_3/bias', 'head_2'
    if name.startswith('head'):
      theirs = name.replace('head', 'NetLinLayer') + '/Conv_0/kernel'
      keys[name] = theirs, (1, 1, *leaf.shape, 1)
    else:
      theirs = name.replace('trunk/conv', f'{_TRUNK_KEYS[trunk]}/Conv')
      keys[name] = theirs, leaf.shape
  return keys


def convert(path: str, tensors: dict, trunk: str) -> arrays.Params:
  """Converts the published file's arrays, in Flax's layout, to weights.

  Raises:
    ValueError: naming the first array that does not match.
  """
  published_arrays = traverse_util.flatten_dict(tensors, sep='/')
  keys = places(trunk)
  converter.check(path, published_arrays, dict(keys.values()))
  params = {}
  for name, (theirs, _) in keys.items():
    array = np.asarray(published_arrays[theirs], np.float32)
    params[name] = array.reshape(-1) if name.startswith('head') else array
  return traverse_util.unflatten_dict(params, sep='/')


def build(params: arrays.Params, sha256: str, trunk: str) -> networks.Network:
  """Returns the network with these weights.

  Raises:
    ValueError: if there is no such trunk; raised by `apply` if images differ in
      size or are too small.
  """
  if trunk not in TRUNKS:
    raise ValueError(f'{trunk!r} is not one of {", ".join(TRUNKS)}.')

  def apply(params: arrays.Params, a_u8: Array, b_u8: Array) -> Any:
    _check(a_u8, b_u8, trunk)
    a, b = (x.astype(jnp.float32) / 127.5 - 1.0 for x in (a_u8, b_u8))
    return Lpips(trunk).apply({'params': params}, a, b)

  return networks.Network(f'lpips-{trunk}', sha256, PREPARATION, params, apply)


def _check(a: Array, b: Array, trunk: str) -> None:
  networks.check_images(a)
  networks.check_images(b)
  if a.shape != b.shape:
    raise ValueError(f'Images of {a.shape} cannot be compared with {b.shape}.')
  if min(a.shape[1:3]) < SMALLEST[trunk]:
    raise ValueError(
      f'Images of {a.shape[1]}x{a.shape[2]} are too small for LPIPS with '
      f'{trunk}, which needs {SMALLEST[trunk]} pixels a side.'
    )


def load(trunk: str = 'alex', path: str | None = None) -> networks.Network:
  """Loads LPIPS with its published weights.

  Args:
    trunk: 'alex', which its authors recommend for comparisons, or 'vgg'.
    path: path of the published file; by default published.py finds it.

  Returns:
    A network whose `apply` maps two arrays uint8 [b h w 3] of one size to
    distances [b].

  Raises:
    FileNotFoundError: if the file is missing; names a package that has it.
    ValueError: if the file has another hash, or if there is no such trunk.
  """
  if trunk not in TRUNKS:
    raise ValueError(f'{trunk!r} is not one of {", ".join(TRUNKS)}.')

  def read(file: str) -> arrays.Params:
    return convert(file, numpy_file.read(file), trunk)

  name, file = f'lpips-{trunk}', PUBLISHED[trunk]
  params, sha256 = published.load(file, name, shapes(trunk), read, path)
  return build(params, sha256, trunk)
