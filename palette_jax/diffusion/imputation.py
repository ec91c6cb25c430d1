"""Filling holes with an unconditional model (Palette, Figure 9).

The model has no condition (configs/unconditional.py) and paints whole images.
Imputation imposes the known pixels: before each step they are replaced by the
observed ones with noise of that level (Song et al. 2021b, section 5 and
appendix I.2). The hole sees only noisy surroundings and does not agree with
them as well as it should. RePaint (Lugmayr et al. 2022, section 4.2) repeatedly
goes back some levels, so that both can adapt.

Going back adds noise, and noise of several levels is one Gaussian. RePaint is
therefore imputation along a walk in which a step may end further back than it
began, and both are tables for `sampler.refine`, which then hides the condition
from the network.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from palette_jax.diffusion import sampler
from palette_jax.diffusion import schedule as schedules


def walk(steps: int, jump: int, resamplings: int) -> Int[np.ndarray, 'n 2']:
  """Returns the start and the end of each step of RePaint, as t in [0, T].

  At t = 0, jump, 2 jump, ... the walk goes back by `jump`, until it has been
  there `resamplings` times. It never goes back to T, which is pure noise.

  Args:
    steps: number of levels T.
    jump: number of levels to go back, at least 1.
    resamplings: number of visits, at least 1.

  Returns:
    Pairs (start, end): the step proper goes from t to t - 1, and noise leads
    from there to the end. The last step ends at 0.
  """
  left = {t: resamplings - 1 for t in range(0, steps - jump, jump)}
  moves, t = [], steps
  while t > 0:
    to = t - 1
    if left.get(to, 0) > 0:
      left[to] -= 1
      to += jump
    moves.append((t, to))
    t = to
  return np.array(moves)


def walk_coefficients(
  schedule: schedules.Schedule,
  variance: str,
  jump: int = 1,
  resamplings: int = 1,
) -> sampler.Coefficients:
  """Returns the table of the walk, computed in float64.

  A step of Algorithm 2, then noise up to the level where the walk continues;
  `known` and `known_deviation` are for the known pixels at that level.

  Args:
    schedule: the noise levels.
    variance: variance of the noise in each step, one of sampler.VARIANCES.
    jump: number of levels that RePaint goes back, its j.
    resamplings: number of visits of RePaint, its r; 1 is plain imputation.
  """
  steps = len(schedule.betas)
  start, end = walk(steps, jump, resamplings).T
  levels = np.concatenate([[1.0], schedule.gammas])
  kept = levels[end] / levels[start - 1]  # share of variance, going back
  step = {
    name: values[start - 1]
    for name, values in sampler.ancestral_steps(schedule, variance).items()
  }
  by_move = dict(
    gamma=levels[start],
    y_0=np.sqrt(kept) * step['y_0'],
    y_t=np.sqrt(kept) * step['y_t'],
    deviation=np.sqrt(kept * step['deviation'] ** 2 + 1.0 - kept),
    known=np.sqrt(levels[end]),
    known_deviation=np.sqrt(1.0 - levels[end]),
  )
  return {k: jnp.asarray(v, jnp.float32) for k, v in by_move.items()}
