"""Holes filled by a model that has not learnt to: Palette, Figure 9.

The model was given nothing (configs/unconditional.py) and paints whole images.
What is known is pressed on it from outside: before each step the known pixels
are the observed ones with noise of that level (Song et al. 2021b, section 5 and
appendix I.2). The hole is then drawn as if the noise around it said all: it
does not agree with what is known as it should. RePaint (Lugmayr et al. 2022,
section 4.2) goes back some levels, again and again, so that both can adapt.

Going back is noising, and that of several levels is one Gaussian: RePaint is
imputation along a walk in which a step may end further back than it began, and
both are tables for `sampler.refine`, which then shows the network no condition.
"""

import jax.numpy as jnp
import numpy as np

from palette_jax.diffusion import sampler
from palette_jax.diffusion import schedule as schedules


def walk(steps: int, jump: int, resamplings: int) -> np.ndarray:
  """Where each step of RePaint starts and ends, as t in [0, T].

  Whenever t = 0, jump, 2 jump, ... is reached, the walk goes back by `jump`,
  until it has been there `resamplings` times; never as far as T, which is
  noise and nothing else.

  Args:
    steps: T.
    jump: at least 1.
    resamplings: at least 1.

  Returns:
    [n, 2], from and to: the step itself goes from t to t - 1, and what is
    beyond that is noise. The last ends at 0.
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
  """What each step of the walk multiplies by; computed in float64.

  A step of Algorithm 2, then noise up to where the walk goes on;
  `known` and `known_deviation` are those of the known pixels there.

  Args:
    schedule: the noise levels.
    variance: of the noise in each step, one of sampler.VARIANCES.
    jump: levels that RePaint goes back, its j.
    resamplings: how often it comes by, its r; 1 is plain imputation.
  """
  steps = len(schedule.betas)
  start, end = walk(steps, jump, resamplings).T
  levels = np.concatenate([[1.0], schedule.gammas])
  left = levels[end] / levels[start - 1]  # of the variance, when going back
  one = {
    name: values[start - 1]
    for name, values in sampler.by_step(schedule, variance).items()
  }
  by_move = dict(
    gamma=levels[start],
    y_0=np.sqrt(left) * one['y_0'],
    y_t=np.sqrt(left) * one['y_t'],
    deviation=np.sqrt(left * one['deviation'] ** 2 + 1.0 - left),
    known=np.sqrt(levels[end]),
    known_deviation=np.sqrt(1.0 - levels[end]),
  )
  return {k: jnp.asarray(v, jnp.float32) for k, v in by_move.items()}
