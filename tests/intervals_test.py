"""Intervals with their coverage, or none and a reason."""

import tracemalloc

import numpy as np
import pytest

from palette_jax.evaluation import intervals


def test_the_interval_of_a_mean_is_that_of_the_central_limit():
  values = np.random.default_rng(0).gamma(4.0, size=400)
  estimate = intervals.mean(values)
  half = 1.96 * values.std(ddof=1) / 20
  assert estimate.value == values.mean() and estimate.n == 400
  np.testing.assert_allclose(
    [estimate.low, estimate.high],
    estimate.value + half * np.array([-1, 1]),
    atol=0.01,
  )
  assert 'bootstrap' in estimate.method and '10,000' in estimate.method


def test_a_mean_s_interval_has_its_coverage():
  draw, held = np.random.default_rng(0), 0
  for _ in range(300):
    estimate = intervals.mean(draw.exponential(size=60))
    held += estimate.low <= 1 <= estimate.high
  assert 0.90 < held / 300 < 0.98


def test_a_seed_gives_the_same_interval_and_another_a_near_one():
  values = np.random.default_rng(0).standard_normal(100)
  estimate = intervals.mean(values, seed=3)
  assert intervals.mean(values, seed=3) == estimate
  other = intervals.mean(values, seed=4)
  assert other != estimate and abs(other.low - estimate.low) < 0.01


def test_many_images_are_resampled_in_little_memory():
  values = np.random.default_rng(0).standard_normal(50_000)
  tracemalloc.start()
  estimate = intervals.mean(values)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 100e6
  assert abs(estimate.high - estimate.low - 3.92 / 50_000**0.5) < 0.001


def test_pairs_have_a_narrower_interval_than_the_two_sets():
  """An image's effect on both models cancels; the rest has a known spread."""
  draw = np.random.default_rng(0)
  difficulty = 10 * draw.standard_normal(500)
  a = difficulty + draw.standard_normal(500) + 0.3
  b = difficulty + draw.standard_normal(500)
  estimate = intervals.paired(a, b)
  np.testing.assert_allclose(estimate.value, a.mean() - b.mean())
  expected = 3.92 * 2**0.5 / 500**0.5
  assert abs(estimate.high - estimate.low - expected) < 0.1 * expected
  assert intervals.mean(a).high - intervals.mean(a).low > 4 * expected
  assert intervals.paired(b, a).value == -estimate.value
  assert estimate.method.startswith('paired bootstrap')


@pytest.mark.parametrize(
  'hits, n, low, high',
  [  # Newcombe 1998, Table I, method 3
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
  ],
)
def test_shares_have_wilson_s_interval(hits, n, low, high):
  estimate = intervals.share(np.arange(n) < hits)
  assert estimate.value == hits / n and estimate.n == n
  np.testing.assert_allclose(
    [estimate.low, estimate.high], [low, high], atol=6e-5
  )
  mirrored = intervals.share(np.arange(n) >= hits)
  np.testing.assert_allclose(
    [1 - mirrored.high, 1 - mirrored.low], [low, high], atol=6e-5
  )


def test_a_mean_s_influences_are_its_values():
  values = np.random.default_rng(0).standard_normal(100)
  half = 1.959964 * values.std(ddof=1) / 10
  estimate = intervals.linear(3.0, values + 7)
  np.testing.assert_allclose(
    [estimate.low, estimate.high], [3 - half, 3 + half]
  )


def test_groups_are_equal_and_random():
  group = intervals.groups(1010, seed=0)
  sizes = np.bincount(group)
  assert len(sizes) == 20 and set(sizes) == {50, 51}
  assert np.array_equal(group, intervals.groups(1010, seed=0))
  assert not np.array_equal(group, intervals.groups(1010, seed=1))
  assert np.corrcoef(group, np.arange(1010))[0, 1] < 0.1


def test_a_jackknifed_mean_has_the_deviation_of_the_groups_means():
  values = np.random.default_rng(0).standard_normal(400)
  group = intervals.groups(400)
  left_out = [values[group != j].mean() for j in range(20)]
  estimate = intervals.jackknife(values.mean(), left_out, 400)
  means = [values[group == j].mean() for j in range(20)]
  half = 2.0930240544 * np.std(means, ddof=1) / 20**0.5
  np.testing.assert_allclose(estimate.high - estimate.value, half, rtol=1e-9)
  np.testing.assert_allclose(estimate.value - estimate.low, half, rtol=1e-9)
  assert '20 groups' in estimate.method


def test_few_images_get_no_interval_and_a_reason():
  few = np.arange(19.0)
  for estimate in (intervals.mean(few), intervals.linear(9.0, few)):
    assert estimate[:4] == (9.0, None, None, 19)
    assert estimate.method == 'none: 19 images, 20 are needed for an interval'
  assert intervals.mean(np.arange(20.0)).low < 9.5
  estimate = intervals.jackknife(0.5, [], 39)
  assert (
    estimate[:4] == (0.5, None, None, 39) and '40 are needed' in estimate.method
  )
  assert intervals.within(estimate, 0.0, 1.0) == estimate


def test_an_interval_is_cut_to_the_range_of_the_metric():
  estimate = intervals.linear(0.1, np.arange(20.0))
  assert estimate.low < 0 and estimate.high > 1
  assert intervals.within(estimate, 0.0, 1.0)[1:3] == (0.0, 1.0)
  assert intervals.within(estimate, -99.0, 99.0) == estimate


def test_equal_images_have_an_infinite_mean_psnr():
  estimate = intervals.mean(np.array([30.0, np.inf] * 50))
  assert estimate[:4] == (np.inf, None, None, 100)
  assert estimate.method == 'none: 50 of 100 values are infinite'


def test_values_without_a_mean_are_refused():
  with pytest.raises(ValueError, match='needs 1'):
    intervals.mean(np.zeros(0))
  with pytest.raises(ValueError, match='needs 1'):
    intervals.share(np.zeros(0, bool))
  values = np.ones(30)
  values[[7, 9]] = np.nan
  with pytest.raises(ValueError, match='image 7'):
    intervals.mean(values)
  infinite = np.full(30, np.inf)
  with pytest.raises(ValueError, match='NaN'):
    intervals.paired(infinite, infinite)
  with pytest.raises(ValueError, match='30 and 29'):
    intervals.paired(np.ones(30), np.ones(29))


def test_broken_features_are_refused():
  features = np.ones([30, 4], np.float32)
  intervals.check_features(features, 30, 'X')
  with pytest.raises(ValueError, match='X needs 31'):
    intervals.check_features(features, 31, 'X')
  features[5, 2], features[8, 1] = np.inf, np.nan
  with pytest.raises(ValueError, match='image 5'):
    intervals.check_features(features, 2, 'X')
