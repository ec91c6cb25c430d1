"""Reads a pickle of NumPy arrays without executing anything.

A pickle may call any function. As palette_jax/weights/torch_file.py does for
PyTorch's files, this reader knows only arrays of numbers, inside dicts.
"""

import math
from typing import Any

import numpy as np

from palette_jax.weights import safe_pickle

_TYPES = ('b1', 'f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4')


class _Type:
  """Stands for numpy.dtype; the pickle calls it with anything."""

  def __init__(self, code: Any, *rest: Any) -> None:
    del rest  # whether to align, and copy
    if code not in _TYPES:
      raise ValueError(f'it has an array of {code!r}, which is no number')
    self.dtype = np.dtype(code)

  def __setstate__(self, state: Any) -> None:
    if state[1] not in '<|':
      raise ValueError('its numbers are big-endian')


class _Array:
  """Stands for numpy.ndarray; its state holds shape, type and bytes."""

  def __init__(self, *placeholder: Any) -> None:
    del placeholder  # an empty array, as NumPy creates it before its state
    self.array: np.ndarray | None = None

  def __setstate__(self, state: Any) -> None:
    _, shape, kind, by_columns, raw = state
    if not isinstance(kind, _Type) or not isinstance(raw, bytes):
      raise ValueError('it has an array that is no numbers')
    if any(not isinstance(size, int) or size < 0 for size in shape):
      raise ValueError(f'it has an array of shape {shape}')
    expected = math.prod(shape) * kind.dtype.itemsize
    if len(raw) != expected:
      raise ValueError(f'an array has {len(raw)} bytes instead of {expected}')
    flat = np.frombuffer(raw, kind.dtype)
    self.array = flat.reshape(shape, order='F' if by_columns else 'C')


_KNOWN: safe_pickle.Known = {
  ('numpy', 'dtype'): _Type,
  ('numpy', 'ndarray'): _Array,
  # NumPy 2 has renamed the module.
  ('numpy.core.multiarray', '_reconstruct'): _Array,
  ('numpy._core.multiarray', '_reconstruct'): _Array,
}


def read(path: str) -> dict[str, Any]:
  """Returns the arrays by name, in dicts nested as in the file.

  Raises:
    ValueError: if it is no such file, is incomplete, or asks for anything that
      is not needed to describe arrays of numbers.
    FileNotFoundError: if there is no such file.
  """
  with safe_pickle.opened(path, 'a pickle of arrays') as file:
    content = safe_pickle.Unpickler(file, _KNOWN, 'array').load()
    if not isinstance(content, dict):
      raise ValueError(f'it holds {type(content).__name__}, not arrays by name')
    return {name: _to_arrays(value) for name, value in content.items()}


def _to_arrays(value: Any) -> Any:
  """Replaces stand-ins by their arrays, inside dicts of any depth."""
  if isinstance(value, dict):
    return {name: _to_arrays(inner) for name, inner in value.items()}
  if not isinstance(value, _Array) or value.array is None:
    raise ValueError(f'it holds {type(value).__name__}, not an array')
  return value.array
