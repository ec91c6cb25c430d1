"""From noise to an image: iterative refinement (Palette, Algorithm 2).

Next: palette_jax/diffusion/objective.py
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

VARIANCES = ('upper', 'posterior')


def refine(
  clean_fn: CleanFn,
  params: arrays.Params,
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  key: Array,
  schedule: schedules.Schedule,
  variance: str = 'upper',
) -> Float[Array, 'b h w 3']:
  """Draws one image for each condition: `step` for t = T..1 in one `lax.scan`.

  Args:
    clean_fn: the network and what its prediction says of the clean image.
    params: its weights; the EMA's, if the images matter.
    cond: the degraded images.
    mask: 1 where to paint; elsewhere the result equals cond exactly.
    key: of all noise.
    schedule: the inference schedule.
    variance: of the noise in each step, one of VARIANCES.

  Returns:
    Images clipped to [-1, 1] inside the mask.
  """
  key_start, key_steps = jax.random.split(key)
  keys = jax.random.split(key_steps, len(schedule.betas))

  def one(y_t, inputs):
    coefficients, key = inputs
    z = jax.random.normal(key, y_t.shape)
    return step(clean_fn, params, y_t, cond, mask, z, coefficients), None

  y_t = jax.random.normal(key_start, cond.shape)
  y_t = process.keep_known(y_t, cond, mask)
  y_0, _ = jax.lax.scan(one, y_t, (coefficients_of(schedule, variance), keys))
  return y_0


def step(
  clean_fn: CleanFn,
  params: arrays.Params,
  y_t: Float[Array, 'b h w 3'],
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  z: Float[Array, 'b h w 3'],
  coefficients: dict[str, Float[Array, '']],
) -> Float[Array, 'b h w 3']:
  """From y_t to y_{t-1}, both with the known pixels of cond.

    y_0     = clip(clean_fn(y_t))
    y_{t-1} = mean(y_0, y_t) + deviation z,   no noise in the last step,

  where the mean is that of q(y_{t-1} | y_0, y_t). Without the clip to [-1, 1]
  it is the paper's (y_t - beta_t / sqrt(1 - gamma_t) eps) / sqrt(alpha_t). The
  paper mentions no clip; where gamma is small, every error of eps is magnified
  by 1 / sqrt(gamma), and without a clip the colours run away.
  """
  gamma = jnp.full([len(cond)], coefficients['gamma'])
  y_0 = jnp.clip(clean_fn(params, y_t, cond, gamma), -1.0, 1.0)
  mean = coefficients['y_0'] * y_0 + coefficients['y_t'] * y_t
  painted = mean + coefficients['deviation'] * z
  return process.keep_known(painted, cond, mask)


def coefficients_of(
  schedule: schedules.Schedule, variance: str
) -> dict[str, Float[Array, ' t']]:
  """What each `step` multiplies by, from t = T to 1; computed in float64.

  The variance is 'upper', beta_t (Algorithm 2), or 'posterior', that of
  q(y_{t-1} | y_0, y_t).
  """
  assert variance in VARIANCES, variance
  betas, gammas = schedule
  before = np.concatenate([[1.0], gammas[:-1]])  # gamma_{t-1}
  posterior = betas * (1.0 - before) / (1.0 - gammas)
  added = posterior if variance == 'posterior' else betas
  by_step = dict(
    gamma=gammas,
    y_0=np.sqrt(before) * betas / (1.0 - gammas),
    y_t=np.sqrt(1.0 - betas) * (1.0 - before) / (1.0 - gammas),
    deviation=np.sqrt(added) * (np.arange(len(betas)) > 0),
  )
  return {k: jnp.asarray(v[::-1], jnp.float32) for k, v in by_step.items()}
