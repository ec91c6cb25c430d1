"""Noising, loss and sampler against exact solutions."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from palette_jax import arrays
from palette_jax.diffusion import objective, process, sampler, schedule

TRAIN = schedule.linear(1e-6, 0.01, 2000)
SHORT = schedule.linear(1e-3, 0.5, 60)


def batch_of(size=4, hole=True, seed=0):
  draw = np.random.default_rng(seed)
  target = draw.uniform(-1, 1, [size, 8, 8, 3]).astype(np.float32)
  mask = (draw.uniform(size=[size, 8, 8, 1]) < 0.5).astype(np.float32)
  mask = mask if hole else np.ones_like(mask)
  noise = draw.normal(size=target.shape).astype(np.float32)
  cond = np.where(mask > 0.5, noise, target)
  return arrays.Batch(*map(jnp.asarray, (target, cond, mask)))


def test_noised_images_have_the_stated_mean_and_variance():
  y_0 = jnp.full([1, 100, 100, 3], 0.7)
  for gamma in (0.9999, 0.5, 0.001):
    eps = jax.random.normal(jax.random.key(0), y_0.shape)
    y_t = process.add_noise(y_0, eps, jnp.array([gamma]))
    assert abs(y_t.mean() - 0.7 * np.sqrt(gamma)) < 0.02 * np.sqrt(1 - gamma)
    assert abs(y_t.std() - np.sqrt(1 - gamma)) < 0.01


def test_the_clean_image_is_recovered_from_the_true_noise():
  """At every noise level of training; rounding grows as 1 / sqrt(gamma)."""
  batch = batch_of(size=1)
  eps = jax.random.normal(jax.random.key(0), batch.target.shape)
  for gamma in TRAIN.gammas[::100]:
    level = jnp.array([gamma], jnp.float32)
    y_t = process.add_noise(batch.target, eps, level)
    y_0 = process.estimate_clean(y_t, eps, level)
    error = np.abs(y_0 - batch.target).max()
    assert error < 2e-6 / np.sqrt(gamma)


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
  task.errors(spy, None, batch, jax.random.key(0)).mean()
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
  errors = task.errors(zero, None, batch, jax.random.key(0))
  stated = {'l1': np.sqrt(2 / np.pi), 'l2': 1.0}[norm]
  assert abs(errors.mean() - stated) < 0.03
  assert np.array_equal(errors.count, 3 * batch.mask.sum((1, 2, 3)))


def test_loss_has_no_gradient_outside_the_mask():
  batch = batch_of()
  task = objective.Diffusion(TRAIN, SHORT)

  def loss(image):
    guess = lambda params, *_: params  # noqa: E731
    return task.errors(guess, image, batch, jax.random.key(0)).mean()

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


def test_the_sampler_reaches_a_gaussian_s_mean_and_variance():
  """With the exact denoiser and 1,000 steps, Algorithm 2 is nearly exact."""
  mean, deviation = 0.2, 0.15
  levels = schedule.linear(1e-4, 0.09, 1000)
  cond = jnp.zeros([4, 32, 32, 3])
  drawn = sampler.refine(
    gaussian_denoiser(mean, deviation),
    None,
    cond,
    jnp.ones([4, 32, 32, 1]),
    jax.random.key(0),
    levels,
  )
  standard_error = deviation / np.sqrt(drawn.size)
  assert abs(drawn.mean() - mean) < 5 * standard_error
  assert abs(drawn.std() - deviation) < 0.02 * deviation


def test_each_step_is_algorithm_2():
  """The variance after every step, by hand, for a linear denoiser."""
  variance = 1.0
  for beta, gamma in reversed(list(zip(*SHORT))[1:]):
    shrink = (1 - beta / (0.04 * gamma + 1 - gamma)) / np.sqrt(1 - beta)
    variance = shrink**2 * variance + beta
  beta, gamma = SHORT.betas[0], SHORT.gammas[0]
  shrink = (1 - beta / (0.04 * gamma + 1 - gamma)) / np.sqrt(1 - beta)
  variance *= shrink**2
  cond = jnp.zeros([4, 64, 64, 3])
  drawn = sampler.refine(
    gaussian_denoiser(0.0, 0.2),
    None,
    cond,
    cond[..., :1] + 1,
    jax.random.key(3),
    SHORT,
  )
  assert abs(drawn.var() / variance - 1) < 0.03


def test_the_last_step_adds_no_noise():
  """If the image is known for certain, it comes out without a grain."""

  def certain(params, y_t, cond, gamma):
    gamma = gamma[:, None, None, None]
    return (y_t - jnp.sqrt(gamma) * 0.3) / jnp.sqrt(1 - gamma)

  cond = jnp.zeros([1, 8, 8, 3])
  drawn = sampler.refine(
    certain, None, cond, jnp.ones([1, 8, 8, 1]), jax.random.key(0), SHORT
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
    return sampler.refine(exact, None, cond, mask, key, SHORT)

  one, again, other = (draw(jax.random.key(k)) for k in (0, 0, 1))
  assert np.array_equal(one, again)
  assert not np.array_equal(one, other) and not np.array_equal(one[0], one[1])


def test_blind_is_the_best_multiple_of_what_it_sees():
  """On pixels that are independent and normal, nothing can do better."""
  draw = np.random.default_rng(0)
  target = (0.3 + 0.4 * draw.normal(size=[8, 32, 32, 3])).astype(np.float32)
  ones = jnp.ones([8, 32, 32, 1])
  batch = arrays.Batch(jnp.asarray(target), jnp.asarray(target), ones)
  task = objective.Diffusion(TRAIN, SHORT)
  gamma = task.spread(8)
  blind = task.blind(batch)

  def loss(denoise_fn):
    return task.errors(denoise_fn, None, batch, jax.random.key(0), gamma).mean()

  exact = loss(gaussian_denoiser(0.3, 0.4))
  assert abs(loss(blind) / exact - 1) < 0.01
  for scale in (0.97, 1.03):
    assert loss(lambda *x, s=scale: s * blind(*x)) > loss(blind)  # noqa: B023


def test_regression_predicts_the_image_and_blind_its_mean():
  batch = batch_of(hole=False)
  task = objective.Regression()
  perfect = lambda params, *_: jnp.asarray(batch.target)  # noqa: E731
  assert task.errors(perfect, None, batch, jax.random.key(0)).mean() == 0
  blind = task.blind(batch)
  loss = task.errors(blind, None, batch, jax.random.key(0)).mean()
  variance = batch.target.var(axis=(0, 1, 2)).mean()
  assert np.isclose(loss, variance, rtol=1e-4)


def test_regression_s_slot_shows_nothing_of_the_hole():
  batch, seen = batch_of(), []

  def spy(params, y_t, cond, gamma):
    seen.append((y_t, gamma))
    return y_t

  objective.Regression().errors(spy, None, batch, jax.random.key(0))
  (y_t, gamma), *_ = seen
  assert np.array_equal(y_t, np.where(batch.mask > 0.5, 0, batch.target))
  assert not gamma.any()


@pytest.mark.parametrize('bad', [dict(norm='l3'), dict(name='gan')])
def test_an_unknown_objective_is_refused(bad):
  config = ml_collections.ConfigDict(dict(name='diffusion', norm='l2') | bad)
  with pytest.raises(ValueError, match='l3|gan'):
    objective.from_config(config)
