"""Properties of the model that hold for all weights."""

import dataclasses
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from conftest import ROOT
from fake_model import weights_of
from hypothesis import strategies as st
from PIL import Image
from pixels import levels, random_mask

import palette_jax
from palette_jax import images, tasks
from palette_jax.diffusion import sampler as samplers
from palette_jax.photo import model as models
from palette_jax.photo import photo as photos
from palette_jax.photo import reader, recipe, verbs
from palette_jax.photo import request as requests
from palette_jax.photo.painting import growth, painter
from palette_jax.weights import trained


@pytest.fixture(scope='module')
def model():
  return models.Model(weights_of())


def same(first, second):
  return recipe.pixels_sha256(first.photo) == recipe.pixels_sha256(second.photo)


KINDS = {
  'jpeg': lambda: (Image.fromarray(levels(21, 35)), 'a.jpg', {}),
  'grey': lambda: (Image.fromarray(levels(21, 35)[..., 0]), 'a.png', {}),
  'palette': lambda: (Image.fromarray(levels(21, 35)).quantize(9), 'a.png', {}),
  'alpha': lambda: (
    Image.fromarray(
      np.concatenate([levels(21, 35), levels(21, 35, 1, seed=1)], -1), 'RGBA'
    ),
    'a.png',
    {},
  ),
  'sixteen': lambda: (
    Image.fromarray(levels(21, 35, 1, np.uint16)[..., 0]),
    'a.png',
    {},
  ),
  'turned': lambda: (
    Image.fromarray(levels(35, 21)),
    'a.png',
    {'exif': turned_exif()},
  ),
}


def turned_exif():
  exif = Image.Exif()
  exif[0x0112] = 6  # rotated by 90 degrees
  return exif


@pytest.fixture(params=KINDS)
def file(request, tmp_path):
  image, name, options = KINDS[request.param]()
  image.save(tmp_path / name, **options)
  return tmp_path / name


def test_a_result_has_the_size_and_kind_of_its_photo(model, file):
  before = reader.read(file)
  assert before.levels.shape[:2] == (21, 35)
  mask = random_mask(21, 35)
  (filled,) = model.inpaint(file, mask, steps=2)
  hole = mask[..., None] > 127
  for name in 'levels', 'alpha':
    was, now = getattr(before, name), getattr(filled.photo, name)
    if was is None:
      assert now is None
      continue
    assert now.dtype == was.dtype and now.shape == was.shape
    kept = np.broadcast_to(~hole, was.shape)
    assert np.array_equal(now[kept], was[kept])
  assert np.any(filled.photo.levels != before.levels)
  (cleaned,) = model.restore_jpeg(file, steps=2)
  assert cleaned.photo.levels.shape == before.levels.shape
  (wide,) = model.uncrop(file, right=7, top=3, steps=2)
  assert np.array_equal(wide.photo.levels[3:, :35], before.levels)
  assert wide.photo.levels.shape[:2] == (24, 42)
  (coloured,) = model.colorize(file, steps=2)
  assert coloured.photo.levels.shape == (21, 35, 3)
  assert coloured.photo.levels.dtype == before.levels.dtype
  luma = [photos.luma(one) for one in (before, coloured.photo)]
  assert np.abs(luma[0] - luma[1]).max() < 1.2 / 255
  path, _ = filled.save(file.parent / 'made.png')
  written = reader.read(path)
  assert np.array_equal(written.levels, filled.photo.levels)


