"""Training from first step to last: the one place where all parts meet."""

import contextlib
import functools
import gzip
import json
from collections.abc import Callable, Sequence

import jax
import ml_collections
import numpy as np
from absl import logging
from clu import parameter_overview
from etils import epath
from jax.experimental import multihost_utils

from palette_jax import arrays, images, sharding
from palette_jax.training import (
  checkpoint,
  held_out,
  lock,
  monitor,
  optimizer,
  preemption,
  state,
  step,
)
from palette_jax.training import run as runs

RECORDS = 'records.txt.gz'  # in the workdir: what it learns from


def train(
  config: ml_collections.ConfigDict,
  workdir: str,
  until: int | None = None,
  profile: tuple[int, int] | None = None,
) -> state.TrainState:
  """Trains until config.train.steps, from the newest checkpoint if any.

  Args:
    config: of configs/.
    workdir: a folder, local or gs://, for checkpoints, curves and pictures.
    until: the step to stop after, saved but not judged, if it comes earlier.
    profile: the first and the last step of a profile; None for none.

  Returns:
    The last state.

  Raises:
    ValueError, FileNotFoundError: before anything compiles, if the config does
      not fit the machine, the data or the workdir's checkpoint.
    InUse: if another run has the workdir.
    Preempted: if it was told to stop; all that it has done is saved.
    NotFinite: if the loss, its gradient or the state is not finite.
    OSError: if a checkpoint cannot be written.
  """
  last = config.train.steps if until is None else min(until, config.train.steps)
  with contextlib.ExitStack() as stack:
    hold = stack.enter_context(lock.hold(workdir))
    must_stop = stack.enter_context(preemption.notice())
    run = runs.build(config)
    meta = runs.meta(config, run)
    # Closing waits for a save that is under way, also when the run fails.
    checkpoints = stack.enter_context(
      contextlib.closing(checkpoint.Checkpoints(workdir, hold))
    )
    train_state = resume_or_create(run, meta, checkpoints, workdir)
    photos = held_out.HeldOut(config.held_out, run)
    done = int(train_state.step)
    if done < last:
      watch = stack.enter_context(
        contextlib.closing(
          monitor.Monitor(
            workdir,
            config.train.steps,
            config.train.batch,
            monitor.fastest_step(run, config.train.batch),
            profile,
          )
        )
      )
      train_state = take_steps(
        config,
        run,
        train_state,
        last,
        must_stop,
        checkpoints,
        meta,
        photos,
        watch,
      )
    else:
      logging.info('Nothing to do: %s has done %d steps.', workdir, done)
  if last < config.train.steps:
    return train_state

  # A run ends by what a person wants to see: the losses and the picture.
  fresh = state.create_sharded(run.mesh, *run.recipe).params
  photos.judge(train_state.ema_params, fresh)
  picture = epath.Path(monitor.picture(workdir, int(train_state.step)))
  # A run can be killed between its last checkpoint and its last picture.
  if not multihost_utils.broadcast_one_to_all(np.array(picture.exists())):
    draw(photos, train_state.ema_params, picture)
  photos.caption(picture)
  return train_state


def take_steps(
  config: ml_collections.ConfigDict,
  run: runs.Run,
  train_state: state.TrainState,
  last: int,
  must_stop: Callable[[int], bool],
  checkpoints: checkpoint.Checkpoints,
  meta: dict,
  photos: held_out.HeldOut,
  watch: monitor.Monitor,
) -> state.TrainState:
  """From the state's step to the last; saves, measures, reports.

  What is saved and measured is the state before a step, or after the last.
  Whatever is drawn is saved first: drawing may outlast a notice to stop.
  """
  start = int(train_state.step)
  names = run.train_data.source.names
  unreadable = monitor.Unreadable(names, config.data.max_unreadable)
  rate = optimizer.schedule(**config.optimizer)
  train_step = compile_step(config, run)
  batches = run.train_data.train(
    config.train.batch, start, jax.process_index(), jax.process_count()
  )
  batches = watch.batches(batches, start)
  logging.info('Compiling, then steps %d to %d.', start + 1, last)

  for done in range(start, last):
    stop = must_stop(done)
    draw_now = done > start and done % config.held_out.every == 0
    save_now = done > start and done % config.train.checkpoint_every == 0
    if save_now or draw_now or (stop and done > start):
      watch.check()
      checkpoints.save(train_state, meta)
    if stop:
      checkpoints.wait()
      raise preemption.Preempted(
        f'Told to stop: {done} of {config.train.steps} steps are done and '
        'saved. The same command goes on from there.'
      )
    checkpoints.check()
    if draw_now:
      watch.report(done, held_out_loss=photos.loss(train_state.ema_params))
      watch.show(done, photos.sheet(train_state.ema_params))

    batch = next(batches)
    unreadable.add(batch)
    examples = sharding.put_batch(run.mesh, batch.examples)
    train_state, metrics = train_step(train_state, examples)
    watch.add(done + 1, metrics)
    if (done + 1) % config.train.log_every == 0:
      watch.report(done + 1, learning_rate=float(rate(done)))

  watch.check()
  checkpoints.save(train_state, meta)
  watch.report(last, held_out_loss=photos.loss(train_state.ema_params))
  watch.show(last, photos.sheet(train_state.ema_params))
  return train_state


