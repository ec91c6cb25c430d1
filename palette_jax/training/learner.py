"""A run without its data: network, objective and optimizer on a mesh.

`palette plan` compiles a learner for devices that have not been rented yet.
"""

import dataclasses
import functools
from typing import cast

import jax
import ml_collections
import optax
from jaxtyping import Array, Float, Key

from palette_jax import arrays, sharding
from palette_jax.diffusion import objective as objectives
from palette_jax.models import unet
from palette_jax.training import limits, optimizer, step
from palette_jax.training import state as states


@dataclasses.dataclass(frozen=True)
class Learner:
  """A network, what it learns and how, and the devices that it learns on.

  Attributes:
    mesh: the devices; programs can be compiled for absent ones.
    network: without its parameters, which are part of the state.
    objective: what the network predicts, and how images come from it.
    optimizer: turns gradients into updates.
    size: height and width of the images.
    seed: of the initial weights and of all randomness in training.
    accumulation: number of micro-batches of a step, taken one after another.
    ema_decay: the average's decay in the long run.
  """

  mesh: jax.sharding.Mesh
  network: unet.UNet
  objective: objectives.Objective
  optimizer: optax.GradientTransformation
  size: tuple[int, int]
  seed: int
  accumulation: int
  ema_decay: float

  def _create(self) -> states.TrainState:
    return states.create(self.network, self.optimizer, self.size, self.seed)

  @functools.cached_property
  def _shapes(self) -> states.TrainState:
    """Shapes and types of the state; tracing the network takes time."""
    return jax.eval_shape(self._create)

  @functools.cached_property
  def layout(self) -> states.TrainState:
    """The sharding of each leaf of the state."""
    return sharding.by_parameter(self.mesh, self._shapes)

  def abstract_state(self) -> states.TrainState:
    """Returns shapes, types and shardings of the state, without its values."""
    return jax.tree.map(
      lambda leaf, where: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=where
      ),
      self._shapes,
      self.layout,
    )

  def create_state(self) -> states.TrainState:
    """Creates a fresh state, sharded by `layout`."""
    return jax.jit(lambda: self._create(), out_shardings=self.layout)()

  def step_key(self) -> Key[Array, '']:
    """Returns the key of a fresh state, on all devices."""
    key = functools.partial(states.step_key, self.seed)
    return jax.jit(key, out_shardings=sharding.replicated(self.mesh))()

  @functools.cached_property
  def denoise_fn(self) -> arrays.DenoiseFn:
    """The network, for parameters that are sharded as the state's."""
    return self._on_mesh(self.layout.params)

  def restore(
    self,
    params: arrays.Params,
    cond: Float[Array, 'b h w 3'],
    mask: Float[Array, 'b h w 1'],
    key: Key[Array, ''],
  ) -> Float[Array, 'b h w 3']:
    """Draws an image for each condition; parameters are sharded by `layout`."""
    dtypes = unet.dtypes(self.network)
    params = sharding.whole(self.mesh, params, dtypes)
    everywhere = jax.tree.map(
      lambda _: sharding.replicated(self.mesh), self.layout.params
    )
    denoise_fn = self._on_mesh(everywhere)
    return self.objective.restore(denoise_fn, params, cond, mask, key)

  def _on_mesh(self, layout: arrays.Params) -> arrays.DenoiseFn:
    def network(
      params: arrays.Params,
      y_t: Float[Array, 'b h w 3'],
      cond: Float[Array, 'b h w 3'],
      gamma: Float[Array, ' b'],
    ) -> Float[Array, 'b h w 3']:
      variables = {'params': params}
      prediction = self.network.apply(variables, y_t, cond, gamma)
      return cast(Array, prediction)  # no mutable variables beside it

    dtypes = unet.dtypes(self.network)
    return sharding.per_device(network, self.mesh, layout, dtypes)

  def jit_step(self) -> jax.stages.Wrapped:
    """Returns the jitted step: (state, examples) -> (new state, metrics).

    The new state takes the old one's memory.
    """
    function = functools.partial(
      step.train_step,
      mesh=self.mesh,
      accumulation=self.accumulation,
      denoise_fn=self.denoise_fn,
      objective=self.objective,
      optimizer=self.optimizer,
      ema_decay=self.ema_decay,
    )
    platform = self.mesh.devices.flat[0].platform
    return jax.jit(
      function,
      donate_argnums=0,
      out_shardings=(self.layout, sharding.replicated(self.mesh)),
      compiler_options=sharding.compiler_options(platform),
    )


def build(
  config: ml_collections.ConfigDict, mesh: jax.sharding.Mesh
) -> Learner:
  """Builds the learner that a config describes.

  Raises:
    ValueError: if a setting is out of range, or does not fit another setting
      or the mesh.
  """
  limits.check(config)
  size = tuple(config.data.size)
  network = unet.UNet(**config.model)
  unet.check(network, *size)
  sharding.check_batch(
    mesh, config.train.batch, 'train.batch', config.train.accumulation
  )
  return Learner(
    mesh=mesh,
    network=network,
    objective=objectives.from_config(config.objective),
    optimizer=optimizer.create(config.optimizer),
    size=size,
    seed=config.seed,
    accumulation=config.train.accumulation,
    ema_decay=config.train.ema_decay,
  )
