"""From noise to an image: iterative refinement (Palette, Algorithm 2).

Next: palette_jax/training/state.py
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

  y_{t-1} = (y_t - beta_t / sqrt(1 - gamma_t) eps(y_t)) / sqrt(alpha_t)
            + sqrt(beta_t) z,   z = 0 in the last step,

  for t = T..1 in one `lax.scan`, from y_T of pure noise. As in the paper, the
  estimate of y_0 is not clipped on the way and the noise has variance beta_t.

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
    mean = coefficients['scale'] * (y_t - coefficients['eps'] * eps)
    z = jax.random.normal(key, y_t.shape)
    return mean + coefficients['noise'] * z, None

  y_t = jax.random.normal(key_start, cond.shape)
  y_0, _ = jax.lax.scan(step, y_t, (steps, keys))
  return process.keep_known(jnp.clip(y_0, -1.0, 1.0), cond, mask)


def _coefficients(schedule: schedules.Schedule) -> dict[str, Array]:
  """What each step multiplies by, from t = T to 1; computed in float64."""
  betas, gammas = schedule
  noise = np.sqrt(betas)
  noise[0] = 0.0
  by_step = dict(
    gamma=gammas,
    scale=1.0 / np.sqrt(1.0 - betas),
    eps=betas / np.sqrt(1.0 - gammas),
    noise=noise,
  )
  return {k: jnp.asarray(v[::-1], jnp.float32) for k, v in by_step.items()}