@hypothesis.settings(
  max_examples=8,
  deadline=None,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(seed=st.integers(0, 10_000))
def test_known_pixels_stay_the_same_for_every_mask(model, seed):
  draw = np.random.default_rng(seed)
  height, width = (int(side) for side in draw.integers(5, 60, 2))
  photo, mask = (
    levels(height, width, seed=seed),
    random_mask(height, width, seed),
  )
  (result,) = model.inpaint(photo, mask, steps=1)
  kept = mask < 128
  assert np.array_equal(result.photo.levels[kept], photo[kept])
  changed = photo.copy()
  changed[~kept] = 0  # its old content does not matter
  (again,) = model.inpaint(changed, mask, steps=1)
  assert same(result, again)


def test_images_in_memory_give_the_results_of_their_files(model, tmp_path):
  array, mask = levels(20, 30), random_mask(20, 30)
  image = Image.fromarray(array)
  image.save(tmp_path / 'a.png')
  Image.fromarray(mask).save(tmp_path / 'mask.png')
  given = [(array, mask), (image, Image.fromarray(mask))]
  given.append((tmp_path / 'a.png', str(tmp_path / 'mask.png')))
  given.append((reader.read(tmp_path / 'a.png'), mask[..., None]))
  results = [model.inpaint(*one, steps=2)[0] for one in given]
  assert all(same(results[0], other) for other in results[1:])
  assert results[0].image.size == (30, 20) and results[0].image.mode == 'RGB'
  (inverted,) = model.inpaint(array, 255 - mask, invert=True, steps=2)
  assert same(results[0], inverted)
  erased = np.concatenate([array, 255 - mask[..., None]], -1)
  (from_transparency,) = model.inpaint(Image.fromarray(erased, 'RGBA'), steps=2)
  assert np.array_equal(from_transparency.photo.levels, results[0].photo.levels)
  assert np.all(from_transparency.photo.alpha == 255)
  turned = Image.open(save(tmp_path / 'b.jpg', Image.fromarray(array)))
  (upright,) = model.restore_jpeg(turned, steps=1)
  assert upright.photo.levels.shape == (30, 20, 3)


def save(path, image):
  image.save(path, exif=turned_exif())
  return path


def test_a_sample_follows_from_its_seed_and_number(model):
  photo = levels(20, 30)
  many = model.colorize(photo, samples=3, seed=5, steps=2)
  few = model.colorize(photo, samples=1, seed=5, steps=2)
  assert len(many) == 3 and same(many[0], few[0])
  assert not same(many[0], many[1]) and not same(many[1], many[2])
  (other,) = model.colorize(photo, seed=6, steps=2)
  assert not same(other, many[0])


@pytest.mark.parametrize(
  'does', ['colorize', 'restore_jpeg', 'inpaint', 'grow']
)
def test_progress_counts_all_passes(model, does):
  passes = []
  drawing = dict(steps=3, samples=2, progress=lambda *now: passes.append(now))
  photo = levels(30, 50)
  if does == 'inpaint':
    model.inpaint(photo, random_mask(30, 50), **drawing)
  elif does == 'grow':
    model.uncrop(photo, left=20, right=30, top=10, **drawing)
  else:
    getattr(model, does)(photo, **drawing)
  total = passes[-1][1]
  assert passes == [(i, total) for i in range(1, total + 1)]
  assert total % 3 == 0


def test_an_exception_of_progress_ends_the_drawing(model):
  class Cancelled(Exception):
    pass

  passes = []

  def progress(done, total):
    passes.append(done)
    if done == 2:
      raise Cancelled

  with pytest.raises(Cancelled):
    model.restore_jpeg(levels(40, 40), steps=9, progress=progress)
  assert passes == [1, 2]


def test_a_small_hole_in_a_large_photo_takes_one_pass_a_step(model):
  photo, mask = levels(900, 1200), np.zeros([900, 1200], np.uint8)
  mask[500:505, 700:708] = 255
  passes = []
  model.inpaint(photo, mask, steps=2, progress=lambda *now: passes.append(now))
  assert passes == [(1, 2), (2, 2)]


def test_every_sampler_that_fits_the_weights_works(model):
  photo, results = levels(16, 16), {}
  for sampler in 'ancestral', 'ddim', 'dpm_solver':
    (result,) = model.restore_jpeg(photo, sampler=sampler, steps=4)
    results[sampler] = result
    assert result.recipe.sampler['name'] == sampler
    assert result.recipe.sampler['steps'] == 4
  assert not same(results['ddim'], results['ancestral'])
  for bad in 'repaint', 'imputation', 'euler':
    with pytest.raises(ValueError, match=bad):
      model.restore_jpeg(photo, sampler=bad)
  blind = models.Model(weights_of(dict(name='unconditional')))
  assert blind.tasks == ('inpainting', 'uncropping')
  mask = random_mask(16, 16)
  for sampler in 'repaint', 'imputation':
    (result,) = blind.inpaint(photo, mask, sampler=sampler, steps=12)
    kept = mask < 128
    assert np.array_equal(result.photo.levels[kept], photo[kept])
  with pytest.raises(ValueError, match="'ddim'"):
    blind.inpaint(photo, mask, sampler='ddim')


def test_the_default_sampler_is_the_weights_own_if_they_name_its_steps():
  rest = dict(variance='posterior', eta=0.0, jump=10, resamplings=10)
  assert weights_of().choose() == dict(name='dpm_solver', steps=10) | rest
  own = dict(name='ddim', steps=7) | rest | dict(variance='upper', eta=0.5)
  weights = weights_of(objective=dict(sampler=own))
  assert weights.choose() == weights.choose('ddim') == own
  few = dict(variance='posterior')
  assert weights.choose('ddim', 3) == own | dict(steps=3) | few
  assert weights.choose('dpm_solver')['steps'] == 10
  assert weights.choose(steps=9) == own | dict(steps=9) | few
  blind = weights_of(dict(name='unconditional'), dict(sampler=own))
  rest = rest | dict(eta=0.5)
  assert blind.choose() == dict(name='repaint', steps=50) | rest
  assert blind.choose('imputation') == dict(name='imputation', steps=100) | rest
  assert weights_of().choose('ancestral')['steps'] == 0
  assert (
    weights_of().objective(weights_of().choose('ancestral')).passes() == 1000
  )


def test_other_steps_than_the_weights_own_add_the_posterior_s_noise():
  """The paper's variance is for its thousand steps: in few it leaves grain."""
  assert weights_of().choose('ancestral')['variance'] == 'upper'
  assert weights_of().choose('ancestral', 50)['variance'] == 'posterior'
  own = dict(name='ancestral', steps=7, variance='upper')
  weights = weights_of(objective=dict(sampler=own))
  assert weights.choose()['variance'] == 'upper'  # the weights' own
  assert weights.choose(steps=9)['variance'] == 'posterior'
  fast = weights_of(objective=dict(sampler=own | dict(name='dpm_solver')))
  assert fast.choose('ancestral', 7)['variance'] == 'posterior'
  chosen = weights.objective(weights.choose(steps=9))
  expected = samplers.ancestral_coefficients(
    chosen.sample_schedule, 'posterior'
  )
  for name, values in chosen.coefficients().items():
    assert np.array_equal(values, expected[name])


def test_regression_answers_in_one_pass():
  model = models.Model(weights_of(objective=dict(name='regression')))
  passes = []
  photo = levels(20, 30)
  first, second = model.colorize(
    photo, samples=2, progress=lambda *now: passes.append(now)
  )
  assert len(passes) == 2 and same(first, second)
  with pytest.raises(ValueError, match='one pass'):
    model.colorize(photo, steps=3)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (dict(samples=0), 'samples=0'),
    (dict(seed=-1), 'seed=-1'),
    (dict(seed=2**32), '4294967295'),
    (dict(steps=-3), 'steps=-3'),
  ],
)
def test_numbers_out_of_range_are_refused(model, options, message):
  with pytest.raises(ValueError, match=message):
    model.colorize(levels(9, 9), **options)


