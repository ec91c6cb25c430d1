"""The state of a run between two steps, and the average of its weights."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from palette_jax import arrays
from palette_jax.models import unet


class TrainState(flax.struct.PyTreeNode):
  """The state of a run.

  Attributes:
    step: number of steps done, int32.
    params: the parameters, float32.
    ema_params: their exponential moving average, for sampling, evaluation and
      export.
    opt_state: the optimizer's state.
    key: constant; step k uses fold_in(key, k).
  """

  # `Any`: the same tree also holds shapes and shardings in place of arrays.
  step: Any
  params: arrays.Params
  ema_params: arrays.Params
  opt_state: optax.OptState
  key: Any


def create(
  network: unet.UNet,
  optimizer: optax.GradientTransformation,
  size: tuple[int, int],
  seed: int,
) -> TrainState:
  """Creates a fresh state; a pure function, which jit can shard.

  Args:
    network: gets random parameters.
    optimizer: its state is part of the run's.
    size: height and width of the images.
    seed: of the parameters and of `TrainState.key`.
  """
  key_init, key_steps = _keys(seed)
  image = jnp.zeros([1, *size, 3])
  params = network.init(key_init, image, image, jnp.ones([1]))['params']
  return TrainState(
    step=jnp.zeros([], jnp.int32),
    params=params,
    ema_params=jax.tree.map(jnp.copy, params),
    opt_state=optimizer.init(params),
    key=key_steps,
  )


def step_key(seed: int) -> Key[Array, '']:
  """Returns the state's key, the source of all randomness in training."""
  return _keys(seed)[1]


def _keys(seed: int) -> Key[Array, ' 2']:
  """Returns the keys of the initial weights and of all steps."""
  return jax.random.split(jax.random.key(seed))


def ema_decay(limit: float, step: Int[Array, '']) -> Float[Array, '']:
  """Returns min(limit, (1 + t) / (10 + t)): the paper's value in the long run.

  0.9999 alone would leave nine tenths of the initial weights after 1,000 steps.
  """
  return jnp.minimum(limit, (1.0 + step) / (10.0 + step))


def ema_update(
  ema_params: arrays.Params, params: arrays.Params, decay: Float[Array, '']
) -> arrays.Params:
  """Returns decay * average + (1 - decay) * new, leaf by leaf."""
  return jax.tree.map(
    lambda old, new: old + (1.0 - decay) * (new - old), ema_params, params
  )
