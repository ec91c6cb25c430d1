import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palette_jax.diffusion import schedule

TRAIN = schedule.linear(1e-6, 0.01, 2000)
INFERENCE = schedule.linear(1e-4, 0.09, 1000)


@pytest.mark.parametrize('levels', [TRAIN, INFERENCE, schedule.cosine(1000)])
def test_gammas_fall_from_near_one_to_near_zero(levels):
  assert np.all(np.diff(levels.gammas) < 0)
  assert 0 < levels.gammas[-1] < 1e-4 and 0.999 < levels.gammas[0] < 1


def test_the_paper_s_schedules_end_where_they_should():
  np.testing.assert_allclose(TRAIN.gammas[[0, -1]], [0.999999, 4.39e-5], 1e-3)
  np.testing.assert_allclose(INFERENCE.gammas[[0, -1]], [0.9999, 6.6e-21], 1e-2)
  assert np.sum(INFERENCE.gammas < TRAIN.gammas[-1]) == 532


def test_the_cosine_schedule_is_a_squared_cosine_up_to_its_last_step():
  """gamma_t = f(t) / f(0); the last beta would be 1 and is held at 0.999."""
  levels = schedule.cosine(50)
  angle = (np.arange(51) / 50 + 0.008) / 1.008 * np.pi / 2
  expected = (np.cos(angle) / np.cos(angle[0])) ** 2
  np.testing.assert_allclose(levels.gammas[:-1], expected[1:-1], rtol=1e-9)
  assert levels.betas[-1] == 0.999 and np.all(levels.betas[:-1] < 0.999)


def test_gammas_are_the_variance_left_by_noising_step_by_step():
  variance = 1.0
  for beta, gamma in zip(*INFERENCE):
    variance *= 1 - beta
    assert np.isclose(variance, gamma, rtol=1e-12)


@pytest.mark.parametrize('levels', [TRAIN, schedule.linear(0.1, 0.5, 4)])
def test_training_levels_follow_the_stated_mixture(levels):
  """P(gamma <= g) is that of a uniform step, then a uniform level in it."""
  drawn = schedule.sample_gamma(jax.random.key(0), levels, 200_000)
  drawn = np.sort(np.asarray(drawn, np.float64))
  assert levels.gammas[-1] * 0.999 <= drawn[0] and drawn[-1] <= 1
  # The mixture's distribution function is linear between neighbouring levels.
  steps = np.concatenate([levels.gammas[::-1], [1.0]])
  stated = np.interp(drawn, steps, np.linspace(0, 1, len(steps)))
  result = np.linspace(0, 1, len(drawn))
  assert np.abs(stated - result).max() < 1.95 / np.sqrt(len(drawn))  # KS, 0.1%


def test_training_sees_as_much_noise_as_the_schedule_says():
  """Independently computed: the mean level, and the share of almost noise."""
  drawn = schedule.sample_gamma(jax.random.key(0), TRAIN, 200_000)
  assert abs(drawn.mean() - 0.28) < 0.01
  assert abs(jnp.mean(drawn < 0.01) - 0.32) < 0.01


def test_stratified_levels_follow_the_same_law():
  spread = np.asarray(schedule.stratified_gamma(TRAIN, 4000))
  drawn = np.asarray(schedule.sample_gamma(jax.random.key(1), TRAIN, 100_000))
  for q in (0.1, 0.5, 0.9):
    np.testing.assert_allclose(
      np.quantile(spread, q), np.quantile(drawn, q), rtol=0.06
    )


def test_gamma_between_meets_the_steps():
  position = jnp.array([0.0, 1.0, 1999.0, 0.5])
  result = np.asarray(schedule.gamma_at(TRAIN, position))
  expected = [1, TRAIN.gammas[0], TRAIN.gammas[1998], (1 + TRAIN.gammas[0]) / 2]
  np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize(
  'bad', [(0.0, 0.1, 5), (0.2, 0.1, 5), (0.1, 1.0, 5), (0.1, 0.2, 0)]
)
def test_a_schedule_that_is_none_is_refused(bad):
  with pytest.raises(ValueError, match='linear schedule'):
    schedule.linear(*bad)


def test_a_cosine_schedule_without_steps_is_refused():
  with pytest.raises(ValueError, match='cosine'):
    schedule.cosine(0)
