"""Noise schedules: the share of the image that is left after t steps.

y_t = sqrt(gamma_t) y_0 + sqrt(1 - gamma_t) eps, gamma_t = prod(alpha_1..t)
(Palette, appendix A). The network is given the noise level gamma, not t, so
training and inference may use different schedules (appendix B):

  training   T = 2000, beta = 1 - alpha linear from 1e-6 to 0.01
  inference  T = 1000, beta linear from 1e-4 to 0.09
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Schedule(NamedTuple):
  """Steps t = 1..T in float64, since gamma falls below 1e-20.

  Attributes:
    betas: share of variance that step t replaces by noise.
    gammas: share of the clean image's variance that is left after step t.
  """

  betas: Float[np.ndarray, ' t']
  gammas: Float[np.ndarray, ' t']


def linear(start: float, end: float, num_steps: int) -> Schedule:
  """Returns a schedule with betas in equal steps from start to end.

  Raises:
    ValueError: unless 0 < start <= end < 1 and num_steps >= 1.
  """
  if not 0 < start <= end < 1 or num_steps < 1:
    raise ValueError(
      'A linear schedule needs 0 < start <= end < 1 and at least one step; '
      f'got start={start}, end={end}, num_steps={num_steps}.'
    )
  betas = np.linspace(start, end, num_steps, dtype=np.float64)
  return Schedule(betas, np.cumprod(1.0 - betas))


def cosine(num_steps: int) -> Schedule:
  """Returns a squared-cosine schedule (Nichol and Dhariwal 2021, section 3.2).

  Raises:
    ValueError: unless num_steps >= 1.
  """
  if num_steps < 1:
    raise ValueError(
      f'A cosine schedule needs at least one step; got {num_steps}.'
    )
  share = np.arange(num_steps + 1, dtype=np.float64) / num_steps
  gammas = np.cos((share + 0.008) / 1.008 * np.pi / 2) ** 2
  betas = np.minimum(1.0 - gammas[1:] / gammas[:-1], 0.999)
  return Schedule(betas, np.cumprod(1.0 - betas))


def from_config(
  name: str, num_steps: int, start: float, end: float
) -> Schedule:
  """Returns the schedule of a config; start and end are for 'linear' only.

  Raises:
    ValueError: if the name is unknown or the values are out of range.
  """
  if name == 'linear':
    return linear(start, end, num_steps)
  if name == 'cosine':
    return cosine(num_steps)
  raise ValueError(f'{name!r} is not a schedule; use linear or cosine.')


def respaced(schedule: Schedule, steps: int, lowest: float) -> Schedule:
  """Returns levels between the ends of a schedule, evenly spaced in log-SNR.

  Of five spacings, tried on Gaussians with the power spectra of photos, where
  the distance to the exact distribution is known, this one is best or close to
  best for all samplers; steps even in t are too coarse at the clean end, where
  fine detail forms (tests/samplers_test.py).

  Args:
    schedule: the schedule whose ends are kept.
    steps: number of levels, at least 1; a single one is the noisiest.
    lowest: lowest gamma of training; no level is below it.
  """
  ends = np.array([max(schedule.gammas[-1], lowest), schedule.gammas[0]])
  log_snr = np.linspace(*np.log(ends / (1.0 - ends)), steps)[::-1]
  gammas = 1.0 / (1.0 + np.exp(-log_snr))
  return Schedule(1.0 - gammas / np.append(1.0, gammas[:-1]), gammas)


def gamma_at(
  schedule: Schedule, position: Float[Array, ' b']
) -> Float[Array, ' b']:
  """Interpolates the noise level at a real-valued position in [0, T).

  Position 0 is the clean image, gamma_0 = 1.
  """
  levels = jnp.asarray(np.concatenate([[1.0], schedule.gammas]), jnp.float32)
  step = jnp.floor(position).astype(jnp.int32)
  low, high = levels[step + 1], levels[step]
  return high + (position - step) * (low - high)


def sample_gamma(
  key: Array, schedule: Schedule, batch: int
) -> Float[Array, ' b']:
  """Draws noise levels: p(gamma) = sum_t 1/T U(gamma_{t-1}, gamma_t).

  First a step, then a level between it and the step before (SR3, section 2.4).
  """
  key_step, key_share = jax.random.split(key)
  step = jax.random.randint(key_step, [batch], 0, len(schedule.gammas))
  return gamma_at(schedule, step + jax.random.uniform(key_share, [batch]))


def stratified_gamma(schedule: Schedule, batch: int) -> Float[Array, ' b']:
  """Returns evenly spread quantiles of the distribution of `sample_gamma`."""
  middles = (np.arange(batch) + 0.5) / batch * len(schedule.gammas)
  return gamma_at(schedule, jnp.asarray(middles, jnp.float32))
