"""What a config describes, built and checked before anything is computed."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from absl import logging
from jaxtyping import Array

from palette_jax import arrays, sharding, tasks
from palette_jax.data import cache as caches
from palette_jax.data import pipeline, sources
from palette_jax.diffusion import choice as choices
from palette_jax.diffusion import objective as objectives
from palette_jax.models import unet
from palette_jax.training import optimizer, state

# What the weights are weights of: all but the arithmetic, which any reader of
# a checkpoint may choose.
MODEL = ('model', 'objective.name', 'objective.prediction')
ARITHMETIC = ('model.dtype', 'model.remat')
# What the batch of step k is, and what is learnt from it. Everything else may
# change between two starts of a run; the images are compared by their names.
COURSE = (
  'seed',
  'task',
  'data.size',
  'data.min_crop',
  'objective.norm',
  'objective.weighting',
  'objective.train_schedule',
  'train.batch',
)
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


class Run(NamedTuple):
  """The parts of a run.

  Attributes:
    mesh: the devices.
    objective: what is learnt.
    denoise_fn: the network, with parameters that lie as the state's.
    restore: (params, cond, mask, key) -> images; the objective's, with the
      network.
    recipe: arguments of state.create: model, optimizer, size, seed.
    train_data: what is learnt from.
    held_out_data: what is looked at.
  """

  mesh: jax.sharding.Mesh
  objective: objectives.Objective
  denoise_fn: arrays.DenoiseFn
  restore: Callable[..., Array]
  recipe: tuple
  train_data: pipeline.Pipeline | None = None
  held_out_data: pipeline.Pipeline | None = None


def build(config: ml_collections.ConfigDict) -> Run:
  """Builds everything that a run needs.

  Raises:
    ValueError, FileNotFoundError: for whatever in the config does not fit.
  """
  run = assemble(config, sharding.make_mesh(config.mesh.fsdp))
  sharding.check_batch(run.mesh, config.held_out.examples, 'held_out.examples')
  corrupt = tasks.corruption(**config.task)
  train_source, held_out_source = (
    sources.open_source(config.data.source, split)
    for split in ('train', 'held_out')
  )
  train_data = pipeline.Pipeline(
    source=train_source,
    corrupt=corrupt,
    size=tuple(config.data.size),
    seed=config.seed,
    min_crop=config.data.min_crop,
    max_pixels=config.data.max_pixels,
    cache=_open_cache(config, train_source),
  )
  held_out_data = dataclasses.replace(
    train_data, source=held_out_source, cache=None
  )

  return run._replace(train_data=train_data, held_out_data=held_out_data)


def assemble(config: ml_collections.ConfigDict, mesh: jax.sharding.Mesh) -> Run:
  """A run without its data, on devices that need not be here.

  Raises:
    ValueError: for whatever in the config does not fit.
  """
  _check_numbers(config)
  size = tuple(config.data.size)
  model = unet.UNet(**config.model)
  unet.check(model, *size)
  sharding.check_batch(
    mesh, config.train.batch, 'train.batch', config.train.accumulation
  )
  recipe = (model, optimizer.create(config.optimizer), size, config.seed)

  def network(params, y_t, cond, gamma):
    return model.apply({'params': params}, y_t, cond, gamma)

  layout, dtypes = state.layout(mesh, *recipe).params, unet.dtypes(model)
  everywhere = jax.tree.map(lambda _: sharding.replicated(mesh), layout)
  objective = objectives.from_config(config.objective)
  denoise_whole_fn = sharding.per_device(network, mesh, everywhere, dtypes)

  def restore(params, cond, mask, key):
    params = sharding.whole(mesh, params, dtypes)
    return objective.restore(denoise_whole_fn, params, cond, mask, key)

  return Run(
    mesh=mesh,
    objective=objective,
    denoise_fn=sharding.per_device(network, mesh, layout, dtypes),
    restore=restore,
    recipe=recipe,
  )


def _open_cache(config, source):
  if not config.data.cache:
    return None
  return caches.Cache(config.data.cache, source, tuple(config.data.size))


def _check_numbers(config):
  fields = dict(_fields(config.to_dict()))
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


def meta(config: ml_collections.ConfigDict, run: Run) -> dict[str, Any]:
  """What a checkpoint remembers of where it comes from, as JSON has it."""
  return {
    'config': json.loads(config.to_json()),
    'records': run.train_data.source.fingerprint(),
    'cached': run.train_data.cache is not None,
  }


def is_imported(saved: dict[str, Any]) -> bool:
  """Whether a checkpoint is another project's, with no step of ours yet."""
  return saved['records'] is None


