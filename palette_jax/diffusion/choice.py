"""Which sampler makes the images, and of how many steps.

ancestral   the paper's: sampler.py
ddim        in fewer steps, with as much noise as wanted: solver.py
dpm_solver  in fewest steps: solver.py
imputation  of an unconditional model, for holes: imputation.py
repaint     the same, with resampling: imputation.py
"""

import dataclasses

from palette_jax.diffusion import imputation, sampler, solver
from palette_jax.diffusion import schedule as schedules

NAMES = ('ancestral', 'ddim', 'dpm_solver', 'imputation', 'repaint')
# Those that a model needs which is given nothing.
UNCONDITIONAL = ('imputation', 'repaint')


@dataclasses.dataclass(frozen=True)
class Choice:
  """A sampler and what it leaves open.

  Attributes:
    name: one of NAMES.
    steps: of it, between the ends of the sampling schedule that training has
      seen; 0 for the schedule as it is.
    variance: of the noise in ancestral steps (all but ddim's and dpm_solver's),
      one of sampler.VARIANCES.
    eta: of ddim, in [0, 1].
    jump: of repaint, levels that it goes back.
    resamplings: of repaint, how often it passes them.
  """

  name: str = 'ancestral'
  steps: int = 0
  variance: str = 'upper'
  eta: float = 0.0
  jump: int = 10
  resamplings: int = 10

  def levels(
    self, sample: schedules.Schedule, train: schedules.Schedule
  ) -> schedules.Schedule:
    """The noise levels of its steps.

    Raises:
      ValueError: if repaint cannot go back as far.
    """
    if self.steps:
      sample = schedules.spaced(sample, self.steps, train.gammas[-1])
    steps = len(sample.betas)
    if self.name == 'repaint' and self.jump >= steps:
      raise ValueError(
        f'objective.sampler.jump={self.jump}: with {steps} steps there is '
        'nowhere to go back to. Take a smaller jump, or more steps.'
      )
    return sample

  def passes(self, schedule: schedules.Schedule) -> int:
    """How often the network is asked for an image."""
    steps = len(schedule.betas)
    if self.name != 'repaint':
      return steps
    return len(imputation.walk(steps, self.jump, self.resamplings))

  def coefficients(self, schedule: schedules.Schedule) -> sampler.Coefficients:
    """What makes the sampler: the table for `sampler.refine`."""
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
    return sampler.coefficients_of(schedule, self.variance)
