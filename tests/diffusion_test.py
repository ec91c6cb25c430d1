"""Noising, loss and sampler against exact solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from palette_jax import arrays, givens, images
from palette_jax.diffusion import (
  objective,
  process,
  sampler,
  sampler_config,
  schedule,
)

TRAIN = schedule.linear(1e-6, 0.01, 2000)
SHORT = schedule.linear(1e-3, 0.5, 60)


def errors_of(task, denoise_fn, params, batch, gamma=None):
  chance = task.draw_noise(jax.random.key(0), batch, gamma)
  return task.errors(denoise_fn, params, batch, chance)


def batch_of(size=4, hole=True, seed=0):
  draw = np.random.default_rng(seed)
  target = draw.uniform(-1, 1, [size, 8, 8, 3]).astype(np.float32)
  mask = (draw.uniform(size=[size, 8, 8, 1]) < 0.5).astype(np.float32)
  mask = mask if hole else np.ones_like(mask)
  noise = draw.normal(size=target.shape).astype(np.float32)
  cond = np.where(mask > 0.5, noise, target)
  return arrays.Batch(*map(jnp.asarray, (target, cond, mask)))


def examples_of(given, seed=0):
  """Random images of 64x64; `given` for each pixel, or for all."""
  draw = np.random.default_rng(seed)
  target, cond = draw.integers(0, 256, [2, 4, 64, 64, 3], np.uint8)
  given = np.broadcast_to(np.uint8(given), [4, 64, 64, 1])
  return arrays.Examples(target, cond, given)


def test_a_hole_is_standard_noise_and_gives_nothing_away():
  """Whatever is under it: four moments, and no pixel like another."""
  key = jax.random.key(3)
  examples = examples_of(givens.NOISE)
  cond = np.asarray(process.complete(examples, key).cond)
  other = process.complete(examples_of(givens.NOISE, seed=9), key)
  assert np.array_equal(cond, other.cond)
  assert len(np.unique(cond)) > 0.9 * cond.size
  moments = [np.mean(cond.astype(np.float64) ** k) for k in (1, 2, 3, 4)]
  error = np.sqrt(np.array([1, 2, 15, 96]) / cond.size)  # of the mean of z^k
  assert np.all(np.abs(moments - np.array([0, 1, 0, 3])) < 4.5 * error)
  again = process.complete(examples, jax.random.key(4)).cond
  assert abs(np.corrcoef(cond.ravel(), again.ravel())[0, 1]) < 0.02


def test_each_pixel_is_given_what_is_stated():
  given = np.random.default_rng(1).integers(0, 4, [4, 64, 64, 1])
  examples = examples_of(given)
  target, cond, mask = map(
    np.asarray, process.complete(examples, jax.random.key(0))
  )
  at = [given[..., 0] == what for what in range(4)]
  for what in (givens.TRUTH, givens.DEGRADED):
    expected = images.from_u8(examples.cond[at[what]])
    assert np.array_equal(cond[at[what]], expected)
  assert not cond[at[givens.NOTHING]].any()
  assert abs(cond[at[givens.NOISE]].std() - 1) < 0.05
  assert np.array_equal(target, images.from_u8(examples.target))
  assert np.array_equal(mask, given > 0)


def test_noised_images_have_the_stated_mean_and_variance():
  y_0 = jnp.full([1, 100, 100, 3], 0.7)
  for gamma in (0.9999, 0.5, 0.001):
    eps = jax.random.normal(jax.random.key(0), y_0.shape)
    y_t = process.add_noise(y_0, eps, jnp.array([gamma]))
    assert abs(y_t.mean() - 0.7 * np.sqrt(gamma)) < 0.02 * np.sqrt(1 - gamma)
    assert abs(y_t.std() - np.sqrt(1 - gamma)) < 0.01


@pytest.mark.parametrize('prediction', process.PREDICTIONS)
@pytest.mark.parametrize(
  'levels',
  [
    TRAIN,
    schedule.linear(1e-4, 0.09, 1000),
    schedule.cosine(1000),
  ],
  ids=['train', 'inference', 'cosine'],
)
def test_the_clean_image_is_recovered_from_the_truth(prediction, levels):
  """At every noise level; in float64, as eps divides by up to 1e10."""
  with jax.enable_x64(True):
    draw = np.random.default_rng(0)
    gamma = jnp.asarray(levels.gammas)
    y_0 = jnp.asarray(draw.uniform(-1, 1, [len(gamma), 2, 2, 3]))
    eps = jnp.asarray(draw.normal(size=y_0.shape))
    y_t = process.add_noise(y_0, eps, gamma)
    truth = process.prediction_target(prediction, y_0, eps, gamma)
    result = process.estimate_clean(prediction, y_t, truth, gamma)
    assert result.dtype == jnp.float64
    error = np.abs(result - y_0).max((1, 2, 3))
  rounding = 1e-15 / np.sqrt(levels.gammas) if prediction == 'eps' else 1e-14
  assert np.all(error <= rounding)


@pytest.mark.parametrize('prediction', process.PREDICTIONS)
def test_min_snr_weighs_the_same_error_alike_whatever_is_predicted(prediction):
  """min(SNR, 5) |y_0 - y_0_hat|^2, of which each weight is a rewriting."""
  gamma = jnp.array([1e-4, 0.1, 0.5, 0.8, 0.85, 0.99, 0.9999])
  draw = np.random.default_rng(0)
  shape = [len(gamma), 2, 2, 3]
  y_0, guess, eps = (jnp.asarray(draw.normal(size=shape)) for _ in range(3))
  y_t = process.add_noise(y_0, eps, gamma)
  level = gamma[:, None, None, None]
  implied = (y_t - jnp.sqrt(level) * guess) / jnp.sqrt(1 - level)
  truth = process.prediction_target(prediction, y_0, eps, gamma)
  guessed = process.prediction_target(prediction, guess, implied, gamma)
  weight = process.loss_weight('min_snr', prediction, gamma)
  result = weight * jnp.sum((guessed - truth) ** 2, axis=(1, 2, 3))
  snr = gamma / (1 - gamma)
  expected = jnp.minimum(snr, 5) * jnp.sum((guess - y_0) ** 2, axis=(1, 2, 3))
  np.testing.assert_allclose(result, expected, rtol=2e-2)
  assert np.all(process.loss_weight('uniform', prediction, gamma) == 1)
  ends = process.loss_weight('min_snr', prediction, jnp.array([0.0, 1.0]))
  assert np.all(np.isfinite(ends)) and np.all(ends <= 5)


def test_weights_enter_the_loss_and_the_truth_is_what_is_asked():
  batch, gamma = batch_of(size=4), jnp.array([0.01, 0.4, 0.9, 0.99])
  zero = lambda params, y_t, cond, gamma: jnp.zeros_like(y_t)  # noqa: E731

  def errors(**choice):
    task = objective.Diffusion(TRAIN, SHORT, **choice)
    return errors_of(task, zero, None, batch, gamma)

  plain, weighted = errors(), errors(weighting='min_snr')
  factor = process.loss_weight('min_snr', 'eps', gamma)
  np.testing.assert_allclose(weighted.total, factor * plain.total, rtol=1e-6)
  assert np.array_equal(weighted.count, plain.count)
  image = errors(prediction='y_0').total
  power = jnp.sum(batch.mask * batch.target**2, axis=(1, 2, 3))
  np.testing.assert_allclose(image, power, rtol=1e-5)


def test_keep_known_is_exact_on_both_sides():
  batch = batch_of()
  painted = jax.random.normal(jax.random.key(0), batch.target.shape)
  kept = process.keep_known(painted, batch.target, batch.mask)
  hole = np.broadcast_to(batch.mask > 0.5, kept.shape)
  assert np.array_equal(np.asarray(kept)[hole], np.asarray(painted)[hole])
  assert np.array_equal(np.asarray(kept)[~hole], batch.target[~hole])


def test_the_network_sees_the_same_known_pixels_in_training_and_sampling():
  batch, seen = batch_of(), []

  def spy(params, y_t, cond, gamma):
    jax.debug.callback(lambda *x: seen.append(x), y_t, cond)
    return jnp.zeros_like(y_t)

  task = objective.Diffusion(TRAIN, SHORT)
  errors_of(task, spy, None, batch).mean()
  jax.effects_barrier()
  training = len(seen)
  task.restore(spy, None, batch.cond, batch.mask, jax.random.key(1))
  jax.effects_barrier()
  assert training == 1 and len(seen) == 1 + len(SHORT.betas)
  known = np.broadcast_to(batch.mask < 0.5, batch.target.shape)
  for y_t, cond in seen:
    assert np.array_equal(np.asarray(y_t)[known], batch.target[known])
    assert np.array_equal(np.asarray(cond), batch.cond)


@pytest.mark.parametrize('norm', ['l1', 'l2'])
def test_loss_of_a_constant_guess_is_the_noise_s_moment(norm):
  batch = batch_of(size=64, hole=True)
  task = objective.Diffusion(TRAIN, SHORT, norm)
  zero = lambda params, y_t, cond, gamma: jnp.zeros_like(y_t)  # noqa: E731
  errors = errors_of(task, zero, None, batch)
  stated = {'l1': np.sqrt(2 / np.pi), 'l2': 1.0}[norm]
  assert abs(errors.mean() - stated) < 0.03
  assert np.array_equal(errors.count, 3 * batch.mask.sum((1, 2, 3)))


def test_loss_has_no_gradient_outside_the_mask():
  batch = batch_of()
  task = objective.Diffusion(TRAIN, SHORT)

  def loss(image):
    guess = lambda params, *_: params  # noqa: E731
    return errors_of(task, guess, image, batch).mean()

  gradient = jax.grad(loss)(jnp.full(batch.target.shape, 5.0))
  hole = np.broadcast_to(batch.mask > 0.5, gradient.shape)
  assert np.all(np.asarray(gradient)[~hole] == 0)
  assert np.all(np.asarray(gradient)[hole] != 0)


def test_loss_is_the_mean_over_all_masked_values_whatever_the_split():
  """Holes of different sizes weigh by pixel; an empty one not at all."""
  batch = batch_of(size=4)
  batch = batch._replace(
    mask=batch.mask * jnp.array([1, 1, 0, 1])[:, None, None, None]
  )
  truth = jnp.zeros_like(batch.target)
  gamma = jnp.zeros(4)
  whole = objective.masked_errors(batch.target, truth, batch.mask, gamma, 'l2')
  hole = np.broadcast_to(batch.mask > 0.5, truth.shape)
  assert np.isclose(whole.mean(), np.mean(batch.target[hole] ** 2), rtol=1e-5)
  parts = [
    objective.Errors(*(x[rows] for x in whole))
    for rows in (slice(0, 2), slice(2, 4))
  ]
  total = sum(p.total.sum() for p in parts) / sum(p.count.sum() for p in parts)
  assert np.isclose(whole.mean(), total, rtol=1e-6)
  empty = jax.tree.map(jnp.zeros_like, whole)
  assert empty.mean() == 0


def gaussian_denoiser(mean, deviation):
  """The exact E[eps | y_t] for pixels that are independent and normal."""

  def denoise_fn(params, y_t, cond, gamma):
    gamma = gamma[:, None, None, None]
    variance = gamma * deviation**2 + 1 - gamma
    return jnp.sqrt(1 - gamma) * (y_t - jnp.sqrt(gamma) * mean) / variance

  return denoise_fn


@pytest.mark.parametrize(
  ('prediction', 'variance'),
  [('eps', 'upper'), ('y_0', 'upper'), ('v', 'upper'), ('eps', 'posterior')],
)
def test_the_sampler_reaches_a_gaussian_s_mean_and_variance(
  prediction, variance
):
  """With the exact denoiser and 1,000 steps, Algorithm 2 is nearly exact.

  The posterior variance is that of a known image; where the image is not
  known, as here, each step adds a little less than is lost.
  """
  mean, deviation = 0.2, 0.15
  levels = schedule.linear(1e-4, 0.09, 1000)
  exact = gaussian_denoiser(mean, deviation)

  def denoise_fn(params, y_t, cond, gamma):
    eps = exact(params, y_t, cond, gamma)
    level = gamma[:, None, None, None]
    spread = level * deviation**2 + 1 - level
    surprise = (y_t - jnp.sqrt(level) * mean) / spread
    y_0 = mean + jnp.sqrt(level) * deviation**2 * surprise
    return process.prediction_target(prediction, y_0, eps, gamma)

  choice = sampler_config.SamplerConfig(variance=variance)
  task = objective.Diffusion(
    TRAIN, levels, prediction=prediction, sampler_config=choice
  )
  cond, mask = jnp.zeros([4, 32, 32, 3]), jnp.ones([4, 32, 32, 1])
  drawn = task.restore(denoise_fn, None, cond, mask, jax.random.key(0))
  standard_error = deviation / np.sqrt(drawn.size)
  assert abs(drawn.mean() - mean) < 5 * standard_error
  loss = 1 - drawn.std() / deviation
  assert abs(loss) < 0.02 if variance == 'upper' else 0 < loss < 0.06


@pytest.mark.parametrize('kind', sampler.VARIANCES)
def test_each_step_is_algorithm_2(kind):
  """The variance after every step, by hand, for a linear denoiser."""
  variance, before = 1.0, np.append(1.0, SHORT.gammas[:-1])
  for beta, gamma, last in reversed(list(zip(*SHORT, before))[1:]):
    shrink = (1 - beta / (0.04 * gamma + 1 - gamma)) / np.sqrt(1 - beta)
    posterior = beta * (1 - last) / (1 - gamma)
    variance = (
      shrink**2 * variance + dict(upper=beta, posterior=posterior)[kind]
    )
  beta, gamma = SHORT.betas[0], SHORT.gammas[0]
  shrink = (1 - beta / (0.04 * gamma + 1 - gamma)) / np.sqrt(1 - beta)
  variance *= shrink**2
  cond = jnp.zeros([4, 64, 64, 3])
  choice = sampler_config.SamplerConfig(variance=kind)
  drawn = objective.Diffusion(TRAIN, SHORT, sampler_config=choice).restore(
    gaussian_denoiser(0.0, 0.2),
    None,
    cond,
    cond[..., :1] + 1,
    jax.random.key(3),
  )
  assert abs(drawn.var() / variance - 1) < 0.03


def test_the_last_step_adds_no_noise():
  """If the image is known for certain, it comes out without a grain."""

  def certain(params, y_t, cond, gamma):
    gamma = gamma[:, None, None, None]
    return (y_t - jnp.sqrt(gamma) * 0.3) / jnp.sqrt(1 - gamma)

  cond = jnp.zeros([1, 8, 8, 3])
  drawn = objective.Diffusion(TRAIN, SHORT).restore(
    certain, None, cond, jnp.ones([1, 8, 8, 1]), jax.random.key(0)
  )
  np.testing.assert_allclose(drawn, 0.3, atol=1e-4)


def test_known_pixels_come_out_as_they_went_in():
  batch = batch_of()
  wild = lambda params, y_t, cond, gamma: 3 * y_t + 1  # noqa: E731
  for task in (objective.Diffusion(TRAIN, SHORT), objective.Regression()):
    drawn = task.restore(wild, None, batch.cond, batch.mask, jax.random.key(0))
    hole = np.broadcast_to(batch.mask > 0.5, drawn.shape)
    assert np.array_equal(np.asarray(drawn)[~hole], batch.target[~hole])
    assert np.all(np.isfinite(drawn)) and np.abs(drawn[hole]).max() <= 1


def test_samples_differ_by_key_and_by_row_only():
  cond = jnp.zeros([2, 8, 8, 3])

  def draw(key):
    exact = gaussian_denoiser(0.0, 0.3)
    mask = jnp.ones([2, 8, 8, 1])
    return objective.Diffusion(TRAIN, SHORT).restore(
      exact, None, cond, mask, key
    )

  one, again, other = (draw(jax.random.key(k)) for k in (0, 0, 1))
  assert np.array_equal(one, again)
  assert not np.array_equal(one, other) and not np.array_equal(one[0], one[1])


@pytest.mark.parametrize('prediction', process.PREDICTIONS)
def test_blind_is_the_best_multiple_of_what_it_sees(prediction):
  """On pixels that are independent and normal, nothing can do better."""
  draw = np.random.default_rng(0)
  target = (0.3 + 0.4 * draw.normal(size=[8, 32, 32, 3])).astype(np.float32)
  ones = jnp.ones([8, 32, 32, 1])
  batch = arrays.Batch(jnp.asarray(target), jnp.asarray(target), ones)
  task = objective.Diffusion(TRAIN, SHORT, prediction=prediction)
  gamma = task.stratified_levels(8)
  blind = task.blind_denoise_fn(batch)

  def loss(denoise_fn):
    return errors_of(task, denoise_fn, None, batch, gamma).mean()

  if prediction == 'eps':
    exact = loss(gaussian_denoiser(0.3, 0.4))
    assert abs(loss(blind) / exact - 1) < 0.01
  for scale in (0.97, 1.03):
    assert loss(lambda *x, s=scale: s * blind(*x)) > loss(blind)  # noqa: B023


def test_regression_predicts_the_image_and_blind_its_mean():
  batch = batch_of(hole=False)
  task = objective.Regression()
  perfect = lambda params, *_: jnp.asarray(batch.target)  # noqa: E731
  assert errors_of(task, perfect, None, batch).mean() == 0
  blind = task.blind_denoise_fn(batch)
  loss = errors_of(task, blind, None, batch).mean()
  variance = batch.target.var(axis=(0, 1, 2)).mean()
  assert np.isclose(loss, variance, rtol=1e-4)


def test_regression_s_slot_shows_nothing_of_the_hole():
  batch, seen = batch_of(), []

  def spy(params, y_t, cond, gamma):
    seen.append((y_t, gamma))
    return y_t

  errors_of(objective.Regression(), spy, None, batch)
  (y_t, gamma), *_ = seen
  assert np.array_equal(y_t, np.where(batch.mask > 0.5, 0, batch.target))
  assert not gamma.any()


@pytest.mark.parametrize(
  'bad',
  [
    dict(name='gan'),
    dict(norm='l3'),
    dict(prediction='x'),
    dict(weighting='snr'),
    dict(sampler=dict(variance='none')),
    dict(train_schedule=dict(name='quad', num_steps=5, start=0.1, end=0.2)),
  ],
)
def test_an_unknown_objective_is_refused(bad):
  config = common.get_config(common.parse_arg(None), 'inpainting').objective
  config.update(bad)
  named = list(bad.values())[0]
  named = list(named.values())[0] if isinstance(named, dict) else named
  with pytest.raises(ValueError, match=f"'{named}'"):
    objective.from_config(config)
