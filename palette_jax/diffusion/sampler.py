"""Sampling by iterative refinement (Palette, Algorithm 2).

All samplers are one loop, `refine`, and accept any decreasing noise levels,
since the network is given gamma. A sampler is a table of coefficients: the
paper's is computed here, others in solver.py and imputation.py. Everything that
a step does besides the network's pass is in `advance`, so that another loop,
which shows the network a large photo tile by tile, gives the same result
(palette_jax/photo/painting/painter.py).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from palette_jax import arrays
from palette_jax.diffusion import process
from palette_jax.diffusion import schedule as schedules

# clean_fn(params, y_t, cond, gamma) -> y_0: the network's estimate.
CleanFn = arrays.DenoiseFn
# The factors of each step from t = T to 1, each [T]; or of one step.
#   gamma       the noise level that the network is given
#   y_0, y_t    factors of the estimate and of the noisy image
#   y_0_before  factor of the previous step's estimate, where it is used
#   deviation   factor of fresh noise, where there is any
#   known, known_deviation   factors of the known pixels and of noise on them,
#               for an unconditional model, which has no other access to them
Coefficients = dict[str, Float[Array, '*t']]

VARIANCES = ('upper', 'posterior')


def ancestral_coefficients(
  schedule: schedules.Schedule, variance: str
) -> Coefficients:
  """Returns the table of Algorithm 2; the variance is one of VARIANCES."""
  return in_sampling_order(**ancestral_steps(schedule, variance))


def ancestral_steps(
  schedule: schedules.Schedule, variance: str
) -> dict[str, np.ndarray]:
  """Returns Algorithm 2 in terms of y_0, in float64, for t = 1..T.

    y_{t-1} = mean(y_0, y_t) + deviation z,   no noise in the last step,

  where the mean is that of q(y_{t-1} | y_0, y_t). Without the clip of
  `estimate` it equals (y_t - beta_t / sqrt(1 - gamma_t) eps) / sqrt(alpha_t).
  The variance is 'upper', beta_t (the paper's), or 'posterior', that of
  q(y_{t-1} | y_0, y_t).
  """
  assert variance in VARIANCES, variance
  betas, gammas = schedule
  before = np.concatenate([[1.0], gammas[:-1]])  # gamma_{t-1}
  posterior = betas * (1.0 - before) / (1.0 - gammas)
  added = posterior if variance == 'posterior' else betas
  return dict(
    gamma=gammas,
    y_0=np.sqrt(before) * betas / (1.0 - gammas),
    y_t=np.sqrt(1.0 - betas) * (1.0 - before) / (1.0 - gammas),
    deviation=np.sqrt(added) * (np.arange(len(betas)) > 0),
  )


def in_sampling_order(**columns: np.ndarray) -> Coefficients:
  """Converts float64 columns for t = 1..T to float32 in the order T..1."""
  return {k: jnp.asarray(v[::-1], jnp.float32) for k, v in columns.items()}


class State(NamedTuple):
  """The state of a sampler between two steps.

  Attributes:
    y_t: the noisy image, with the sampler's version of known pixels.
    y_0_before: the previous estimate; None for samplers that do not use it.
  """

  y_t: Float[Array, 'b h w 3']
  y_0_before: Float[Array, 'b h w 3'] | None


def refine(
  clean_fn: CleanFn,
  params: arrays.Params,
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  key: Array,
  coefficients: Coefficients,
) -> Float[Array, 'b h w 3']:
  """Draws one image for each condition, with one `lax.scan` over t = T..1.

  Args:
    clean_fn: the network, followed by the estimate of the clean image.
    params: weights of the network; use the EMA's for quality.
    cond: conditions.
    mask: 1 where to paint; elsewhere the result equals cond exactly.
    key: random key of y_T and of the noise of all steps.
    coefficients: table of the sampler.

  Returns:
    Images, clipped to [-1, 1] inside the mask.
  """
  key_start, keys = split_keys(key, coefficients)
  visible = visible_condition(coefficients, cond)

  def step(
    state: State, inputs: tuple[Coefficients, Array]
  ) -> tuple[State, None]:
    now, key = inputs
    z = jax.random.normal(key, cond.shape) if 'deviation' in now else None
    y_0 = estimate(clean_fn, params, state.y_t, visible, now)
    return advance(now, state, y_0, cond, mask, z), None

  z = jax.random.normal(key_start, cond.shape)
  state = initial_state(coefficients, cond, mask, z)
  state, _ = jax.lax.scan(step, state, (coefficients, keys))
  return state.y_t


def split_keys(key: Array, coefficients: Coefficients) -> tuple[Array, Array]:
  """Returns the key of y_T's noise and the keys of all steps."""
  key_start, key_steps = jax.random.split(key)
  return key_start, jax.random.split(key_steps, len(coefficients['gamma']))


def visible_condition(
  coefficients: Coefficients, cond: Float[Array, 'b h w 3']
) -> Float[Array, 'b h w 3']:
  """Returns the network's condition; zeros for an unconditional model."""
  return jnp.zeros_like(cond) if 'known' in coefficients else cond


def initial_state(
  coefficients: Coefficients,
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  z: Float[Array, 'b h w 3'],
) -> State:
  """Returns the state at y_T, with noise (or another start z) in the hole."""
  known = cond
  if 'known' in coefficients:
    gamma = jnp.full([cond.shape[0]], coefficients['gamma'][0])
    known = process.add_noise(cond, z, gamma)
  before = jnp.zeros_like(z) if 'y_0_before' in coefficients else None
  return State(process.keep_known(z, known, mask), before)


def make_clean_fn(denoise_fn: arrays.DenoiseFn, prediction: str) -> CleanFn:
  """Wraps a network to return its estimate of the clean image.

  Args:
    denoise_fn: the network.
    prediction: its prediction, one of process.PREDICTIONS.
  """

  def clean_fn(
    params: arrays.Params,
    y_t: Float[Array, 'b h w 3'],
    cond: Float[Array, 'b h w 3'],
    gamma: Float[Array, ' b'],
  ) -> Float[Array, 'b h w 3']:
    output = denoise_fn(params, y_t, cond, gamma)
    return process.estimate_clean(prediction, y_t, output, gamma)

  return clean_fn


def estimate(
  clean_fn: CleanFn,
  params: arrays.Params,
  y_t: Float[Array, 'b h w 3'],
  cond: Float[Array, 'b h w 3'],
  coefficients: Coefficients,
) -> Float[Array, 'b h w 3']:
  """Returns the network's estimate of the clean image, clipped to [-1, 1].

  The paper mentions no clip. Where gamma is small, errors of eps are magnified
  by 1 / sqrt(gamma), and without a clip colours diverge.
  """
  gamma = jnp.full([cond.shape[0]], coefficients['gamma'])
  return jnp.clip(clean_fn(params, y_t, cond, gamma), -1.0, 1.0)


def advance(
  now: Coefficients,
  state: State,
  y_0: Float[Array, 'b h w 3'],
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  z: Float[Array, 'b h w 3'] | None,
) -> State:
  """Steps from y_t to y_{t-1}, given the estimate of the clean image.

  Args:
    now: coefficients of this step.
    state: state before the step.
    y_0: the estimate.
    cond: condition, which has the known pixels.
    mask: 1 where to paint.
    z: fresh noise, where there is a deviation. Pixels are independent, so one
      array serves the hole and its surroundings.
  """
  painted = now['y_0'] * y_0 + now['y_t'] * state.y_t
  if 'y_0_before' in now:
    assert state.y_0_before is not None
    painted += now['y_0_before'] * state.y_0_before
  if 'deviation' in now:
    assert z is not None
    painted += now['deviation'] * z
  known = cond
  if 'known' in now:
    assert z is not None
    known = now['known'] * cond + now['known_deviation'] * z
  before = y_0 if 'y_0_before' in now else None
  return State(process.keep_known(painted, known, mask), before)
