"""The pipeline: (seed, step) -> batch, by order, clean image and corruption.

The batch of step k is a pure function of (seed, k). Arithmetic gives the order
from step k on; (seed, epoch, record) seeds everything else that is random.
There is no iterator state: a run resumes on any number of hosts by starting at
its step.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from etils import epy
from jaxtyping import Bool, Int

from palette_jax import arrays, tasks
from palette_jax.data import cache as caches
from palette_jax.data import decoder, order, reader, records

with epy.lazy_imports():
  import tensorflow as tf

CHUNK = 32  # records that a thread reads, one after another
GREY = 128  # the level that stands for a record that cannot be read
Corrupt = Callable[[dict[str, 'tf.Tensor'], 'tf.Tensor'], tasks.Example]
_Function = TypeVar('_Function', bound=Callable)


class HostBatch(NamedTuple):
  """The rows of a batch that belong to this host.

  Attributes:
    examples: for the network.
    record: indices into the source.
    readable: a record that cannot be read keeps its place as a grey image of
      which nothing is painted.
  """

  examples: arrays.Examples
  record: Int[np.ndarray, ' b']
  readable: Bool[np.ndarray, ' b']


@dataclasses.dataclass(frozen=True)
class Pipeline:
  """Turns the records of a source into batches of examples.

  Attributes:
    source: of the encoded images.
    corrupt: of a task, with its options bound.
    size: (height, width) of the images.
    seed: of everything that is random.
    min_crop: the smallest random crop, as a share of the largest that fits;
      1 in the paper.
    max_pixels: of a file; larger ones count as unreadable. Decoding takes the
      size of the file and at most 20 bytes per pixel, for one file per core.
    cache: of prepared images; None prepares them in every epoch.
  """

  source: records.Source
  corrupt: Corrupt
  size: tuple[int, int]
  seed: int
  min_crop: float = 1.0
  max_pixels: int = decoder.MAX_PIXELS
  cache: caches.Cache | None = None

  def __post_init__(self) -> None:
    if self.cache and self.min_crop < 1:
      raise ValueError(
        f'data.min_crop={self.min_crop} needs more pixels than data.cache '
        'keeps: set data.min_crop=1, or leave data.cache empty.'
      )

  @functools.cached_property
  def _reader(self) -> reader.Reader:
    return reader.Reader(
      self.source, self.size, self.min_crop, self.max_pixels, self.cache
    )

  def train(
    self, batch: int, start: int = 0, host: int = 0, hosts: int = 1
  ) -> Iterator[HostBatch]:
    """Yields shuffled, randomly cropped batches from a step on, without end.

    Args:
      batch: rows of the global batch.
      start: the first step.
      host: this host, in 0..hosts - 1; it gets its share of every batch.
      hosts: number of hosts; it must divide the batch.
    """
    positions = order.records(
      self.source.lengths, self.source.places, self.seed, start * batch
    )
    local = batch // hosts
    own = positions.batch(local, drop_remainder=True).shard(hosts, host)
    return self._batches(own.rebatch(CHUNK), local, centre=False)

  def held_out(self, count: int) -> HostBatch:
    """Returns examples in the order of the source, cropped in the centre.

    If there are fewer records, they recur with other corruptions.
    """
    n = len(self.source)
    positions = tf.data.Dataset.range(count).map(lambda i: (i // n, i % n))
    return next(self._batches(positions.batch(CHUNK), count, centre=True))

  def listed(
    self, record: Int[np.ndarray, ' n'], batch: int
  ) -> Iterator[HostBatch]:
    """Yields the given records once, in their order, cropped in the centre.

    Args:
      record: indices into the source; `batch` divides their number.
      batch: rows of a batch.
    """
    assert len(record) % batch == 0, (len(record), batch)
    positions = tf.data.Dataset.from_tensor_slices(
      (np.zeros_like(record), record)
    )
    return self._batches(positions.batch(CHUNK), batch, centre=True)

  def check_readable(self, batch: HostBatch) -> None:
    """Checks that all images of a batch could be read.

    Raises:
      ValueError: naming the first record that cannot be read.
    """
    if not batch.readable.all():
      first = batch.record[np.argmin(batch.readable)]
      raise ValueError(
        f'{self.source.names[first]} cannot be read, and an evaluation must '
        'use the same images everywhere. Replace the file, or remove it.'
      )

  def _batches(
    self, chunks: 'tf.data.Dataset', local: int, centre: bool
  ) -> Iterator[HostBatch]:
    """Turns chunks of (epoch, record) into batches of `local` examples.

    Reading is parallel over chunks, since a chunk is what can lose a record
    without an error (see `_read`); corruption is parallel over rows, which a
    batch then collects. Neither size has to divide the other.
    """
    rows = chunks.map(
      _untranslated(lambda *chunk: self._read(*chunk, centre)),
      num_parallel_calls=tf.data.AUTOTUNE,
      deterministic=True,
    ).unbatch()
    rows = rows.map(
      _untranslated(self._corrupt),
      num_parallel_calls=tf.data.AUTOTUNE,
      deterministic=True,
    )
    batches = rows.batch(local, drop_remainder=True)
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1  # Rows are parallel.
    # Rewriting this graph delays the first batch and speeds up no other.
    options.experimental_optimization.apply_default_optimizations = False
    batches = batches.with_options(options)
    for examples, record, readable in batches.prefetch(2).as_numpy_iterator():
      yield HostBatch(arrays.Examples(*examples), record, readable)

  def _read(
    self, epoch: 'tf.Tensor', record: 'tf.Tensor', centre: bool
  ) -> tuple['tf.Tensor', 'tf.Tensor', reader.Images, 'tf.Tensor']:
    """Adds clean images, and whether they could be read, to a chunk.

    Only tf.data can catch an error inside a graph: a data set of the records of
    a chunk drops those that fail. The others are put back in their places
    between grey images.
    """
    count = tf.shape(record)[0]

    def read_row(
      place: 'tf.Tensor',
      epoch: 'tf.Tensor',
      record: 'tf.Tensor',
      fetched: 'tf.Tensor',
      cached: 'tf.Tensor',
    ) -> tuple['tf.Tensor', reader.Images]:
      seed = None if centre else self.seeds(epoch, record)[0]
      return place, self._reader.read(record, fetched, cached, seed)

    rows = (tf.range(count), epoch, record, *self._reader.fetch(record))
    rows = tf.data.Dataset.from_tensor_slices(rows).map(_untranslated(read_row))
    none = tf.nest.map_structure(
      lambda spec: tf.zeros([0, *spec.shape], spec.dtype), rows.element_spec
    )
    read = rows.ignore_errors().batch(CHUNK)
    read = read.concatenate(tf.data.Dataset.from_tensors(none)).take(1)
    places, images = read.get_single_element()

    def put_back(image: 'tf.Tensor') -> 'tf.Tensor':
      grey = tf.fill([count, *self.size, 3], tf.constant(GREY, tf.uint8))
      return tf.tensor_scatter_nd_update(grey, places[:, None], image)

    images = tf.cond(
      tf.size(places) == count,
      lambda: images,
      lambda: {name: put_back(image) for name, image in images.items()},
    )
    readable = tf.reduce_any(tf.range(count)[:, None] == places, axis=1)
    return epoch, record, images, readable

  def _corrupt(
    self,
    epoch: 'tf.Tensor',
    record: 'tf.Tensor',
    images: reader.Images,
    readable: 'tf.Tensor',
  ) -> tuple[tasks.Example, 'tf.Tensor', 'tf.Tensor']:
    """Makes the example of a row."""
    target, cond, given = self.corrupt(images, self.seeds(epoch, record)[1])
    given *= tf.cast(readable, tf.uint8)  # TRUTH: nothing is painted.
    return (target, cond, given), record, readable

  def seeds(
    self, epoch: 'tf.Tensor', record: 'tf.Tensor'
  ) -> tuple['tf.Tensor', 'tf.Tensor']:
    """Returns the seeds of the crop and of the corruption: int32[2] each."""
    fold = tf.random.experimental.stateless_fold_in
    seed = fold(fold(tf.constant([self.seed, 1], tf.int64), epoch), record)
    seed = tf.cast(seed, tf.int32)
    crop_seed, task_seed = tf.unstack(
      tf.random.experimental.stateless_split(seed, 2)
    )
    return crop_seed, task_seed


def _untranslated(function: _Function) -> _Function:
  """Tells tf.data that a function consists of graph operations already."""
  return tf.autograph.experimental.do_not_convert(function)
