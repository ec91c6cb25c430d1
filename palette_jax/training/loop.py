"""The training loop: steps, checkpoints, held-out photos and reports."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator

import jax
import ml_collections
import numpy as np
from absl import logging
from clu import parameter_overview
from etils import epath
from jax.experimental import multihost_utils

from palette_jax import arrays, files, sharding
from palette_jax.data import pipeline
from palette_jax.training import (
  checkpoint,
  compatibility,
  held_out,
  lock,
  monitor,
  optimizer,
  preemption,
  records,
)
from palette_jax.training import run as runs
from palette_jax.training import state as states


def train(
  config: ml_collections.ConfigDict,
  workdir: str,
  until: int | None = None,
  profile: tuple[int, int] | None = None,
) -> states.TrainState:
  """Trains up to config.train.steps, from the newest checkpoint if any.

  Args:
    config: of configs/.
    workdir: folder for checkpoints, curves and samples, local or gs://.
    until: an earlier step after which to stop; saves, but does not evaluate.
    profile: the first and the last step of a profile; None for none.

  Returns:
    The last state.

  Raises:
    ValueError, FileNotFoundError: before anything compiles, if the config does
      not fit the machine, the data or the workdir's checkpoint.
    InUse: if another run holds the workdir.
    Preempted: if the run was asked to stop; all its work is saved.
    NotFinite: if the loss, its gradient or the state is not finite.
    OSError: if a checkpoint cannot be written.
  """
  last = config.train.steps if until is None else min(until, config.train.steps)
  with contextlib.ExitStack() as stack:
    hold = stack.enter_context(lock.hold(workdir))
    must_stop = stack.enter_context(preemption.notice())
    run = runs.build(config)
    # Closing waits for a save in progress, even if the run fails.
    checkpoints = stack.enter_context(
      contextlib.closing(checkpoint.Checkpoints(workdir, hold))
    )
    meta = compatibility.meta(run)
    state = resume_or_create(run, meta, checkpoints, workdir)
    photos = held_out.HeldOut(run)
    session = Session(run, meta, workdir, checkpoints, photos, must_stop)
    if int(state.step) < last:
      state = session.take_steps(state, last, profile)
    else:
      done = int(state.step)
      logging.info('Nothing to do: %s has done %d steps.', workdir, done)
  if last == config.train.steps:
    session.conclude(state)
  return state


def resume_or_create(
  run: runs.Run,
  meta: compatibility.Meta,
  checkpoints: checkpoint.Checkpoints,
  workdir: str,
) -> states.TrainState:
  """Loads the newest whole checkpoint, or creates a fresh state.

  Raises:
    ValueError: if the run does not fit the checkpoint.
  """
  learner, names = run.learner, run.train_data.source.names

  def load(step: int) -> tuple[compatibility.Meta, states.TrainState]:
    saved = checkpoints.meta(step)
    compatibility.check_resume(saved, meta, records.read(workdir), names)
    logging.info('Going on from step %d in %s.', step, workdir)
    return saved, checkpoints.restore(step, learner.abstract_state())

  newest = checkpoints.load_newest(load)
  if newest is None:
    state = learner.create_state()
    describe(run, workdir, state.params)
    return state
  saved, state = newest
  if compatibility.is_imported(saved):
    describe(run, workdir, state.params)
    return state.replace(key=learner.step_key())
  if saved['records'] != meta['records'] and jax.process_index() == 0:
    records.write(workdir, names)
  return state


def describe(run: runs.Run, workdir: str, params: arrays.Params) -> None:
  """Writes the config, the parameters and the records into the workdir."""
  table = parameter_overview.get_parameter_overview(params, include_stats=False)
  if jax.process_index() == 0:
    records.write(workdir, run.train_data.source.names)
    config = json.dumps(json.loads(run.config.to_json()), indent=2)
    files.write(epath.Path(workdir, 'config.json'), config.encode())
    files.write(epath.Path(workdir, 'parameters.txt'), table.encode())
  logging.info('Weights: %s.', table.splitlines()[-1])


@dataclasses.dataclass(frozen=True)
class Session:
  """One start of a run: takes steps, and saves and evaluates in between.

  Attributes:
    run: the parts of the run.
    meta: describes the run in its checkpoints.
    workdir: of the run.
    checkpoints: in the workdir.
    photos: the held-out examples.
    must_stop: called before every step, on all hosts, with the number of steps
      done; returns True if the run must stop.
  """

  run: runs.Run
  meta: compatibility.Meta
  workdir: str
  checkpoints: checkpoint.Checkpoints
  photos: held_out.HeldOut
  must_stop: Callable[[int], bool]

  def take_steps(
    self,
    state: states.TrainState,
    last: int,
    profile: tuple[int, int] | None = None,
  ) -> states.TrainState:
    """Trains from the state's step to the last; saves, evaluates, reports.

    The state is saved and evaluated before a step, or after the last one. It is
    saved first: sampling may outlast a notice to stop.

    Raises:
      ValueError: if too many records are unreadable.
      Preempted, NotFinite, OSError: as `train`.
    """
    config, learner, start = self.run.config, self.run.learner, int(state.step)
    names = self.run.train_data.source.names
    unreadable = monitor.Unreadable(names, config.data.max_unreadable)
    rate = optimizer.schedule(**config.optimizer)
    train_step = learner.jit_step()
    with contextlib.closing(self._monitor(profile)) as watch:
      batches = watch.batches(self._batches(start), start)
      logging.info('Compiling, then steps %d to %d.', start + 1, last)
      for done in range(start, last):
        stop, new = self.must_stop(done), done > start
        measure = new and done % config.held_out.every == 0
        save = new and done % config.train.checkpoint_every == 0
        if save or measure or (stop and new):
          self._save(state, watch)
        if stop:
          self.checkpoints.wait()
          raise preemption.Preempted(done, config.train.steps)
        self.checkpoints.check()
        if measure:
          self._measure(state, watch)

        batch = next(batches)
        unreadable.add(batch)
        examples = sharding.put_batch(learner.mesh, batch.examples)
        state, metrics = train_step(state, examples)
        watch.add(done + 1, metrics)
        if (done + 1) % config.train.log_every == 0:
          watch.report(done + 1, learning_rate=float(np.asarray(rate(done))))

      self._save(state, watch)
      self._measure(state, watch)
    return state

  def _monitor(self, profile: tuple[int, int] | None) -> monitor.Monitor:
    steps, batch = self.run.config.train.steps, self.run.config.train.batch
    fastest = monitor.fastest_step(self.run.learner, batch)
    return monitor.Monitor(self.workdir, steps, batch, fastest, profile)

  def _batches(self, start: int) -> Iterator[pipeline.HostBatch]:
    """Returns this host's rows of the batches after `start` steps."""
    return self.run.train_data.train(
      self.run.config.train.batch,
      start,
      jax.process_index(),
      jax.process_count(),
    )

  def _save(self, state: states.TrainState, watch: monitor.Monitor) -> None:
    """Starts to save a state, once loss and gradient are known to be finite."""
    watch.check()
    self.checkpoints.save(state, self.meta)

  def _measure(self, state: states.TrainState, watch: monitor.Monitor) -> None:
    """Reports the held-out loss, and writes the sheet of samples."""
    step = int(state.step)
    watch.report(step, held_out_loss=self.photos.loss(state.ema_params))
    watch.show(step, self.photos.sheet(state.ema_params))

  def conclude(self, state: states.TrainState) -> None:
    """Prints the losses of a finished run, and the path of its sheet."""
    self.photos.print_losses(state.ema_params)
    sheet = monitor.sheet_path(self.workdir, int(state.step))
    # A run can be killed between its last checkpoint and its last sheet.
    if not multihost_utils.broadcast_one_to_all(np.array(sheet.exists())):
      self.photos.write_sheet(sheet, state.ema_params)
    self.photos.caption(sheet)