def test_impossible_requests_are_refused(model, tmp_path):
  photo = levels(20, 30)
  with pytest.raises(FileNotFoundError, match='nowhere'):
    model.colorize(tmp_path / 'nowhere.jpg')
  with pytest.raises(ValueError, match='float64'):
    model.colorize(photo / 255)
  with pytest.raises(ValueError, match='transparent part'):
    model.inpaint(photo)
  with pytest.raises(ValueError, match='20 x 30'):
    model.inpaint(photo, random_mask(30, 20))
  with pytest.raises(ValueError, match='Nothing to add'):
    model.uncrop(photo)
  with pytest.raises(ValueError, match='million pixels'):
    model.uncrop(photo, right=10_000_000)
  for bad in dict(), dict(left=-1, right=3), dict(loop=True):
    with pytest.raises(ValueError, match='half as wide'):
      model.panorama(photo, **bad)
  with pytest.raises(TypeError, match='step'):
    model.colorize(photo, step=3)
  narrow = models.Model(weights_of(dict(name='colorization')))
  assert narrow.tasks == ('colorization',)
  with pytest.raises(ValueError, match='not learnt inpainting'):
    narrow.inpaint(photo, random_mask(20, 30))
  pairs = models.Model(weights_of(dict(name='superresolution')))
  assert pairs.tasks == ()


def test_imported_weights_may_have_learnt_every_task():
  weights = weights_of(task=None)
  assert weights.tasks == trained.known_tasks() and weights.size == (256, 256)
  warned = weights_of(experimental=['uncropping', 'flying'])
  assert models.Model(warned).experimental == ('uncropping',)
  colours = weights_of(dict(name='colorization'), experimental=['inpainting'])
  assert colours.experimental == ()


# Growing.


@pytest.mark.parametrize('height', [16, 10, 41])
def test_a_panorama_is_the_paper_s_for_any_height(model, height):
  photo = levels(height, height)
  (result,) = model.panorama(photo, left=8, right=8, steps=1)
  step = round(height / 2)
  assert result.photo.levels.shape == (height, height + 16 * step, 3)
  middle = result.photo.levels[:, 8 * step : 8 * step + height]
  assert np.array_equal(middle, photo)


