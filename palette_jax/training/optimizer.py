"""Adam at a fixed learning rate after a linear warm-up (Palette, appendix B).

Next: palette_jax/training/state.py
"""

import optax


def schedule(
  learning_rate: float, warmup_steps: int, num_steps: int
) -> optax.Schedule:
  """From 0 up to `learning_rate`, then constant.

  A run shorter than ten warm-ups warms up for a tenth of it: the paper's 10,000
  steps belong to its 1,000,000.
  """
  warmup = max(1, min(warmup_steps, num_steps // 10))
  return optax.schedules.linear_schedule(0.0, learning_rate, warmup)


def create(config, num_steps: int) -> optax.GradientTransformation:
  """The optimizer of `config.optimizer`: Adam, no clipping, no decay."""
  return optax.adam(schedule(**config, num_steps=num_steps))
