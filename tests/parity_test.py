"""Compares our network and sampler with those of the two original projects.

tests/golden/make.py ran those projects and wrote golden files, so that the
comparison needs no PyTorch. Where PyTorch is installed, the slow tests also run
the twin of the network in benchmarks/.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import cases

from palette_jax.diffusion import process, sampler, schedule
from palette_jax.models import embeddings, unet
from palette_jax.weights import importer, names

TOLERANCE = 1e-4


def model_of(fields):
  return unet.UNet(dtype='float32', **cases.fields_of(fields))


def golden(name):
  with np.load(cases.FOLDER / f'{name}.npz') as file:
    return dict(file)


def params_of(model, **spelling):
  """Returns the weights that make.py gave to the original network."""
  return names.params(
    {
      tensor.ours: tensor.to_ours(
        cases.weight(tensor.theirs, tensor.their_shape())
      )
      for tensor in names.tensors(model, **spelling)
    }
  )


def apply(model, params, *args):
  return np.asarray(jax.jit(model.apply)({'params': params}, *args))


@pytest.mark.parametrize('name', cases.GUIDED_DIFFUSION | cases.JANSPIRY)
def test_outputs_match_the_original_network(name):
  fields = (cases.GUIDED_DIFFUSION | cases.JANSPIRY)[name]
  model = model_of(fields)
  spelling = importer.SPELLING['janspiry'] if name in cases.JANSPIRY else {}
  order = {k: v for k, v in fields.items() if k == 'new_attention_order'}
  y_t, cond = cases.images(name, fields['size'], 2)
  params = params_of(model, **spelling, **order)
  out = apply(model, params, y_t[None], cond[None], cases.gammas(1))[0]
  expected = golden(name)['out']
  assert 1 < np.abs(expected).max() < 10  # no weight is zero
  assert np.abs(out - expected).max() < TOLERANCE


def test_a_widened_network_predicts_the_noise_that_the_original_does():
  """Compares with guided-diffusion's eps, for any condition."""
  model, size = model_of(cases.WARM_START), cases.WARM_START['size']
  theirs = {t.theirs: t.their_shape() for t in names.tensors(model)}
  first, last = 'input_blocks.0.0.weight', 'out.2.weight'
  theirs[first] = (32, 3, 3, 3)
  theirs[last], theirs['out.2.bias'] = (6, 32, 3, 3), (6,)
  tensors = {name: cases.weight(name, shape) for name, shape in theirs.items()}
  widened = importer._widen('file', tensors)
  params = names.fit('file', widened, names.tensors(model))

  steps = np.array(cases.TIME_STEPS)
  gammas = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[steps]
  y_t = cases.images('warm_start', size, len(steps))
  cond = cases.images('any condition', size, len(steps))
  out = apply(model, params, y_t, cond, gammas.astype(np.float32))
  expected = golden('warm_start')['out']
  assert expected.shape[-1] == 6
  assert np.abs(out - expected[..., :3]).max() < 1e-3
  assert np.abs(out - expected[..., :3])[1:].max() < TOLERANCE


def test_every_time_step_follows_from_its_gamma():
  gammas = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
  steps = embeddings.time_step(jnp.asarray(gammas, jnp.float32))
  # Near 1, float32 resolves gamma to 1/1,700 of the first step.
  np.testing.assert_allclose(steps, np.arange(1000), atol=2e-3)
  ends = embeddings.time_step(jnp.array([1.0, 1e-5, 6.6e-21, 0.0]))
  np.testing.assert_allclose(ends, [0, 999, 999, 999], atol=1e-3)


def test_every_step_of_sampling_matches_the_port():
  """Compares every y_t, for the same network, noise and known pixels."""
  fields = cases.JANSPIRY['port_convolutions']
  size, model = fields['size'], model_of(fields)
  # In the port's own class, names have the prefix that its files have.
  params = params_of(model, **importer.SPELLING['janspiry'])
  levels = schedule.linear(**cases.SAMPLER)
  coefficients = sampler.ancestral_coefficients(levels, 'posterior')
  clean = np.tanh(cases.images('clean', size, 1))
  mask = cases.hole(size)
  cond = np.where(mask > 0.5, cases.images('fill', size, 1), clean)
  noise = cases.images('noise', size, len(levels.betas))

  def clean_fn(params, y_t, cond, gamma):
    eps = model.apply({'params': params}, y_t, cond, gamma)
    return process.estimate_clean('eps', y_t, eps, gamma)

  @jax.jit
  def step(y_t, cond, mask, z, now):
    y_0 = sampler.estimate(clean_fn, params, y_t, cond, now)
    stage = sampler.State(y_t, None)
    return sampler.advance(now, stage, y_0, cond, mask, z).y_t

  expected = golden('sampler')['trajectory']
  y_t = cond
  assert np.array_equal(y_t[0], expected[0])
  for t in range(len(levels.betas)):
    now = {name: values[t] for name, values in coefficients.items()}
    y_t = step(y_t, cond, mask, noise[t : t + 1], now)
    assert np.abs(y_t[0] - expected[t + 1]).max() < TOLERANCE, t
  known = np.broadcast_to(mask < 0.5, cond.shape)
  assert np.array_equal(np.asarray(y_t)[known], clean[known])
  assert np.abs(y_t).max() <= 1 and np.ptp(y_t) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize('updown', [True, False])
