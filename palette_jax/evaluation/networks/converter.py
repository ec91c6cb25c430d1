"""Converts weights from PyTorch's names and layouts to ours.

A trained network's batch norm scales and shifts each channel, which the
convolution before it can do as well: norms are folded into convolutions, in
float64, so that all networks here consist of convolutions with a bias.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from flax import traverse_util

from palette_jax import arrays

Tensors = Mapping[str, np.ndarray]
_STATISTICS = ('weight', 'bias', 'running_mean', 'running_var')
_COUNTER = 'num_batches_tracked'  # a counter of training that some files have


class Place(NamedTuple):
  """The keys of a layer in a PyTorch file.

  Attributes:
    weight: key of the kernel.
    norm: prefix of the keys of the batch norm after it, if there is one.
    bias: key of the layer's own bias, if it has one.
  """

  weight: str
  norm: str | None = None
  bias: str | None = None


def shapes_of(
  params: arrays.Params, places: Mapping[str, Place]
) -> dict[str, tuple[int, ...]]:
  """Returns the shapes that the file must contain, by key.

  Args:
    params: our parameters, or their shapes.
    places: keys by the names of our layers, 'outer/inner'.
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
  """Returns the names of all layers that have a kernel, 'outer/inner'."""
  leaves = traverse_util.flatten_dict(params, sep='/')
  return [
    name.removesuffix('/kernel') for name in leaves if name.endswith('/kernel')
  ]


def check(
  path: str, tensors: Tensors, shapes: Mapping[str, tuple[int, ...]]
) -> None:
  """Checks keys, shapes and values of a file.

  Raises:
    ValueError: naming the first key that does not match.
  """
  for key, shape in shapes.items():
    if key not in tensors:
      raise ValueError(
        f'{path}: {key!r} is missing. The file has {len(tensors)} tensors, '
        f'beginning with {next(iter(tensors), None)!r}: is it another network?'
      )
    if tensors[key].shape != shape:
      raise ValueError(
        f'{path}: {key!r} has shape {tensors[key].shape} instead of {shape}.'
      )
  for key, tensor in tensors.items():
    if key not in shapes and not key.endswith(_COUNTER):
      raise ValueError(f'{path}: {key!r} is unexpected: is it another network?')
    if not np.isfinite(tensor).all():
      raise ValueError(f'{path}: {key!r} has values that are not finite.')


def convert(
  tensors: Tensors,
  params: arrays.Params,
  places: Mapping[str, Place],
  epsilon: float,
) -> arrays.Params:
  """Returns weights in our layout, with norms folded into kernels.

  Args:
    tensors: tensors that `check` has accepted.
    params: the shapes of our parameters.
    places: keys of each of our layers.
    epsilon: added to the variance by the norms.

  Returns:
    float32 NumPy arrays, in a tree like params.
  """
  converted: dict[str, np.ndarray] = {}
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
    # [out, in, h, w] -> [h, w, in, out], or [out, in] -> [in, out].
    order = (2, 3, 1, 0) if kernel.ndim == 4 else (1, 0)
    kernel = np.ascontiguousarray(kernel.transpose(order), np.float32)
    converted[f'{name}/kernel'] = kernel
    if place.bias or place.norm:
      converted[f'{name}/bias'] = np.asarray(bias, np.float32)
  tree = traverse_util.unflatten_dict(converted, sep='/')
  expected, shapes = (jax.tree.map(np.shape, t) for t in (params, tree))
  assert expected == shapes, (expected, shapes)
  return tree


def _leaf(
  params: arrays.Params, name: str
) -> np.ndarray | jax.ShapeDtypeStruct:
  return traverse_util.flatten_dict(params, sep='/')[name]
