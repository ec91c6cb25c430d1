"""A PyTorch file -> NumPy arrays, without PyTorch and executing nothing.

Such a file is a pickle beside raw numbers, and a pickle may call anything. This
reader knows tensors, dicts, lists and plain values; whatever else a file asks
for is refused by name. It reads the zip form (PyTorch 1.6 and later) and the
form before it.
"""

import collections
import io
import math
import pathlib
import pickle
import zipfile
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

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

  def __init__(self, dtype, count):
    self.dtype, self.count, self.numbers = np.dtype(dtype), count, None

  def fill(self, raw):
    wanted = self.count * self.dtype.itemsize
    if len(raw) != wanted:
      raise ValueError(f'a storage has {len(raw)} bytes instead of {wanted}')
    self.numbers = np.frombuffer(raw, self.dtype)


class _Tensor(NamedTuple):
  """A view of a storage, as the pickle describes it."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  def array(self):
    size = math.prod(self.shape)
    steps = sum((n - 1) * s for n, s in zip(self.shape, self.strides))
    whole = (*self.shape, *self.strides, self.offset)
    fits = size <= self.storage.count > self.offset + steps or not size
    if not fits or any(not isinstance(n, int) or n < 0 for n in whole):
      raise ValueError(f'a tensor of {self.shape} reaches out of its storage')
    itemsize = self.storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(
      self.storage.numbers[self.offset :],
      self.shape,
      [s * itemsize for s in self.strides],
      writeable=False,
    )


def _rebuild_tensor(storage, offset, shape, strides, *rest):
  del rest  # whether it wants a gradient, and hooks
  return _Tensor(storage, offset, tuple(shape), tuple(strides))


_KNOWN = {
  ('collections', 'OrderedDict'): collections.OrderedDict,
  ('torch', 'Size'): tuple,
  ('torch._utils', '_rebuild_parameter'): lambda tensor, *rest: tensor,
  ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
  **{('torch', name): dtype for name, dtype in _TYPES.items()},
}


class _Unpickler(pickle.Unpickler):
  """Finds nothing but what is in _KNOWN."""

  def __init__(self, file, storage):
    super().__init__(file, encoding='utf-8')
    self._storage = storage

  def find_class(self, module, name):
    if (module, name) not in _KNOWN:
      raise ValueError(
        f'it asks for {module}.{name}, which is no tensor and could do harm'
      )
    return _KNOWN[module, name]

  def persistent_load(self, saved_id):
    kind, dtype, key, _, count, *view = saved_id
    if kind != 'storage' or dtype not in _TYPES.values() or any(view):
      raise ValueError(f'it has an unknown kind of storage, {saved_id[:3]}')
    return self._storage(str(key), dtype, count)


def read(path: str) -> Any:
  """What the file holds, its tensors as NumPy arrays.

  Raises:
    ValueError: if it is no PyTorch file, is incomplete, or asks for anything
      that is not needed to describe tensors.
    FileNotFoundError: if there is no such file.
  """
  try:
    with pathlib.Path(path).open('rb') as file:
      zipped = file.read(4) == b'PK\x03\x04'
      file.seek(0)
      return _arrays(_read_zip(file) if zipped else _read_older(file))
  except FileNotFoundError:
    raise FileNotFoundError(f'There is no file {path}.') from None
  except Exception as error:  # a broken pickle can raise anything
    reason = str(error) or type(error).__name__
    raise ValueError(
      f'{path} cannot be read as a PyTorch file: {reason}.'
    ) from error


def tensors(path: str, found: Any) -> dict[str, np.ndarray]:
  """The same, if it is tensors by name and nothing else.

  Raises:
    ValueError: naming the first key that is something else.
  """
  if not isinstance(found, dict) or not found:
    raise ValueError(f'{path} holds {type(found).__name__}, not weights.')
  for key, value in found.items():
    if not isinstance(value, np.ndarray):
      raise ValueError(
        f'{path}: {key!r} is {type(value).__name__}, not a tensor. Give a file '
        'of weights alone (a state_dict).'
      )
  return found


def _read_zip(file: BinaryIO):
  with zipfile.ZipFile(file) as archive:
    names = archive.namelist()
    pickled = [name for name in names if name.endswith('/data.pkl')]
    if len(pickled) != 1:
      raise ValueError('its zip has no data.pkl: TorchScript, or another zip')
    folder = pickled[0].removesuffix('data.pkl')
    if f'{folder}byteorder' in names:
      if archive.read(f'{folder}byteorder') != b'little':
        raise ValueError('its numbers are big-endian')
    storages = {}

    def storage(key, dtype, count):
      if key not in storages:
        info = archive.getinfo(f'{folder}data/{key}')
        if info.compress_type != zipfile.ZIP_STORED:
          raise ValueError('its tensors are compressed, which PyTorch never is')
        storages[key] = _Storage(dtype, count)
        storages[key].fill(archive.read(info))  # checks the CRC, too
      return storages[key]

    data = io.BytesIO(archive.read(pickled[0]))
    return _Unpickler(data, storage).load()


def _read_older(file: BinaryIO):
  storages = {}

  def storage(key, dtype, count):
    return storages.setdefault(key, _Storage(dtype, count))

  def load():
    return _Unpickler(file, storage).load()

  if load() != _MAGIC or load() != _PROTOCOL:
    raise ValueError('it does not begin as one')
  if not load()['little_endian']:
    raise ValueError('its numbers are big-endian')
  found = load()
  for key in load():
    count = int.from_bytes(file.read(8), 'little')
    if count != storages[key].count:
      raise ValueError(f'storage {key} is not where it should be')
    storages[key].fill(file.read(count * storages[key].dtype.itemsize))
  return found


def _arrays(value: Any):
  """Tensors as arrays, inside dicts of any depth."""
  if isinstance(value, dict):
    return {name: _arrays(inner) for name, inner in value.items()}
  return value.array() if isinstance(value, _Tensor) else value
