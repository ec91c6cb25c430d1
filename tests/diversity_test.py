"""The diversity of an input's samples."""

import numpy as np
import pytest
import tensorflow as tf

from palette_jax.evaluation import intervals
from palette_jax.evaluation.metrics import diversity


def samples(spread, k=4, n=3, side=44):
  """k pictures of each of n inputs: the input, and noise of some spread."""
  draw = np.random.default_rng(0)
  inputs = draw.uniform(40, 215, [1, n, 4, 4, 3]).repeat(side // 4, 2)
  inputs = inputs.repeat(side // 4, 3)
  noise = spread * draw.standard_normal([k, n, side, side, 3])
  return np.clip(inputs + noise, 0, 255).astype(np.uint8)


def apart(a_u8, b_u8):
  return np.abs(a_u8.astype(np.float32) - b_u8).mean(axis=(1, 2, 3)) / 255


def test_every_sample_is_compared_with_the_first():
  drawn = samples(30.0)
  result = diversity.to_first(drawn)
  assert result.shape == (3, 3)
  exponents = np.array([0.0448, 0.2856, 0.3001])
  for i in range(3):
    expected = tf.image.ssim_multiscale(
      drawn[0], drawn[i + 1], 255, exponents / exponents.sum()
    )
    np.testing.assert_allclose(result[i], expected, atol=2e-5)


def test_consecutive_samples_are_compared():
  drawn = samples(30.0)
  result = diversity.between_consecutive(drawn, apart)
  assert result.shape == (3, 3)
  for i in range(3):
    np.testing.assert_allclose(result[i], apart(drawn[i], drawn[i + 1]))


def test_a_model_with_one_answer_is_not_diverse():
  same = samples(0.0)
  np.testing.assert_allclose(diversity.to_first(same), 1, atol=1e-6)
  assert not diversity.between_consecutive(same, apart).any()


def test_more_spread_is_more_diverse():
  result = [samples(spread) for spread in (1, 10, 40)]
  likeness = [diversity.to_first(x).mean() for x in result]
  assert likeness[0] > likeness[1] > likeness[2]
  distance = [diversity.between_consecutive(x, apart).mean() for x in result]
  assert distance[0] < distance[1] < distance[2]


def test_the_interval_is_over_inputs():
  """Twice the samples of the same inputs are not twice the inputs."""
  result = diversity.to_first(samples(30.0, n=25, side=12))
  estimate = diversity.estimate(result)
  assert estimate.n == 25
  np.testing.assert_allclose(estimate.value, result.mean())
  assert estimate == intervals.mean(result.mean(axis=0))
  again = diversity.estimate(np.concatenate([result, result]))
  np.testing.assert_allclose(again[:3], estimate[:3])


def test_histograms_share_bins_and_count_every_pair_once():
  """Of values as near to each other as those of small images are."""
  draw = np.random.default_rng(0)
  rows = dict(
    one=draw.uniform(0.01, 0.02, [3, 400]), two=draw.uniform(0.015, 0.03, [300])
  )
  edges, counts = diversity.histograms(rows)
  assert edges[0] == rows['one'].min() and edges[-1] == rows['two'].max()
  for row, values in rows.items():
    assert counts[row].sum() == values.size
    for low, high, count in zip(edges[:-1], edges[1:], counts[row]):
      assert count == ((values >= low) & (values < high)).sum() or (
        high == edges[-1]
      )
  assert np.count_nonzero(counts['one']) > 10
  _, same = diversity.histograms(dict(one=np.ones([2, 5])))
  assert same['one'].sum() == 10


def test_one_sample_has_no_diversity():
  for call in (
    lambda: diversity.to_first(samples(1.0, k=1)),
    lambda: diversity.between_consecutive(samples(1.0, k=1), apart),
  ):
    with pytest.raises(ValueError, match='2 samples'):
      call()