@pytest.mark.parametrize('attended', [(), (0,), (1, 2)])
@pytest.mark.parametrize('head_channels', [8, 32])
def test_outputs_match_the_twin(updown, attended, head_channels):
  """Runs both with random weights, on images that are not square."""
  torch = pytest.importorskip('torch')
  from benchmarks import torch_unet

  model = unet.UNet(
    channels=32,
    channel_mult=(1, 2, 2),
    num_res_blocks=1,
    attention_levels=attended,
    head_channels=head_channels,
    resblock_updown=updown,
    dtype='float32',
  )
  params = params_of(model)
  twin = torch_unet.UNet(model).eval()
  state = {
    t.theirs: torch.tensor(cases.weight(t.theirs, t.their_shape()))
    for t in names.tensors(model)
  }
  twin.load_state_dict(state)
  y_t, cond = cases.images('live', (24, 40), 4).reshape(2, 2, 24, 40, 3)
  gamma = cases.gammas(2)
  x = np.concatenate([cond, y_t], axis=-1).transpose(0, 3, 1, 2)
  with torch.no_grad():
    expected = twin(torch.tensor(x), 1000 * torch.tensor(gamma).sqrt())
  out = apply(model, params, y_t, cond, gamma)
  assert np.abs(out - expected.permute(0, 2, 3, 1).numpy()).max() < TOLERANCE


@pytest.mark.slow
def test_a_thousand_steps_end_as_those_of_the_ports_formulas():
  """Follows the port's published schedule, in which gamma falls to 7e-21."""
  torch = pytest.importorskip('torch')
  betas = np.linspace(1e-4, 0.09, 1000)
  gammas = np.cumprod(1 - betas)
  before = np.append(1.0, gammas[:-1])
  variance = betas * (1 - before) / (1 - gammas)
  start = cases.images('start', (8, 8), 1)
  noise = cases.images('noise', (8, 8), 1000)

  def predict_eps(y_t, cond, gamma, lib):
    """Stands for the network; any smooth function does."""
    return lib.tanh(y_t + 0.3 * cond - gamma) + 0.2 * y_t

  cond = cases.images('cond', (8, 8), 1)
  y_t = torch.tensor(start)
  for t in reversed(range(1000)):
    eps = predict_eps(y_t, torch.tensor(cond), float(gammas[t]), torch)
    y_0 = np.float32(np.sqrt(1 / gammas[t])) * y_t
    y_0 = y_0 - np.float32(np.sqrt(1 / gammas[t] - 1)) * eps
    y_0 = y_0.clamp(-1, 1)
    y_t = (
      float(betas[t] * np.sqrt(before[t]) / (1 - gammas[t])) * y_0
      + float((1 - before[t]) * np.sqrt(1 - betas[t]) / (1 - gammas[t])) * y_t
    )
    if t > 0:
      y_t = y_t + float(np.sqrt(variance[t])) * torch.tensor(noise[t])

  def clean_fn(params, y_t, cond, gamma):
    eps = predict_eps(y_t, cond, gamma[:, None, None, None], jnp)
    return process.estimate_clean('eps', y_t, eps, gamma)

  levels = schedule.linear(1e-4, 0.09, 1000)
  coefficients = sampler.ancestral_coefficients(levels, 'posterior')
  cond, ones = jnp.asarray(cond), jnp.ones([1, 8, 8, 1])

  def step(y_t, inputs):
    now, z = inputs
    y_0 = sampler.estimate(clean_fn, None, y_t, cond, now)
    stage = sampler.State(y_t, None)
    return sampler.advance(now, stage, y_0, cond, ones, z[None]).y_t, None

  scan = jax.jit(lambda y_t, inputs: jax.lax.scan(step, y_t, inputs)[0])
  sample = scan(start, (coefficients, noise[::-1]))
  assert np.abs(sample - y_t.numpy()).max() < TOLERANCE
