"""A training step: a pure function of state and batch."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from palette_jax import arrays, sharding
from palette_jax.diffusion import objective as objectives
from palette_jax.diffusion import process
from palette_jax.training import state as states

# Classes of noise level in reports: mostly noise first, almost clean last.
GAMMA_EDGES = (0.0, 0.01, 0.1, 0.5, 0.9, 1.0)


class NotFinite(FloatingPointError):
  """The loss, its gradient or the state is not finite after a step.

  Attributes:
    step: its number, counted from 1.
  """

  def __init__(self, step: int, reason: str) -> None:
    super().__init__(
      f'Step {step}: {reason}. The last good checkpoint is kept, and nothing '
      'after it was saved.'
    )
    self.step = step


def train_step(
  state: states.TrainState,
  examples: arrays.Examples,
  *,
  mesh: jax.sharding.Mesh,
  accumulation: int,
  denoise_fn: arrays.DenoiseFn,
  objective: objectives.Objective,
  optimizer: optax.GradientTransformation,
  ema_decay: float,
) -> tuple[states.TrainState, arrays.Metrics]:
  """Trains on one batch.

  Args:
    state: before the step.
    examples: the global batch; the loss is the mean over its masked values.
    mesh: the devices.
    accumulation: number of micro-batches, taken one after another.
    denoise_fn: the network.
    objective: what the network learns.
    optimizer: turns gradients into updates.
    ema_decay: the average's decay in the long run.

  Returns:
    The state after the step, and metrics: the scalars loss and grad_norm and,
    by class of noise level, `errors` and `counts` [classes], to be summed over
    steps before they are divided.
  """
  key_holes, key_noise = jax.random.split(
    jax.random.fold_in(state.key, state.step)
  )
  batch = process.complete(examples, key_holes)
  noise = objective.draw_noise(key_noise, batch)

  @functools.partial(jax.grad, has_aux=True)
  def gradient(
    params: arrays.Params, batch: arrays.Batch, noise: objectives.Noise
  ) -> tuple[Float[Array, ''], objectives.Errors]:
    errors = objective.errors(denoise_fn, params, batch, noise)
    return jnp.sum(errors.total), errors

  grads, errors = accumulate(
    functools.partial(gradient, state.params),
    state.params,
    sharding.micro_batches(mesh, (batch, noise), accumulation),
  )
  count = jnp.maximum(jnp.sum(errors.count), 1.0)
  grads = jax.tree.map(lambda total: total / count, grads)
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  decay = states.ema_decay(ema_decay, state.step)
  metrics = dict(
    loss=errors.mean(), grad_norm=optax.tree.norm(grads), **by_gamma(errors)
  )
  new_state = state.replace(
    step=state.step + 1,
    params=params,
    ema_params=states.ema_update(state.ema_params, params, decay),
    opt_state=opt_state,
  )
  return new_state, metrics


def accumulate(
  gradient: Callable[..., tuple[arrays.Params, objectives.Errors]],
  params: arrays.Params,
  parts: tuple[PyTree, PyTree],
) -> tuple[arrays.Params, objectives.Errors]:
  """Sums gradients over micro-batches, one at a time in memory.

  Args:
    gradient: (batch, noise) -> gradient of the summed errors, and the errors.
    params: has the structure of the gradient.
    parts: (batch, noise), each with micro-batches along the first axis.

  Returns:
    The sum of the gradients, and all errors.
  """
  if len(jax.tree.leaves(parts)[0]) == 1:
    return gradient(*jax.tree.map(lambda x: x[0], parts))

  def add(
    total: arrays.Params, part: tuple[PyTree, PyTree]
  ) -> tuple[arrays.Params, objectives.Errors]:
    grads, errors = gradient(*part)
    return jax.tree.map(jnp.add, total, grads), errors

  zeros = jax.tree.map(jnp.zeros_like, params)
  grads, errors = jax.lax.scan(add, zeros, parts)
  return grads, jax.tree.map(jnp.ravel, errors)


def by_gamma(errors: objectives.Errors) -> dict[str, Float[Array, ' k']]:
  """Sums errors and counts in each class of noise level."""
  edges = np.asarray(GAMMA_EDGES[1:-1], np.float32)
  classes = len(GAMMA_EDGES) - 1
  member = jnp.sum(errors.gamma[:, None] >= edges[None], axis=1)
  chosen = member[:, None] == np.arange(classes)[None, :]
  return dict(
    errors=jnp.sum(jnp.where(chosen, errors.total[:, None], 0.0), axis=0),
    counts=jnp.sum(jnp.where(chosen, errors.count[:, None], 0.0), axis=0),
  )
