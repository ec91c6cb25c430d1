"""PSNR, SSIM and MS-SSIM, beside TensorFlow's and scikit-image's."""

import jax
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from palette_jax.evaluation.metrics import similarity

PSNR = jax.jit(similarity.psnr)
SSIM = jax.jit(similarity.ssim)
MS_SSIM = jax.jit(similarity.ms_ssim)


def pairs(height, width, count=3, seed=0):
  """Smooth pictures, and the same with more and more noise."""
  draw = np.random.default_rng(seed)
  coarse = draw.uniform(0, 255, [count, 6, 7, 3]).astype(np.float32)
  a = tf.image.resize(coarse, [height, width], 'bicubic').numpy()
  noise = (
    draw.standard_normal(a.shape)
    * np.geomspace(2, 60, count)[:, None, None, None]
  )
  a = np.clip(a, 0, 255).round()
  b = np.clip(a + noise, 0, 255).round()
  return a.astype(np.uint8), b.astype(np.uint8)


def by_definition(a, b):
  """SSIM in float64, from covariances."""
  weights = np.exp(-(np.arange(-5, 6.0) ** 2) / 4.5)
  weights /= weights.sum()

  def mean(x):
    for axis in (1, 2):
      x = ndimage.correlate1d(x, weights, axis)
    return x[:, 5:-5, 5:-5]

  a, b = np.float64(a), np.float64(b)
  m, n, c1, c2 = mean(a), mean(b), 2.55**2, 7.65**2
  both = mean(a * a + b * b) - m * m - n * n
  shared = mean(a * b) - m * n
  result = (2 * m * n + c1) * (2 * shared + c2)
  return (result / (m * m + n * n + c1) / (both + c2)).mean((1, 2, 3))


@pytest.mark.parametrize('height, width', [(11, 11), (64, 48), (181, 200)])
def test_psnr_and_ssim_are_tensorflow_s(height, width):
  """Theirs loses some digits in float32; ours are those of float64."""
  a, b = pairs(height, width)
  np.testing.assert_allclose(PSNR(a, b), tf.image.psnr(a, b, 255), rtol=1e-5)
  np.testing.assert_allclose(SSIM(a, b), tf.image.ssim(a, b, 255), atol=6e-5)
  np.testing.assert_allclose(SSIM(a, b), by_definition(a, b), atol=1e-6)


@pytest.mark.parametrize('height, width', [(176, 176), (181, 203), (256, 192)])
def test_ms_ssim_is_tensorflow_s(height, width):
  """Of five scales, and of odd sides, which are halved with an edge."""
  assert similarity.scales(height, width) == 5
  a, b = pairs(height, width)
  expected = tf.image.ssim_multiscale(a, b, 255)
  np.testing.assert_allclose(MS_SSIM(a, b), expected, atol=6e-5)


@pytest.mark.parametrize(
  'side, scales', [(175, 4), (88, 4), (87, 3), (44, 3), (43, 2), (22, 2)]
)
def test_small_images_have_fewer_scales_with_exponents_that_sum_to_one(
  side, scales
):
  exponents = np.array([0.0448, 0.2856, 0.3001, 0.2363][:scales])
  assert similarity.scales(side, 300) == scales
  assert similarity.scales(300, side) == scales
  a, b = pairs(side, side)
  expected = tf.image.ssim_multiscale(
    a, b, 255, power_factors=exponents / exponents.sum()
  )
  np.testing.assert_allclose(MS_SSIM(a, b), expected, atol=6e-5)


def test_one_scale_is_ssim():
  a, b = pairs(21, 30)
  assert similarity.scales(21, 30) == 1
  np.testing.assert_allclose(MS_SSIM(a, b), SSIM(a, b), atol=1e-6)


def test_equal_images_are_as_alike_as_can_be():
  a, _ = pairs(180, 190)
  assert np.all(np.isinf(PSNR(a, a))) and np.all(PSNR(a, a) > 0)
  np.testing.assert_allclose(SSIM(a, a), 1, atol=1e-6)
  np.testing.assert_allclose(MS_SSIM(a, a), 1, atol=1e-6)


def test_flat_images_have_a_closed_form():
  """In flat images only levels count; rounding must not."""
  levels = np.array([[0, 255], [255, 254], [128, 100], [250, 3]], np.uint8)
  a, b = np.moveaxis(np.tile(levels[..., None, None, None], (16, 16, 3)), 1, 0)
  x, y = levels.T.astype(float)
  c1 = 2.55**2
  expected = (2 * x * y + c1) / (x**2 + y**2 + c1)
  np.testing.assert_allclose(SSIM(a, b), expected, atol=5e-6)
  noise = 20 * np.log10(255 / np.abs(x - y))
  np.testing.assert_allclose(PSNR(a, b), noise, atol=1e-4)


def test_one_level_in_one_channel_is_seen_by_psnr():
  a = np.full([1, 256, 256, 3], 200, np.uint8)
  b = a.copy()
  b[0, 17, 33, 1] += 1
  expected = 10 * np.log10(255.0**2 * 3 * 256 * 256)
  np.testing.assert_allclose(PSNR(a, b), [expected], rtol=1e-6)


def test_more_noise_is_less_alike_and_order_does_not_matter():
  a, b = pairs(64, 64, count=5)
  for likeness in (PSNR, SSIM, MS_SSIM):
    result = np.asarray(likeness(a, b))
    assert np.all(np.diff(result) < 0), likeness
    np.testing.assert_allclose(result, likeness(b, a), rtol=1e-5)
    alone = [float(likeness(a[i : i + 1], b[i : i + 1])[0]) for i in range(5)]
    np.testing.assert_allclose(result, alone, rtol=1e-5)


def test_opposites_are_not_alike_and_no_number_is_broken():
  a, _ = pairs(64, 64)
  result = MS_SSIM(a, 255 - a)
  assert np.all(np.isfinite(result)) and np.all(result < 0.1)
  assert np.all(np.asarray(SSIM(a, 255 - a)) < 0.5)


def test_images_smaller_than_a_window_are_refused():
  a = np.zeros([1, 10, 64, 3], np.uint8)
  for function in (similarity.ssim, similarity.ms_ssim):
    with pytest.raises(ValueError, match='10x64'):
      function(jax.numpy.asarray(a), jax.numpy.asarray(a))
  with pytest.raises(ValueError, match='64x10'):
    similarity.scales(64, 10)
  assert PSNR(a, a).shape == (1,)


@pytest.mark.slow
def test_ssim_is_scikit_image_s():
  """With the settings of the paper; it keeps the border, which we leave out."""
  metrics = pytest.importorskip('skimage.metrics')
  a, b = pairs(90, 70)
  for i in range(len(a)):
    _, whole = metrics.structural_similarity(
      a[i],
      b[i],
      data_range=255,
      channel_axis=2,
      gaussian_weights=True,
      sigma=1.5,
      use_sample_covariance=False,
      full=True,
    )
    expected = whole[5:-5, 5:-5].mean()
    np.testing.assert_allclose(SSIM(a, b)[i], expected, atol=1e-5)
    theirs = metrics.peak_signal_noise_ratio(a[i], b[i], data_range=255)
    np.testing.assert_allclose(PSNR(a, b)[i], theirs, rtol=1e-6)
