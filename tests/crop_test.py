"""Crops and resizing."""

import numpy as np
import tensorflow as tf
from PIL import Image

from palette_jax.data import crop


def cropped(image, size, seed, min_crop=1.0):
  box = crop.box(tf.shape(image)[:2], size, seed, min_crop)
  top, left, height, width = box.numpy()
  return image[top : top + height, left : left + width]


def test_crops_are_the_largest_of_their_shape_at_any_position():
  height, width = 30, 50
  y, x = np.mgrid[:height, :width]
  image = tf.constant(np.stack([y, x, 0 * x], -1).astype(np.uint8))
  tops, lefts = set(), set()
  for s in range(400):
    part = cropped(image, (16, 16), tf.constant([s, 0])).numpy()
    assert part.shape == (30, 30, 3)
    tops.add(part[0, 0, 0]), lefts.add(part[0, 0, 1])
  assert tops == {0} and lefts == set(range(21))
  middle = cropped(image, (16, 16), None).numpy()
  assert middle[0, 0, 1] == 10
  wide = cropped(image, (8, 32), None).numpy()
  assert wide.shape[1] == 50 and abs(wide.shape[0] - 12.5) <= 1


def test_min_crop_bounds_the_side():
  image = tf.zeros([100, 100, 3], tf.uint8)
  sides = [
    cropped(image, (8, 8), tf.constant([s, 0]), 0.4).shape[0]
    for s in range(300)
  ]
  assert 40 <= min(sides) < 45 and 95 < max(sides) <= 100
  assert abs(np.mean(sides) - 70) < 4


def test_positions_of_random_squares_are_equally_likely():
  """Every position is as likely: chi-squared over the 21 of a 30x50 photo."""
  seeds = tf.stack([tf.range(4200), tf.zeros(4200, tf.int32)], axis=1)
  boxes = tf.map_fn(
    lambda seed: crop.box(tf.constant([30, 50]), (8, 8), seed),
    seeds,
  ).numpy()
  assert np.all(boxes[:, [0, 2, 3]] == [0, 30, 30])
  counts = np.bincount(boxes[:, 1], minlength=21)
  assert len(counts) == 21
  assert np.sum((counts - 200) ** 2 / 200) < 45.3  # 99.9% of 20 degrees


def test_resize_takes_the_mean_of_the_area_of_a_pixel():
  draw = np.random.default_rng(0)
  image = draw.integers(0, 256, [64, 96, 3]).astype(np.uint8)
  small = crop.resize(tf.constant(image), (16, 24)).numpy()
  means = image.reshape(16, 4, 24, 4, 3).mean((1, 3))
  assert np.abs(small - means).max() <= 0.5 + 1e-4


def test_resize_agrees_with_pillow():
  """Pillow's box filter at integer ratios, its triangle for enlarging."""
  draw = np.random.default_rng(1)
  image = draw.integers(0, 256, [48, 64, 3]).astype(np.uint8)
  for size, kind in [
    ((24, 32), Image.Resampling.BOX),
    ((16, 16), Image.Resampling.BOX),
    ((96, 128), Image.Resampling.BILINEAR),
    ((60, 100), Image.Resampling.BILINEAR),
  ]:
    ours = crop.resize(tf.constant(image), size).numpy().astype(int)
    theirs = np.asarray(Image.fromarray(image).resize(size[::-1], kind))
    assert np.abs(ours - theirs).max() <= 1


def test_resize_keeps_an_image_of_the_right_size():
  image = np.random.default_rng(2).integers(0, 256, [20, 30, 3], np.uint8)
  same = crop.resize(tf.constant(image), (20, 30)).numpy()
  assert same.dtype == np.uint8 and np.array_equal(same, image)
