"""The meta item of a checkpoint, and checks that it fits a run."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

from absl import logging
from flax import traverse_util

from palette_jax import tasks
from palette_jax.diffusion import sampler_config
from palette_jax.training import run as runs

# Settings that the weights depend on. Each reader of a checkpoint chooses the
# arithmetic.
MODEL = ('model', 'objective.name', 'objective.prediction')
ARITHMETIC = ('model.dtype', 'model.remat')
# Settings that decide the batch of step k, and what is learned from it.
# Everything else may change between two starts of a run; images are compared
# by their names.
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

# As JSON holds it: 'config', 'records' and more.
Meta = dict[str, Any]


def meta(run: runs.Run) -> Meta:
  """Describes a run for its checkpoints."""
  return {
    'config': json.loads(run.config.to_json()),
    'records': run.train_data.source.fingerprint(),
    'cached': run.train_data.cache is not None,
  }


def is_imported(saved: Meta) -> bool:
  """Returns True for imported weights that have not been trained here yet."""
  return saved['records'] is None


def check_model(saved: Meta, now: Meta) -> None:
  """Checks that a run can be sampled from a checkpoint.

  Args:
    saved: the checkpoint's meta.
    now: the run's meta.

  Raises:
    ValueError: naming the first setting of the network that differs, the task
      that the checkpoint has not learned, or the sampler that does not suit it.
  """
  _compare(saved, now, MODEL)
  if is_imported(saved):
    return
  learned, task = saved['config']['task'], now['config']['task']['name']
  sampler = now['config']['objective']['sampler']['name']
  # An unconditional model need not have learned the task.
  if sampler in sampler_config.UNCONDITIONAL:
    if not tasks.get(learned['name']).is_unconditional:
      raise ValueError(
        f'objective.sampler.name={sampler} needs an unconditional model '
        '(configs/unconditional.py); the checkpoint has learned '
        f'{learned["name"]}. Use another sampler, or another --workdir.'
      )
    return
  # A model of several tasks can do each of them.
  if task not in (learned['name'], *learned.get('tasks', ())):
    raise ValueError(
      f'The checkpoint has learned {learned["name"]}, this run asks for '
      f'{task}. Give the config that it was trained with, or another --workdir.'
    )


def check_resume(
  saved: Meta, now: Meta, before: Sequence[str], after: Sequence[str]
) -> None:
  """Checks that a run can resume from a checkpoint.

  Args:
    saved: the checkpoint's meta.
    now: the run's meta.
    before: names of the records that the checkpoint was trained on; empty if
      they are no longer known.
    after: names of the run's records.

  Raises:
    ValueError: naming the first difference that is not allowed.
  """
  _compare(saved, now, MODEL if is_imported(saved) else MODEL + COURSE)
  if is_imported(saved):
    return
  cached = saved.get('cached', False)
  if cached != now['cached']:
    raise ValueError(
      'With data.cache, photos are scaled down before they are cropped, else '
      f'afterwards: the checkpoint had {"a" if cached else "no"} cache. Keep '
      'the setting, or use another --workdir.'
    )
  if saved['records'] == now['records']:
    return
  message = (
    'The images are not those that the checkpoint was trained on (there were '
    f'{saved["records"]["records"]}, there are {now["records"]["records"]}): '
    f'{_difference(before, after)}.'
  )
  if not now['config']['data']['other_images']:
    raise ValueError(
      f'{message} Restore them, use another --workdir, or go on with these: '
      '--config.data.other_images=True.'
    )
  logging.warning('%s Going on with these, as data.other_images says.', message)


def _difference(before: Sequence[str], after: Sequence[str]) -> str:
  """Describes the first difference between two lists of names."""
  if not before:
    return 'the earlier names are not known any more'
  for i, pair in enumerate(itertools.zip_longest(before, after)):
    if pair[0] != pair[1]:
      was, is_now = ('nothing' if name is None else repr(name) for name in pair)
      return f'record {i} was {was} and is {is_now}'
  return 'the names are the same, their shares in the mixture are not'


def _compare(saved: Meta, now: Meta, names: Sequence[str]) -> None:
  """Compares all fields under the names.

  Raises:
    ValueError: naming the first field that differs.
  """
  before, after = (
    traverse_util.flatten_dict(meta['config'], sep='.') for meta in (saved, now)
  )
  for field in [*before, *(after.keys() - before.keys())]:
    fixed = any(f'{field}.'.startswith(f'{name}.') for name in names)
    values = before.get(field), after.get(field)
    if fixed and field not in ARITHMETIC and values[0] != values[1]:
      raise ValueError(
        f'The checkpoint was trained with {field} = {values[0]}, this run has '
        f'{values[1]}. Use the same, or another --workdir.'
      )
