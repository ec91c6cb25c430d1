"""The Frechet distance: known answers, invariances, and honest intervals."""

import numpy as np
import pytest
import scipy.linalg

from palette_jax.evaluation.metrics import frechet

DRAW = np.random.default_rng(0)


def features(n, d, shift=0.0, seed=1):
  """Correlated, with a spectrum that falls as those of networks do."""
  draw = np.random.default_rng(seed)
  mixing = np.random.default_rng(0).standard_normal([d, d])
  mixing /= np.sqrt(np.arange(1, d + 1))
  return (draw.standard_normal([n, d]) @ mixing + shift).astype(np.float32)


def moments(x):
  return frechet.Moments().add(x)


def known(mean, covariance):
  """Moments of a population, as of two images."""
  return frechet.Moments(2, np.array(mean, float), np.array(covariance, float))


@pytest.mark.parametrize('n, d', [(200, 8), (30, 40)])
def test_a_set_is_at_no_distance_from_itself(n, d):
  x = features(n, d)
  scale = np.trace(moments(x).covariance)
  assert frechet.distance(moments(x), moments(x)) < 1e-6 * scale
  result = frechet.estimate(x, moments(x))
  assert 0 <= result.low <= result.high < 1e-6 * scale


def test_gaussians_of_the_same_axes_have_a_closed_form():
  """|m|^2 and the squared differences of the deviations."""
  axes = np.linalg.qr(DRAW.standard_normal([5, 5]))[0]
  a, b = DRAW.uniform(0.1, 3, [2, 5])
  m = DRAW.standard_normal(5)
  result = frechet.distance(
    known(np.ones(5), axes @ np.diag(a**2) @ axes.T),
    known(np.ones(5) + m, axes @ np.diag(b**2) @ axes.T),
  )
  np.testing.assert_allclose(result, m @ m + np.sum((a - b) ** 2), rtol=1e-12)


def test_any_gaussians_in_the_plane_have_a_closed_form():
  """tr (A B)^(1/2) of 2x2 is (tr AB + 2 (det A det B)^(1/2))^(1/2)."""
  for _ in range(5):
    a, b = DRAW.standard_normal([2, 2, 2])
    a, b = a @ a.T, b @ b.T
    root = np.sqrt(np.linalg.det(a) * np.linalg.det(b))
    overlap = np.sqrt(np.trace(a @ b) + 2 * root)
    expected = np.trace(a) + np.trace(b) - 2 * overlap
    result = frechet.distance(known([0, 0], a), known([0, 0], b))
    np.testing.assert_allclose(result, expected, rtol=1e-9)


def test_it_is_what_the_matrix_square_root_says():
  """As FID is usually computed, by SciPy."""
  a, b = moments(features(300, 24)), moments(features(200, 24, 0.5, seed=2))
  root = scipy.linalg.sqrtm(a.covariance @ b.covariance)
  spread = np.trace(a.covariance + b.covariance - 2 * root.real)
  expected = np.sum((a.mean - b.mean) ** 2) + spread
  np.testing.assert_allclose(frechet.distance(a, b), expected, rtol=1e-9)
  np.testing.assert_allclose(frechet.distance(b, a), expected, rtol=1e-9)


def test_rotations_and_shifts_of_both_change_nothing_and_scales_square():
  a, b = features(100, 12).astype(float), features(90, 12, 0.3, 2).astype(float)
  before = frechet.distance(moments(a), moments(b))
  turn = np.linalg.qr(DRAW.standard_normal([12, 12]))[0]
  move = lambda x: 3 * x @ turn + 5  # noqa: E731
  after = frechet.distance(moments(move(a)), moments(move(b)))
  np.testing.assert_allclose(after, 9 * before, rtol=1e-9)


@pytest.mark.parametrize('n', [20, 31, 32, 33, 100, 5000])
def test_the_estimate_s_value_is_the_distance(n):
  """Fewer images than features, as many, and several blocks of rows."""
  x, reference = features(n, 32, 0.2), moments(features(300, 32, seed=2))
  result = frechet.estimate(x, reference)
  expected = frechet.distance(moments(x), reference)
  np.testing.assert_allclose(result.value, expected, rtol=1e-6)
  assert result.n == n and 0 <= result.low < result.value < result.high
  shuffled = frechet.estimate(x[::-1].copy(), reference)
  np.testing.assert_allclose(shuffled[:3], result[:3], rtol=1e-6)


