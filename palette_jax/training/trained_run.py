"""The newest averaged weights of a run: loading, sampling and loss."""

import contextlib
from typing import NamedTuple

import ml_collections
from absl import logging

from palette_jax import arrays
from palette_jax.training import checkpoint, compatibility, held_out, monitor
from palette_jax.training import run as runs


class TrainedRun(NamedTuple):
  """A run and its newest average.

  Attributes:
    run: the parts of the run.
    step: of the checkpoint.
    ema_params: averaged parameters, at that step.
  """

  run: runs.Run
  step: int
  ema_params: arrays.Params


def load(config: ml_collections.ConfigDict, workdir: str) -> TrainedRun:
  """Loads the average of the newest whole checkpoint.

  Raises:
    FileNotFoundError: if there is no checkpoint.
    ValueError: if the checkpoint does not fit the config.
  """
  run = runs.build(config)
  now = compatibility.meta(run)

  def load_step(step: int) -> tuple[compatibility.Meta, TrainedRun]:
    saved = checkpoints.meta(step)
    compatibility.check_model(saved, now)
    abstract = run.learner.abstract_state().ema_params
    return saved, TrainedRun(run, step, checkpoints.restore_ema(step, abstract))

  with contextlib.closing(checkpoint.Checkpoints(workdir)) as checkpoints:
    newest = checkpoints.load_newest(load_step)
  if newest is None:
    raise FileNotFoundError(
      f'There is no checkpoint in {workdir}. Train first (--mode=train), or '
      'give the --workdir of a run.'
    )
  saved, trained = newest
  same_records = saved['records'] == now['records']
  if not (same_records or compatibility.is_imported(saved)):
    logging.warning(
      'The list of images is not the one that the checkpoint was trained '
      'on: it may have seen photos that are held out here.'
    )
  return trained


def sample(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Samples the held-out photos, and writes the sheet into the workdir.

  Raises:
    FileNotFoundError: if there is no checkpoint.
    ValueError: if the checkpoint does not fit the config.
  """
  run, step, ema_params = load(config, workdir)
  photos = held_out.HeldOut(run)
  path = monitor.sheet_path(workdir, step)
  photos.write_sheet(path, ema_params)
  photos.caption(path)


def evaluate(config: ml_collections.ConfigDict, workdir: str) -> TrainedRun:
  """Prints the held-out loss.

  Raises:
    FileNotFoundError: if there is no checkpoint.
    ValueError: if the checkpoint does not fit the config.
  """
  trained = load(config, workdir)
  held_out.HeldOut(trained.run).print_losses(trained.ema_params)
  return trained
