"""All that a run is, between two steps."""

import functools
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from palette_jax import arrays, sharding


class TrainState(flax.struct.PyTreeNode):
  """The state of a run.

  Attributes:
    step: number of steps done, int32.
    params: the weights, float32.
    ema_params: their exponential moving average: what is sampled, evaluated
      and exported.
    opt_state: of the optimizer.
    key: never changes; step k uses fold_in(key, k).
  """

  # Not only arrays: the same tree holds shapes, shardings and checksums.
  step: Any
  params: arrays.Params
  ema_params: arrays.Params
  opt_state: optax.OptState
  key: Any


def create(
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  size: tuple[int, int],
  seed: int,
) -> TrainState:
  """A fresh state; pure, so that jit can create it where it shall lie."""
  key_init, key_steps = _keys(seed)
  image = jnp.zeros([1, *size, 3])
  params = model.init(key_init, image, image, jnp.ones([1]))['params']
  return TrainState(
    step=jnp.zeros([], jnp.int32),
    params=params,
    ema_params=jax.tree.map(jnp.copy, params),
    opt_state=optimizer.init(params),
    key=key_steps,
  )


def _keys(seed):
  """For the initial weights, and for all steps."""
  return jax.random.split(jax.random.key(seed))


def step_key(seed: int) -> Array:
  """The state's key: of all chance in training but the initial weights."""
  return _keys(seed)[1]


@functools.cache
def _abstract(*recipe):
  """Shapes and types of `create(*recipe)`; tracing the network takes time."""
  return jax.eval_shape(lambda: create(*recipe))


def layout(mesh: jax.sharding.Mesh, *recipe: Any) -> TrainState:
  """How each leaf of `create(*recipe)` lies over the mesh: its sharding."""
  return sharding.by_parameter(mesh, _abstract(*recipe))


def abstract_state(mesh: jax.sharding.Mesh, *recipe: Any) -> TrainState:
  """Shapes, types and shardings of `create(*recipe)`; nothing is computed."""
  return jax.tree.map(
    lambda leaf, where: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=where
    ),
    _abstract(*recipe),
    layout(mesh, *recipe),
  )


def create_sharded(mesh: jax.sharding.Mesh, *recipe: Any) -> TrainState:
  """`create(*recipe)`, every leaf made on the devices where it stays."""
  where = layout(mesh, *recipe)
  return jax.jit(lambda: create(*recipe), out_shardings=where)()


def ema_decay(most: float, step: Int[Array, '']) -> Float[Array, '']:
  """min(most, (1 + t) / (10 + t)): the paper's value in the long run.

  0.9999 alone would leave nine tenths of the initial weights after 1,000 steps.
  """
  return jnp.minimum(most, (1.0 + step) / (10.0 + step))


def ema_update(
  ema_params: arrays.Params, params: arrays.Params, decay: Float[Array, '']
) -> arrays.Params:
  """decay * average + (1 - decay) * new, leaf by leaf."""
  return jax.tree.map(
    lambda old, new: old + (1.0 - decay) * (new - old), ema_params, params
  )
