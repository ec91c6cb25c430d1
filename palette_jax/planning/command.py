"""`palette plan`: plans for slices, and remedies for those that do not fit."""

import copy
import importlib.util
from collections.abc import Sequence

import ml_collections
from absl import logging
from etils import epath

from palette_jax.planning import forecast
from palette_jax.planning import plan as planning
from palette_jax.planning import topology as topologies


def run(
  config: ml_collections.ConfigDict,
  names: Sequence[str],
  mode: str,
  batch: int | None = None,
  per_chip: int | None = None,
  picture: epath.Path | None = None,
) -> None:
  """Compiles and prints a plan for every slice, then a table of all.

  Args:
    config: of configs/.
    names: of the slices.
    mode: one of planning.MODES.
    batch: images on all chips, instead of the config's.
    per_chip: images on each chip, instead of `batch`.
    picture: path of a chart of weak scaling; None for none.

  Raises:
    ValueError: before anything compiles, if slices, batches and settings do not
      fit each other, or a chart cannot be drawn.
  """
  if picture is not None and importlib.util.find_spec('matplotlib') is None:
    raise ValueError(
      '--scaling draws with matplotlib, which is not installed: '
      "pip install 'palette_jax[train]'."
    )
  configs = {
    name: _resize(config, topologies.describe(name), batch, per_chip)
    for name in names
  }
  for name, resized in configs.items():
    planning.check(resized, name, mode)
  plans = []
  for name, resized in configs.items():
    plan = _plan(resized, name, mode)
    if plan is not None:
      print(f'\n{forecast.text(plan, config)}', flush=True)
      plans.append(plan)
  if mode == 'train' and len(names) > 1 and plans:
    print(f'\n{forecast.table(plans, config)}')
  if picture is not None and plans:
    with picture.open('wb') as file:
      forecast.scaling(plans).savefig(file, format='png', dpi=100)
    print(f'\nThe chart of weak scaling is {picture}.')


def _resize(
  config: ml_collections.ConfigDict,
  topology: topologies.Topology,
  batch: int | None,
  per_chip: int | None,
) -> ml_collections.ConfigDict:
  """Returns a config with the requested batch."""
  config = copy.deepcopy(config)
  if per_chip is not None:
    batch = per_chip * topology.chips
  if batch is not None:
    config.train.batch = batch
  return config


def _plan(
  config: ml_collections.ConfigDict, name: str, mode: str
) -> planning.Plan | None:
  """Compiles a plan, with the first remedy that makes it fit if need be.

  Returns:
    None if no remedy makes it fit.
  """
  try:
    return planning.compile_for(config, name, mode)
  except planning.DoesNotFit as error:
    print(f'\n{error}', flush=True)
  for changes in planning.remedies(config, name, mode):
    options = ' '.join(f'--config.{k}={v}' for k, v in changes.items())
    logging.info('Trying %s.', options)
    changed = copy.deepcopy(config)
    changed.update_from_flattened_dict(changes)
    try:
      plan = planning.compile_for(changed, name, mode)
    except planning.DoesNotFit as error:
      print(error, flush=True)
      continue
    print(f'This fits: {options}')
    return plan
  print('No remedy makes it fit: use more chips, or a smaller --batch.')
  return None
