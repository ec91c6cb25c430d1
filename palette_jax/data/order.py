"""The order of the records: the epoch and the record at each position.

The order is a pure function of the seed, and arithmetic enters it at any
position: there is no iterator state to save. Epoch e of n records is one
stateless shuffle. In a mixture, a fixed pattern of 1,000 places assigns each
position to a part; each part goes through its own epochs.
"""

from collections.abc import Sequence

import numpy as np
from etils import epy
from jaxtyping import Int

with epy.lazy_imports():
  import tensorflow as tf

PERIOD = 1000
LAST = np.iinfo(np.int64).max


def places(weights: Sequence[float]) -> list[int]:
  """Returns the places of each part in the pattern, by largest remainders.

  Raises:
    ValueError: if a weight is not above 0, or too small for one place.
  """
  share = np.asarray(weights, np.float64)
  if not np.all(np.isfinite(share)) or np.any(share <= 0):
    raise ValueError(f'Weights must be above 0; got {list(weights)}.')
  exact = share / share.sum() * PERIOD
  whole = np.floor(exact + 1e-9).astype(int)
  # Of equal remainders, the first gets more.
  ranked = np.argsort(np.round(whole - exact, 9), kind='stable')
  whole[ranked[: PERIOD - whole.sum()]] += 1
  if np.any(whole == 0):
    raise ValueError(
      f'The smallest of the weights {list(weights)} is below 1/{PERIOD} of '
      'their sum: make it larger.'
    )
  return whole.tolist()


def pattern(counts: Sequence[int]) -> Int[np.ndarray, ' period']:
  """Returns the part to which each place belongs, spread evenly."""
  ideal = [(np.arange(count) + 0.5) / count for count in counts]
  part = np.repeat(np.arange(len(counts)), counts)
  return part[np.argsort(np.concatenate(ideal), kind='stable')]


def records(
  lengths: Sequence[int], counts: Sequence[int], seed: int, start: int
) -> 'tf.data.Dataset':
  """Returns (epoch, record) of all positions from `start` on, without end.

  Args:
    lengths: number of records of each part; records are numbered one part after
      another.
    counts: places of each part, out of PERIOD.
    seed: of all epochs.
    start: the first position.
  """
  parts = pattern(counts)
  period, place = divmod(start, PERIOD)
  before = np.bincount(parts[:place], minlength=len(counts))
  first = np.cumsum([0, *lengths])
  streams = [
    _epochs(n, seed, i, period * counts[i] + int(before[i]), int(first[i]))
    for i, n in enumerate(lengths)
  ]
  if len(streams) == 1:
    return streams[0]
  part_of = tf.constant(parts, tf.int64)
  choice = tf.data.Dataset.range(start, LAST).map(lambda i: part_of[i % PERIOD])
  return tf.data.Dataset.choose_from_datasets(streams, choice)


def _epochs(
  n: int, seed: int, part: int, position: int, first: int
) -> 'tf.data.Dataset':
  """Returns (epoch, first + record) of a part from its own position on."""
  entered, skip = divmod(position, n)

  def epoch(e: 'tf.Tensor') -> 'tf.data.Dataset':
    shuffled = epoch_order(n, seed + (part << 32), e)
    skipped = tf.where(e == entered, tf.constant(skip, tf.int64), 0)
    rest = shuffled[skipped:] + first
    return tf.data.Dataset.from_tensor_slices(
      (tf.fill(tf.shape(rest), e), rest)
    )

  epoch = tf.autograph.experimental.do_not_convert(epoch)
  return tf.data.Dataset.range(entered, LAST).flat_map(epoch)


def epoch_order(
  n: int, seed: 'int | tf.Tensor', epoch: 'tf.Tensor'
) -> 'tf.Tensor':
  """Returns the permutation of 0..n-1 of an epoch, int64 [n]."""
  # index_shuffle uses only 8 bits of the seed below 65,537 records.
  return tf.random.experimental.stateless_shuffle(
    tf.range(n, dtype=tf.int64), seed=tf.stack([tf.cast(seed, tf.int64), epoch])
  )
