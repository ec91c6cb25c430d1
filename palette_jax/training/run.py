"""What a config describes, built and checked before anything is computed.

Next: palette_jax/training/heldout.py
"""

import json
from typing import Any, NamedTuple

import jax
import ml_collections

from palette_jax import arrays, sharding, tasks
from palette_jax.data import pipeline, sources
from palette_jax.diffusion import objective as objectives
from palette_jax.models import unet
from palette_jax.training import optimizer

# A run may not go on when one of these has changed: the model or the batch of
# step k would be another. Everything else may change between two starts.
FIXED = ('seed', 'task', 'data', 'model', 'objective', 'train.batch')


class Run(NamedTuple):
  """The parts of a run.

  Attributes:
    mesh: the devices.
    train_data: what is learnt from.
    held_out_data: what is looked at.
    objective: what is learnt.
    denoise_fn: the network.
    recipe: arguments of state.create: model, optimizer, size, seed.
  """

  mesh: jax.sharding.Mesh
  train_data: pipeline.Pipeline
  held_out_data: pipeline.Pipeline
  objective: objectives.Objective
  denoise_fn: arrays.DenoiseFn
  recipe: tuple


def build(config: ml_collections.ConfigDict) -> Run:
  """Builds everything that a run needs.

  Raises:
    ValueError, FileNotFoundError: for whatever in the config does not fit.
  """
  size = tuple(config.data.size)
  model = unet.UNet(**config.model)
  unet.check(model, *size)
  mesh = sharding.make_mesh(config.mesh.fsdp)
  sharding.check_batch(mesh, config.train.batch, 'train.batch')
  sharding.check_batch(mesh, config.held_out.examples, 'held_out.examples')
  warmup, steps = config.optimizer.warmup_steps, config.train.steps
  if warmup > steps:
    raise ValueError(
      f'optimizer.warmup_steps={warmup} is longer than train.steps={steps}. '
      f'The variant :steps={steps} sets both.'
    )
  corrupt = tasks.corruption(**config.task)
  train_data, held_out_data = (
    pipeline.Pipeline(
      source=sources.open_source(config.data.source, split),
      corrupt=corrupt,
      size=size,
      seed=config.seed,
      min_crop=config.data.min_crop,
    )
    for split in ('train', 'held_out')
  )

  def denoise_fn(params, y_t, cond, gamma):
    return model.apply({'params': params}, y_t, cond, gamma)

  return Run(
    mesh=mesh,
    train_data=train_data,
    held_out_data=held_out_data,
    objective=objectives.from_config(config.objective),
    denoise_fn=denoise_fn,
    recipe=(
      model,
      optimizer.create(config.optimizer),
      size,
      config.seed,
    ),
  )


def meta(config: ml_collections.ConfigDict, run: Run) -> dict[str, Any]:
  """What a checkpoint remembers of where it comes from, as JSON has it."""
  return {
    'config': json.loads(config.to_json()),
    'records': run.train_data.source.fingerprint(),
  }


def check_resume(saved: dict[str, Any], now: dict[str, Any]) -> None:
  """Compares the meta of a checkpoint with that of the run that goes on.

  Raises:
    ValueError: naming the first thing that may not differ and does.
  """
  for name in FIXED:
    before, after = (_field(m['config'], name) for m in (saved, now))
    if before != after:
      raise ValueError(
        f'The checkpoint was trained with {name} = {before}, this run has '
        f'{after}. Use the same, or another --workdir.'
      )
  before, after = saved['records'], now['records']
  if before != after:
    raise ValueError(
      f'The images are not those that the checkpoint was trained on: it had '
      f'{before["records"]}, now there are {after["records"]} (names with '
      f'sha256 {before["sha256"][:12]} and {after["sha256"][:12]}). Restore '
      'the folder, or use another --workdir.'
    )


def _field(config: dict[str, Any], path: str) -> Any:
  for name in path.split('.'):
    config = config[name]
  return config
