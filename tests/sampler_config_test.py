"""Samplers and their levels: construction, refusal, and compilation."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import micro

from configs import common
from palette_jax.diffusion import (
  objective,
  sampler,
  sampler_config,
  schedule,
  solver,
)
from palette_jax.training import compatibility
from palette_jax.training import run as runs

TRAIN = schedule.linear(1e-6, 0.01, 2000)
PAPER = schedule.linear(1e-4, 0.09, 1000)


def config_of(task='inpainting', **changes):
  config = common.get_config(common.parse_arg(None), task)
  config.objective.sampler.update(changes)
  return config


def log_snr(gammas):
  return np.log(gammas / (1 - gammas))


@pytest.mark.parametrize('steps', [1, 2, 5, 50, 1000])
def test_few_levels_are_even_in_log_snr_between_what_training_has_seen(steps):
  levels = schedule.respaced(PAPER, steps, TRAIN.gammas[-1])
  assert np.isclose(levels.gammas[-1], TRAIN.gammas[-1], rtol=1e-12)
  assert len(levels.gammas) == len(levels.betas) == steps
  if steps > 1:
    assert np.isclose(levels.gammas[0], PAPER.gammas[0], rtol=1e-12)
    np.testing.assert_allclose(np.diff(log_snr(levels.gammas), 2), 0, atol=1e-9)
  assert np.all((0 < levels.betas) & (levels.betas < 1))
  np.testing.assert_allclose(np.cumprod(1 - levels.betas), levels.gammas)
  short = schedule.linear(1e-4, 0.09, 100)  # does not go as far down
  assert np.isclose(
    schedule.respaced(short, steps, TRAIN.gammas[-1]).gammas[-1],
    short.gammas[-1],
  )


def distance(table, power, scale):
  """Frechet distance over total variance, of images of a power spectrum.

  256x256 pixels of variance 0.25 times scale, power falling as frequency to
  the minus `power`; the samplers are linear for them, so that it is exact.
  """
  frequency = np.arange(1, 129.0)
  variance = frequency**-power
  variance *= scale * 0.25 * 256**2 / np.sum(2 * np.pi * frequency * variance)
  table = {name: np.asarray(x, np.float64) for name, x in table.items()}
  y_t, before = np.ones_like(frequency), np.zeros_like(frequency)
  for i, gamma in enumerate(table['gamma']):
    y_0 = np.sqrt(gamma) * variance / (gamma * variance + 1 - gamma) * y_t
    y_t = table['y_0'][i] * y_0 + table['y_t'][i] * y_t
    if 'y_0_before' in table:
      y_t += table['y_0_before'][i] * before
    before = y_0
  error = frequency * (np.abs(y_t) - np.sqrt(variance)) ** 2
  return np.sum(error) / np.sum(frequency * variance)


def even_in_t(steps):
  """The levels that training has seen, by t; between them log-SNR is linear."""
  seen = np.sum(PAPER.gammas >= TRAIN.gammas[-1])
  at = np.linspace(seen - 1, 0, steps)[::-1]
  logs = np.interp(at, np.arange(1000), log_snr(PAPER.gammas))
  gammas = 1 / (1 + np.exp(-logs))
  return schedule.Schedule(1 - gammas / np.append(1, gammas[:-1]), gammas)


@pytest.mark.parametrize(
  ('power', 'scale'), [(2, 1), (2, 0.1), (1, 1), (1, 0.01)]
)
def test_even_log_snr_is_right_for_images_and_even_t_is_not(power, scale):
  """Spectra of photos, and of what a condition leaves open of them."""
  ddim = functools.partial(solver.ddim_coefficients, eta=0.0)
  for steps in 10, 20, 50:
    levels = schedule.respaced(PAPER, steps, TRAIN.gammas[-1])
    result = distance(solver.dpm_solver_coefficients(levels), power, scale)
    other = solver.dpm_solver_coefficients(even_in_t(steps))
    assert result < 2e-3 and 25 * result < distance(other, power, scale)
    result, other = (
      distance(ddim(x), power, scale) for x in (levels, even_in_t(steps))
    )
    assert result < 1.05 * other
  # 20 steps of DPM-Solver++ are nearer than 250 of DDIM.
  many = ddim(schedule.respaced(PAPER, 250, TRAIN.gammas[-1]))
  few = schedule.respaced(PAPER, 20, TRAIN.gammas[-1])
  few = distance(solver.dpm_solver_coefficients(few), power, scale)
  assert few < 2.5 * distance(many, power, scale)


def test_the_default_is_the_paper_s():
  task = objective.from_config(config_of().objective)
  assert task.sampler_config == sampler_config.SamplerConfig(
    'ancestral', steps=0
  )
  assert np.array_equal(task.sample_schedule, PAPER)
  assert task.sampler_config.variance == 'upper' and task.passes() == 1000
  regression = config_of().objective
  regression.name = 'regression'
  assert objective.from_config(regression).passes() == 1


def test_every_field_of_the_config_arrives():
  asked = dict(
    name='repaint',
    steps=30,
    variance='posterior',
    eta=0.3,
    jump=7,
    resamplings=4,
  )
  config = config_of(**asked)
  task = objective.from_config(config.objective)
  assert dataclasses.asdict(task.sampler_config) == asked
  assert task.passes() == 30 + 4 * 3 * 7  # back from 0, 7, 14, 21
  assert len(task.sample_schedule.betas) == 30
  assert set(config.objective.sampler) == set(asked)


@pytest.mark.parametrize(
  ('bad', 'message'),
  [
    (dict(name='plms'), "'plms'"),
    (dict(steps=-1), 'sampler.steps'),
    (dict(eta=1.5), 'sampler.eta'),
    (dict(jump=0), 'sampler.jump'),
    (dict(resamplings=0), 'sampler.resamplings'),
    (dict(name='repaint', steps=10), 'jump=10'),
  ],
)
def test_a_sampler_that_there_is_not_is_refused(bad, message):
  config = micro(config_of(), 'photos')
  config.objective.sampler.update(bad)
  with pytest.raises(ValueError, match=message):
    runs.build(config)


@pytest.mark.parametrize('name', sampler_config.NAMES)
def test_the_variance_is_that_of_all_ancestral_steps(name):
  upper, posterior = (
    sampler_config.SamplerConfig(name, jump=4, variance=one).coefficients(PAPER)
    for one in sampler.VARIANCES
  )
  same = all(np.array_equal(upper[k], posterior[k]) for k in upper)
  if name in ('ddim', 'dpm_solver'):
    assert same
  else:
    assert np.all(posterior['deviation'] <= upper['deviation'])
    # The last but one adds least; the first ones add the same.
    assert posterior['deviation'][-2] < 0.9 * upper['deviation'][-2]


def test_a_typo_in_a_field_is_refused():
  config = config_of().lock()
  config.objective.sampler.eta = 1  # as a flag sets it
  with pytest.raises(AttributeError, match='Did you mean'):
    config.objective.sampler.step = 5


def metas(learnt, **sampler_fields):
  """The meta of a checkpoint, and of a run that inpaints with it."""
  before, now = config_of(learnt), config_of(**sampler_fields)
  wrap = lambda config: {'config': config.to_dict(), 'records': {'records': 1}}  # noqa: E731
  return wrap(before), wrap(now)


def test_any_sampler_draws_from_any_checkpoint_and_goes_on_training():
  for name in 'ancestral', 'ddim', 'dpm_solver':
    saved, now = metas('inpainting', name=name, steps=20)
    compatibility.check_model(saved, now)
    compatibility.check_resume(saved, now | {'cached': False}, [], [])
    del saved['config']['objective']['sampler']  # older than it
    compatibility.check_model(saved, now)
    compatibility.check_resume(saved, now | {'cached': False}, [], [])


@pytest.mark.parametrize('name', sampler_config.UNCONDITIONAL)
def test_imputation_is_for_models_that_were_given_nothing(name):
  compatibility.check_model(*metas('unconditional', name=name))
  with pytest.raises(ValueError, match='learned unconditional'):
    compatibility.check_model(*metas('unconditional'))
  with pytest.raises(ValueError, match=name):
    compatibility.check_model(*metas('inpainting', name=name))


def lowered(choice, batch, sample=PAPER):
  task = objective.Diffusion(
    TRAIN, choice.schedule(sample, TRAIN), sampler_config=choice
  )
  network = lambda params, y_t, cond, gamma: jnp.tanh(y_t + cond)  # noqa: E731
  restore = jax.jit(functools.partial(task.restore, network))
  image = jax.ShapeDtypeStruct([batch, 32, 32, 3], jnp.float32)
  mask = jax.ShapeDtypeStruct([batch, 32, 32, 1], jnp.float32)
  return restore.trace(None, image, mask, jax.random.key(0))


@pytest.mark.parametrize('name', sampler_config.NAMES)
def test_memory_does_not_grow_with_steps_and_the_network_is_compiled_once(name):
  programs = {
    steps: lowered(
      sampler_config.SamplerConfig(name, steps, jump=2, resamplings=2), 4
    )
    for steps in (5, 500)
  }
  jaxprs = [str(traced.jaxpr) for traced in programs.values()]
  assert all(text.count(' tanh ') == 1 for text in jaxprs)
  small, large = (
    traced.lower().compile().memory_analysis().temp_size_in_bytes
    for traced in programs.values()
  )
  # A table of so many rows, and its keys; an image has 49,152 bytes.
  assert large - small < 500 * 2 * 4 * 30 and small > 49_152


@pytest.mark.parametrize('name', sampler_config.NAMES)
def test_the_batch_may_be_free(name):
  """As an exported sampler has it; then it runs at any size."""
  choice = sampler_config.SamplerConfig(name, 6, jump=2, resamplings=2)
  levels = choice.schedule(PAPER, TRAIN)
  task = objective.Diffusion(TRAIN, levels, sampler_config=choice)
  network = lambda params, y_t, cond, gamma: jnp.tanh(y_t + cond)  # noqa: E731

  @jax.jit
  def restore(cond, mask, seed):
    return task.restore(network, None, cond, mask, jax.random.key(seed))

  b, h, w = jax.export.symbolic_shape('b, 2*h, 2*w')
  exported = jax.export.export(restore)(
    jax.ShapeDtypeStruct([b, h, w, 3], jnp.float32),
    jax.ShapeDtypeStruct([b, h, w, 1], jnp.float32),
    jax.ShapeDtypeStruct([], jnp.uint32),
  )
  for shape in (1, 4, 6), (3, 8, 4):
    cond, mask = jnp.zeros([*shape, 3]), jnp.ones([*shape, 1])
    result = exported.call(cond, mask, jnp.uint32(3))
    expected = restore(cond, mask, jnp.uint32(3))
    np.testing.assert_allclose(result, expected, atol=1e-5)
  assert sampler.VARIANCES[0] == task.sampler_config.variance
