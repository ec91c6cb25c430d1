"""A survey of the images of a source: sizes, formats, and refused files.

Every record is decoded whole, in as many threads as there are cores; 48 bytes
are kept of each image.
"""

import concurrent.futures
import functools
import hashlib
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from etils import epy
from jaxtyping import Int64

from palette_jax import console
from palette_jax.data import decoder, pipeline, reader, records

with epy.lazy_imports():
  import tensorflow as tf

IMAGE = np.dtype(
  [
    ('read', '?'),  # whether its bytes could be read
    ('decoded', '?'),
    ('height', 'i4'),  # upright
    ('width', 'i4'),
    ('kind', 'i1'),  # index into decoder.FORMATS
    ('turned', '?'),
    ('sha256', 'S32'),
  ]
)

Rows = list[tuple[dict[str, np.ndarray], str]]  # images by name, and a reason


class Survey(NamedTuple):
  """The images of a split.

  Attributes:
    source: of the records.
    records: indices of the records that were read.
    images: of each record by the image's name: [n] of dtype IMAGE.
    refused: names of the records that cannot be used, and the reasons.
  """

  source: records.Source
  records: Int64[np.ndarray, ' n']
  images: dict[str, np.ndarray]
  refused: list[tuple[str, str]]


def take(
  source: records.Source, most: int, max_pixels: int, split: str = ''
) -> Survey:
  """Reads and decodes records of a source.

  Args:
    source: of the records.
    most: the largest number of records; if there are more, evenly spaced ones
      are read.
    max_pixels: of a file; larger ones are refused.
    split: its name, for the progress.
  """
  n = len(source)
  count = min(most, n)
  chosen = np.arange(count, dtype=np.int64) * n // count
  images = {name: np.zeros(count, IMAGE) for name in source.images}
  refused = []
  starts = range(0, count, pipeline.CHUNK)
  chunks = [chosen[i : i + pipeline.CHUNK] for i in starts]
  pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
  try:
    with console.Progress(split, count) as progress:
      rows_of = pool.map(_reader(source, max_pixels), chunks)
      for start, rows in zip(starts, rows_of):
        for place, (row, reason) in enumerate(rows, start):
          for name, image in row.items():
            images[name][place] = image
          if reason:
            refused.append((source.names[chosen[place]], reason))
        progress.advance(len(rows))
  finally:  # Ctrl-C does not wait for the rest.
    pool.shutdown(cancel_futures=True)
  return Survey(source, chosen, images, refused)


def _as_graph(function: Callable, *specs: 'tf.TensorSpec') -> Callable:
  """Makes a graph, which TensorFlow runs without holding Python's lock."""
  return tf.function(function, input_signature=specs, autograph=False)


@functools.cache
def _decoder(max_pixels: int) -> Callable:
  """Returns bytes -> shape, kind, orientation; one graph for both splits."""

  def decode(encoded: 'tf.Tensor') -> tuple['tf.Tensor', ...]:
    file = decoder.read_header(encoded, max_pixels)
    return tf.shape(decoder.decode(file)), file.kind, file.orientation

  return _as_graph(decode, tf.TensorSpec([], tf.string))


def _reader(
  source: records.Source, max_pixels: int
) -> Callable[[Int64[np.ndarray, ' n']], Rows]:
  """Returns a function that reads the records of a few indices.

  Reading and decoding are separate graphs, since the bytes are hashed, too.
  """
  read = _as_graph(
    source.read, tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.string)
  )
  decode = _decoder(max_pixels)
  compare = _as_graph(
    lambda sizes: reader.require_one_shape(tf.constant(''), tf.unstack(sizes)),
    tf.TensorSpec([len(source.images), 2], tf.int32),
  )

  def read_record(
    index: np.int64, fetched: bytes
  ) -> tuple[dict[str, np.ndarray], str]:
    images, reasons = {}, []
    try:
      files = read(tf.constant(index), tf.constant(fetched))
    except tf.errors.OpError as error:
      return images, decoder.reason(error)
    for name, encoded in files.items():
      images[name], reason = _image(encoded, decode)
      if reason:
        reasons.append(f'{name}: {reason}' if len(files) > 1 else reason)
    if not reasons:
      try:
        compare([[i['height'], i['width']] for i in images.values()])
      except tf.errors.OpError as error:
        reasons.append(decoder.reason(error))
    return images, '; '.join(reasons)

  def read_chunk(indices: Int64[np.ndarray, ' n']) -> Rows:
    fetched = [b''] * len(indices)
    if source.fetch:
      fetched = source.fetch(indices)
    return [read_record(*row) for row in zip(indices, fetched)]

  return read_chunk


def _image(encoded: 'tf.Tensor', decode: Callable) -> tuple[np.ndarray, str]:
  """Returns an entry of dtype IMAGE, and the reason for a refusal."""
  sha256 = hashlib.sha256(encoded.numpy()).digest()
  try:
    shape, kind, orientation = decode(encoded)
  except tf.errors.OpError as error:
    unknown = (True, False, 0, 0, 0, False, sha256)
    return np.array(unknown, IMAGE), decoder.reason(error)
  height, width, _ = shape.numpy()
  turned = int(orientation) != 1
  fields = (True, True, height, width, int(kind), turned, sha256)
  return np.array(fields, IMAGE), ''
