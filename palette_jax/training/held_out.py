"""Held-out photos: their loss, and samples for them.

The examples are fixed: the same photos, holes, noise and noise levels in every
evaluation of every run with the same seed.
"""

import functools

import einops
import jax
import numpy as np
from etils import epath
from jaxtyping import Array, Float, UInt32

from palette_jax import arrays, images, sharding
from palette_jax.diffusion import process
from palette_jax.training import run as runs


class HeldOut:
  """The held-out examples of a run, on which weights are evaluated."""

  def __init__(self, run: runs.Run) -> None:
    """Reads the examples.

    Raises:
      ValueError: if one of the photos cannot be read.
    """
    self._config, self._run = run.config.held_out, run
    data = run.held_out_data
    self._seeds = np.random.SeedSequence(data.seed).generate_state(3)
    batch = data.held_out(self._config.examples)
    data.check_readable(batch)
    count = min(self._config.images, self._config.examples, len(data.source))
    on_sheet = jax.tree.map(lambda x: x[:count], batch.examples)
    complete = jax.jit(process.complete)
    key = jax.random.key(self._seeds[2])
    self._on_sheet = jax.tree.map(np.asarray, complete(on_sheet, key))
    placed = sharding.put_same(run.learner.mesh, batch.examples)
    self._batch = complete(placed, key)
    self._compile()

  def _compile(self) -> None:
    learner = self._run.learner
    objective = learner.objective

    def loss(
      denoise_fn: arrays.DenoiseFn, params: arrays.Params, batch: arrays.Batch
    ) -> Float[Array, '']:
      key = jax.random.key(self._seeds[0])
      levels = objective.stratified_levels(self._config.examples)
      noise = objective.draw_noise(key, batch, levels)
      return objective.errors(denoise_fn, params, batch, noise).mean()

    def blind_loss(batch: arrays.Batch) -> Float[Array, '']:
      return loss(objective.blind_denoise_fn(batch), None, batch)

    def restore(
      params: arrays.Params,
      cond: Float[Array, 'b h w 3'],
      mask: Float[Array, 'b h w 1'],
      seed: UInt32[Array, ''],
    ) -> Float[Array, 'b h w 3']:
      return learner.restore(params, cond, mask, jax.random.key(seed))

    jit = functools.partial(
      jax.jit, compiler_options=sharding.compiler_options()
    )
    self._loss = jit(functools.partial(loss, learner.denoise_fn))
    self._blind_loss = jit(blind_loss)
    everywhere = sharding.replicated(learner.mesh)
    self._restore = jit(restore, out_shardings=everywhere)

  def loss(self, params: arrays.Params) -> float:
    """Returns the mean error of a masked value over even noise levels."""
    return float(self._loss(params, self._batch))

  def print_losses(self, params: arrays.Params) -> None:
    """Prints the loss beside the losses that it must beat."""
    data, learner = self._run.held_out_data, self._run.learner
    objective = learner.objective
    losses = {
      'this model': self.loss(params),
      'the untrained network': self.loss(learner.create_state().params),
      objective.blind_name: float(self._blind_loss(self._batch)),
    }
    if jax.process_index() == 0:
      print(
        f'\n{type(objective).__name__} loss ({objective.norm}) on '
        f'{self._config.examples} examples of {len(data.source)} held-out '
        f'photos, seed {data.seed}:'
      )
      for name, loss in losses.items():
        print(f'  {loss:.4f}  {name}')

  def sheet(self, params: arrays.Params) -> Float[np.ndarray, 'h w 3']:
    """Draws a row for each photo: input | samples | original, in [-1, 1]."""
    count = self._config.samples
    cond, mask = (
      np.repeat(x, count, axis=0)
      for x in (self._on_sheet.cond, self._on_sheet.mask)
    )
    samples = self.restore(params, cond, mask, self._seeds[1])
    samples = einops.rearrange(samples, '(b n) ... -> b n ...', n=count)
    first, last = self._on_sheet.cond, self._on_sheet.target
    columns = first[:, None], samples, last[:, None]
    return images.grid(np.concatenate(columns, axis=1))

  def write_sheet(self, path: epath.Path, params: arrays.Params) -> None:
    """Draws the sheet on all hosts; the first one writes the file."""
    sheet = self.sheet(params)
    if jax.process_index() == 0:
      images.write_png(path, sheet)

  def caption(self, path: epath.Path) -> None:
    """Prints the path of a sheet, and its columns."""
    if jax.process_index() == 0:
      print(f'input | {self._config.samples} samples | original: {path}')

  def restore(
    self,
    params: arrays.Params,
    cond: Float[np.ndarray, 'b h w 3'],
    mask: Float[np.ndarray, 'b h w 1'],
    seed: int | np.integer,
  ) -> Float[np.ndarray, 'b h w 3']:
    """Draws an image for each condition, of any number, on all devices."""
    mesh, count = self._run.learner.mesh, len(cond)
    spare = -count % mesh.size
    padded = [np.concatenate([x, x[:1].repeat(spare, 0)]) for x in (cond, mask)]
    placed = sharding.put_same(mesh, padded)
    restored = self._restore(params, *placed, np.uint32(seed))
    return np.asarray(restored.addressable_data(0))[:count]
