"""Data sets prepared by TensorFlow Datasets, as sources."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import logging
from etils import epy

from palette_jax.data import records, tfrecord

with epy.lazy_imports():
  import tensorflow as tf


def folder() -> pathlib.Path:
  """Returns the folder of prepared data sets."""
  default = pathlib.Path('~', 'tensorflow_datasets')
  return pathlib.Path(os.environ.get('TFDS_DATA_DIR', default)).expanduser()


def open_split(name: str, split: str) -> records.Source:
  """Opens a split of a prepared data set.

  Args:
    name: of the data set.
    split: 'train', or any other name for its validation or test split.

  Raises:
    ValueError: if it has other splits, no images, or an unknown file format.
  """
  import tensorflow_datasets as tfds  # slow to import, rarely needed

  builder = tfds.builder(name, data_dir=os.environ.get('TFDS_DATA_DIR'))
  splits = builder.info.splits
  held_out = [s for s in ('validation', 'test') if s in splits]
  if 'train' not in splits or not held_out:
    raise ValueError(
      f'{name} has the splits {sorted(splits)}; it takes train, and '
      'validation or test.'
    )
  if 'image' not in builder.info.features:
    raise ValueError(
      f'{name} has no feature "image"; it has {sorted(builder.info.features)}.'
    )
  chosen = splits['train' if split == 'train' else held_out[0]]
  paths = [str(path) for path in chosen.filepaths]
  count = chosen.num_examples
  file_format = builder.info.file_format.value
  if file_format == 'array_record':
    fetch = _fetch_array_record(paths)
    record_of = lambda _, fetched: fetched  # noqa: E731
  elif file_format == 'tfrecord':
    fetch, index = None, tfrecord.open_index(paths)
    record_of = lambda i, _: tfrecord.read(index, i)  # noqa: E731
  else:
    raise ValueError(
      f'{name} was prepared as {file_format}; it takes tfrecord, which is the '
      'default of download_and_prepare, or array_record.'
    )
  feature = {'image': tf.io.FixedLenFeature([], tf.string)}
  return records.Source(
    names=[f'{name}/{chosen.name}/{i}' for i in range(count)],
    read=lambda i, fetched: dict(
      tf.io.parse_single_example(record_of(i, fetched), feature)
    ),
    fetch=fetch,
    catalogue=_catalogue(builder.info.features, record_of, fetch, count),
  )


def _catalogue(
  features: Any,  # a tfds.features.FeaturesDict
  record_of: Callable[['tf.Tensor', 'tf.Tensor'], 'tf.Tensor'],
  fetch: records.Fetch | None,
  count: int,
) -> Callable[[], tuple[list[str], records.Labels | None]] | None:
  """Returns a reader of file names and labels, if the records have them."""
  if 'file_name' not in features:
    return None
  spec = {'file_name': tf.io.FixedLenFeature([], tf.string)}
  if 'label' in features:
    spec['label'] = tf.io.FixedLenFeature([], tf.int64)

  def catalogue() -> tuple[list[str], records.Labels | None]:
    chunks = records.read_all(record_of, fetch, count).map(
      lambda chunk: tf.io.parse_example(chunk, spec)
    )
    rows = list(chunks.as_numpy_iterator())
    names = [name.decode() for row in rows for name in row['file_name']]
    if 'label' not in spec:
      return names, None
    return names, np.concatenate([row['label'] for row in rows])

  return catalogue


def _fetch_array_record(paths: Sequence[str]) -> records.Fetch:
  """Reads ArrayRecord files, for which TensorFlow has no operation."""
  from array_record.python import array_record_data_source

  data = array_record_data_source.ArrayRecordDataSource(paths)

  def fetch_single(i: int) -> bytes:
    try:
      return data[i]
    except Exception as error:  # The reader has no errors of its own.
      logging.warning('Record %d of %s: %s', i, paths[0], error)
      return b''

  def fetch(index: np.ndarray) -> list[bytes]:
    try:
      return list(data.__getitems__(index.tolist()))
    except Exception:  # Then one by one, without the broken ones.
      return [fetch_single(int(i)) for i in index]

  return fetch
