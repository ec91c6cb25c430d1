"""PyTorch's names and layouts of weights -> ours.

A trained network's batch norm multiplies each channel and adds to it, as the
convolution before could have done itself: it is put there, in float64. All
networks here are thereby made of convolutions with a bias, and nothing else.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from flax import traverse_util

from palette_jax import arrays

Tensors = Mapping[str, np.ndarray]
_STATISTICS = ('weight', 'bias', 'running_mean', 'running_var')
_COUNTER = 'num_batches_tracked'  # of training; some files have it


class Place(NamedTuple):
  """Where a PyTorch file has a layer.

  Attributes:
    weight: key of the kernel.
    norm: what the keys of the batch norm after it begin with, if there is one.
    bias: key of the layer's own bias, if it has one.
  """

  weight: str
  norm: str | None = None
  bias: str | None = None


def shapes_of(
  params: arrays.Params, places: Mapping[str, Place]
) -> dict[str, tuple[int, ...]]:
  """What the file has to hold: shapes by key.

  Args:
    params: ours, or their shapes.
    places: by the names of our layers, 'outer/inner'.
  """
  shapes = {}
  for name, place in places.items():
    *sizes, into, out = _leaf(params, f'{name}/kernel').shape
    shapes[place.weight] = (out, into, *sizes)
    if place.bias:
      shapes[place.bias] = (out,)
    if place.norm:
      shapes |= {f'{place.norm}.{part}': (out,) for part in _STATISTICS}
  return shapes


def layers_of(params: arrays.Params) -> list[str]:
  """The names of all layers that have a kernel, 'outer/inner'."""
  leaves = traverse_util.flatten_dict(params, sep='/')
  return [
    name.removesuffix('/kernel') for name in leaves if name.endswith('/kernel')
  ]


def check(
  path: str, tensors: Tensors, shapes: Mapping[str, tuple[int, ...]]
) -> None:
  """Raises a ValueError that names the first key that does not fit."""
  for key, shape in shapes.items():
    if key not in tensors:
      raise ValueError(
        f'{path}: {key!r} is missing. It has {len(tensors)} tensors, the first '
        f'is {next(iter(tensors), None)!r}: is it another network?'
      )
    if tensors[key].shape != shape:
      raise ValueError(
        f'{path}: {key!r} has shape {tensors[key].shape} instead of {shape}.'
      )
  for key, tensor in tensors.items():
    if key not in shapes and not key.endswith(_COUNTER):
      raise ValueError(f'{path}: {key!r} is too much: is it another network?')
    if not np.isfinite(tensor).all():
      raise ValueError(f'{path}: {key!r} has values that are not finite.')


def convert(
  tensors: Tensors,
  params: arrays.Params,
  places: Mapping[str, Place],
  epsilon: float,
) -> arrays.Params:
  """Weights in our layout, norms put into kernels.

  Args:
    tensors: as `check` wants them.
    params: the shapes of ours.
    places: of each of our layers.
    epsilon: what the norms add to the variance.

  Returns:
    float32 NumPy arrays, a tree like params.
  """
  converted = {}
  for name, place in places.items():
    kernel = tensors[place.weight].astype(np.float64)
    bias = tensors[place.bias].astype(np.float64) if place.bias else 0.0
    if place.norm:
      gain, shift, mean, variance = (
        tensors[f'{place.norm}.{part}'].astype(np.float64)
        for part in _STATISTICS
      )
      gain = gain / np.sqrt(variance + epsilon)
      kernel = kernel * gain.reshape(-1, *[1] * (kernel.ndim - 1))
      bias = shift + (bias - mean) * gain
    # [out, in, h, w] -> [h, w, in, out], and of a dense layer's [out, in].
    order = (2, 3, 1, 0) if kernel.ndim == 4 else (1, 0)
    kernel = np.ascontiguousarray(kernel.transpose(order), np.float32)
    converted[f'{name}/kernel'] = kernel
    if place.bias or place.norm:
      converted[f'{name}/bias'] = np.asarray(bias, np.float32)
  converted = traverse_util.unflatten_dict(converted, sep='/')
  ours, found = (jax.tree.map(np.shape, tree) for tree in (params, converted))
  assert ours == found, (ours, found)
  return converted


def _leaf(params, name):
  return traverse_util.flatten_dict(params, sep='/')[name]