@pytest.mark.parametrize('n, d', [(250, 6), (90, 30), (50, 60)])
def test_influences_are_what_leaving_an_image_out_does(n, d):
  """The interval of the brute-force jackknife, but for terms of 1 / n."""
  x, reference = features(n, d, 0.5), moments(features(400, d, seed=2))
  left_out = [
    frechet.distance(moments(np.delete(x, i, axis=0)), reference)
    for i in range(n)
  ]
  expected = 1.96 * np.sqrt((n - 1) * np.var(left_out))
  result = frechet.estimate(x, reference)
  # Beside few images a feature has many, leaving one out is no small change.
  np.testing.assert_allclose(
    result.high - result.value, expected, rtol=0.03 if n > 10 * d else 0.3
  )


def test_intervals_hold_the_mean_distance_of_so_many_images():
  """benchmarks/intervals.py does it at length, with other features."""
  reference = moments(features(5000, 16, seed=0))
  result = [
    frechet.estimate(features(120, 16, 0.2, seed), reference)
    for seed in range(2, 302)
  ]
  expected = np.mean([one.value for one in result])
  held = np.mean([one.low <= expected <= one.high for one in result])
  assert 0.91 < held < 0.99
  width = np.mean([one.high - one.low for one in result])
  deviation = np.std([one.value for one in result])
  assert 0.85 < width / (3.92 * deviation) < 1.25


def test_a_difference_of_pairs_is_surer_than_its_parts():
  reference = moments(features(500, 16, seed=2))
  b = features(300, 16, 1.0)
  a = b + 0.3 * np.random.default_rng(5).standard_normal(b.shape, np.float32)
  result = frechet.difference(a, b, reference)
  parts = [frechet.estimate(x, reference) for x in (a, b)]
  np.testing.assert_allclose(result.value, parts[0].value - parts[1].value)
  widths = [part.high - part.low for part in parts]
  assert result.high - result.low < 0.5 * min(widths)
  backwards = frechet.difference(b, a, reference)
  np.testing.assert_allclose(backwards.low, -result.high)
  assert frechet.difference(a, a, reference)[:3] == (0, 0, 0)
  assert result.method == 'paired infinitesimal jackknife over images'


def test_the_line_takes_most_of_the_bias_away():
  """100 images of a model that is perfect are at a distance; infinitely many
  are at none."""
  reference = known(np.zeros(16), np.eye(16))
  draw, finite, infinite = np.random.default_rng(0), [], []
  for seed in range(30):
    x = draw.standard_normal([100, 16])
    finite.append(frechet.estimate(x, reference).value)
    infinite.append(frechet.at_infinity(x, reference, seed).value)
  assert np.mean(finite) > 0.4
  assert abs(np.mean(infinite)) < 0.15 * np.mean(finite)


def test_the_line_s_interval_is_as_wide_as_it_varies():
  """More than the distance's own: subsets are drawn."""
  reference = known(np.zeros(8), np.eye(8))
  draw, result = np.random.default_rng(0), []
  for seed in range(60):
    x = 1.5 * draw.standard_normal([100, 8]) + 0.5
    result.append(frechet.at_infinity(x, reference, seed))
  true = 8 * 0.25 + 8 * 0.25
  held = np.mean([one.low <= true <= one.high for one in result])
  assert held >= 0.85
  width = np.mean([one.high - one.low for one in result])
  assert 0.8 < width / (3.92 * np.std([one.value for one in result])) < 1.3
  assert result[0].method.startswith('line through 15 subsets of 50 to 100; ')
  one = frechet.at_infinity(features(40, 32), moments(features(99, 32)))
  assert 'still biased: fewer than 32' in one.method


