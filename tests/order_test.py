"""The order of the records."""

import numpy as np
import pytest
import tensorflow as tf

from palette_jax.data import order


def positions(lengths, places, count, seed=0, start=0):
  """[count, 2]: epoch and record."""
  stream = order.records(lengths, places, seed, start).take(count)
  return np.array(list(stream.as_numpy_iterator()))


@pytest.mark.parametrize('n', [18, 500, 50_000])
def test_all_epochs_and_all_seeds_have_different_orders(n):
  """Seen through their first 18 places: 18! is far above 2,048 squared."""
  first = tf.function(
    lambda seed, epoch: order.epoch_order(n, seed, epoch)[:18]
  )
  epochs = [first(0, tf.constant(e, tf.int64)) for e in range(1024)]
  seeds = [
    first(tf.constant(s, tf.int64), tf.constant(0, tf.int64))
    for s in range(1024)
  ]
  seen = {o.numpy().tobytes() for o in epochs + seeds}
  assert len(seen) == 2047  # (seed 0, epoch 0) is in both
  whole = order.epoch_order(n, 3, tf.constant(5, tf.int64)).numpy()
  assert np.array_equal(np.sort(whole), np.arange(n))


def test_every_epoch_is_a_permutation():
  epochs, records = positions([12], [1000], 12 * 5).T.reshape(2, 5, 12)
  assert np.array_equal(epochs, np.repeat(np.arange(5)[:, None], 12, 1))
  assert np.array_equal(
    np.sort(records, axis=1), np.tile(np.arange(12), (5, 1))
  )


@pytest.mark.parametrize('start', [0, 5, 12, 999, 1000, 2345])
def test_a_mixture_is_entered_anywhere(start):
  lengths, places = [12, 40, 7], order.places([0.5, 0.3, 0.2])
  whole = positions(lengths, places, 2400)
  tail = positions(lengths, places, 2400 - start, start=start)
  assert np.array_equal(whole[start:], tail)


@pytest.mark.parametrize(
  'weights', [(0.5, 0.5), (0.7, 0.2, 0.1), (1.0, 1.0, 1.0), (0.999, 0.001)]
)
def test_weights_are_exact_over_every_1000_positions(weights):
  lengths = [50] * len(weights)
  part = positions(lengths, order.places(weights), 3500)[:, 1] // 50
  shares = np.array(weights) / sum(weights)
  for start in (0, 1, 499, 2500):
    window = np.bincount(part[start : start + 1000], minlength=len(weights))
    assert np.abs(window - 1000 * shares).max() < 1
  # Spread evenly, no part comes in lumps: a tenth of that has its share, too.
  tenth = np.bincount(part[:100], minlength=len(weights))
  assert np.abs(tenth - 100 * shares).max() <= 1


def test_each_part_of_a_mixture_goes_through_its_own_epochs():
  lengths = [12, 40]
  seen = positions(lengths, order.places([0.5, 0.5]), 1000)
  for first, n in ((0, 12), (12, 40)):
    own = seen[(first <= seen[:, 1]) & (seen[:, 1] < first + n)]
    whole = own[: len(own) // n * n].reshape(-1, n, 2)
    assert np.all(whole[:, :, 0] == np.arange(len(whole))[:, None])
    assert np.all(np.sort(whole[:, :, 1]) == first + np.arange(n))


def test_parts_of_one_length_have_orders_of_their_own():
  seen = positions([30, 30], order.places([1.0, 1.0]), 60)[:, 1]
  assert not np.array_equal(seen[seen < 30], seen[seen >= 30] - 30)


@pytest.mark.parametrize(
  ('weights', 'message'),
  [
    ((0.5, 0.0), 'above 0'),
    ((1.0, -1.0), 'above 0'),
    ((1.0, 1e-6), '1/1000'),
  ],
)
def test_impossible_weights_are_refused(weights, message):
  with pytest.raises(ValueError, match=message):
    order.places(weights)
