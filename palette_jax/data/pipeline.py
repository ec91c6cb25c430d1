"""From (seed, step) to a batch: order, clean image, corruption.

The batch of step k is a pure function of (seed, k). Epoch e's order is one
stateless shuffle with seed (seed, e), entered at step k by arithmetic; all
other chance is seeded by (seed, epoch, record). There is no iterator state:
a run resumes on any number of hosts by starting at its step.

Next: palette_jax/models/embeddings.py
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from etils import epy

from palette_jax import arrays
from palette_jax.data import sources

with epy.lazy_imports():
  import tensorflow as tf

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
  """

  source: sources.Source
  corrupt: Corrupt
  size: tuple[int, int]
  seed: int
  min_crop: float = 1.0

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
    local = batch // hosts
    dataset = self.records(start * batch).batch(batch)
    dataset = dataset.map(
      lambda *x: [a[host * local : (host + 1) * local] for a in x]
    )
    dataset = dataset.unbatch()
    return self._batches(dataset, local, centre=False)

  def held_out(self, count: int) -> HostBatch:
    """`count` examples in the source's order, cropped in the middle.

    If there are fewer records they come again, corrupted in another way.
    """
    n = len(self.source)
    position = tf.data.Dataset.range(count)
    dataset = position.map(lambda i: (i // n, i % n))
    return next(self._batches(dataset, count, centre=True))

  def records(self, position: int) -> 'tf.data.Dataset':
    """(epoch, record) of every position of the endless order, from one on."""
    n = len(self.source)
    first, skip = divmod(position, n)

    def epoch(e):
      order = epoch_order(n, self.seed, e)
      order = order[tf.where(e == first, tf.constant(skip, tf.int64), 0) :]
      repeated = tf.fill(tf.shape(order), e)
      return tf.data.Dataset.from_tensor_slices((repeated, order))

    last = np.iinfo(np.int64).max
    return tf.data.Dataset.range(first, last).flat_map(_as_is(epoch))

  def _batches(self, dataset, local, centre):
    dataset = dataset.map(
      _as_is(lambda epoch, record: self._example(epoch, record, centre)),
      num_parallel_calls=tf.data.AUTOTUNE,
      deterministic=True,
    )
    dataset = dataset.batch(local, drop_remainder=True)
    for example, record, readable in dataset.prefetch(2).as_numpy_iterator():
      yield HostBatch(arrays.Batch(*example), record, readable)

  def _example(self, epoch, record, centre):
    """One row: (target, cond, mask), record, readable."""
    fold = tf.random.experimental.stateless_fold_in
    seed = fold(fold(tf.constant([self.seed, 1], tf.int64), epoch), record)
    seeds = tf.random.experimental.stateless_split(tf.cast(seed, tf.int32), 2)
    image, readable = self._clean_image(record, seeds[0], centre)
    target, cond, mask = self.corrupt({'image': image}, seeds[1])
    mask = tf.where(readable, mask, tf.zeros_like(mask))
    return (target, cond, mask), record, readable

  def _clean_image(self, record, seed, centre):
    """[h, w, 3] in [-1, 1] on the 8-bit grid, and whether it could be read."""

    def load(record):
      image = tf.io.decode_image(
        self.source.read(record), channels=3, expand_animations=False
      )
      image.set_shape([None, None, 3])
      image = crop(image, self.size, None if centre else seed, self.min_crop)
      return resize(image, self.size), True

    # tf.data is where TensorFlow can catch an error inside a graph: a data set
    # of one record, emptied by the error, then filled up with the substitute.
    substitute = (tf.zeros([*self.size, 3]), False)
    dataset = tf.data.Dataset.from_tensors(record).map(_as_is(load))
    dataset = dataset.ignore_errors()
    dataset = dataset.concatenate(tf.data.Dataset.from_tensors(substitute))
    return dataset.take(1).get_single_element()


def _as_is(function):
  """For tf.data: all is written in graph operations, nothing to translate."""
  return tf.autograph.experimental.do_not_convert(function)


def epoch_order(
  n: int, seed: 'int | tf.Tensor', epoch: 'tf.Tensor'
) -> 'tf.Tensor':
  """The permutation of 0..n-1 that is epoch `epoch`, int64 [n]."""
  # Not index_shuffle: below 65,537 records it looks at 8 bits of the seed.
  return tf.random.experimental.stateless_shuffle(
    tf.range(n, dtype=tf.int64), seed=tf.stack([tf.cast(seed, tf.int64), epoch])
  )


def crop(
  image: 'tf.Tensor',
  size: tuple[int, int],
  seed: 'tf.Tensor | None',
  min_crop: float = 1.0,
) -> 'tf.Tensor':
  """The largest crop of the wanted shape, as ColTran and Palette train.

  Args:
    image: uint8 [H, W, 3].
    size: (height, width), whose ratio the crop has.
    seed: int32[2] of a random position, or None for the middle.
    min_crop: with a seed, the crop's side is random between this share of the
      largest and the largest.

  Returns:
    uint8 [h, w, 3].
  """
  full = tf.cast(tf.shape(image)[:2], tf.float32)
  wanted = tf.constant(size, tf.float32)
  largest = tf.reduce_min(full / wanted)
  draws = tf.constant([1.0, 0.5, 0.5])
  if seed is not None:
    draws = tf.random.stateless_uniform([3], seed)
    draws *= tf.constant([1.0 - min_crop, 1.0, 1.0])
    draws += tf.constant([min_crop, 0.0, 0.0])
  extent = tf.round(largest * draws[0] * wanted)
  extent = tf.clip_by_value(extent, 1.0, full)
  # The + 1 makes the last position as likely as the others.
  spare = full - extent
  start = tf.minimum(tf.floor(draws[1:] * (spare + 1.0)), spare)
  begin = tf.concat([tf.cast(start, tf.int32), [0]], 0)
  return tf.slice(image, begin, tf.concat([tf.cast(extent, tf.int32), [3]], 0))


def resize(image: 'tf.Tensor', size: tuple[int, int]) -> 'tf.Tensor':
  """Resizes with antialias, onto the 8-bit grid: a file's pixels, in [-1, 1].

  Rounding to 8 bits makes what is learnt from equal to what is met later: a
  user's photo is a file, too.
  """
  image = tf.image.resize(image, size, antialias=True)
  levels = tf.clip_by_value(tf.round(image), 0.0, 255.0)
  return tf.ensure_shape(levels / 127.5 - 1.0, [*size, 3])
