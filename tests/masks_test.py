"""The distributions of training masks, against the literature."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from palette_jax import masks


def draw(shape, count, size=(256, 256), seed=0):
  """`count` masks as a bool array [count, h, w]."""
  mask = tf.autograph.experimental.do_not_convert(
    lambda i: shape(tf.stack([seed, tf.cast(i, tf.int32)]), *size)
  )
  dataset = tf.data.Dataset.range(count).map(mask, tf.data.AUTOTUNE)
  masks = np.stack(list(dataset.as_numpy_iterator()))
  assert masks.dtype == np.float32 and masks.shape[1:] == (*size, 1)
  assert set(np.unique(masks)) <= {0.0, 1.0}
  return masks[..., 0] > 0.5


@functools.cache
def free_form_coverage():
  return draw(masks.free_form, 1500).mean((1, 2))


def test_free_form_coverage_is_that_of_the_official_generator():
  # Percentiles 5, 25, 50, 75, 95 and the mean of 1,500 masks of the official
  # generator at 256x256; the tolerance is three standard errors and a rounding.
  stated = [0.04, 0.09, 0.14, 0.20, 0.30]
  measured = np.percentile(free_form_coverage(), [5, 25, 50, 75, 95])
  np.testing.assert_allclose(measured, stated, atol=0.016)
  assert abs(free_form_coverage().mean() - 0.152) < 0.008


def test_free_form_shares_of_the_evaluation_bins():
  coverage = free_form_coverage()
  for low, high, stated in [(0.1, 0.2, 0.44), (0.2, 0.3, 0.22)]:
    share = np.mean((low <= coverage) & (coverage < high))
    assert abs(share - stated) < 0.055  # three standard errors of both sides


def test_free_form_is_every_pixel_within_a_brush_of_its_path():
  """Against the distance to each segment, except for rounding on the edge."""
  for size in [(256, 256), (48, 80)]:
    for i in range(20):
      seed = tf.constant([5, i])
      starts, ends, radii = masks._strokes(seed, *size)
      along = (ends - starts).numpy().astype(float)[:, None, None]
      length = np.maximum((along**2).sum(-1), 1e-9)
      y, x = np.mgrid[: size[0], : size[1]]
      offset = np.stack([x, y], -1) - starts.numpy()[:, None, None]
      share = np.clip((offset * along).sum(-1) / length, 0, 1)
      distance = np.linalg.norm(offset - share[..., None] * along, axis=-1)
      painted = (distance <= radii.numpy()[:, None, None]).any(0)
      mask = masks.free_form(seed, *size).numpy()[..., 0] > 0.5
      assert np.sum(painted != mask) <= 8


def test_free_form_scales_with_the_image():
  small = draw(masks.free_form, 600, size=(64, 64)).mean((1, 2))
  assert abs(small.mean() - free_form_coverage().mean()) < 0.015


def test_rectangles_cover_10_to_40_percent():
  for size in [(256, 256), (64, 64), (48, 80)]:
    coverage = draw(masks.rectangles, 400, size).mean((1, 2))
    assert coverage.min() >= 0.10 and coverage.max() <= 0.40
    assert coverage.std() > 0.05


def test_rectangles_numbers_are_uniform():
  """Counted where rectangles do not touch: one piece if there is one."""
  from scipy import ndimage

  pieces = [ndimage.label(m)[1] for m in draw(masks.rectangles, 600)]
  assert set(pieces) <= {1, 2, 3, 4, 5}
  # A single rectangle fills its own bounding box; P(n = 1) = 1/5.
  full = [
    m[np.ix_(m.any(1), m.any(0))].all() for m in draw(masks.rectangles, 600)
  ]
  assert abs(np.mean(full) - 0.2) < 0.05


@pytest.mark.parametrize('size', [(256, 256), (64, 64), (48, 80), (33, 31)])
def test_uncropping_cuts_half_of_the_area(size):
  coverage = draw(masks.uncropping, 60, size).mean((1, 2))
  tolerance = max(1 / min(size), 0.001) if min(size) % 2 else 0.01
  np.testing.assert_allclose(coverage, 0.5, atol=tolerance)


def test_uncropping_cases_are_equally_likely():
  holes = draw(masks.uncropping, 1000, (64, 64))
  edges = [holes[:, :, 0], holes[:, :, -1], holes[:, 0], holes[:, -1]]
  whole = np.stack([edge.all(1) for edge in edges], axis=1)
  border = whole.all(1)
  assert not holes[border][:, 32, 32].any()
  counts = [border.sum(), *(whole & ~border[:, None]).sum(0)]
  # Each is binomial(1000, 1/5): four standard deviations are 51.
  np.testing.assert_allclose(counts, 200, atol=51)
  assert sum(counts) == 1000


@pytest.mark.parametrize(
  'shape', [masks.free_form, masks.rectangles, masks.uncropping]
)
def test_the_seed_decides(shape):
  once, again = draw(shape, 20, (32, 32)), draw(shape, 20, (32, 32))
  other = draw(shape, 20, (32, 32), seed=1)
  assert np.array_equal(once, again)
  assert not np.array_equal(once, other)
