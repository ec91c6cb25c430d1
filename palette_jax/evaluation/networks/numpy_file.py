"""A pickle of NumPy arrays -> the arrays, executing nothing.

For what palette_jax/weights/torch_file.py is to PyTorch's files: a pickle may
call anything, and this reader knows arrays of numbers, inside dicts, alone.
"""

import math

import numpy as np

from palette_jax.weights import safe_pickle

_TYPES = ('b1', 'f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4')


class _Type:
  """What a file says of a dtype: its code, and its order of bytes."""

  def __init__(self, code, *rest):
    del rest  # whether to align, and copy
    if code not in _TYPES:
      raise ValueError(f'it has an array of {code!r}, which is no number')
    self.dtype = np.dtype(code)

  def __setstate__(self, state):
    if state[1] not in '<|':
      raise ValueError('its numbers are big-endian')


class _Array:
  """What a file says of an array: its shape, its type, its bytes."""

  def __init__(self, *empty):
    del empty  # what NumPy makes before it is told the shape
    self.array = None

  def __setstate__(self, state):
    _, shape, kind, by_columns, raw = state
    if not isinstance(kind, _Type) or not isinstance(raw, bytes):
      raise ValueError('it has an array that is no numbers')
    if any(not isinstance(size, int) or size < 0 for size in shape):
      raise ValueError(f'it has an array of shape {shape}')
    wanted = math.prod(shape) * kind.dtype.itemsize
    if len(raw) != wanted:
      raise ValueError(f'an array has {len(raw)} bytes instead of {wanted}')
    flat = np.frombuffer(raw, kind.dtype)
    self.array = flat.reshape(shape, order='F' if by_columns else 'C')


_KNOWN: safe_pickle.Known = {
  ('numpy', 'dtype'): _Type,
  ('numpy', 'ndarray'): _Array,
  # The module has another name since NumPy 2.
  ('numpy.core.multiarray', '_reconstruct'): _Array,
  ('numpy._core.multiarray', '_reconstruct'): _Array,
}


def read(path: str) -> dict:
  """Arrays by name, in as many dicts inside each other as the file has.

  Raises:
    ValueError: if it is no such file, is incomplete, or asks for anything that
      is not needed to describe arrays of numbers.
    FileNotFoundError: if there is no such file.
  """
  with safe_pickle.opened(path, 'a pickle of arrays') as file:
    found = safe_pickle.Unpickler(file, _KNOWN, 'array').load()
    if not isinstance(found, dict):
      raise ValueError(f'it holds {type(found).__name__}, not arrays by name')
    return _arrays(found)


def _arrays(value):
  if isinstance(value, dict):
    return {name: _arrays(inner) for name, inner in value.items()}
  if not isinstance(value, _Array) or value.array is None:
    raise ValueError(f'it holds {type(value).__name__}, not an array')
  return value.array