@pytest.mark.parametrize('size', [(1, 1), (90, 1)])
def test_no_photo_is_too_small(model, size):
  photo = levels(*size)
  height, width = size
  (wide,) = model.panorama(photo, left=1, right=2, loop=True, steps=1)
  step = max(1, round(height / 2))
  assert np.array_equal(wide.photo.levels[:, step : step + width], photo)
  (cleaned,) = model.restore_jpeg(photo, steps=1)
  assert cleaned.photo.levels.shape == photo.shape


def test_a_panorama_takes_one_pass_for_each_step(model):
  passes = []
  drawing = dict(steps=2, progress=lambda *now: passes.append(now))
  model.panorama(levels(16, 16), left=3, right=2, **drawing)
  assert passes[-1] == (10, 10)


def test_the_last_step_of_a_loop_sees_both_ends(model):
  """It depends on both ends; without a loop, on one only."""
  photo = levels(16, 32)
  other = photo.copy()
  other[:, :8] = other[::-1, :8]  # as bright, as colourful
  for loop in True, False:
    result, again = (
      model.panorama(one, right=4, loop=loop, steps=2)[0].photo.levels
      for one in (photo, other)
    )
    assert result.shape == (16, 32 + 4 * 8, 3)
    apart = np.abs(result.astype(int) - again)
    assert apart[:, 32:-8].max() <= 1
    assert (apart[:, -8:].max() > 1) == loop


@pytest.mark.parametrize('seam', ['left', 'right'])
def test_a_piece_like_the_photo_is_left_alone_and_others_are_moved_back(seam):
  photo = images.from_u8(levels(32, 64))
  bounds = growth.photo_bounds(photo, 16)
  alike = photo[:, 20:36]
  assert growth.steady(alike, bounds, seam) is alike
  strange = np.clip(2.5 * alike + np.float32([0.5, -0.2, 0.5]), -1, 1)
  steadied = growth.steady(strange, bounds, seam)
  near, far = (0, -1) if seam == 'left' else (-1, 0)
  moved = np.abs(steadied - strange).mean(axis=(0, 2))
  assert moved[near] < 0.1 * moved[far]
  half = slice(8, None) if seam == 'left' else slice(None, 8)
  beyond = [
    np.abs(one - np.clip(one, bounds.low, bounds.high)).sum()
    for one in (growth._moments(part[:, half]) for part in (strange, steadied))
  ]
  assert beyond[1] < 0.5 * beyond[0]


def test_colours_are_luma_and_two_differences_and_back():
  image = images.from_u8(levels(8, 8))
  back = growth._to_rgb(growth._to_luma(image))
  np.testing.assert_allclose(back, image, atol=1e-6)


# Recipes.


def test_a_recipe_makes_the_same_pixels_again(model, tmp_path):
  image, mask = tmp_path / 'a.png', tmp_path / 'mask.png'
  Image.fromarray(levels(20, 30)).save(image)
  Image.fromarray(random_mask(20, 30)).save(mask)
  drawing = dict(samples=2, seed=4, steps=2)
  by_verb = {
    'colorize': model.colorize(image, **drawing, sampler='ddim'),
    'inpaint': model.inpaint(image, mask, **drawing),
    'uncrop': model.uncrop(image, left=9, **drawing),
    'restore_jpeg': model.restore_jpeg(image, **drawing),
    'panorama': model.panorama(image, right=2, loop=True, **drawing),
  }
  for name, results in by_verb.items():
    given = (mask,) if name == 'inpaint' else ()
    for i, one in enumerate(results):
      path, _ = one.save(tmp_path / f'{name}{i}.png')
      saved = recipe.read(path)
      assert saved.options['does'] == name and saved.options['sample'] == i
      assert saved.checkpoint == model.checkpoint and saved.machine
      again = model.replay(path, image, *given)
      assert again.is_same, again.message
  path = tmp_path / 'inpaint1.png'
  Image.fromarray(random_mask(20, 30, 1)).save(tmp_path / 'other.png')
  with pytest.raises(ValueError, match='with a mask'):
    model.replay(path, image)
  with pytest.raises(ValueError, match='mask of SHA-256'):
    model.replay(path, image, tmp_path / 'other.png')
  with pytest.raises(ValueError, match='without a mask'):
    model.replay(tmp_path / 'uncrop0.png', image, mask)
  with pytest.raises(ValueError, match='from a.png'):
    model.replay(path, tmp_path / 'other.png', mask)
  with pytest.raises(ValueError, match='with the weights'):
    models.Model(weights_of(seed=1)).replay(path, image, mask)


