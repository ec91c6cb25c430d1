"""The contract of a task file, for every task in the folder."""

import io

import jax
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from palette_jax import arrays, givens, images, tasks
from palette_jax.diffusion import process
from palette_jax.tasks import jpeg

SIZE = (48, 64)


def photo(seed=0, size=SIZE):
  """A smooth colourful image on the 8-bit grid."""
  coarse = np.random.default_rng(seed).integers(0, 256, [6, 8, 3], np.uint8)
  smooth = Image.fromarray(coarse).resize(size[::-1], Image.BICUBIC)
  return images.from_u8(np.asarray(smooth))


def record_of(image):
  pair = {'image': image, 'source': photo(99)}
  return {name: tf.constant(images.to_u8(x)) for name, x in pair.items()}


def raw(name, image, seed=(1, 2)):
  """The task's own example."""
  seed = tf.constant(seed, tf.int32)
  return arrays.Examples(*tasks.corruption(name)(record_of(image), seed))


def completed(examples):
  """target, cond, mask of stacked examples as the network has them."""
  key = jax.random.key(0)
  return [np.asarray(x) for x in process.complete(examples, key)]


def corrupt(name, image, seed=(1, 2)):
  alone = jax.tree.map(lambda x: x.numpy()[None], raw(name, image, seed))
  return [x[0] for x in completed(alone)]


def corrupt_in_graph(name, image, seeds):
  """Stacked examples from tf.data."""
  example = tf.autograph.experimental.do_not_convert(
    lambda seed: tasks.corruption(name)(record_of(image), seed)
  )
  seeds = tf.constant(seeds, tf.int32)
  dataset = tf.data.Dataset.from_tensor_slices(seeds).map(example)
  stacked = [np.stack(x) for x in zip(*dataset.as_numpy_iterator())]
  return completed(arrays.Examples(*stacked))


@pytest.fixture(params=tasks.names())
def name(request):
  return request.param


def test_example_has_the_contract_s_shapes_and_leaves_the_target_alone(name):
  image = photo()
  target, cond, given = raw(name, image)
  assert np.array_equal(target, images.to_u8(image))
  assert cond.shape == image.shape and given.shape == (*SIZE, 1)
  assert target.dtype == cond.dtype == given.dtype == tf.uint8
  assert set(np.unique(given)) <= {0, 1, 2, 3} and given.numpy().any()


def test_cond_is_the_target_at_known_pixels(name):
  image = photo()
  target, cond, mask = corrupt_in_graph(
    name, image, [[s, 0] for s in range(12)]
  )
  known = np.broadcast_to(mask < 0.5, target.shape)
  assert np.array_equal(cond[known], target[known])


def test_same_seed_same_example_eagerly_and_in_a_graph(name):
  seeds = [[s, 7] for s in range(4)]
  corrupt_one = tasks.corruption(name)
  in_graph = tf.function(corrupt_one, autograph=False)
  for seed in seeds:
    arguments = record_of(photo()), tf.constant(seed, tf.int32)
    for eager, graph in zip(corrupt_one(*arguments), in_graph(*arguments)):
      assert np.array_equal(eager, graph)


@pytest.mark.parametrize('name', ['inpainting', 'uncropping', 'jpeg'])
def test_other_seed_other_example(name):
  examples = [raw(name, photo(), [s, 0]) for s in range(12)]
  distinct = {
    x.cond.numpy().tobytes() + x.given.numpy().tobytes() for x in examples
  }
  assert len(distinct) > 3


def test_prepare_repeats_corrupt_on_the_degraded_image(name):
  """Exactly, except for the noise in a hole, which has its own generator."""
  task = tasks.get(name)
  for seed in range(8):
    _, cond, mask = corrupt(name, photo(seed), (seed, 3))
    hole = None if mask.all() else mask
    again, mask_again = task.prepare(cond, mask=hole, seed=5)
    known = np.broadcast_to(mask < 0.5, cond.shape)
    assert np.array_equal(mask_again, mask)
    assert np.array_equal(again[known], cond[known])
    if hole is None:
      assert np.array_equal(again, cond)
    else:
      assert abs(again[~known].mean()) < 0.15
      assert abs(again[~known].std() - 1) < 0.15


def test_colorization_gives_away_no_colour():
  image = photo()
  _, cond, _ = corrupt('colorization', image)
  assert np.array_equal(cond[..., 0], cond[..., 1])
  assert np.array_equal(cond[..., 0], cond[..., 2])
  tf_grey = tf.image.rgb_to_grayscale(tf.constant(images.to_u8(image)))
  difference = images.to_u8(cond)[..., :1].astype(int) - tf_grey.numpy()
  assert np.abs(difference).max() <= 1  # TensorFlow's grey truncates


def test_inpainting_mixes_strokes_and_rectangles_60_to_40():
  from palette_jax import masks

  _, _, mask = corrupt_in_graph(
    'inpainting', photo(size=(64, 64)), [[s, 1] for s in range(800)]
  )
  # Of a rectangle's rows, all that are not empty start and end straight: the
  # mask is a union of boxes if no row differs from more than ten others.
  distinct = [len({r.tobytes() for r in m}) for m in mask]
  share = np.mean(np.asarray(distinct) > 2 * masks.MAX_RECTANGLES + 1)
  assert abs(share - 0.6) < 0.06


