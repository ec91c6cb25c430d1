"""Adam with a constant learning rate after warm-up (Palette, appendix B)."""

import ml_collections
import optax


def schedule(learning_rate: float, warmup_steps: int) -> optax.Schedule:
  """Returns a rate that rises linearly for `warmup_steps`, then is constant."""
  if warmup_steps == 0:
    return optax.schedules.constant_schedule(learning_rate)
  return optax.schedules.linear_schedule(0.0, learning_rate, warmup_steps)


def create(config: ml_collections.ConfigDict) -> optax.GradientTransformation:
  """Creates the optimizer of `config.optimizer`: Adam without weight decay."""
  return optax.adam(schedule(**config))
