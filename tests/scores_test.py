"""Inception Score, kernel distance, precision and recall."""

import numpy as np
import pytest

from palette_jax.evaluation.metrics import (
  inception_score,
  kernel_distance,
  precision_recall,
)

DRAW = np.random.default_rng(0)


def normal(n, d, shift=0.0, seed=1):
  draw = np.random.default_rng(seed)
  return (draw.standard_normal([n, d]) + shift).astype(np.float32)


def jackknifed(statistic, n):
  """Half of a 95% interval by leaving out each image, brute force."""
  left_out = [statistic(np.delete(np.arange(n), i)) for i in range(n)]
  return 1.96 * np.sqrt((n - 1) * np.var(left_out))


# Inception Score


def test_a_classifier_that_knows_nothing_scores_one():
  result = inception_score.estimate(np.full([200, 7], 3.0), splits=10)
  np.testing.assert_allclose(result[:3], (1, 1, 1))


def test_sure_and_balanced_images_score_the_number_of_classes():
  """And sure images of one class score 1; no logit overflows."""
  logits = 1e4 * np.eye(12, dtype=np.float32)[np.arange(240) % 12]
  result = inception_score.estimate(logits, splits=1)
  np.testing.assert_allclose(result.value, 12, rtol=1e-12)
  assert result.high <= 12
  alike = inception_score.estimate(np.tile(logits[:1], [40, 1]), splits=2)
  np.testing.assert_allclose(alike.value, 1, rtol=1e-12)


def test_two_sure_classes_score_their_perplexity():
  """exp of the entropy of the shares: 3/4 and 1/4."""
  logits = 1e3 * np.eye(5)[np.repeat([1, 4], [150, 50])]
  result = inception_score.estimate(logits, splits=1)
  shares = np.array([0.75, 0.25])
  np.testing.assert_allclose(result.value, np.exp(-shares @ np.log(shares)))


def test_it_is_its_definition_over_shuffled_parts():
  logits = normal(103, 9)
  p = np.exp(logits.astype(np.float64))
  p /= p.sum(1, keepdims=True)
  order = np.random.default_rng(5).permutation(103)
  scores = []
  for part in np.array_split(p[order], 4):
    q = part.mean(0)
    scores.append(np.exp(np.mean(np.sum(part * np.log(part / q), 1))))
  result = inception_score.of_splits(logits, splits=4, seed=5)
  np.testing.assert_allclose(result, scores, rtol=1e-6)
  estimate = inception_score.estimate(logits, splits=4, seed=5)
  np.testing.assert_allclose(estimate.value, np.mean(scores), rtol=1e-6)
  assert estimate.n == 103


def test_a_constant_added_to_an_image_s_logits_changes_nothing():
  logits = normal(50, 9)
  moved = logits + 100 * DRAW.standard_normal([50, 1])
  np.testing.assert_allclose(
    inception_score.of_splits(moved), inception_score.of_splits(logits), 1e-5
  )


def test_images_that_come_by_class_lose_nothing():
  """Unshuffled, every part would be of one class and score 1."""
  logits = 20 * np.eye(10)[np.repeat(np.arange(10), 100)]
  result = inception_score.estimate(logits, splits=10)
  assert 9 < result.value < 10


def test_its_interval_is_the_jackknife_s():
  """Also of fewer images than classes."""
  for n, classes in [(200, 6), (50, 80)]:
    logits = 2 * normal(n, classes)
    result = inception_score.estimate(logits, splits=1)
    brute = jackknifed(
      lambda kept, x=logits: inception_score.of_splits(x[kept], splits=1)[0], n
    )
    half = result.high - result.value
    np.testing.assert_allclose(half, brute, rtol=1e-3)
    assert result.method == 'jackknife over images'


def test_splits_make_the_interval_of_their_mean():
  """Each split's own jackknife, brute force, and their mean's variance."""
  logits = 2 * normal(120, 6)
  order, halves = np.random.default_rng(0).permutation(120), []
  for part in np.array_split(logits[order], 3):
    halves.append(
      jackknifed(
        lambda kept, x=part: inception_score.of_splits(x[kept], splits=1)[0], 40
      )
    )
  result = inception_score.estimate(logits, splits=3)
  expected = np.sqrt(np.sum(np.square(halves))) / 3
  np.testing.assert_allclose(result.high - result.value, expected, rtol=0.02)


def test_more_splits_than_images_are_refused():
  with pytest.raises(ValueError, match='10 splits'):
    inception_score.estimate(normal(9, 4))
  few = inception_score.estimate(normal(10, 4))
  assert few.low is None and few.method.startswith('none: 10 images')
  broken = normal(30, 4)
  broken[4] = np.nan
  with pytest.raises(ValueError, match='image 4'):
    inception_score.estimate(broken)


# Kernel distance


def kernel(a, b):
  return (a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1) ** 3


def unbiased(a, b):
  """By its definition, pairs of different images one by one."""
  n, m = len(a), len(b)
  aa, bb = kernel(a, a), kernel(b, b)
  aa, bb = aa.sum() - np.trace(aa), bb.sum() - np.trace(bb)
  return aa / n / (n - 1) + bb / m / (m - 1) - 2 * kernel(a, b).mean()


@pytest.mark.parametrize('n, m', [(2, 2), (60, 45), (2100, 30), (30, 4200)])
def test_the_kernel_distance_is_its_definition(n, m):
  """In one block, and in several."""
  a, b = normal(n, 8, 0.3), normal(m, 8, seed=2)
  result = kernel_distance.estimate(a, b)
  np.testing.assert_allclose(result.value, unbiased(a, b), atol=2e-6)
  assert result.n == n
  np.testing.assert_allclose(
    kernel_distance.estimate(b, a).value, result.value, atol=2e-6
  )