def test_samples_that_share_a_batch_are_replayed_in_that_batch(tmp_path):
  """As on accelerators: another batch size may round differently."""
  weights, batches = weights_of(), []

  def denoise_fn(params, y_t, cond, gamma):
    batches.append(len(y_t))  # whenever it is compiled
    return weights.denoise_fn(params, y_t, cond, gamma)

  together = models.Model(weights)
  together._painter = painter.Painter(denoise_fn, weights.params, batch=4)
  photo, passes = levels(20, 30), []
  results = together.colorize(
    photo, samples=3, steps=2, progress=lambda *now: passes.append(now)
  )
  assert passes == [(1, 2), (2, 2)]
  path, _ = results[2].save(tmp_path / 'made.png')
  assert recipe.read(path).options['samples'] == 3
  assert together.replay(path, photo).is_same
  assert set(batches) == {4}  # filled up
  (alone,) = models.Model(weights).colorize(photo, steps=2)
  apart = alone.photo.levels.astype(int) - results[0].photo.levels
  assert np.abs(apart).max() <= 1


def test_samples_of_separate_batches_have_independent_recipes():
  """The same command with more samples makes only those that are missing."""
  weights = weights_of()
  model = models.Model(weights)
  model._painter = painter.Painter(weights.denoise_fn, weights.params, batch=1)
  photo = reader.read(levels(20, 30))
  request = requests.Request(
    verbs.every()['colorize'], photo, None, {}, samples=3
  )
  many = model.recipes_for(request)
  (one,) = model.recipes_for(dataclasses.replace(request, samples=1))
  assert many[0] == one and many[1] != one


@pytest.mark.parametrize(
  'size, tile', [((8, 32), 16), ((24, 24), 24), ((1, 1), 2)]
)
def test_tiles_have_the_area_of_the_training_images(size, tile):
  learnt, passes = weights_of(), []
  learnt.config['data']['size'] = list(size)
  model = models.Model(learnt)
  drawing = dict(steps=1, progress=lambda done, total: passes.append(total))
  model.restore_jpeg(levels(tile, tile), **drawing)
  assert passes == [1]
  model.restore_jpeg(levels(tile + 2, tile), **drawing)
  assert passes[1] > 1


def test_results_of_an_image_in_memory_can_be_replayed(model, tmp_path):
  photo = levels(20, 30)
  (result,) = model.colorize(photo, steps=2)
  path, _ = result.save(tmp_path / 'made')
  assert model.replay(path, photo).is_same
  with pytest.raises(ValueError, match='SHA-256'):
    model.replay(path, levels(20, 30, seed=1))


@pytest.mark.parametrize('broken', [dict(options={}), dict(sampler={'a': 1})])
def test_a_recipe_that_cannot_be_followed_is_refused(model, tmp_path, broken):
  photo = levels(20, 30)
  (result,) = model.colorize(photo, steps=2)
  saved = dataclasses.replace(result.recipe, **broken)
  path, _ = recipe.write(tmp_path / 'made.png', result.photo, saved)
  with pytest.raises(ValueError, match='cannot be followed'):
    model.replay(path, photo)


def test_a_verb_that_no_task_has_is_no_method(model):
  assert not hasattr(model, 'flatter')
  for task in tasks.for_photos():
    assert callable(getattr(model, task.verb))


# Loading.


def test_the_package_is_imported_without_jax_and_models_without_tensorflow():
  code = """
import sys, palette_jax
assert 'load' in dir(palette_jax)
assert not {'jax', 'numpy', 'tensorflow'} & set(sys.modules)
assert callable(palette_jax.load) and palette_jax.Model.colorize
assert 'jax' in sys.modules and 'tensorflow' not in sys.modules
try:
  palette_jax.lode
except AttributeError:
  pass
else:
  raise AssertionError
"""
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


def test_missing_weights_are_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(trained, 'SHIPPED', tmp_path)
  with pytest.raises(FileNotFoundError, match='without weights'):
    palette_jax.load()
  with pytest.raises(FileNotFoundError, match='nowhere'):
    palette_jax.load(tmp_path / 'nowhere')
  with pytest.raises(FileNotFoundError, match='no checkpoint'):
    palette_jax.load(tmp_path)
  (tmp_path / 'a.ckpt').write_bytes(b'x')
  with pytest.raises(ValueError, match='palette import'):
    palette_jax.load(tmp_path / 'a.ckpt')
