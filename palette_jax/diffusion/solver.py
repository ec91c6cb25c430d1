"""Samplers with few steps: solvers of the probability flow equation.

Noise can be removed without adding any: y follows an ordinary differential
equation that has the correct distribution at every level (Song et al. 2021b).
Its exact solution from level s to a cleaner level t, with a = sqrt(gamma),
b = sqrt(1 - gamma) and l = log(a / b), half of the log-SNR, is

  y_t = b_t / b_s y_s + b_t integral of exp(l) y_0(l) dl, from l_s to l_t,

where y_0(l) is the network's estimate on the way. DDIM (Song et al. 2021a)
holds y_0 constant over a step; DPM-Solver++ 2M (Lu et al. 2022, Algorithm 2)
extrapolates it linearly from the step before. Both need one pass a step.
"""

import numpy as np

from palette_jax.diffusion import sampler
from palette_jax.diffusion import schedule as schedules


def ddim_coefficients(
  schedule: schedules.Schedule, eta: float
) -> sampler.Coefficients:
  """Returns DDIM, equations 12 and 16, with eps = (y_t - sqrt(gamma) y_0) / b.

  This eps follows from the clipped y_0, so that y_t stays between the two.

  Args:
    schedule: the noise levels.
    eta: noise of a step as a share of the posterior deviation: 0 for none, 1
      for the ancestral sampler with posterior variance.
  """
  assert 0.0 <= eta <= 1.0, eta
  betas, gammas = schedule
  after = np.concatenate([[1.0], gammas[:-1]])  # gamma_{t-1}
  added = eta**2 * betas * (1.0 - after) / (1.0 - gammas)
  y_t = np.sqrt((1.0 - after - added) / (1.0 - gammas))
  by_step = dict(
    gamma=gammas, y_0=np.sqrt(after) - y_t * np.sqrt(gammas), y_t=y_t
  )
  if eta:
    by_step['deviation'] = np.sqrt(added)
  return sampler.in_sampling_order(**by_step)


def dpm_solver_coefficients(
  schedule: schedules.Schedule,
) -> sampler.Coefficients:
  """Returns DPM-Solver++ 2M (Lu et al. 2022, Algorithm 2).

  It includes the last step to the clean image. The first step has none before
  it, and the last has no end in l: both hold y_0 constant, which makes the last
  one return the estimate itself.
  """
  gammas = schedule.gammas
  after = np.concatenate([[1.0], gammas[:-1]])  # gamma_{t-1}
  y_t = np.sqrt((1.0 - after) / (1.0 - gammas))
  y_0 = np.sqrt(after) - y_t * np.sqrt(gammas)  # a_t (1 - exp(-h))
  level = 0.5 * np.log(gammas / (1.0 - gammas))
  ahead = np.zeros(len(gammas))  # length of a step over that of the one before
  if len(gammas) > 2:
    ahead[1:-1] = (level[:-2] - level[1:-1]) / (level[1:-1] - level[2:])
  return sampler.in_sampling_order(
    gamma=gammas,
    y_0=y_0 * (1.0 + 0.5 * ahead),
    y_0_before=-0.5 * y_0 * ahead,
    y_t=y_t,
  )
