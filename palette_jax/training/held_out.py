"""Photos never trained on: their loss, and what the model makes of them.

The examples are fixed: the same photos, holes, noise and noise levels in every
evaluation of every run with the same seed.
"""

import functools

import einops
import jax
import ml_collections
import numpy as np
from etils import epath

from palette_jax import arrays, images, sharding
from palette_jax.diffusion import process
from palette_jax.training import run as runs


class HeldOut:
  """The held-out examples of one run, and what to ask of weights."""

  def __init__(self, config: ml_collections.ConfigDict, run: runs.Run):
    """Reads the examples.

    Args:
      config: `config.held_out`.
      run: the parts of the run.

    Raises:
      ValueError: if one of the photos cannot be read.
    """
    self._config, self._run = config, run
    data, objective = run.held_out_data, run.objective
    held_out = data.held_out(config.examples)
    data.check_readable(held_out)
    self._seeds = np.random.SeedSequence(data.seed).generate_state(3)
    shown = min(config.images, config.examples, len(data.source))
    shown = jax.tree.map(lambda x: x[:shown], held_out.examples)
    complete = jax.jit(process.complete)
    key = jax.random.key(self._seeds[2])
    self._shown = jax.tree.map(np.asarray, complete(shown, key))
    self._batch = complete(sharding.put_same(run.mesh, held_out.examples), key)

    def loss(denoise_fn, params, batch):
      key = jax.random.key(self._seeds[0])
      levels = objective.spread(config.examples)
      chance = objective.draw(key, batch, levels)
      return objective.errors(denoise_fn, params, batch, chance).mean()

    def blind_loss(batch):
      return loss(objective.blind(batch), None, batch)

    def restore(params, cond, mask, seed):
      return run.restore(params, cond, mask, jax.random.key(seed))

    jit = functools.partial(
      jax.jit, compiler_options=sharding.compiler_options()
    )
    self._loss = jit(functools.partial(loss, run.denoise_fn))
    self._blind_loss = jit(blind_loss)
    everywhere = sharding.replicated(run.mesh)
    self._restore = jit(restore, out_shardings=everywhere)

  def loss(self, params: arrays.Params) -> float:
    """The mean error of a masked value, at evenly spread noise levels."""
    return float(self._loss(params, self._batch))

  def judge(self, params: arrays.Params, untrained: arrays.Params) -> None:
    """Prints the loss beside what it must beat."""
    data, objective = self._run.held_out_data, self._run.objective
    rows = {
      'this model': self.loss(params),
      'the untrained network': self.loss(untrained),
      objective.blind_name: float(self._blind_loss(self._batch)),
    }
    if jax.process_index() == 0:
      print(
        f'\n{type(objective).__name__} loss ({objective.norm}) on '
        f'{self._config.examples} examples of {len(data.source)} held-out '
        f'photos, seed {data.seed}:'
      )
      for name, loss in rows.items():
        print(f'  {loss:.4f}  {name}')

  def caption(self, path: epath.Path) -> None:
    """Prints where a sheet is, and what is on it."""
    if jax.process_index() == 0:
      print(f'input | {self._config.samples} samples | original: {path}')

  def sheet(self, params: arrays.Params) -> np.ndarray:
    """A row for each photo: input | samples | original, in [-1, 1]."""
    samples = self._config.samples
    cond, mask = (
      np.repeat(x, samples, axis=0)
      for x in (self._shown.cond, self._shown.mask)
    )
    drawn = self.restore(params, cond, mask, self._seeds[1])
    drawn = einops.rearrange(drawn, '(b n) ... -> b n ...', n=samples)
    shown = (self._shown.cond[:, None], drawn, self._shown.target[:, None])
    return images.grid(np.concatenate(shown, axis=1))

  def restore(
    self,
    params: arrays.Params,
    cond: np.ndarray,
    mask: np.ndarray,
    seed: int | np.integer,
  ) -> np.ndarray:
    """Makes one image for each of any number of conditions, on all devices."""
    count = len(cond)
    spare = -count % self._run.mesh.size
    padded = [np.concatenate([x, x[:1].repeat(spare, 0)]) for x in (cond, mask)]
    placed = sharding.put_same(self._run.mesh, padded)
    made = self._restore(params, *placed, np.uint32(seed))
    return np.asarray(made.addressable_data(0))[:count]
