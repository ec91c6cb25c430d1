"""safetensors inside another file: written and read one array at a time.

The library makes whole files, or one string of bytes of all tensors; of the
paper's network that is 2.2 GB more. The format: eight bytes with the length of
a JSON header (type, shape and place of each tensor), the header, the numbers.
"""

import io
import json
import math
import struct
from collections.abc import Mapping

import numpy as np
from jaxtyping import Array

_TYPE, _DTYPE = 'F32', np.dtype('<f4')
_LONGEST_HEADER = 100_000_000  # bytes, as the library has it


def write(
  file: io.BufferedIOBase, tensors: Mapping[str, Array | np.ndarray]
) -> None:
  """Writes arrays, all float32, in the order of their names."""
  header, end = {}, 0
  for name, array in sorted(tensors.items()):
    assert array.dtype == _DTYPE, f'{name}: {array.dtype}'
    start, end = end, end + array.size * _DTYPE.itemsize
    header[name] = dict(
      dtype=_TYPE, shape=list(array.shape), data_offsets=[start, end]
    )
  text = json.dumps(header).encode()
  text += b' ' * (-len(text) % 8)  # numbers lie where arrays may
  file.write(struct.pack('<Q', len(text)) + text)
  for _, array in sorted(tensors.items()):
    file.write(np.ascontiguousarray(array, _DTYPE).reshape(-1).view(np.uint8))


def read(file: io.BufferedIOBase, size: int) -> dict[str, np.ndarray]:
  """Reads what `write` wrote, to the end.

  Args:
    file: where the tensors begin.
    size: bytes from there to the end.

  Raises:
    ValueError: if it is nothing of the kind; whole sentences are left to
      whoever knows the file's name.
  """
  (length,) = struct.unpack('<Q', _exactly(file, 8))
  if length > min(_LONGEST_HEADER, size - 8):
    raise ValueError(f'a header of {length} bytes does not fit into {size}')
  text, tensors, position = _exactly(file, length), {}, 0
  try:
    header = json.loads(text)
    header.pop('__metadata__', None)
    places = {name: entry['data_offsets'] for name, entry in header.items()}
    for name in sorted(places, key=places.get):
      dtype, shape = header[name]['dtype'], header[name]['shape']
      if dtype != _TYPE:
        raise ValueError(f'{name} is {dtype}, not {_TYPE}')
      end = position + math.prod(shape) * _DTYPE.itemsize
      if places[name] != [position, end] or end > size - 8 - length:
        raise ValueError(f'{name} is not where its shape {shape} puts it')
      array = np.empty(shape, _DTYPE)
      array.reshape(-1).view(np.uint8)[:] = np.frombuffer(
        _exactly(file, end - position), np.uint8
      )
      tensors[name], position = array, end
  except (AttributeError, KeyError, RecursionError, TypeError) as error:
    raise ValueError(f'its header is not understood ({error!r})') from error
  if position != size - 8 - length:
    raise ValueError(f'{size - 8 - length - position} bytes belong to nothing')
  return tensors


def _exactly(file, count):
  found = file.read(count)
  if len(found) != count:
    raise ValueError(f'it ends {count - len(found)} bytes too early')
  return found
