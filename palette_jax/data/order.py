"""The order of the records: which one stands at position i, for all i.

A pure function of the seed, entered anywhere by arithmetic: there is no
iterator state to save. Epoch e of n records is one stateless shuffle. Where
several parts are mixed, a fixed pattern of 1,000 places says which part each
position belongs to; each part goes through its own epochs.
"""

from collections.abc import Sequence

import numpy as np
from etils import epy

with epy.lazy_imports():
  import tensorflow as tf

PERIOD = 1000
LAST = np.iinfo(np.int64).max


def places(weights: Sequence[float]) -> list[int]:
  """How many places of the pattern each part has, by largest remainders.

  Raises:
    ValueError: if a weight is not above 0, or too small for one place.
  """
  share = np.asarray(weights, np.float64)
  if not np.all(np.isfinite(share)) or np.any(share <= 0):
    raise ValueError(f'Weights must be above 0; got {list(weights)}.')
  exact = share / share.sum() * PERIOD
  whole = np.floor(exact + 1e-9).astype(int)
  # Of equal remainders the first gets more.
  ranked = np.argsort(np.round(whole - exact, 9), kind='stable')
  whole[ranked[: PERIOD - whole.sum()]] += 1
  if np.any(whole == 0):
    raise ValueError(
      f'Of the weights {list(weights)} the least is below 1/{PERIOD} of all.'
    )
  return whole.tolist()


def pattern(counts: Sequence[int]) -> np.ndarray:
  """Which part each place belongs to, spread evenly: int64 [PERIOD]."""
  ideal = [(np.arange(count) + 0.5) / count for count in counts]
  part = np.repeat(np.arange(len(counts)), counts)
  return part[np.argsort(np.concatenate(ideal), kind='stable')]


def records(
  lengths: Sequence[int], counts: Sequence[int], seed: int, start: int
) -> 'tf.data.Dataset':
  """(epoch, record) of every position from `start` on, without end.

  Args:
    lengths: records of each part; the numbers of a part's records follow those
      of the part before.
    counts: each part's places of PERIOD.
    seed: of all epochs.
    start: the first position.
  """
  parts = pattern(counts)
  period, place = divmod(start, PERIOD)
  before = np.bincount(parts[:place], minlength=len(counts))
  first = np.cumsum([0, *lengths])
  streams = [
    _epochs(n, seed, i, period * counts[i] + before[i], first[i])
    for i, n in enumerate(lengths)
  ]
  if len(streams) == 1:
    return streams[0]
  chosen = tf.constant(parts, tf.int64)
  choice = tf.data.Dataset.range(start, LAST).map(lambda i: chosen[i % PERIOD])
  return tf.data.Dataset.choose_from_datasets(streams, choice)


def _epochs(n, seed, part, position, first):
  """(epoch, first + record) of one part from its own position on."""
  entered, skip = divmod(int(position), n)

  def epoch(e):
    shuffled = epoch_order(n, seed + (part << 32), e)
    skipped = tf.where(e == entered, tf.constant(skip, tf.int64), 0)
    rest = shuffled[skipped:] + int(first)
    return tf.data.Dataset.from_tensor_slices(
      (tf.fill(tf.shape(rest), e), rest)
    )

  epoch = tf.autograph.experimental.do_not_convert(epoch)
  return tf.data.Dataset.range(entered, LAST).flat_map(epoch)


def epoch_order(
  n: int, seed: 'int | tf.Tensor', epoch: 'tf.Tensor'
) -> 'tf.Tensor':
  """The permutation of 0..n-1 that is epoch `epoch`, int64 [n]."""
  # Not index_shuffle: below 65,537 records it looks at 8 bits of the seed.
  return tf.random.experimental.stateless_shuffle(
    tf.range(n, dtype=tf.int64), seed=tf.stack([tf.cast(seed, tf.int64), epoch])
  )