def test_inpainting_fills_the_hole_with_standard_noise():
  _, cond, mask = corrupt_in_graph(
    'inpainting', photo(), [[s, 1] for s in range(40)]
  )
  noise = cond[np.broadcast_to(mask > 0.5, cond.shape)]
  assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
  assert abs(noise.std() - 1) < 0.02


def test_superresolution_is_pillow_s_bicubic():
  image = photo()
  _, cond, _ = corrupt('superresolution', image)
  small = (SIZE[1] // 4, SIZE[0] // 4)
  pillow = Image.fromarray(images.to_u8(image)).resize(small, Image.BICUBIC)
  pillow = np.asarray(pillow.resize(SIZE[::-1], Image.BICUBIC), int)
  difference = np.abs(images.to_u8(cond) - pillow)
  assert difference.mean() < 1 and np.percentile(difference, 99) <= 3


def test_superresolution_keeps_means_of_blocks_and_no_detail():
  """Blocks of 4x4 keep their mean; a checkerboard becomes grey."""
  smooth = photo()
  _, cond, _ = corrupt('superresolution', smooth)
  blocks = lambda x: x.reshape(12, 4, 16, 4, 3).mean((1, 3))  # noqa: E731
  assert np.abs(blocks(cond) - blocks(smooth)).mean() < 0.03
  board = np.indices(SIZE).sum(0)[..., None] % 2 * 2.0 - 1.0
  board = np.repeat(board, 3, axis=-1).astype(np.float32)
  _, cond, _ = corrupt('superresolution', board)
  assert np.abs(cond).max() < 0.1
  with pytest.raises(ValueError, match='48x64'):
    tasks.corruption('superresolution', factor=99)(
      record_of(smooth), tf.constant([0, 0])
    )


def test_jpeg_quality_law():
  """Chi-square of 20,000 draws; 60 is exceeded once in ten thousand times.

  A law of exp(-Q / 9) would give about 100.
  """
  seeds = tf.constant([[s, 0] for s in range(20_000)], tf.int32)
  draws = tf.vectorized_map(lambda s: jpeg.draw_quality(s, 5, 30), seeds)
  counts = np.bincount(draws.numpy(), minlength=31)
  stated = np.exp(-np.arange(5, 31) / 10)
  stated *= len(seeds) / stated.sum()
  assert not counts[:5].any() and len(counts) == 31
  assert np.sum((counts[5:] - stated) ** 2 / stated) < 60


def test_jpeg_is_pillow_s_encoder_at_that_quality():
  """The same quantisation and 4:2:0 chroma: two libjpegs, a level apart."""
  image = photo()

  def pillow(**options):
    file = io.BytesIO()
    Image.fromarray(images.to_u8(image)).save(file, 'jpeg', **options)
    return np.asarray(Image.open(file)).astype(int)

  for quality in (5, 10, 20, 30):
    bounds, seed = (quality, quality), tf.constant([0, 0])
    _, cond, _ = jpeg.corrupt(record_of(image), seed, quality=bounds)
    ours = cond.numpy().astype(int)
    same = np.abs(ours - pillow(quality=quality, subsampling='4:2:0'))
    finer = np.abs(ours - pillow(quality=quality, subsampling='4:4:4'))
    better = np.abs(ours - pillow(quality=quality + 1, subsampling='4:2:0'))
    assert same.mean() < 1.0
    assert same.mean() < 0.5 * min(finer.mean(), better.mean())


def test_multitask_draws_its_tasks_in_equal_shares():
  seeds = [[s, 9] for s in range(900)]
  _, cond, mask = corrupt_in_graph('multitask', photo(size=(16, 16)), seeds)
  hole = ~mask.all((1, 2, 3))
  grey = np.all(cond == cond[..., :1], axis=(1, 2, 3)) & ~hole
  shares = [hole.mean(), grey.mean(), (~hole & ~grey).mean()]
  np.testing.assert_allclose(shares, 1 / 3, atol=0.05)


def test_multitask_takes_the_tasks_it_is_given():
  bound = tasks.corruption('multitask', tasks=('uncropping',))
  _, _, given = bound(record_of(photo()), tf.constant([0, 0]))
  assert abs(np.mean(given == givens.NOISE) - 0.5) < 0.02


def test_unconditional_is_given_nothing():
  _, cond, mask = corrupt('unconditional', photo())
  assert not cond.any() and mask.all()


@pytest.mark.parametrize('name', ['inpainting', 'uncropping'])
def test_a_hole_must_be_given(name):
  with pytest.raises(ValueError, match='mask'):
    tasks.get(name).prepare(photo())


@pytest.mark.parametrize('name', ['colorization', 'jpeg', 'unconditional'])
def test_a_global_task_refuses_a_mask(name):
  with pytest.raises(ValueError, match='mask'):
    tasks.get(name).prepare(photo(), mask=np.ones([*SIZE, 1], np.float32))


def test_a_typo_answers_with_the_nearest_name():
  with pytest.raises(ValueError, match="'colorization'"):
    tasks.get('colorisation')
  with pytest.raises(ValueError, match="'qualty'"):
    tasks.corruption('jpeg', qualty=3)
