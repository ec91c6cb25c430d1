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


def refine(
  denoise_fn: arrays.DenoiseFn,
  params: arrays.Params,
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  key: Array,
  schedule: schedules.Schedule,
) -> Float[Array, 'b h w 3']:
  """Draws one image for each condition.

  For t = T..1 in one `lax.scan`, from y_T of pure noise:

    y_0     = clip((y_t - sqrt(1 - gamma_t) eps(y_t)) / sqrt(gamma_t))
    y_{t-1} = mean(y_0, y_t) + sqrt(beta_t) z,   z = 0 in the last step,

  where the mean is that of q(y_{t-1} | y_0, y_t). Without the clip to [-1, 1]
  it is the paper's (y_t - beta_t / sqrt(1 - gamma_t) eps) / sqrt(alpha_t). The
  paper mentions no clip; where gamma is small, every error of eps is magnified
  by 1 / sqrt(gamma), and without a clip the colours run away.

  Args:
    denoise_fn: the network.
    params: its weights; the EMA's, if the images matter.
    cond: the degraded images.
    mask: 1 where to paint; elsewhere the result equals cond exactly.
    key: of all noise.
    schedule: the inference schedule.

  Returns:
    Images clipped to [-1, 1] inside the mask.
  """
  key_start, key_steps = jax.random.split(key)
  steps = _coefficients(schedule)
  keys = jax.random.split(key_steps, len(schedule.betas))
  batch = cond.shape[0]

  def step(y_t, inputs):
    coefficients, key = inputs
    y_t = process.keep_known(y_t, cond, mask)
    gamma = jnp.full([batch], coefficients['gamma'])
    eps = denoise_fn(params, y_t, cond, gamma)
    y_0 = jnp.clip(process.estimate_clean(y_t, eps, gamma), -1.0, 1.0)
    mean = coefficients['y_0'] * y_0 + coefficients['y_t'] * y_t
    z = jax.random.normal(key, y_t.shape)
    return mean + coefficients['noise'] * z, None

  y_t = jax.random.normal(key_start, cond.shape)
  y_0, _ = jax.lax.scan(step, y_t, (steps, keys))
  return process.keep_known(y_0, cond, mask)


def _coefficients(schedule: schedules.Schedule) -> dict[str, Array]:
  """What each step multiplies by, from t = T to 1; computed in float64."""
  betas, gammas = schedule
  before = np.concatenate([[1.0], gammas[:-1]])  # gamma_{t-1}
  by_step = dict(
    gamma=gammas,
    y_0=np.sqrt(before) * betas / (1.0 - gammas),
    y_t=np.sqrt(1.0 - betas) * (1.0 - before) / (1.0 - gammas),
    noise=np.sqrt(betas) * (np.arange(len(betas)) > 0),
  )
  return {k: jnp.asarray(v[::-1], jnp.float32) for k, v in by_step.items()}
