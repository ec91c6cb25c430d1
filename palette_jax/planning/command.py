"""`palette plan`: plans for one or more slices, and what to do if none fits."""

import copy
from collections.abc import Sequence

import ml_collections
from absl import logging
from etils import epath

from palette_jax.planning import forecast
from palette_jax.planning import plan as plans
from palette_jax.planning import topology as topologies


def run(
  config: ml_collections.ConfigDict,
  names: Sequence[str],
  mode: str,
  batch: int | None = None,
  per_chip: int | None = None,
  picture: epath.Path | None = None,
) -> None:
  """Plans for every slice, prints each, then a table; draws weak scaling.

  Args:
    config: of configs/.
    names: of the slices.
    mode: one of plan.MODES.
    batch: images on all chips, in place of the config's.
    per_chip: images on each chip, in place of that.
    picture: where weak scaling is drawn, if it shall be.

  Raises:
    ValueError: for slices, batches or settings that do not go together, before
      anything is compiled.
  """
  configs = {
    name: _sized(config, topologies.describe(name), batch, per_chip)
    for name in names
  }
  for name, sized in configs.items():
    plans.check(sized, name, mode)
  made = []
  for name, sized in configs.items():
    plan = _make(sized, name, mode)
    if plan is not None:
      print(f'\n{forecast.text(plan, config)}', flush=True)
      made.append(plan)
  if mode == 'train' and len(names) > 1 and made:
    print(f'\n{forecast.table(made, config)}')
  if picture is not None and made:
    with picture.open('wb') as file:
      forecast.scaling(made).save(file, 'PNG')
    print(f'\nWeak scaling is drawn in {picture}.')


def _sized(config, topology, batch, per_chip):
  """The config, for as many images as are asked for."""
  config = copy.deepcopy(config)
  if per_chip is not None:
    batch = per_chip * topology.chips
  if batch is not None:
    config.train.batch = batch
  return config


def _make(config, name, mode):
  """A plan; if it does not fit, the first remedy that does. None if none."""
  try:
    return plans.make(config, name, mode)
  except plans.DoesNotFit as error:
    print(f'\n{error}', flush=True)
  for changes in plans.remedies(config, name, mode):
    words = ' '.join(f'--config.{k}={v}' for k, v in changes.items())
    logging.info('Trying %s.', words)
    tried = copy.deepcopy(config)
    tried.update_from_flattened_dict(changes)
    try:
      plan = plans.make(tried, name, mode)
    except plans.DoesNotFit as error:
      print(error, flush=True)
      continue
    print(f'This fits: {words}')
    return plan
  print('Nothing that was tried fits: take more chips, or a smaller --batch.')
  return None
