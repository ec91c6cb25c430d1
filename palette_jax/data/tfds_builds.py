"""Data sets that TensorFlow Datasets has prepared, entered at any record."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import logging
from etils import epy

from palette_jax.data import tfrecord

with epy.lazy_imports():
  import tensorflow as tf


def open_build(name: str, split: str) -> dict[str, Any]:
  """Opens a split of a data set that has been prepared.

  Returns:
    Arguments of `sources.Source`.

  Raises:
    ValueError: if it has no such splits, no images, or another form.
  """
  import tensorflow_datasets as tfds  # slow to import, seldom needed

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
  names = [f'{name}/{chosen.name}/{i}' for i in range(chosen.num_examples)]
  feature = {'image': tf.io.FixedLenFeature([], tf.string)}

  def image_of(example):
    return dict(tf.io.parse_single_example(example, feature))

  written_as = builder.info.file_format.value
  if written_as == 'array_record':
    fetch = _array_record(paths)
    record_of = lambda _, fetched: fetched  # noqa: E731
  elif written_as == 'tfrecord':
    fetch, index = None, tfrecord.index(paths)
    record_of = lambda i, _: tfrecord.read(index, i)  # noqa: E731
  else:
    raise ValueError(
      f'{name} was prepared as {written_as}; it takes tfrecord, which is the '
      'default of download_and_prepare, or array_record.'
    )
  return dict(
    names=names,
    read=lambda i, fetched: image_of(record_of(i, fetched)),
    fetch=fetch,
    catalogue=_catalogue(builder.info.features, record_of, fetch, len(names)),
  )


def whole(
  read: Callable, fetch: Callable | None, count: int, chunk: int = 32
) -> 'tf.data.Dataset':
  """All records in their order, string [chunk] at a time.

  Args:
    read: (index, fetched) -> the string of a record, in graph operations.
    fetch: as a source's; None where there is none.
    count: of records.
    chunk: how many at a time; the last may be shorter.
  """

  def look(index):
    if fetch is None:
      fetched = tf.fill(tf.shape(index), '')
    else:
      fetched = tf.numpy_function(
        lambda i: np.array(fetch(i), object), [index], tf.string
      )
      fetched = tf.ensure_shape(fetched, [None])
    return tf.map_fn(
      lambda one: read(*one), (index, fetched), fn_output_signature=tf.string
    )

  rows = tf.data.Dataset.range(count).batch(chunk)
  return rows.map(look, num_parallel_calls=tf.data.AUTOTUNE)


def _catalogue(features, record_of, fetch, count):
  """How file names and labels are read, if the records have them."""
  if 'file_name' not in features:
    return None
  wanted = {'file_name': tf.io.FixedLenFeature([], tf.string)}
  if 'label' in features:
    wanted['label'] = tf.io.FixedLenFeature([], tf.int64)

  def catalogue():
    rows = whole(record_of, fetch, count).map(
      lambda records: tf.io.parse_example(records, wanted)
    )
    found = list(rows.as_numpy_iterator())
    names = [n.decode() for rows in found for n in rows['file_name']]
    if 'label' not in wanted:
      return names, None
    return names, np.concatenate([rows['label'] for rows in found])

  return catalogue


def _array_record(paths: Sequence[str]) -> Callable[[np.ndarray], list[bytes]]:
  """Reads ArrayRecord files, for which TensorFlow has no operation."""
  from array_record.python import array_record_data_source

  data = array_record_data_source.ArrayRecordDataSource(paths)

  def one(i):
    try:
      return data[i]
    except Exception as error:  # the reader has no errors of its own
      logging.warning('Record %d of %s: %s', i, paths[0], error)
      return b''

  def fetch(index):
    try:
      return list(data.__getitems__(index.tolist()))
    except Exception:  # then all but the broken ones
      return [one(int(i)) for i in index]

  return fetch
