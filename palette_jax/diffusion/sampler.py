"""From noise to an image: iterative refinement (Palette, Algorithm 2).

All samplers have one signature and take any decreasing noise levels, since the
network is told gamma:

  sampler(clean_fn, params, cond, mask, key, schedule) -> images

Those of this file and the next are one loop, `refine`; what makes one of them
is the table of numbers that it multiplies by.

Next: palette_jax/diffusion/solver.py
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from palette_jax import arrays
from palette_jax.diffusion import process
from palette_jax.diffusion import schedule as schedules

# clean_fn(params, y_t, cond, gamma) -> y_0: the network's idea of the image.
CleanFn = arrays.DenoiseFn
# What each step multiplies by, from t = T to 1, each [T]; or at one step.
#   gamma       the level that the network is told
#   y_0, y_t    of the estimate and of what it was made from
#   y_0_before  of the estimate of the step before, if that is used
#   deviation   of fresh noise, if there is any
Coefficients = dict[str, Float[Array, '*t']]

VARIANCES = ('upper', 'posterior')


def ancestral(
  clean_fn: CleanFn,
  params: arrays.Params,
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  key: Array,
  schedule: schedules.Schedule,
  variance: str = 'upper',
) -> Float[Array, 'b h w 3']:
  """The paper's sampler; arguments are those of `refine`.

  Args:
    clean_fn: see `refine`, as for all others up to the key.
    params: of clean_fn.
    cond: the degraded images.
    mask: 1 where to paint.
    key: of all noise.
    schedule: the noise levels.
    variance: of the noise in each step, one of VARIANCES.

  Returns:
    See `refine`.
  """
  coefficients = coefficients_of(schedule, variance)
  return refine(clean_fn, params, cond, mask, key, coefficients)


def coefficients_of(
  schedule: schedules.Schedule, variance: str
) -> Coefficients:
  """The table of Algorithm 2; the variance is one of VARIANCES."""
  return backwards(**by_step(schedule, variance))


def by_step(
  schedule: schedules.Schedule, variance: str
) -> dict[str, np.ndarray]:
  """Algorithm 2, with y_0 in place of eps: float64, by t = 1..T.

    y_{t-1} = mean(y_0, y_t) + deviation z,   no noise in the last step,

  where the mean is that of q(y_{t-1} | y_0, y_t), which without the clip of
  `estimate` is (y_t - beta_t / sqrt(1 - gamma_t) eps) / sqrt(alpha_t). The
  variance is 'upper', beta_t (the paper's), or 'posterior', that of
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


def backwards(**columns: np.ndarray) -> Coefficients:
  """From float64, by t = 1..T, to float32 in the order of sampling, T..1."""
  return {k: jnp.asarray(v[::-1], jnp.float32) for k, v in columns.items()}


def refine(
  clean_fn: CleanFn,
  params: arrays.Params,
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  key: Array,
  coefficients: Coefficients,
) -> Float[Array, 'b h w 3']:
  """Draws one image for each condition: `step` for t = T..1 in one `lax.scan`.

  Args:
    clean_fn: the network and what its prediction says of the clean image.
    params: its weights; the EMA's, if the images matter.
    cond: the degraded images.
    mask: 1 where to paint; elsewhere the result equals cond exactly.
    key: of all noise: y_T's, and that of the steps if they have any.
    coefficients: of all steps.

  Returns:
    Images clipped to [-1, 1] inside the mask.
  """
  key_start, key_steps = jax.random.split(key)
  keys = jax.random.split(key_steps, len(coefficients['gamma']))

  def one(carry, inputs):
    (y_t, y_0_before), (now, key) = carry, inputs
    z = jax.random.normal(key, y_t.shape) if 'deviation' in now else None
    y_0 = estimate(clean_fn, params, y_t, cond, now)
    y_t = process.keep_known(_combine(y_0, y_t, y_0_before, z, now), cond, mask)
    return (y_t, y_0 if 'y_0_before' in now else None), None

  y_t = jax.random.normal(key_start, cond.shape)
  y_t = process.keep_known(y_t, cond, mask)
  y_0_before = jnp.zeros_like(y_t) if 'y_0_before' in coefficients else None
  (y_t, _), _ = jax.lax.scan(one, (y_t, y_0_before), (coefficients, keys))
  return y_t


def step(
  clean_fn: CleanFn,
  params: arrays.Params,
  y_t: Float[Array, 'b h w 3'],
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  z: Float[Array, 'b h w 3'],
  coefficients: Coefficients,
) -> Float[Array, 'b h w 3']:
  """From y_t to y_{t-1}, both with the known pixels of cond."""
  y_0 = estimate(clean_fn, params, y_t, cond, coefficients)
  painted = _combine(y_0, y_t, None, z, coefficients)
  return process.keep_known(painted, cond, mask)


def estimate(
  clean_fn: CleanFn,
  params: arrays.Params,
  y_t: Float[Array, 'b h w 3'],
  cond: Float[Array, 'b h w 3'],
  coefficients: Coefficients,
) -> Float[Array, 'b h w 3']:
  """What the network says of the clean image at a step, in [-1, 1].

  The paper mentions no clip; where gamma is small, every error of eps is
  magnified by 1 / sqrt(gamma), and without a clip the colours run away.
  """
  gamma = jnp.full([cond.shape[0]], coefficients['gamma'])
  return jnp.clip(clean_fn(params, y_t, cond, gamma), -1.0, 1.0)


def _combine(y_0, y_t, y_0_before, z, coefficients):
  painted = coefficients['y_0'] * y_0 + coefficients['y_t'] * y_t
  if 'y_0_before' in coefficients:
    painted += coefficients['y_0_before'] * y_0_before
  if 'deviation' in coefficients:
    painted += coefficients['deviation'] * z
  return painted