def test_the_kernel_distance_is_exact_enough_for_inception_s_features():
  """2,048 means of positive numbers, sets that differ by a thousandth."""
  draw = np.random.default_rng(0)
  a = draw.gamma(0.6, 0.6, [300, 2048]).astype(np.float32)
  b = draw.gamma(0.6, 0.61, [200, 2048]).astype(np.float32)
  result = kernel_distance.estimate(a, b).value
  np.testing.assert_allclose(result, unbiased(a, b), atol=1e-7)
  assert 1e-4 < result < 1e-2


def test_sets_of_one_law_are_at_no_distance_on_average():
  """Of however few images: there is no bias, and half are below 0."""
  result = [
    kernel_distance.estimate(
      normal(20, 4, seed=seed), normal(20, 4, seed=1000 + seed)
    ).value
    for seed in range(300)
  ]
  assert abs(np.mean(result)) < 3 * np.std(result) / 300**0.5
  assert 0.3 < np.mean(np.array(result) < 0) < 0.8


def test_the_kernel_distance_s_interval_is_the_jackknife_s():
  a, b = normal(200, 5, 0.5), normal(150, 5, seed=2)
  result = kernel_distance.estimate(a, b)
  brute = jackknifed(lambda kept: unbiased(a[kept], b), 200)
  np.testing.assert_allclose(result.high - result.value, brute, rtol=0.03)
  assert result.method == 'infinitesimal jackknife over images'


def test_what_has_no_kernel_distance_is_refused():
  for a, b in [(1, 9), (9, 1)]:
    with pytest.raises(ValueError, match='2 images'):
      kernel_distance.estimate(normal(a, 4), normal(b, 4))
  with pytest.raises(ValueError, match='3 and 4'):
    kernel_distance.estimate(normal(9, 3), normal(9, 4))
  broken = normal(9, 4)
  broken[2, 0] = np.inf
  with pytest.raises(ValueError, match='image 2'):
    kernel_distance.estimate(normal(9, 4), broken)


# Precision and recall


def by_hand(images, reference, k=3):
  """Precision and recall from all distances, in float64."""
  apart = lambda a, b: np.linalg.norm(a[:, None] - b[None], axis=2)  # noqa: E731
  images, reference = images.astype(float), reference.astype(float)
  ball = lambda x: np.sort(apart(x, x), axis=1)[:, k]  # noqa: E731
  between = apart(images, reference)
  precision = np.any(between <= ball(reference)[None], axis=1).mean()
  return precision, np.any(between <= ball(images)[:, None], axis=0).mean()


@pytest.mark.parametrize('k', [1, 3, 30])
def test_precision_and_recall_are_their_definitions(k):
  a, b = 0.8 * normal(130, 6, 0.3), normal(97, 6, seed=2)
  precision, recall = precision_recall.estimate(a, b, k)
  np.testing.assert_allclose((precision.value, recall.value), by_hand(a, b, k))
  assert k == 30 or (0 < precision.value < 1 and 0 < recall.value < 1)
  swapped = precision_recall.estimate(b, a, k)
  assert swapped[0].value == recall.value
  assert swapped[1].value == precision.value


def test_blocks_do_not_show():
  """Of the reference on both sides; groups of images are blocks already."""
  a, b = normal(60, 3, 1.2), normal(2100, 3, seed=2)
  result = [one.value for one in precision_recall.estimate(a, b)]
  np.testing.assert_allclose(result, by_hand(a, b), atol=1e-9)


def test_a_model_that_knows_one_kind_of_image_is_precise_and_recalls_it_only():
  reference = normal(200, 5)
  reference[100:] += 100
  alike = normal(200, 5, seed=2)
  precision, recall = precision_recall.estimate(alike, reference)
  assert precision.value > 0.8 and 0.4 < recall.value <= 0.5


def test_sets_apart_have_neither_and_a_set_has_both_of_itself():
  a = normal(100, 5)
  assert [x.value for x in precision_recall.estimate(a, a + 100)] == [0, 0]
  assert [x.value for x in precision_recall.estimate(a, a)] == [1, 1]


def test_recall_s_interval_is_the_jackknife_s_over_groups():
  a, b = 0.8 * normal(90, 4), normal(80, 4, seed=2)
  result = precision_recall.estimate(a, b, seed=7)[1]
  group = precision_recall.intervals.groups(90, 7)
  values = [by_hand(a[group != j], b)[1] for j in range(20)]
  half = 2.093024 * np.sqrt(19 * np.var(values))
  np.testing.assert_allclose(result.high - result.value, half, rtol=1e-6)
  precision, recall = precision_recall.estimate(a[:39], b)
  assert recall.low is None and '40 are needed' in recall.method
  assert precision.method == 'Wilson score interval'


def test_fewer_images_than_neighbours_are_refused():
  for a, b in [(3, 9), (9, 3)]:
    with pytest.raises(ValueError, match='3 neighbours'):
      precision_recall.estimate(normal(a, 4), normal(b, 4))
  assert precision_recall.estimate(normal(4, 4), normal(4, 4))[0].value == 1
  with pytest.raises(ValueError, match='3 and 4'):
    precision_recall.estimate(normal(9, 3), normal(9, 4))
  broken = normal(9, 4)
  broken[2, 0] = np.nan
  with pytest.raises(ValueError, match='image 2'):
    precision_recall.estimate(broken, normal(9, 4))