def test_moments_are_numpy_s_however_features_come():
  x = features(700, 20, shift=1000.0)
  whole = moments(x)
  np.testing.assert_allclose(whole.mean, x.mean(0, np.float64), rtol=1e-14)
  exact = np.cov(x.astype(np.float64), rowvar=False)
  scale = np.abs(exact).max()
  np.testing.assert_allclose(whole.covariance, exact, atol=1e-12 * scale)
  for cuts in ([1, 2, 500], [100, 300], [699]):
    parts = np.split(x, cuts)
    streamed = frechet.Moments()
    for part in parts:
      assert streamed.add(part) is streamed
    backwards = frechet.Moments()
    for part in parts[::-1]:
      backwards.merge(moments(part)).merge(frechet.Moments())
    for other in (streamed, backwards):
      assert other.count == 700 and other.covariance.dtype == np.float64
      np.testing.assert_allclose(other.mean, whole.mean, rtol=1e-13)
      np.testing.assert_allclose(other.covariance, exact, atol=1e-12 * scale)


def test_merging_and_adding_leave_what_is_taken_in_as_it_is():
  a, b = moments(features(9, 3)), moments(features(8, 3, seed=2))
  before = b.mean.copy(), b.scatter.copy()
  merged = frechet.Moments().merge(b)
  merged.merge(a)
  merged.add(features(5, 3))
  assert np.array_equal(b.mean, before[0])
  assert np.array_equal(b.scatter, before[1])
  assert merged.count == 22 and b.count == 8


def test_moments_come_back_from_their_file(tmp_path):
  before = moments(features(50, 7))
  path = tmp_path / 'new' / 'reference.npz'
  before.save(path)
  after = frechet.Moments.load(path)
  assert after.count == 50 and np.array_equal(after.mean, before.mean)
  assert np.array_equal(after.scatter, before.scatter)
  assert [p.name for p in path.parent.iterdir()] == ['reference.npz']
  assert frechet.distance(before, after.add(features(3, 7))) > 0


def test_other_files_are_not_taken_for_moments(tmp_path):
  with pytest.raises(FileNotFoundError, match='no moments at'):
    frechet.Moments.load(tmp_path / 'none.npz')
  moments(features(50, 7)).save(tmp_path / 'cut.npz')
  whole = (tmp_path / 'cut.npz').read_bytes()
  (tmp_path / 'cut.npz').write_bytes(whole[: len(whole) // 2])
  (tmp_path / 'text.npz').write_bytes(b'PK\x03\x04 and no more')
  np.savez(tmp_path / 'other.npz', mean=np.zeros(3))
  np.savez(tmp_path / 'odd.npz', count=3, mean=np.ones(3), scatter=np.eye(4))
  np.savez(
    tmp_path / 'nan.npz', count=3, mean=np.ones(3), scatter=np.eye(3) * np.nan
  )
  for name in ('cut', 'text', 'other', 'odd', 'nan'):
    with pytest.raises(ValueError, match='holds no moments'):
      frechet.Moments.load(tmp_path / f'{name}.npz')


def test_what_has_no_distance_is_refused():
  x, reference = features(30, 4), moments(features(30, 4))
  with pytest.raises(ValueError, match='2 images'):
    frechet.estimate(x[:1], reference)
  with pytest.raises(ValueError, match='covariance'):
    frechet.distance(moments(x[:1]), reference)
  with pytest.raises(ValueError, match='covariance'):
    frechet.estimate(x, frechet.Moments())
  for function in (frechet.estimate, frechet.at_infinity):
    with pytest.raises(ValueError, match='3 and 4'):
      function(features(30, 3), reference)
  with pytest.raises(ValueError, match='3 and 4'):
    moments(x).add(features(3, 3))
  with pytest.raises(ValueError, match='3 and 4'):
    frechet.distance(moments(features(9, 3)), reference)
  with pytest.raises(ValueError, match='30 and 29'):
    frechet.difference(x, x[1:], reference)
  with pytest.raises(ValueError, match='needs 30'):
    frechet.at_infinity(x[1:], reference)
  broken = x.copy()
  broken[3, 2] = np.nan
  for call in (
    lambda: frechet.estimate(broken, reference),
    lambda: frechet.difference(x, broken, reference),
    lambda: frechet.at_infinity(broken, reference),
    lambda: moments(x).add(broken),
  ):
    with pytest.raises(ValueError, match='image 3'):
      call()
