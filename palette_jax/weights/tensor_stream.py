"""safetensors inside another file, without a second copy in memory.

The library writes whole files, or one string of bytes of all tensors, which is
2.2 GB more for the paper's network. Reading goes through a temporary file. The
writer is our own, since the library's header has other bytes, and exported
files must stay the same to the bit. The format: eight bytes with the length of
a JSON header (type, shape and offsets of each tensor), the header, the numbers.
"""

import io
import json
import pathlib
import shutil
import struct
import tempfile
from collections.abc import Mapping

import numpy as np
from jaxtyping import Array
from safetensors import SafetensorError, safe_open

_TYPE, _DTYPE = 'F32', np.dtype('<f4')


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
  text += b' ' * (-len(text) % 8)  # aligns the numbers
  file.write(struct.pack('<Q', len(text)) + text)
  for _, array in sorted(tensors.items()):
    flat = np.ascontiguousarray(array, _DTYPE).reshape(-1)
    file.write(flat.view(np.uint8).data)


def read(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
  """Reads the tensors of a file, to its end.

  Raises:
    ValueError: if they are no safetensors, or not float32; the message is the
      part of a sentence that follows the file's name.
  """
  with tempfile.TemporaryDirectory() as folder:
    copy = pathlib.Path(folder, 'tensors')
    with copy.open('wb') as target:
      shutil.copyfileobj(file, target, 2**20)
    try:
      with safe_open(copy, framework='np') as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}
    except SafetensorError as error:
      raise ValueError(str(error)) from error
  for name, array in tensors.items():
    if array.dtype != _DTYPE:
      raise ValueError(f'{name} is {array.dtype}, not float32')
  return tensors
