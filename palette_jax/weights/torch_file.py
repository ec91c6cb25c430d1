"""Reads PyTorch files as NumPy arrays, without PyTorch.

Such a file is a pickle beside raw numbers. This reader knows tensors, dicts,
lists and plain values; anything else that a file asks for is refused by name,
and nothing is executed. It reads the zip form (PyTorch 1.6 and later) and the
form before it.
"""

import collections
import io
import math
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from palette_jax.weights import safe_pickle

_MAGIC = 0x1950A86A20F9469CFC6C  # first number of the form before the zip
_PROTOCOL = 1001
_TYPES = {
  'BFloat16Storage': ml_dtypes.bfloat16,
  'BoolStorage': np.bool_,
  'ByteStorage': np.uint8,
  'CharStorage': np.int8,
  'DoubleStorage': np.float64,
  'FloatStorage': np.float32,
  'HalfStorage': np.float16,
  'IntStorage': np.int32,
  'LongStorage': np.int64,
  'ShortStorage': np.int16,
}


class _Storage:
  """Numbers of one type; in the older form they come after the pickle."""

  def __init__(self, dtype: Callable[..., Any], count: int) -> None:
    self.dtype, self.count = np.dtype(dtype), count
    self.numbers = np.empty([0], self.dtype)

  def fill(self, raw: bytes) -> None:
    expected = self.count * self.dtype.itemsize
    if len(raw) != expected:
      raise ValueError(f'a storage has {len(raw)} bytes instead of {expected}')
    self.numbers = np.frombuffer(raw, self.dtype)


# Returns the storage with this key, type and number of values.
_GetStorage = Callable[[str, Callable[..., Any], int], _Storage]


class _Tensor(NamedTuple):
  """A view of a storage, as the pickle describes it."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  def array(self) -> np.ndarray:
    size = math.prod(self.shape)
    reach = sum((n - 1) * s for n, s in zip(self.shape, self.strides))
    numbers = (*self.shape, *self.strides, self.offset)
    fits = size <= self.storage.count > self.offset + reach or not size
    if not fits or any(not isinstance(n, int) or n < 0 for n in numbers):
      raise ValueError(f'a tensor of {self.shape} reaches out of its storage')
    itemsize = self.storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(
      self.storage.numbers[self.offset :],
      self.shape,
      [s * itemsize for s in self.strides],
      writeable=False,
    )


def _rebuild_tensor(
  storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any
) -> _Tensor:
  """Replaces PyTorch's function; a damaged pickle may pass anything."""
  del rest  # whether it needs a gradient, and hooks
  return _Tensor(storage, offset, tuple(shape), tuple(strides))


_KNOWN: safe_pickle.Known = {
  ('collections', 'OrderedDict'): collections.OrderedDict,
  ('torch', 'Size'): tuple,
  ('torch._utils', '_rebuild_parameter'): lambda tensor, *rest: tensor,
  ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
  **{('torch', name): dtype for name, dtype in _TYPES.items()},
}


class _Unpickler(safe_pickle.Unpickler):
  """Takes the numbers of tensors from storages outside the pickle."""

  def __init__(self, file: io.BufferedIOBase, storage: _GetStorage) -> None:
    super().__init__(file, _KNOWN, 'tensor')
    self._storage = storage

  def persistent_load(self, pid: Any) -> _Storage:
    kind, dtype, key, _, count, *view = pid
    if kind != 'storage' or dtype not in _TYPES.values() or any(view):
      raise ValueError(f'it has an unknown kind of storage, {pid[:3]}')
    return self._storage(str(key), dtype, count)


def read(path: str) -> Any:
  """Returns the content of a file, with its tensors as NumPy arrays.

  Raises:
    ValueError: if it is no PyTorch file, is incomplete, or asks for anything
      that is not needed to describe tensors.
    FileNotFoundError: if there is no such file.
  """
  with safe_pickle.opened(path, 'a PyTorch file') as file:
    is_zip = file.read(4) == b'PK\x03\x04'
    file.seek(0)
    return _to_arrays(_read_zip(file) if is_zip else _read_older(file))


def tensors(path: str, content: Any) -> dict[str, np.ndarray]:
  """Returns the content of a file after checking that it is tensors by name.

  Args:
    path: of the file, for messages.
    content: as `read` returns it, or a part of it.

  Raises:
    ValueError: naming the first key that is no tensor.
  """
  if not isinstance(content, dict) or not content:
    raise ValueError(f'{path} holds {type(content).__name__}, not weights.')
  for key, value in content.items():
    if not isinstance(value, np.ndarray):
      raise ValueError(
        f'{path}: {key!r} is {type(value).__name__}, not a tensor. Give a file '
        'of weights alone (a state_dict).'
      )
  return content


def _read_zip(file: io.BufferedIOBase) -> Any:
  with zipfile.ZipFile(file) as archive:
    names = archive.namelist()
    pickles = [name for name in names if name.endswith('/data.pkl')]
    if len(pickles) != 1:
      raise ValueError('its zip has no data.pkl: TorchScript, or another zip')
    folder = pickles[0].removesuffix('data.pkl')
    if f'{folder}byteorder' in names:
      if archive.read(f'{folder}byteorder') != b'little':
        raise ValueError('its numbers are big-endian')
    storages: dict[str, _Storage] = {}

    def storage(key: str, dtype: Callable[..., Any], count: int) -> _Storage:
      if key not in storages:
        info = archive.getinfo(f'{folder}data/{key}')
        if info.compress_type != zipfile.ZIP_STORED:
          raise ValueError('its tensors are compressed, which PyTorch never is')
        storages[key] = _Storage(dtype, count)
        storages[key].fill(archive.read(info))  # checks the CRC, too
      return storages[key]

    data = io.BytesIO(archive.read(pickles[0]))
    return _Unpickler(data, storage).load()


def _read_older(file: io.BufferedIOBase) -> Any:
  storages: dict[str, _Storage] = {}

  def storage(key: str, dtype: Callable[..., Any], count: int) -> _Storage:
    return storages.setdefault(key, _Storage(dtype, count))

  def load() -> Any:
    return _Unpickler(file, storage).load()

  if load() != _MAGIC or load() != _PROTOCOL:
    raise ValueError('it does not begin as one')
  if not load()['little_endian']:
    raise ValueError('its numbers are big-endian')
  content = load()
  for key in load():
    count = int.from_bytes(file.read(8), 'little')
    if count != storages[key].count:
      raise ValueError(f'storage {key} is not where it should be')
    storages[key].fill(file.read(count * storages[key].dtype.itemsize))
  return content


def _to_arrays(value: Any) -> Any:
  """Replaces tensors by arrays, inside dicts of any depth."""
  if isinstance(value, dict):
    return {name: _to_arrays(inner) for name, inner in value.items()}
  return value.array() if isinstance(value, _Tensor) else value
