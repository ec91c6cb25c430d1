"""The choice of a sampler and of its steps.

ancestral   the paper's sampler: sampler.py
ddim        fewer steps, with any amount of noise: solver.py
dpm_solver  fewest steps: solver.py
imputation  fills holes with an unconditional model: imputation.py
repaint     imputation with resampling: imputation.py
"""

import dataclasses

from palette_jax.diffusion import imputation, sampler, solver
from palette_jax.diffusion import schedule as schedules

NAMES = ('ancestral', 'ddim', 'dpm_solver', 'imputation', 'repaint')
# Samplers for models without a condition.
UNCONDITIONAL = ('imputation', 'repaint')


@dataclasses.dataclass(frozen=True)
class SamplerConfig:
  """Name and parameters of a sampler.

  Attributes:
    name: one of NAMES.
    steps: number of steps, spaced over the noise levels that training has seen;
      0 keeps the sampling schedule as it is.
    variance: variance of the noise in ancestral steps, one of
      sampler.VARIANCES; not used by ddim and dpm_solver.
    eta: amount of noise of ddim, in [0, 1].
    jump: number of levels that repaint goes back.
    resamplings: number of times that repaint passes each level.
  """

  name: str = 'ancestral'
  steps: int = 0
  variance: str = 'upper'
  eta: float = 0.0
  jump: int = 10
  resamplings: int = 10

  def schedule(
    self, sample: schedules.Schedule, train: schedules.Schedule
  ) -> schedules.Schedule:
    """Returns the noise levels of the steps.

    Args:
      sample: the sampling schedule.
      train: the training schedule, whose noisiest level bounds the steps.

    Raises:
      ValueError: if repaint cannot go back by `jump` levels.
    """
    if self.steps:
      sample = schedules.respaced(sample, self.steps, train.gammas[-1])
    steps = len(sample.betas)
    if self.name == 'repaint' and self.jump >= steps:
      raise ValueError(
        f'objective.sampler.jump={self.jump} needs more than {steps} steps. '
        'Use a smaller jump or more steps.'
      )
    return sample

  def passes(self, schedule: schedules.Schedule) -> int:
    """Returns the number of network passes for an image."""
    steps = len(schedule.betas)
    if self.name != 'repaint':
      return steps
    return len(imputation.walk(steps, self.jump, self.resamplings))

  def coefficients(self, schedule: schedules.Schedule) -> sampler.Coefficients:
    """Returns the sampler as a table for `sampler.refine`."""
    if self.name == 'ddim':
      return solver.ddim_coefficients(schedule, self.eta)
    if self.name == 'dpm_solver':
      return solver.dpm_solver_coefficients(schedule)
    if self.name == 'imputation':
      return imputation.walk_coefficients(schedule, self.variance)
    if self.name == 'repaint':
      walk = self.jump, self.resamplings
      return imputation.walk_coefficients(schedule, self.variance, *walk)
    assert self.name == 'ancestral', self.name
    return sampler.ancestral_coefficients(schedule, self.variance)