def resume_or_create(
  run: runs.Run,
  meta: dict,
  checkpoints: checkpoint.Checkpoints,
  workdir: str,
) -> state.TrainState:
  """The workdir's newest whole checkpoint; a fresh state if there is none."""
  names = run.train_data.source.names

  def load(step):
    saved = checkpoints.meta(step)
    runs.check_resume(saved, meta, read_names(workdir), names)
    logging.info('Going on from step %d in %s.', step, workdir)
    abstract = state.abstract_state(run.mesh, *run.recipe)
    return saved, checkpoints.restore(step, abstract)

  found = checkpoints.load_newest(load)
  if found is None:
    train_state = state.create_sharded(run.mesh, *run.recipe)
    describe(workdir, meta, run, train_state.params)
    return train_state
  saved, train_state = found
  if not runs.is_imported(saved):
    if saved['records'] != meta['records']:
      write_names(workdir, names)
    return train_state
  describe(workdir, meta, run, train_state.params)
  key = functools.partial(state.step_key, run.recipe[-1])
  everywhere = sharding.replicated(run.mesh)
  return train_state.replace(key=jax.jit(key, out_shardings=everywhere)())


def describe(
  workdir: str, meta: dict, run: runs.Run, params: arrays.Params
) -> None:
  """Writes config, parameters and records where people and configs look."""
  table = parameter_overview.get_parameter_overview(params, include_stats=False)
  write_names(workdir, run.train_data.source.names)
  if jax.process_index() == 0:
    folder = epath.Path(workdir)
    (folder / 'config.json').write_text(json.dumps(meta['config'], indent=2))
    (folder / 'parameters.txt').write_text(table)
  logging.info('Weights: %s.', table.splitlines()[-1])


def write_names(workdir: str, names: Sequence[str]) -> None:
  """Writes the list of images that a run learns from, one name a line."""
  if jax.process_index() == 0:
    folder = epath.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    listed = '\n'.join(names).encode()
    (folder / RECORDS).write_bytes(gzip.compress(listed, mtime=0))


def read_names(workdir: str) -> list[str]:
  """The list that `write_names` wrote; an empty one if it is not there."""
  file = epath.Path(workdir, RECORDS)
  if not file.exists():
    return []
  return gzip.decompress(file.read_bytes()).decode().split('\n')


def compile_step(
  config: ml_collections.ConfigDict, run: runs.Run
) -> Callable[
  [state.TrainState, arrays.Batch], tuple[state.TrainState, arrays.Metrics]
]:
  """The jitted step, which takes the old state's memory for the new one."""
  function = functools.partial(
    step.train_step,
    mesh=run.mesh,
    accumulation=config.train.accumulation,
    denoise_fn=run.denoise_fn,
    objective=run.objective,
    optimizer=run.recipe[1],
    ema_decay=config.train.ema_decay,
  )
  layout = state.layout(run.mesh, *run.recipe)
  platform = run.mesh.devices.flat[0].platform
  return jax.jit(
    function,
    donate_argnums=0,
    out_shardings=(layout, sharding.replicated(run.mesh)),
    compiler_options=sharding.compiler_options(platform),
  )


def sample(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Draws the held-out photos with the newest checkpoint's EMA.

  Raises:
    FileNotFoundError: if there is no checkpoint.
    ValueError: if the checkpoint does not fit the config.
  """
  run, newest, ema_params = restore_ema(config, workdir)
  photos = held_out.HeldOut(config.held_out, run)
  picture = epath.Path(monitor.picture(workdir, newest))
  draw(photos, ema_params, picture)
  photos.caption(picture)


def draw(
  photos: held_out.HeldOut, ema_params: arrays.Params, picture: epath.Path
) -> None:
  """Draws the held-out photos on all hosts; the first one writes the file."""
  sheet = photos.sheet(ema_params)
  if jax.process_index() == 0:
    images.write_png(picture, sheet)


def evaluate(
  config: ml_collections.ConfigDict, workdir: str
) -> tuple[runs.Run, int, arrays.Params]:
  """Prints the held-out loss of the newest checkpoint's EMA.

  Returns:
    As `restore_ema`.

  Raises:
    FileNotFoundError: if there is no checkpoint.
    ValueError: if the checkpoint does not fit the config.
  """
  run, step, ema_params = restore_ema(config, workdir)
  photos = held_out.HeldOut(config.held_out, run)
  photos.judge(ema_params, state.create_sharded(run.mesh, *run.recipe).params)
  return run, step, ema_params


def restore_ema(
  config: ml_collections.ConfigDict, workdir: str
) -> tuple[runs.Run, int, arrays.Params]:
  """The run, the newest whole checkpoint's step and its EMA alone.

  Raises:
    FileNotFoundError: if there is no checkpoint.
    ValueError: if the checkpoint does not fit the config.
  """
  run = runs.build(config)
  now = runs.meta(config, run)

  def load(step):
    saved = checkpoints.meta(step)
    runs.check_model(saved, now)
    abstract = state.abstract_state(run.mesh, *run.recipe).ema_params
    return saved, step, checkpoints.restore_ema(step, abstract)

  with contextlib.closing(checkpoint.Checkpoints(workdir)) as checkpoints:
    found = checkpoints.load_newest(load)
  if found is None:
    raise FileNotFoundError(
      f'There is no checkpoint in {workdir}. Train first (--mode=train), or '
      'give the --workdir of a run.'
    )
  saved, step, ema_params = found
  if saved['records'] != now['records'] and not runs.is_imported(saved):
    logging.warning(
      'The list of images is not the one that the checkpoint was trained '
      'on: it may have seen photos that are held out here.'
    )
  return run, step, ema_params
