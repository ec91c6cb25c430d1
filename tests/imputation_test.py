"""Imputation and RePaint where the exact conditional is known."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palette_jax.diffusion import imputation, sampler, schedule

TRAIN = schedule.linear(1e-6, 0.01, 2000)
PAPER = schedule.linear(1e-4, 0.09, 1000)
LEVELS = schedule.respaced(PAPER, 100, TRAIN.gammas[-1])
MEAN, DEVIATION = 0.1, 0.2


def pair_of(correlation):
  """The exact E[y_0 | y_t] of neighbours that are normal and correlated."""
  covariance = DEVIATION**2 * jnp.array([[1, correlation], [correlation, 1]])

  def clean_fn(params, y_t, cond, gamma):
    level = gamma[0]
    noisy = level * covariance + (1 - level) * jnp.eye(2)
    weights = jnp.sqrt(level) * covariance @ jnp.linalg.inv(noisy)
    surprise = y_t - jnp.sqrt(level) * MEAN
    return MEAN + jnp.einsum('vw,bhwc->bhvc', weights, surprise)

  return clean_fn


def fill(correlation, seed=0, variance='upper', jump=1, resamplings=1):
  """Known left pixels, and what is put beside them; about 0, in deviations."""
  shape = [1, 2048, 1, 3]
  left = MEAN + DEVIATION * jax.random.normal(jax.random.key(9), shape)
  cond = jnp.concatenate([left, jnp.full_like(left, 9.0)], axis=2)
  mask = jnp.broadcast_to(jnp.array([[0.0], [1.0]]), [1, 2048, 2, 1])
  table = imputation.walk_coefficients(LEVELS, variance, jump, resamplings)
  impute = jax.jit(functools.partial(sampler.refine, pair_of(correlation)))
  drawn = impute(None, cond, mask, jax.random.key(seed), table)
  assert np.array_equal(drawn[:, :, :1], left)
  return (np.asarray(drawn).reshape(-1, 2, 3) - MEAN) / DEVIATION


def law(pairs):
  """Slope of the right pixel on the left one, and deviation around it."""
  left, right = pairs[:, 0].ravel(), pairs[:, 1].ravel()
  slope = left @ right / (left @ left)
  return slope, np.std(right - slope * left)


def test_without_correlation_imputation_is_exact():
  slope, around = law(fill(0.0))
  assert abs(slope) < 4 / np.sqrt(3 * 2048)
  assert abs(around - 1) < 0.07  # of 100 steps: 4%, and chance


@pytest.mark.parametrize('variance', sampler.VARIANCES)
def test_imputation_is_biased_and_repaint_less(variance):
  """The exact law of the right pixel: slope 0.9, deviation sqrt(0.19).

  Imputation looks at the left pixel through noise, afresh at each level, and so
  believes it too little: about two thirds of the slope, too wide a spread.
  """
  result = [
    law(fill(0.9, variance=variance, jump=jump, resamplings=resamplings))
    for jump, resamplings in ((1, 1), (5, 2), (5, 5), (5, 10))
  ]
  slopes, around = np.transpose(result)
  assert 0.55 < slopes[0] < 0.65 and around[0] > 1.15 * np.sqrt(0.19)
  assert np.all(np.diff(slopes) > 0) and 0.85 < slopes[-1] < 0.91
  error = np.abs(around / np.sqrt(0.19) - 1)
  assert np.all(error[1:] < error[0]) and error[-1] < 0.08
  assert result[0] == law(fill(0.9, variance=variance))  # one pass: no jump


def test_imputation_without_a_hole_s_edge_is_the_ancestral_sampler():
  """A mask of ones: what an unconditional model draws."""
  cond, mask = jnp.ones([1, 64, 2, 3]), jnp.ones([1, 64, 2, 1])
  clean_fn, key = pair_of(0.9), jax.random.key(4)
  draw = jax.jit(functools.partial(sampler.refine, clean_fn))
  result, expected = (
    draw(None, cond, mask, key, table_of(LEVELS, 'upper'))
    for table_of in (
      imputation.walk_coefficients,
      sampler.ancestral_coefficients,
    )
  )
  np.testing.assert_allclose(result, expected, atol=1e-5)


def test_the_network_is_shown_nothing_but_noisy_pixels():
  """At first they are those of the highest level, like the hole."""
  draw = np.random.default_rng(0)
  cond, z = jnp.float32(draw.uniform(-1, 1, [2, 1, 4, 4, 3]))
  mask = jnp.zeros([1, 4, 4, 1]).at[:, :2].set(1)
  table = imputation.walk_coefficients(LEVELS, 'upper')
  tell = jax.jit(functools.partial(sampler.refine, lambda p, y, c, g: c))
  drawn = tell(None, cond, mask, jax.random.key(0), table)
  assert np.all(drawn[:, :2] == 0) and np.array_equal(drawn[:, 2:], cond[:, 2:])
  level = LEVELS.gammas[-1]
  noisy = np.sqrt(level) * cond + np.sqrt(1 - level) * z
  expected = np.where(mask > 0.5, z, noisy)
  result = sampler.initial_state(table, cond, mask, z).y_t
  np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize(
  ('steps', 'jump', 'resamplings'),
  [(250, 10, 10), (250, 10, 1), (12, 4, 3), (7, 3, 2), (5, 1, 4), (1, 1, 1)],
)
def test_a_walk_takes_every_step_as_often_as_it_should(
  steps, jump, resamplings
):
  moves = imputation.walk(steps, jump, resamplings)
  assert moves[0, 0] == steps and moves[-1, 1] == 0
  assert all(a[1] == b[0] for a, b in itertools.pairwise(moves))
  assert moves.min() == 0 and moves.max() <= steps
  start, end = moves.T
  back = end > start - 1
  assert np.all(end[back] == start[back] - 1 + jump)
  # All steps that lie behind a place from which it goes back are taken again.
  covered = set(range(0, steps - jump, jump))
  times = np.array(
    [
      resamplings if (t - 1) // jump * jump in covered else 1
      for t in range(1, steps + 1)
    ]
  )
  assert np.array_equal(np.bincount(start, minlength=steps + 1)[1:], times)


def test_the_walk_of_the_paper_has_its_length():
  """T = 250, j = r = 10: 24 places, from each of which 9 times 10 steps."""
  assert len(imputation.walk(250, 10, 10)) == 250 + 24 * 9 * 10


@pytest.mark.parametrize('variance', sampler.VARIANCES)
def test_a_move_is_a_step_and_then_noise_level_by_level(variance):
  """The jump, which is one Gaussian, against its single steps of noise."""
  levels = schedule.linear(1e-3, 0.5, 12)
  moves = imputation.walk(12, 4, 2)
  table = imputation.walk_coefficients(levels, variance, 4, 2)
  one = sampler.ancestral_steps(levels, variance)
  for i, (start, end) in enumerate(moves):
    y_0, y_t = one['y_0'][start - 1], one['y_t'][start - 1]
    added = one['deviation'][start - 1] ** 2
    before = 1.0 if start == 1 else levels.gammas[start - 2]
    known, noise = np.sqrt(before), 1 - before
    for beta in levels.betas[start - 1 : end]:
      y_0, y_t, known = np.sqrt(1 - beta) * np.array([y_0, y_t, known])
      added, noise = ((1 - beta) * x + beta for x in (added, noise))
    expected = dict(
      gamma=levels.gammas[start - 1],
      y_0=y_0,
      y_t=y_t,
      deviation=np.sqrt(added),
      known=known,
      known_deviation=np.sqrt(noise),
    )
    assert table.keys() == expected.keys()
    for name in table:
      np.testing.assert_allclose(table[name][i], expected[name], 1e-5, 1e-7)
