"""Records of encoded images, and sources of them."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from etils import epy
from jaxtyping import Int

from palette_jax.data import order

with epy.lazy_imports():
  import tensorflow as tf

Fetch = Callable[[np.ndarray], list[bytes]]
Read = Callable[['tf.Tensor', 'tf.Tensor'], dict[str, 'tf.Tensor']]
Labels = Int[np.ndarray, ' n']


@dataclasses.dataclass(frozen=True)
class Source:
  """Records that can be read in any order.

  Attributes:
    names: of all records, for messages.
    read: index (int64 scalar) and fetched record (string scalar) -> encoded
      images by name, in graph operations.
    fetch: int64 [b] -> b records, if only Python can read them; None if `read`
      alone suffices, which then gets ''.
    images: names of a record's images: 'image', and 'source' for pairs.
    labels: class of each record, -1 if unknown; None if no class is known.
    catalogue: () -> file names and labels of all records, if the records hold
      them and all must be read to collect them.
    lengths: number of records of each part of a mixture.
    places: of each part, out of order.PERIOD.
  """

  names: Sequence[str]
  read: Read
  fetch: Fetch | None = None
  images: tuple[str, ...] = ('image',)
  labels: Labels | None = None
  catalogue: Callable[[], tuple[list[str], Labels | None]] | None = None
  lengths: tuple[int, ...] = ()
  places: tuple[int, ...] = (order.PERIOD,)

  def __post_init__(self) -> None:
    object.__setattr__(self, 'lengths', self.lengths or (len(self.names),))

  def __len__(self) -> int:
    return len(self.names)

  def fingerprint(self) -> dict[str, Any]:
    """Identifies the list of records: number, SHA-256 of names, and shares."""
    digest = hashlib.sha256('\n'.join(self.names).encode())
    identity = {'records': len(self), 'sha256': digest.hexdigest()}
    if len(self.images) > 1:
      identity |= {'images': list(self.images)}
    if len(self.places) > 1:
      identity |= {'lengths': list(self.lengths), 'places': list(self.places)}
    return identity


def mix(weighted: Sequence[tuple[float, Source]]) -> Source:
  """Joins sources into one, their records numbered one source after another.

  Raises:
    ValueError: if pairs are mixed with single images.
  """
  weights, sources = zip(*weighted)
  if len({source.images for source in sources}) > 1:
    raise ValueError(
      'A mixture is of pairs or of single images, not of both: change '
      'data.source.'
    )
  first = np.cumsum([0, *map(len, sources)])

  def read(index: 'tf.Tensor', fetched: 'tf.Tensor') -> dict[str, 'tf.Tensor']:
    part = tf.searchsorted(first[1:], index[None], side='right')[0]
    readers = [
      lambda s=s, f=f: s.read(index - f, fetched)
      for s, f in zip(sources, first)
    ]
    return tf.switch_case(part, readers)

  def fetch(index: np.ndarray) -> list[bytes]:
    """Fetches the records of each part that needs it; b'' for the others."""
    fetched = np.full(len(index), b'', object)
    for source, begin, end in zip(sources, first, first[1:]):
      own = (begin <= index) & (index < end)
      if source.fetch and own.any():
        fetched[own] = source.fetch(index[own] - begin)
    return fetched.tolist()

  return Source(
    names=[f'{i}:{n}' for i, s in enumerate(sources) for n in s.names],
    read=read,
    fetch=fetch if any(s.fetch for s in sources) else None,
    images=sources[0].images,
    lengths=tuple(map(len, sources)),
    places=tuple(order.places(weights)),
  )


def read_all(
  read: Callable[['tf.Tensor', 'tf.Tensor'], 'tf.Tensor'],
  fetch: Fetch | None,
  count: int,
  chunk: int = 32,
) -> 'tf.data.Dataset':
  """Reads all records in their order, string [chunk] at a time.

  Args:
    read: index and fetched record -> the string to collect, in graph
      operations.
    fetch: of a source.
    count: of records.
    chunk: records at a time; the last chunk may be shorter.
  """

  def read_chunk(index: 'tf.Tensor') -> 'tf.Tensor':
    if fetch is None:
      fetched = tf.fill(tf.shape(index), '')
    else:
      fetched = tf.numpy_function(
        lambda i: np.array(fetch(i), object), [index], tf.string
      )
      fetched = tf.ensure_shape(fetched, [None])
    return tf.map_fn(
      lambda row: read(*row), (index, fetched), fn_output_signature=tf.string
    )

  rows = tf.data.Dataset.range(count).batch(chunk)
  return rows.map(read_chunk, num_parallel_calls=tf.data.AUTOTUNE)
