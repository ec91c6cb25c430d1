"""A reader: from a record of a source to its clean images."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from etils import epy

from palette_jax.data import cache as caches
from palette_jax.data import crop, decoder, header, records

with epy.lazy_imports():
  import tensorflow as tf

Images = dict[str, 'tf.Tensor']  # of a record, by name: uint8 [h, w, 3]


@dataclasses.dataclass(frozen=True)
class Reader:
  """Decodes, crops and resizes the images of a record.

  Attributes:
    source: of the records.
    size: (height, width) of the clean images.
    min_crop: the smallest random crop, as a share of the largest that fits.
    max_pixels: of a file; larger ones cannot be read.
    cache: of prepared images, or None.
  """

  source: records.Source
  size: tuple[int, int]
  min_crop: float
  max_pixels: int
  cache: caches.Cache | None

  def fetch(self, record: 'tf.Tensor') -> tuple['tf.Tensor', 'tf.Tensor']:
    """Fetches a chunk from the cache, and from a source that needs Python.

    Returns:
      String [b], results of the source's `fetch`, and string [b, images],
      cached images; '' where there is none.
    """
    names = len(self.source.images)

    def fetch(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
      cached = np.full([len(index), names], b'', object)
      if self.cache:
        cached[:] = [
          [self.cache.get(names * i + k) for k in range(names)]
          for i in index.tolist()
        ]
      fetched = np.full(len(index), b'', object)
      missing = np.any(cached == b'', axis=1)
      if self.source.fetch and missing.any():
        fetched[missing] = self.source.fetch(index[missing])
      return fetched, cached

    if self.source.fetch is None and self.cache is None:
      count = tf.shape(record)[0]
      return tf.fill([count], ''), tf.fill([count, names], '')
    fetched, cached = tf.numpy_function(fetch, [record], [tf.string, tf.string])
    fetched = tf.ensure_shape(fetched, [None])
    return fetched, tf.ensure_shape(cached, [None, names])

  def read(
    self,
    record: 'tf.Tensor',
    fetched: 'tf.Tensor',
    cached: 'tf.Tensor',
    seed: 'tf.Tensor | None',
  ) -> Images:
    """Returns the images of a record, cropped alike: uint8 [h, w, 3] by name.

    Args:
      record: int64, index into the source.
      fetched: string, the source's `fetch` of it.
      cached: string [images], '' for an image that the cache does not have.
      seed: int32[2] of the crop; None for the centre.

    Raises:
      tf.errors.InvalidArgumentError: when run, if an image cannot be read.
    """

    def prepare() -> list['tf.Tensor']:
      encoded = self.source.read(record, fetched)
      files = [
        decoder.read_header(encoded[name], self.max_pixels)
        for name in self.source.images
      ]
      sizes = [file.upright_size() for file in files]
      first = require_one_shape(files[0].encoded, sizes)
      files[0] = files[0]._replace(encoded=first)
      return [
        self._prepare(file, len(files) * record + i, seed)
        for i, file in enumerate(files)
      ]

    if self.cache is None:
      return dict(zip(self.source.images, prepare()))
    whole = tf.cond(
      tf.reduce_all(cached != ''),
      lambda: [_pixels(cached[i]) for i in range(len(self.source.images))],
      prepare,
    )
    return {
      name: self._crop(image, seed)
      for name, image in zip(self.source.images, whole)
    }

  def _prepare(
    self, file: decoder.Header, place: 'tf.Tensor', seed: 'tf.Tensor | None'
  ) -> 'tf.Tensor':
    """Decodes and resizes the crop of an image, or all of it for the cache."""
    size = file.upright_size()

    def prepare_crop() -> 'tf.Tensor':
      box = crop.box(size, self.size, seed, self.min_crop)
      return crop.resize(decoder.decode(file, box), self.size)

    cache = self.cache
    if cache is None:
      return tf.ensure_shape(prepare_crop(), [*self.size, 3])
    whole = crop.whole_size(size, self.size)

    def prepare_whole() -> 'tf.Tensor':
      image = crop.resize(decoder.decode(file), whole)
      return tf.numpy_function(
        lambda i, image: cache.put(int(i), image), [place, image], tf.uint8
      )

    fits = tf.reduce_max(whole / tf.constant(self.size)) <= caches.MAX_LENGTH
    image = tf.cond(fits, prepare_whole, prepare_crop)
    return tf.ensure_shape(image, [None, None, 3])

  def _crop(self, image: 'tf.Tensor', seed: 'tf.Tensor | None') -> 'tf.Tensor':
    """Crops an image that is just large enough."""
    box = crop.box(tf.shape(image)[:2], self.size, seed)
    top, left, _, _ = tf.unstack(box)
    return tf.slice(image, [top, left, 0], [*self.size, 3])


def require_one_shape(
  encoded: 'tf.Tensor', sizes: 'Sequence[tf.Tensor]'
) -> 'tf.Tensor':
  """Returns a file if the images of its record have the same shape.

  Otherwise they could not be cropped alike.

  Args:
    encoded: the file.
    sizes: int32 [2] of each image, upright.

  Raises:
    tf.errors.InvalidArgumentError: when run, if the shapes differ.
  """
  if len(sizes) == 1:
    return encoded
  ratios = [size[0] / size[1] for size in sizes]
  return header.require(
    encoded,
    tf.abs(ratios[0] / ratios[1] - 1.0) < 0.02,
    'a pair of images of different shapes: heights and widths',
    tf.stack(sizes),
  )


def _pixels(cached: 'tf.Tensor') -> 'tf.Tensor':
  """Converts a result of `Cache.get` to uint8 [h, w, 3]."""
  size = tf.io.decode_raw(tf.strings.substr(cached, 0, 8), tf.int32)
  pixels = tf.io.decode_raw(tf.strings.substr(cached, 8, -1), tf.uint8)
  return tf.reshape(pixels, [size[0], size[1], 3])
