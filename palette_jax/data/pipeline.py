"""From (seed, step) to a batch: order, clean image, corruption.

The batch of step k is a pure function of (seed, k). The order is entered at
step k by arithmetic; all other chance is seeded by (seed, epoch, record). There
is no iterator state: a run resumes on any number of hosts by starting at its
step.

Next: palette_jax/data/sheet.py
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from etils import epy

from palette_jax import arrays
from palette_jax.data import decoder, order, preparation, sources

with epy.lazy_imports():
  import tensorflow as tf

CHUNK = 8  # records that are read one after the other, beside other chunks
GREY = 128  # of what could not be read
Corrupt = Callable[[dict, 'tf.Tensor'], tuple]


class HostBatch(NamedTuple):
  """This host's rows of a batch, as NumPy arrays.

  Attributes:
    examples: what the model learns from.
    record: int64 [b], indices into the source.
    readable: bool [b]; a record that could not be read keeps its place as a
      grey image with an empty mask.
  """

  examples: arrays.Batch
  record: np.ndarray
  readable: np.ndarray


@dataclasses.dataclass(frozen=True)
class Pipeline:
  """Turns a source's records into batches of examples.

  Attributes:
    source: of the encoded images.
    corrupt: a task's corruption, options bound.
    size: (height, width) of the images.
    seed: of everything.
    min_crop: the smallest random crop, as a share of the largest that fits;
      1 is the paper's.
    max_pixels: of a file; larger ones count as unreadable. Decoding takes at
      most 16 bytes a pixel, of as many files at a time as there are cores.
  """

  source: sources.Source
  corrupt: Corrupt
  size: tuple[int, int]
  seed: int
  min_crop: float = 1.0
  max_pixels: int = decoder.MAX_PIXELS

  def train(
    self, batch: int, start: int = 0, host: int = 0, hosts: int = 1
  ) -> Iterator[HostBatch]:
    """Endless batches from step `start` on, in random order, randomly cropped.

    Args:
      batch: rows of the global batch.
      start: the first step.
      host: this host, in 0..hosts - 1; it gets its share of every batch.
      hosts: how many there are; they must divide the batch.
    """
    positions = order.records(
      self.source.lengths, self.source.places, self.seed, start * batch
    )
    local = batch // hosts
    rows = positions.batch(local, drop_remainder=True).shard(hosts, host)
    return self._batches(rows, local, centre=False)

  def held_out(self, count: int) -> HostBatch:
    """`count` examples in the source's order, cropped in the middle.

    If there are fewer records they come again, corrupted in another way.
    """
    n = len(self.source)
    position = tf.data.Dataset.range(count)
    rows = position.map(lambda i: (i // n, i % n)).batch(count)
    return next(self._batches(rows, count, centre=True))

  def _batches(self, rows, local, centre):
    """Batches of (epoch, record) -> batches of examples."""
    rows = rows.map(_as_is(self._fetch)).unbatch()
    rows = rows.batch(CHUNK).map(
      _as_is(lambda *chunk: self._read(*chunk, centre)),
      num_parallel_calls=tf.data.AUTOTUNE,
      deterministic=True,
    )
    dataset = rows.unbatch().map(
      _as_is(self._corrupt),
      num_parallel_calls=tf.data.AUTOTUNE,
      deterministic=True,
    )
    dataset = dataset.batch(local, drop_remainder=True)
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1  # examples are parallel
    dataset = dataset.with_options(options)
    for example, record, readable in dataset.prefetch(2).as_numpy_iterator():
      yield HostBatch(arrays.Batch(*example), record, readable)

  def _fetch(self, epoch, record):
    """Adds what only Python can read: the one step that is not in the graph."""
    if self.source.fetch is None:
      return epoch, record, tf.fill(tf.shape(record), '')
    fetched = tf.numpy_function(
      lambda index: np.array(self.source.fetch(index), object),
      [record],
      tf.string,
    )
    return epoch, record, tf.ensure_shape(fetched, record.shape)

  def _read(self, epoch, record, fetched, centre):
    """Adds clean images, uint8 by name, and whether they could be read.

    tf.data is where TensorFlow can catch an error inside a graph. A data set of
    the chunk's records loses those that fail; what is left is put back into its
    places between grey images.
    """
    count = tf.shape(record)[0]

    def row(place, epoch, record, fetched):
      seed = None if centre else self.seeds(epoch, record)[0]
      return place, self.clean_images(self.source.read(record, fetched), seed)

    rows = (tf.range(count), epoch, record, fetched)
    found = tf.data.Dataset.from_tensor_slices(rows).map(_as_is(row))
    none = tf.nest.map_structure(
      lambda one: tf.zeros([0, *one.shape], one.dtype), found.element_spec
    )
    found = found.ignore_errors().batch(CHUNK)
    found = found.concatenate(tf.data.Dataset.from_tensors(none)).take(1)
    places, images = found.get_single_element()

    def put_back(image):
      chunk = tf.fill([count, *self.size, 3], tf.constant(GREY, tf.uint8))
      return tf.tensor_scatter_nd_update(chunk, places[:, None], image)

    images = tf.cond(
      tf.size(places) == count,
      lambda: images,
      lambda: {name: put_back(image) for name, image in images.items()},
    )
    readable = tf.reduce_any(tf.range(count)[:, None] == places, axis=1)
    return epoch, record, images, readable

  def clean_images(self, encoded, seed):
    """A record's images, prepared alike: uint8 [h, w, 3] by name.

    Args:
      encoded: the files' bytes by name.
      seed: int32[2] of the crop; None for the middle.

    Raises:
      tf.errors.InvalidArgumentError: when run, if one cannot be read.
    """
    return {name: self._clean(file, seed) for name, file in encoded.items()}

  def _clean(self, encoded, seed):
    file = decoder.read_header(encoded, self.max_pixels)
    size = file.upright_size()
    box = preparation.crop_box(size, self.size, seed, self.min_crop)
    image = preparation.resize(decoder.decode(file, box), self.size)
    return tf.ensure_shape(image, [*self.size, 3])

  def _corrupt(self, epoch, record, images, readable):
    """One row: (target, cond, mask), record, readable."""
    images = {
      name: tf.cast(image, tf.float32) / 127.5 - 1.0
      for name, image in images.items()
    }
    target, cond, mask = self.corrupt(images, self.seeds(epoch, record)[1])
    return (
      (target, cond, mask * tf.cast(readable, tf.float32)),
      record,
      readable,
    )

  def seeds(self, epoch, record):
    """Of the crop and of the corruption: int32[2] each."""
    fold = tf.random.experimental.stateless_fold_in
    seed = fold(fold(tf.constant([self.seed, 1], tf.int64), epoch), record)
    seed = tf.cast(seed, tf.int32)
    return tf.unstack(tf.random.experimental.stateless_split(seed, 2))


def _as_is(function):
  """For tf.data: all is written in graph operations, nothing to translate."""
  return tf.autograph.experimental.do_not_convert(function)
