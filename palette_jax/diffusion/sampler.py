"""From noise to an image: iterative refinement (Palette, Algorithm 2).

All samplers take any decreasing noise levels, since the network is told gamma,
and are one loop, `refine`. What makes one of them is the table of numbers that
it multiplies by: the paper's is made here, others in the next two files. What
a step does beside asking the network is `advance`, so that another loop, that
shows the network one part of a large picture after another, makes the same
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

# clean_fn(params, y_t, cond, gamma) -> y_0: the network's idea of the image.
CleanFn = arrays.DenoiseFn
# What each step multiplies by, from t = T to 1, each [T]; or at one step.
#   gamma       the level that the network is told
#   y_0, y_t    of the estimate and of what it was made from
#   y_0_before  of the estimate of the step before, if that is used
#   deviation   of fresh noise, if there is any
#   known, known_deviation   of the known pixels and of noise on them, if an
#               unconditional model is told of them in this way alone
Coefficients = dict[str, Float[Array, '*t']]

VARIANCES = ('upper', 'posterior')


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


class Stage(NamedTuple):
  """Where a sampler is between two steps.

  Attributes:
    y_t: the noisy image, known pixels as the sampler has them.
    y_0_before: the last estimate; None for samplers that forget it.
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
  """Draws one image for each condition, for t = T..1 in one `lax.scan`.

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
  key_start, keys = keys_of(key, coefficients)
  shown = what_is_shown(coefficients, cond)

  def one(stage, inputs):
    now, key = inputs
    z = jax.random.normal(key, cond.shape) if 'deviation' in now else None
    y_0 = estimate(clean_fn, params, stage.y_t, shown, now)
    return advance(now, stage, y_0, cond, mask, z), None

  z = jax.random.normal(key_start, cond.shape)
  stage = begin(coefficients, cond, mask, z)
  stage, _ = jax.lax.scan(one, stage, (coefficients, keys))
  return stage.y_t


def keys_of(key: Array, coefficients: Coefficients) -> tuple[Array, Array]:
  """Of y_T's noise, and of each step's."""
  key_start, key_steps = jax.random.split(key)
  return key_start, jax.random.split(key_steps, len(coefficients['gamma']))


def what_is_shown(
  coefficients: Coefficients, cond: Float[Array, 'b h w 3']
) -> Float[Array, 'b h w 3']:
  """The network's condition: nothing, if that is what it has learnt from."""
  return jnp.zeros_like(cond) if 'known' in coefficients else cond


def begin(
  coefficients: Coefficients,
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  z: Float[Array, 'b h w 3'],
) -> Stage:
  """y_T, of noise (or of whatever is to be refined) in the hole."""
  known = cond
  if 'known' in coefficients:
    gamma = jnp.full([cond.shape[0]], coefficients['gamma'][0])
    known = process.add_noise(cond, z, gamma)
  before = jnp.zeros_like(z) if 'y_0_before' in coefficients else None
  return Stage(process.keep_known(z, known, mask), before)


def clean_fn_of(denoise_fn: arrays.DenoiseFn, prediction: str) -> CleanFn:
  """The clean image that follows from what the network says.

  Args:
    denoise_fn: the network.
    prediction: what it says, one of process.PREDICTIONS.
  """

  def clean_fn(params, y_t, cond, gamma):
    said = denoise_fn(params, y_t, cond, gamma)
    return process.estimate_clean(prediction, y_t, said, gamma)

  return clean_fn


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


def advance(
  now: Coefficients,
  stage: Stage,
  y_0: Float[Array, 'b h w 3'],
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  z: Float[Array, 'b h w 3'] | None,
) -> Stage:
  """From y_t and the estimate to y_{t-1}: all of a step but the network.

  Args:
    now: the coefficients of this step.
    stage: before it.
    y_0: the estimate.
    cond: holds the known pixels.
    mask: 1 where to paint.
    z: fresh noise, where there is a deviation. It is independent by pixel: one
      array serves hole and surroundings.
  """
  painted = now['y_0'] * y_0 + now['y_t'] * stage.y_t
  if 'y_0_before' in now:
    painted += now['y_0_before'] * stage.y_0_before
  if 'deviation' in now:
    painted += now['deviation'] * z
  known = cond
  if 'known' in now:
    known = now['known'] * cond + now['known_deviation'] * z
  before = y_0 if 'y_0_before' in now else None
  return Stage(process.keep_known(painted, known, mask), before)
