"""From (seed, step) to a batch: order, clean image, corruption.

The batch of step k is a pure function of (seed, k). The order is entered at
step k by arithmetic; all other chance is seeded by (seed, epoch, record). There
is no iterator state: a run resumes on any number of hosts by starting at its
step.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from etils import epy

from palette_jax import arrays
from palette_jax.data import cache as caches
from palette_jax.data import crop, decoder, header, order, sources

with epy.lazy_imports():
  import tensorflow as tf

CHUNK = 32  # records that are read one after the other, beside other chunks
GREY = 128  # of what could not be read
Corrupt = Callable[[dict, 'tf.Tensor'], tuple]


class HostBatch(NamedTuple):
  """This host's rows of a batch, as NumPy arrays.

  Attributes:
    examples: what the model learns from.
    record: int64 [b], indices into the source.
    readable: bool [b]; a record that could not be read keeps its place as a
      grey image of which nothing is painted.
  """

  examples: arrays.Examples
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
      most 20 bytes a pixel and the file, of one file a core at a time.
    cache: of prepared images; None prepares them in every epoch.
  """

  source: sources.Source
  corrupt: Corrupt
  size: tuple[int, int]
  seed: int
  min_crop: float = 1.0
  max_pixels: int = decoder.MAX_PIXELS
  cache: caches.Cache | None = None

  def __post_init__(self):
    if self.cache and self.min_crop < 1:
      raise ValueError(
        f'data.min_crop={self.min_crop} crops what data.cache does not keep: '
        'set data.min_crop=1, or data.cache to nothing.'
      )

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

  def listed(self, records: np.ndarray, batch: int) -> Iterator[HostBatch]:
    """These records and no others, once, in this order, cropped in the middle.

    Args:
      records: int64 [n], indices into the source; batch divides n.
      batch: rows of a batch.
    """
    assert len(records) % batch == 0, (len(records), batch)
    rows = tf.data.Dataset.from_tensor_slices(
      (np.zeros_like(records), records)
    ).batch(batch)
    return self._batches(rows, batch, centre=True)

  def check_readable(self, batch: HostBatch) -> None:
    """Of what is measured, and must be the same for everybody.

    Raises:
      ValueError: naming the first record that cannot be read.
    """
    if not batch.readable.all():
      first = batch.record[np.argmin(batch.readable)]
      raise ValueError(
        f'{self.source.names[first]} cannot be read. Remove it or replace it: '
        'what is measured must be the same for everybody.'
      )

  def _batches(self, rows, local, centre):
    """Batches of (epoch, record) -> batches of examples."""
    rows = (
      rows.unbatch()
      .batch(CHUNK)
      .map(
        _as_is(lambda *chunk: self._read(*chunk, centre)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
      )
    )
    dataset = rows.unbatch().map(
      _as_is(self._corrupt),
      num_parallel_calls=tf.data.AUTOTUNE,
      deterministic=True,
    )
    dataset = dataset.batch(local, drop_remainder=True)
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1  # examples are parallel
    # Rewriting this graph delays the first batch and hastens no other.
    options.experimental_optimization.apply_default_optimizations = False
    dataset = dataset.with_options(options)
    for example, record, readable in dataset.prefetch(2).as_numpy_iterator():
      yield HostBatch(arrays.Examples(*example), record, readable)

  def _read(self, epoch, record, centre):
    """Adds clean images, uint8 by name, and whether they could be read.

    tf.data is where TensorFlow can catch an error inside a graph. A data set of
    the chunk's records loses those that fail; what is left is put back into its
    places between grey images.
    """
    count = tf.shape(record)[0]

    def row(place, epoch, record, fetched, kept):
      seed = None if centre else self.seeds(epoch, record)[0]
      return place, self.clean_images(record, fetched, kept, seed)

    rows = (tf.range(count), epoch, record, *self._fetch(record))
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

  def _fetch(self, record):
    """What only Python can read, for a chunk: files, and prepared images.

    Returns:
      string [b], what the source's `fetch` gave, and string [b, images], what
      the cache keeps; '' where there is nothing.
    """
    names = len(self.source.images)

    def fetch(index):
      kept = np.full([len(index), names], b'', object)
      if self.cache:
        kept[:] = [
          [self.cache.get(names * i + k) for k in range(names)]
          for i in index.tolist()
        ]
      fetched = np.full(len(index), b'', object)
      missing = np.any(kept == b'', axis=1)
      if self.source.fetch and missing.any():
        fetched[missing] = self.source.fetch(index[missing])
      return fetched, kept

    if self.source.fetch is None and self.cache is None:
      count = tf.shape(record)[0]
      return tf.fill([count], ''), tf.fill([count, names], '')
    fetched, kept = tf.numpy_function(fetch, [record], [tf.string, tf.string])
    return tf.ensure_shape(fetched, [None]), tf.ensure_shape(
      kept, [None, names]
    )

  def clean_images(self, record, fetched, kept, seed):
    """A record's images, prepared alike: uint8 [h, w, 3] by name.

    Args:
      record: int64, index into the source.
      fetched: string, what its `fetch` gave for it.
      kept: string [images], what the cache keeps of it.
      seed: int32[2] of the crop; None for the middle.

    Raises:
      tf.errors.InvalidArgumentError: when run, if one cannot be read.
    """

    def prepare():
      encoded = self.source.read(record, fetched)
      files = [
        decoder.read_header(encoded[name], self.max_pixels)
        for name in self.source.images
      ]
      sizes = [file.upright_size() for file in files]
      files[0] = files[0]._replace(encoded=alike(files[0].encoded, sizes))
      return [
        self._prepare(file, len(files) * record + i, seed)
        for i, file in enumerate(files)
      ]

    if self.cache is None:
      return dict(zip(self.source.images, prepare()))
    whole = tf.cond(
      tf.reduce_all(kept != ''),
      lambda: [_restored(kept[i]) for i in range(len(self.source.images))],
      prepare,
    )
    return {
      name: self._crop(image, seed)
      for name, image in zip(self.source.images, whole)
    }

  def _prepare(self, file, place, seed):
    """Decodes an image and makes it small: its crop, or all for the cache."""
    size = file.upright_size()

    def part():
      box = crop.crop_box(size, self.size, seed, self.min_crop)
      return crop.resize(decoder.decode(file, box), self.size)

    if self.cache is None:
      return tf.ensure_shape(part(), [*self.size, 3])
    whole = crop.kept_size(size, self.size)

    def keep():
      image = crop.resize(decoder.decode(file), whole)
      return tf.numpy_function(
        lambda i, image: self.cache.put(int(i), image),
        [place, image],
        tf.uint8,
      )

    fits = tf.reduce_max(whole / tf.constant(self.size)) <= caches.MOST
    return tf.ensure_shape(tf.cond(fits, keep, part), [None, None, 3])

  def _crop(self, image, seed):
    """A part of the right size, of an image that is just large enough."""
    top, left, _, _ = tf.unstack(
      crop.crop_box(tf.shape(image)[:2], self.size, seed)
    )
    return tf.slice(image, [top, left, 0], [*self.size, 3])

  def _corrupt(self, epoch, record, images, readable):
    """One row: (target, cond, given), record, readable."""
    target, cond, given = self.corrupt(images, self.seeds(epoch, record)[1])
    given *= tf.cast(readable, tf.uint8)  # TRUTH, where nothing is painted
    return (target, cond, given), record, readable

  def seeds(self, epoch, record):
    """Of the crop and of the corruption: int32[2] each."""
    fold = tf.random.experimental.stateless_fold_in
    seed = fold(fold(tf.constant([self.seed, 1], tf.int64), epoch), record)
    seed = tf.cast(seed, tf.int32)
    return tf.unstack(tf.random.experimental.stateless_split(seed, 2))


def _as_is(function):
  """For tf.data: all is written in graph operations, nothing to translate."""
  return tf.autograph.experimental.do_not_convert(function)


def alike(encoded: 'tf.Tensor', sizes: 'list[tf.Tensor]') -> 'tf.Tensor':
  """Pairs are cropped alike, which takes images of one shape.

  Args:
    encoded: a file, which is given back.
    sizes: int32 [2] of each image, upright.

  Raises:
    tf.errors.InvalidArgumentError: when run, if the shapes differ.
  """
  if len(sizes) == 1:
    return encoded
  ratios = [size[0] / size[1] for size in sizes]
  return header.insist(
    encoded,
    tf.abs(ratios[0] / ratios[1] - 1.0) < 0.02,
    'a pair of images of different shapes: heights and widths',
    tf.stack(sizes),
  )


def _restored(kept):
  """What `Cache.get` gave -> uint8 [h, w, 3]."""
  size = tf.io.decode_raw(tf.strings.substr(kept, 0, 8), tf.int32)
  pixels = tf.io.decode_raw(tf.strings.substr(kept, 8, -1), tf.uint8)
  return tf.reshape(pixels, [size[0], size[1], 3])