def check_model(saved: dict[str, Any], now: dict[str, Any]) -> None:
  """Compares the meta of a checkpoint with that of the run that samples it.

  Raises:
    ValueError: naming the first setting of the network that differs, or the
      task that the checkpoint has not learnt, or a sampler that is not for it.
  """
  _compare(saved, now, MODEL)
  if is_imported(saved):
    return
  learnt, task = saved['config']['task'], now['config']['task']['name']
  sampler = now['config']['objective']['sampler']['name']
  if sampler in choices.UNCONDITIONAL:  # it need not have learnt the task
    if learnt['name'] != 'unconditional':
      raise ValueError(
        f'objective.sampler.name={sampler} is for a model that is given '
        'nothing (configs/unconditional.py); the checkpoint has learnt '
        f'{learnt["name"]}. Use another sampler, or another --workdir.'
      )
    return
  # A model of several tasks can do each of them.
  if task not in (learnt['name'], *learnt.get('tasks', ())):
    raise ValueError(
      f'The checkpoint has learnt {learnt["name"]}, this run asks for {task}. '
      'Give the config that it was trained with, or another --workdir.'
    )


def check_resume(
  saved: dict[str, Any],
  now: dict[str, Any],
  before: Sequence[str],
  after: Sequence[str],
) -> None:
  """Compares the meta of a checkpoint with that of the run that goes on.

  Args:
    saved: of the checkpoint.
    now: of the run.
    before: names of the records that the checkpoint was trained on; none if
      they are not known any more.
    after: names of the run's records.

  Raises:
    ValueError: naming the first thing that may not differ and does.
  """
  _compare(saved, now, MODEL if is_imported(saved) else MODEL + COURSE)
  if is_imported(saved):
    return
  cached = saved.get('cached', False)
  if cached != now['cached']:
    raise ValueError(
      'With data.cache photos are made small before they are cropped, without '
      f'it afterwards: the checkpoint had {"one" if cached else "none"}. Do as '
      'before, or use another --workdir.'
    )
  if saved['records'] == now['records']:
    return
  difference = _difference(before, after)
  message = (
    'The images are not those that the checkpoint was trained on (there were '
    f'{saved["records"]["records"]}, there are {now["records"]["records"]}): '
    f'{difference}.'
  )
  if not now['config']['data']['other_images']:
    raise ValueError(
      f'{message} Restore them, use another --workdir, or go on with these: '
      '--config.data.other_images=True.'
    )
  logging.warning('%s Going on with these, as data.other_images says.', message)


def _difference(before, after):
  """The first difference of two lists of names, in words."""
  if not before:
    return 'the names of before are not known any more'
  for i, pair in enumerate(itertools.zip_longest(before, after)):
    if pair[0] != pair[1]:
      was, is_now = ('nothing' if name is None else repr(name) for name in pair)
      return f'record {i} was {was} and is {is_now}'
  return 'the names are the same, their shares in the mixture are not'


def _compare(saved, now, names):
  """Looks at every field that stands under one of the names."""
  before, after = (dict(_fields(meta['config'])) for meta in (saved, now))
  for field in [*before, *(after.keys() - before.keys())]:
    fixed = any(f'{field}.'.startswith(f'{name}.') for name in names)
    values = before.get(field), after.get(field)
    if fixed and field not in ARITHMETIC and values[0] != values[1]:
      raise ValueError(
        f'The checkpoint was trained with {field} = {values[0]}, this run has '
        f'{values[1]}. Use the same, or another --workdir.'
      )


def _fields(config, path=''):
  """(dotted name, value) of every field."""
  for name, value in config.items():
    if isinstance(value, dict):
      yield from _fields(value, f'{path}{name}.')
    else:
      yield f'{path}{name}', value
