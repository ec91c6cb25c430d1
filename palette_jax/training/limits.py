"""The ranges of a config's numbers."""

import ml_collections
import numpy as np
from flax import traverse_util

RANGES = {  # both ends included
  'seed': (0, 2**31 - 1),
  'data.min_crop': (0.01, 1.0),
  'data.max_unreadable': (0.0, 1.0),
  'data.max_pixels': (1, np.inf),
  'evaluation.samples': (1, np.inf),
  'evaluation.seed': (0, 2**31 - 1),
  'objective.sampler.steps': (0, np.inf),
  'objective.sampler.eta': (0.0, 1.0),
  'objective.sampler.jump': (1, np.inf),
  'objective.sampler.resamplings': (1, np.inf),
  'optimizer.warmup_steps': (0, np.inf),
  'train.accumulation': (1, np.inf),
  'train.steps': (1, np.inf),
  'train.ema_decay': (0.0, 1.0),
  'train.log_every': (1, np.inf),
  'train.checkpoint_every': (1, np.inf),
  'held_out.images': (1, np.inf),
  'held_out.samples': (1, np.inf),
  'held_out.every': (1, np.inf),
}


def check(config: ml_collections.ConfigDict) -> None:
  """Checks the ranges of all numbers, and those that limit each other.

  Raises:
    ValueError: naming the first field that is out of range.
  """
  fields = traverse_util.flatten_dict(config.to_dict(), sep='.')
  for name, (low, high) in RANGES.items():
    if not low <= fields[name] <= high:
      most = f' and at most {high}' if high < np.inf else ''
      raise ValueError(
        f'{name} must be at least {low}{most}; got {fields[name]}.'
      )
  warmup, steps = config.optimizer.warmup_steps, config.train.steps
  if warmup > steps:
    raise ValueError(
      f'optimizer.warmup_steps={warmup} is longer than train.steps={steps}. '
      f'The variant :steps={steps} sets both.'
    )
  if len(config.data.size) != 2:
    raise ValueError(
      f'data.size must be (height, width); got {tuple(config.data.size)}.'
    )
