"""TFRecord files entered at any record: an index of byte offsets.

A TFRecord file is a row of records, each with its length before it; the index
reads only the lengths, once, and is kept in the user's cache folder.
"""

import hashlib
import os
import pathlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from etils import epy

with epy.lazy_imports():
  import tensorflow as tf

CACHE = pathlib.Path('~/.cache/palette_jax').expanduser()
HEADER, FOOTER = 12, 4  # length (8) and its checksum (4); the data's checksum


class Index(NamedTuple):
  """Where each record of a list of files starts.

  Attributes:
    paths: [f] files.
    files: int32 [n], the file of each record.
    offsets: int64 [n], its first byte there.
  """

  paths: Sequence[str]
  files: np.ndarray
  offsets: np.ndarray


def index(paths: Sequence[str]) -> Index:
  """The index of the files, from the cache if nothing has changed since.

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
  files = np.repeat(
    np.arange(len(paths), dtype=np.int32), list(map(len, offsets))
  )
  built = Index(paths, files, np.concatenate(offsets))
  CACHE.mkdir(parents=True, exist_ok=True)
  partial = cached.with_suffix(f'.{os.getpid()}.npz')
  np.savez(partial, files=built.files, offsets=built.offsets)
  os.replace(partial, cached)
  return built


def _offsets(path: str, size: int) -> np.ndarray:
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
  """Record i, as a graph operation that touches no other record."""
  path = tf.constant(index.paths)[tf.constant(index.files)[i]]
  # tf.data.TFRecordDataset does not pass byte_offsets on.
  variant = tf.raw_ops.TFRecordDatasetV2(
    filenames=path[None],
    compression_type='',
    buffer_size=tf.constant(256 << 10, tf.int64),
    byte_offsets=tf.constant(index.offsets)[i][None],
  )
  element = tf.TensorSpec([], tf.string)
  dataset = tf.data.experimental.from_variant(variant, element)
  return dataset.take(1).get_single_element()
