"""Outputs that say what their inputs say, and outputs that do not."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from palette_jax import holes, images
from palette_jax.evaluation.metrics import faithfulness
from palette_jax.tasks import colorization, jpeg


def photos(count=4, side=48, seed=0):
  """Smooth pictures with some grain, uint8."""
  draw = np.random.default_rng(seed)
  coarse = draw.integers(0, 256, [count, 5, 5, 3], np.uint8)
  large = [
    np.asarray(Image.fromarray(x).resize((side, side), Image.BICUBIC), float)
    for x in coarse
  ]
  grain = draw.normal(0, 6, [count, side, side, 3])
  return np.clip(np.stack(large) + grain, 0, 255).round().astype(np.uint8)


def test_only_changes_outside_of_the_hole_count():
  before = photos()
  mask = np.tile(holes.centre(48, 48), [4, 1, 1, 1])
  after = before.copy()
  after[:, 12:36, 12:36] ^= 1
  assert not faithfulness.known_changed(after, before, mask).any()
  after[1, 0, 0, 2] ^= 1
  after[2, 11, 12] ^= 255
  after[2, 47, :3, 0] ^= 4
  result = faithfulness.known_changed(after, before, mask)
  assert result.tolist() == [0, 1, 4, 0]
  as_bool = faithfulness.known_changed(after, before, mask.astype(bool))
  assert np.array_equal(as_bool, result)


def test_a_jpeg_file_of_an_inpainting_is_found_out():
  before = photos(1)
  file = io.BytesIO()
  Image.fromarray(before[0]).save(file, 'jpeg', quality=95)
  after = np.asarray(Image.open(file))[None]
  mask = holes.centre(48, 48)[None]
  assert faithfulness.known_changed(after, before, mask)[0] > 500


def test_an_original_has_the_luma_of_its_own_grey_version():
  """The task's, in both of its forms, and whatever the hue."""
  originals = photos()
  seed = tf.zeros([2], tf.int32)
  grey = np.stack(
    [
      colorization.corrupt({'image': tf.constant(x)}, seed)[1].numpy()
      for x in originals
    ]
  )
  assert not faithfulness.luma_error(originals, grey).any()
  assert not faithfulness.luma_error(grey, grey).any()
  for original, own in zip(images.from_u8(originals), grey):
    prepared, _ = colorization.prepare(original)
    assert np.array_equal(images.to_u8(prepared), own)


def test_luma_errors_are_mean_levels():
  grey = np.full([2, 8, 8, 3], 100, np.uint8)
  output = grey.copy()
  output[0] += 7
  output[1, :4, :, 1] += 100  # 0.587 of it
  result = faithfulness.luma_error(output, grey)
  np.testing.assert_allclose(result, [7, 59 / 2])
  darker = grey.copy()
  darker[0] -= 7
  assert faithfulness.luma_error(darker, grey)[0] == 7


def test_originals_become_their_own_inputs_again():
  """By the task's encoder, hence infinitely near; other photos are far."""
  originals = photos()
  seed = tf.constant([3, 4])
  for quality in (5, 20):
    inputs = np.stack(
      [
        jpeg.corrupt({'image': tf.constant(x)}, seed, (quality, quality))[
          1
        ].numpy()
        for x in originals
      ]
    )
    again = faithfulness.compressed(originals, quality)
    assert again.dtype == np.uint8 and np.array_equal(again, inputs)
    exact = faithfulness.jpeg_consistency(originals, inputs, quality)
    assert np.all(np.isposinf(exact))
    others = faithfulness.jpeg_consistency(originals[::-1], inputs, quality)
    assert np.all(others < 25)


def test_the_jpeg_of_an_output_is_nearer_than_the_output_itself():
  """A loss by compression is forgiven, a contradiction of the input is not."""
  originals = photos(2)
  inputs = faithfulness.compressed(originals, 10)
  rough = np.clip(originals + np.array([25, 0, -25]), 0, 255).astype(np.uint8)
  faithful = faithfulness.jpeg_consistency(inputs, inputs, 10)
  tinted = faithfulness.jpeg_consistency(rough, inputs, 10)
  assert np.all(faithful > 30) and np.all(tinted < 26)


def test_colours_are_numpy_s_over_images_and_set():
  drawn = photos()
  result = faithfulness.colours(drawn)
  levels = drawn.astype(float)
  np.testing.assert_allclose(result.mean, levels.mean((1, 2)))
  np.testing.assert_allclose(result.variance, levels.var((1, 2)))
  mean, variance = result.over_set()
  np.testing.assert_allclose(mean, levels.mean((0, 1, 2)))
  np.testing.assert_allclose(variance, levels.var((0, 1, 2)))


def test_drifts_of_images_may_cancel_over_the_set():
  originals = np.full([2, 8, 8, 3], 100, np.uint8)
  outputs = originals.copy()
  outputs[0, ..., 0] += 10
  outputs[1, ..., 0] -= 10
  outputs[:, ::2, :, 2] += 20
  drift = faithfulness.colour_drift(
    faithfulness.colours(outputs), faithfulness.colours(originals)
  )
  np.testing.assert_allclose(drift.mean, [[10, 0, 10], [-10, 0, 10]])
  np.testing.assert_allclose(drift.variance, [[0, 0, 100], [0, 0, 100]])
  np.testing.assert_allclose(drift.set_mean, [0, 0, 10], atol=1e-9)
  np.testing.assert_allclose(drift.set_variance, [100, 0, 100], atol=1e-9)


def test_faded_colours_have_a_negative_drift_of_variance():
  originals = photos()
  faded = (originals * 0.5 + 64).astype(np.uint8)
  drift = faithfulness.colour_drift(
    faithfulness.colours(faded), faithfulness.colours(originals)
  )
  assert np.all(drift.set_variance < 0) and np.all(drift.variance < 0)


def test_qualities_are_of_jpeg():
  for quality in (0, 101):
    with pytest.raises(ValueError, match='from 1 to 100'):
      faithfulness.compressed(photos(1), quality)
