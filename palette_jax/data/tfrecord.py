"""TFRecord files with random access, by an index of byte offsets.

A TFRecord file is a sequence of records, each preceded by its length. Building
the index reads the lengths only; it is then kept in the user's cache folder.
"""

import hashlib
import io
import pathlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from etils import epy
from jaxtyping import Int32, Int64

from palette_jax import files

with epy.lazy_imports():
  import tensorflow as tf

CACHE = pathlib.Path('~/.cache/palette_jax').expanduser()
HEADER, FOOTER = 12, 4  # length (8) and its checksum (4); the data's checksum


class Index(NamedTuple):
  """The places of all records of several files.

  Attributes:
    paths: of the files.
    files: index of the file of each record.
    offsets: the first byte of each record in its file.
  """

  paths: Sequence[str]
  files: Int32[np.ndarray, ' n']
  offsets: Int64[np.ndarray, ' n']


def open_index(paths: Sequence[str]) -> Index:
  """Returns the index of files, from the cache if no file has changed.

  Raises:
    ValueError: if a file ends in the middle of a record.
  """
  sizes = [tf.io.gfile.stat(path).length for path in paths]
  key = hashlib.sha256(repr(list(zip(paths, sizes))).encode()).hexdigest()
  cached = CACHE / f'tfrecord-{key[:32]}.npz'
  if cached.exists():
    with np.load(cached) as arrays:
      return Index(paths, arrays['files'], arrays['offsets'])
  offsets = [_offsets(path, size) for path, size in zip(paths, sizes)]
  numbers = np.arange(len(paths), dtype=np.int32)
  file_of = np.repeat(numbers, list(map(len, offsets)))
  built = Index(paths, file_of, np.concatenate(offsets))
  content = io.BytesIO()
  np.savez(content, files=built.files, offsets=built.offsets)
  files.write(cached, content.getvalue())
  return built


def _offsets(path: str, size: int) -> Int64[np.ndarray, ' n']:
  offsets, position = [], 0
  with tf.io.gfile.GFile(path, 'rb') as file:
    while position < size:
      offsets.append(position)
      file.seek(position)
      header = file.read(HEADER)
      if len(header) < HEADER:
        break
      position += HEADER + struct.unpack('<Q', header[:8])[0] + FOOTER
  if position != size:
    raise ValueError(
      f'{path} ends inside record {len(offsets) - 1}: it should have at least '
      f'{position} bytes and has {size}. Prepare the data set again.'
    )
  return np.asarray(offsets, np.int64)


def read(index: Index, i: 'tf.Tensor') -> 'tf.Tensor':
  """Reads record i in graph operations, without touching other records."""
  path = tf.constant(index.paths)[tf.constant(index.files)[i]]
  # tf.data.TFRecordDataset does not expose byte_offsets.
  variant = tf.raw_ops.TFRecordDatasetV2(
    filenames=path[None],
    compression_type='',
    buffer_size=tf.constant(256 << 10, tf.int64),
    byte_offsets=tf.constant(index.offsets)[i][None],
  )
  element = tf.TensorSpec([], tf.string)
  dataset = tf.data.experimental.from_variant(variant, element)
  return dataset.take(1).get_single_element()
