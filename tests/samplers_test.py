"""Samplers against exact solutions: paths, moments, orders, conditionals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from palette_jax.diffusion import (
  objective,
  process,
  sampler,
  sampler_config,
  schedule,
  solver,
)

TRAIN = schedule.linear(1e-6, 0.01, 2000)
PAPER = schedule.linear(1e-4, 0.09, 1000)
SHORT = schedule.linear(1e-3, 0.5, 60)
# Their noise is a small part of the smallest deviation below.
ENDS = schedule.Schedule(np.zeros(2), np.array([1 - 1e-6, 4.4e-5]))
TABLES = {
  'ancestral': functools.partial(
    sampler.ancestral_coefficients, variance='upper'
  ),
  'posterior': functools.partial(
    sampler.ancestral_coefficients, variance='posterior'
  ),
  'ddim': functools.partial(solver.ddim_coefficients, eta=0.0),
  'ddim 0.5': functools.partial(solver.ddim_coefficients, eta=0.5),
  'ddim 1': functools.partial(solver.ddim_coefficients, eta=1.0),
  'dpm_solver': solver.dpm_solver_coefficients,
}
CHOICES = [
  sampler_config.SamplerConfig(name, steps=12, eta=eta, jump=4, resamplings=3)
  for name, eta in [
    *((name, 0.0) for name in sampler_config.NAMES),
    ('ddim', 0.7),
  ]
]
# Pixels of one or of two kinds: weights, means and deviations.
GAUSSIAN = np.array([1.0]), np.array([0.2]), np.array([0.15])
MIXTURE = np.array([0.3, 0.7]), np.array([-0.4, 0.3]), np.array([0.1, 0.2])


def clean_of(kinds):
  """The exact E[y_0 | y_t] of pixels that are independent."""
  weights, means, deviations = kinds

  def clean_fn(params, y_t, cond, gamma):
    del params, cond
    level = gamma[:, None, None, None]
    logits, estimates = [], []
    for weight, mean, deviation in zip(weights, means, deviations):
      spread = level * deviation**2 + 1 - level
      surprise = y_t - jnp.sqrt(level) * mean
      logits.append(
        np.log(weight) - jnp.log(spread) / 2 - surprise**2 / spread / 2
      )
      estimates.append(
        mean + jnp.sqrt(level) * deviation**2 * surprise / spread
      )
    share = jax.nn.softmax(jnp.stack(logits), axis=0)
    return jnp.sum(share * jnp.stack(estimates), axis=0)

  return clean_fn


def flow(kinds, y_t, gamma):
  """The point to which the equation takes y_t: ranks are kept in 1-D."""
  weights, means, deviations = kinds

  def rank(y, gamma):
    spread = np.sqrt(gamma * deviations**2 + 1 - gamma)
    z = (y[..., None] - np.sqrt(gamma) * means) / spread
    return special.ndtr(z) @ weights

  expected = rank(y_t, gamma)
  low, high = np.full_like(y_t, -3.0), np.full_like(y_t, 3.0)
  for _ in range(60):
    middle = (low + high) / 2
    less = rank(middle, 1.0) < expected
    low, high = np.where(less, middle, low), np.where(less, high, middle)
  return middle


def draw(table, clean_fn, key, shape=(1, 32, 32, 3), cond=None):
  cond = jnp.zeros(shape) if cond is None else cond
  mask = jnp.ones([*cond.shape[:3], 1])
  refine = functools.partial(sampler.refine, clean_fn)
  return jax.jit(refine)(None, cond, mask, key, table)


def order(steps, errors):
  return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.parametrize('kinds', [GAUSSIAN, MIXTURE], ids=['one', 'two'])
@pytest.mark.parametrize(('name', 'claimed'), [('ddim', 1), ('dpm_solver', 2)])
def test_paths_converge_to_the_exact_ones_in_the_order_claimed(
  name, claimed, kinds
):
  """Pixel by pixel: so nothing but y_T has a say in it."""
  key, steps, errors = jax.random.key(0), [16, 32, 64, 128], []
  y_t = jax.random.normal(jax.random.split(key)[0], [1, 32, 32, 3])
  for n in steps:
    levels = schedule.respaced(ENDS, n, 0.0)
    expected = flow(kinds, np.asarray(y_t, np.float64), levels.gammas[-1])
    result = draw(TABLES[name](levels), clean_of(kinds), key)
    errors.append(np.sqrt(np.mean((result - expected) ** 2)))
  assert errors[-1] < {1: 0.01, 2: 3e-4}[claimed]
  assert abs(order(steps, errors) - claimed) < 0.25, errors


def moments(table, variance):
  """Exact mean (of 1) and variance after all steps, of linear denoisers.

  The pair (y_t, estimate before) is linear in what it was and in fresh noise.
  """
  table = {name: np.asarray(x, np.float64) for name, x in table.items()}
  zeros = np.zeros_like(table['gamma'])
  before, deviation = (
    table.get(name, zeros) for name in ('y_0_before', 'deviation')
  )
  mean, covariance = np.zeros(2), np.diag([1.0, 0.0])
  for i, gamma in enumerate(table['gamma']):
    slope = np.sqrt(gamma) * variance / (gamma * variance + 1 - gamma)
    shift = 1 - slope * np.sqrt(gamma)  # y_0 = shift + slope y_t
    one = table['y_0'][i]
    step = [[one * slope + table['y_t'][i], before[i]], [slope, 0.0]]
    mean = step @ mean + np.array([one, 1.0]) * shift
    covariance = step @ covariance @ np.transpose(step)
    covariance[0, 0] += deviation[i] ** 2
  return mean[0], covariance[0, 0]


@pytest.mark.parametrize(
  ('name', 'claimed'),
  [(name, 2 if name == 'dpm_solver' else 1) for name in TABLES],
)
def test_moments_converge_to_a_gaussian_s_in_the_order_claimed(name, claimed):
  steps = [25, 50, 100, 200, 400]
  result = [
    moments(TABLES[name](schedule.respaced(ENDS, n, 0.0)), 0.2**2)
    for n in steps
  ]
  mean, variance = np.abs(np.transpose(result) / [[1.0], [0.2**2]] - 1)
  assert mean[-1] < 5e-3 and variance[-1] < {1: 0.05, 2: 1e-3}[claimed]
  assert abs(order(steps, variance) - claimed) < 0.25, variance


@pytest.mark.parametrize('name', TABLES)
def test_samples_have_the_moments_that_the_table_gives_and_the_truth_s(name):
  levels = schedule.respaced(PAPER, 200, TRAIN.gammas[-1])
  table = TABLES[name](levels)
  drawn = draw(table, clean_of(GAUSSIAN), jax.random.key(1), (4, 32, 32, 3))
  share, variance = moments(table, 0.15**2)
  error = 0.15 / np.sqrt(drawn.size)
  assert abs(drawn.mean() - 0.2 * share) < 4 * error
  assert abs(drawn.std() / np.sqrt(variance) - 1) < 4 * error / 0.15
  assert abs(share - 1) < 0.02 and abs(variance / 0.15**2 - 1) < 0.06


def test_both_kinds_of_pixels_come_out_in_their_shares():
  """Nothing but the gaps of the mixture is between its two parts."""
  kinds = np.array([0.3, 0.7]), np.array([-0.5, 0.4]), np.array([0.05, 0.1])
  levels = schedule.respaced(PAPER, 50, TRAIN.gammas[-1])
  for name, table in TABLES.items():
    drawn = draw(table(levels), clean_of(kinds), jax.random.key(2))
    assert abs(np.mean(drawn < -0.1) - 0.3) < 0.035, name  # 4 standard errors
    for part, mean, deviation in zip((drawn < -0.1, drawn >= -0.1), *kinds[1:]):
      assert abs(drawn[part].mean() - mean) < 0.02, name
      assert abs(drawn[part].std() / deviation - 1) < 0.2, name


def former(clean_fn, params, cond, mask, key, levels, variance):
  """The sampler as it was before there were others."""
  betas, gammas = levels
  before = np.concatenate([[1.0], gammas[:-1]])
  posterior = betas * (1.0 - before) / (1.0 - gammas)
  added = posterior if variance == 'posterior' else betas
  columns = (
    gammas,
    np.sqrt(before) * betas / (1.0 - gammas),
    np.sqrt(1.0 - betas) * (1.0 - before) / (1.0 - gammas),
    np.sqrt(added) * (np.arange(len(betas)) > 0),
  )
  columns = tuple(jnp.asarray(x[::-1], jnp.float32) for x in columns)
  key_start, key_steps = jax.random.split(key)
  keys = jax.random.split(key_steps, len(betas))

  def one(y_t, inputs):
    (gamma, of_y_0, of_y_t, deviation), key = inputs
    z = jax.random.normal(key, y_t.shape)
    estimate = clean_fn(params, y_t, cond, jnp.full([len(cond)], gamma))
    mean = of_y_0 * jnp.clip(estimate, -1.0, 1.0) + of_y_t * y_t
    return process.keep_known(mean + deviation * z, cond, mask), None

  y_t = jax.random.normal(key_start, cond.shape)
  y_t = process.keep_known(y_t, cond, mask)
  return jax.lax.scan(one, y_t, (columns, keys))[0]


def given(size=4):
  numbers = np.random.default_rng(0)
  cond = numbers.uniform(-1, 1, [size, 8, 8, 3]).astype(np.float32)
  mask = numbers.uniform(size=[size, 8, 8, 1]) < 0.5
  return jnp.asarray(cond), jnp.asarray(mask, jnp.float32)


def network(params, y_t, cond, gamma):
  """Any smooth function will do: eps of it, often beyond the clip."""
  level = gamma[:, None, None, None]
  return jnp.tanh(y_t + 0.3 * cond - level + params) + 0.2 * y_t


@pytest.mark.parametrize('variance', sampler.VARIANCES)
def test_the_paper_s_thousand_steps_are_to_the_bit_what_they_were(variance):
  cond, mask = given()
  choice = sampler_config.SamplerConfig(variance=variance)
  task = objective.Diffusion(TRAIN, PAPER, sampler_config=choice)

  def clean_fn(params, y_t, cond, gamma):
    noise = network(params, y_t, cond, gamma)
    return process.estimate_clean('eps', y_t, noise, gamma)

  @jax.jit
  def before(key):
    return former(clean_fn, 0.1, cond, mask, key, PAPER, variance)

  @jax.jit
  def now(key):
    return task.restore(network, 0.1, cond, mask, key)

  key = jax.random.key(5)
  result = now(key)
  assert np.array_equal(before(key), result)
  assert np.ptp(result[np.broadcast_to(mask > 0.5, result.shape)]) > 0.5


def test_ddim_with_all_its_noise_is_ancestral_with_posterior_variance():
  for levels in PAPER, SHORT, schedule.respaced(PAPER, 7, TRAIN.gammas[-1]):
    one, other = (TABLES[name](levels) for name in ('ddim 1', 'posterior'))
    assert one.keys() == other.keys()
    for name in one:
      np.testing.assert_allclose(one[name], other[name], rtol=1e-6, atol=1e-12)
  images = [
    draw(TABLES[name](SHORT), clean_of(MIXTURE), jax.random.key(0))
    for name in ('ddim 1', 'posterior', 'ddim')
  ]
  np.testing.assert_allclose(*images[:2], atol=1e-4)
  assert np.abs(images[1] - images[2]).max() > 0.1


def by_hand(name, y_t, clean, gammas):
  """Both solvers as their papers write them, clipped, from T on."""
  gammas = np.append(gammas[::-1], 1.0)
  a, b = np.sqrt(gammas), np.sqrt(1 - gammas)
  length = np.diff(np.log(a[:-1] / b[:-1]))
  before = None
  for i in range(len(gammas) - 1):
    y_0 = np.clip(clean(y_t, gammas[i]), -1, 1)
    if name == 'ddim':
      y_t = a[i + 1] * y_0 + b[i + 1] * (y_t - a[i] * y_0) / b[i]
    elif i == len(gammas) - 2:  # h is infinite
      y_t = y_0
    else:
      guess, h = y_0, length[i]
      if i:
        r = length[i - 1] / h
        guess = (1 + 1 / (2 * r)) * y_0 - before / (2 * r)
      y_t = b[i + 1] / b[i] * y_t - a[i + 1] * np.expm1(-h) * guess
    before = y_0
  return y_t


@pytest.mark.parametrize('name', ['ddim', 'dpm_solver'])
@pytest.mark.parametrize('steps', [1, 2, 3, 9])
def test_solvers_are_their_papers_formulas(name, steps):
  """For a network that is not linear, and estimates that are clipped."""
  levels = schedule.linear(0.02, 0.6, steps)
  cond, _ = given(1)
  key = jax.random.key(3)

  def clean_fn(params, y_t, cond, gamma, lib=jnp):
    return 1.2 * lib.sin(2 * y_t + cond + gamma)

  table = TABLES[name](levels)
  assert 'deviation' not in table
  drawn = draw(table, clean_fn_of(clean_fn), key, cond=cond)
  y_t = jax.random.normal(jax.random.split(key)[0], cond.shape)
  clean = lambda y, gamma: clean_fn(None, y, np.asarray(cond), gamma, np)  # noqa: E731
  expected = by_hand(name, np.asarray(y_t, np.float64), clean, levels.gammas)
  np.testing.assert_allclose(drawn, expected, atol=2e-5)


def clean_fn_of(function):
  return lambda params, y, cond, gamma: function(
    params, y, cond, gamma[:, None, None, None]
  )


def restore(choice, network, cond, mask, key, sample=PAPER):
  levels = choice.schedule(sample, TRAIN)
  task = objective.Diffusion(TRAIN, levels, sampler_config=choice)
  run = jax.jit(functools.partial(task.restore, network))
  return run(0.1, cond, mask, key)


@pytest.mark.parametrize('choice', CHOICES, ids=lambda c: f'{c.name} {c.eta}')
def test_known_pixels_are_exact_and_holes_in_range(choice):
  cond, mask = given()
  seen = []

  def spy(params, y_t, cond, gamma):
    jax.debug.callback(lambda *x: seen.append(x), y_t, cond, gamma)
    return network(params, y_t, cond, gamma)

  drawn = np.asarray(restore(choice, spy, cond, mask, jax.random.key(0)))
  jax.effects_barrier()
  hole = np.broadcast_to(mask > 0.5, drawn.shape)
  assert np.array_equal(drawn[~hole], cond[~hole])
  assert np.all(np.abs(drawn[hole]) <= 1) and np.ptp(drawn[hole]) > 0.1
  passes = choice.passes(choice.schedule(PAPER, TRAIN))
  assert len(seen) == passes == (28 if choice.name == 'repaint' else 12)
  for y_t, shown, gamma in seen:
    if choice.name not in sampler_config.UNCONDITIONAL:
      assert np.array_equal(np.asarray(y_t)[~hole], cond[~hole])
      assert np.array_equal(shown, cond)
    else:  # the observed pixels, and noise of that level
      level = float(gamma[0])
      noise = np.asarray(y_t)[~hole] - np.sqrt(level) * np.asarray(cond)[~hole]
      assert not np.any(shown)
      assert abs(noise.std() / np.sqrt(1 - level) - 1) < 0.2
      assert abs(noise.mean()) < 0.2 * np.sqrt(1 - level)
