"""The classifier of other classes: ridge regression on features."""

import numpy as np
import pytest

from palette_jax.evaluation.metrics import faithfulness
from palette_jax.evaluation.networks import probe


def test_it_separates_what_a_line_separates(tmp_path):
  rng = np.random.default_rng(0)
  centres = 3 * rng.normal(size=[4, 20])
  labels = rng.integers(0, 4, 600)
  features = centres[labels] + rng.normal(size=[600, 20])
  result = probe.fit(features[:300].astype(np.float32), labels[:300])
  assert (result.classify(features[300:]) == labels[300:]).mean() > 0.98
  result.save(tmp_path / 'probe.npz')
  again = probe.load(tmp_path / 'probe.npz')
  np.testing.assert_array_equal(result.kernel, again.kernel)
  np.testing.assert_array_equal(result.bias, again.bias)


def test_a_shift_of_all_features_changes_no_class():
  rng = np.random.default_rng(1)
  labels = np.arange(90) % 3
  features = rng.normal(size=[90, 5]) + np.eye(5)[labels]
  before = probe.fit(features, labels).classify(features)
  after = probe.fit(features + 100, labels).classify(features + 100)
  np.testing.assert_array_equal(before, after)


def test_another_file_is_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match='no classifier'):
    probe.load(tmp_path / 'none.npz')
  (tmp_path / 'text.npz').write_text('words')
  np.savez(tmp_path / 'other.npz', a=np.zeros(3))
  for name in ('text.npz', 'other.npz'):
    with pytest.raises(ValueError, match='kernel and bias'):
      probe.load(tmp_path / name)


def test_colourfulness_of_grey_is_zero_and_grows_with_saturation():
  rng = np.random.default_rng(2)
  colours = rng.integers(0, 255, [1, 16, 16, 3]).astype(np.float64)
  grey = colours.mean(axis=-1, keepdims=True)
  shares = (0.0, 0.3, 0.6, 1.0)
  result = [
    faithfulness.colourfulness(
      np.round(grey + share * (colours - grey)).astype(np.uint8)
    )[0]
    for share in shares
  ]
  assert result[0] == 0
  assert np.all(np.diff(result) > 0)
  np.testing.assert_allclose(result[2], 0.6 * result[3], rtol=0.03)


def test_colourfulness_is_as_it_was_published():
  """Spread and mean of both opponents, weighted 1 and 0.3."""
  red, green = (255, 0, 0), (0, 255, 0)
  plain = np.full([1, 4, 4, 3], red, np.uint8)
  mean = 0.3 * np.hypot(255, 127.5)
  np.testing.assert_allclose(faithfulness.colourfulness(plain), [mean])
  halves = plain.copy()
  halves[:, 2:] = green  # red - green: +-255; yellow - blue: 127.5 everywhere
  expected = 255 + 0.3 * 127.5
  np.testing.assert_allclose(faithfulness.colourfulness(halves), [expected])
