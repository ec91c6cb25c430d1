"""What a person watches: progress, curves, pictures; and what stops a run."""

import contextlib
import datetime
import resource
import sys
import time
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from absl import logging
from clu import metric_writers
from jax.experimental import multihost_utils

from palette_jax import arrays, chips, images
from palette_jax.data import pipeline
from palette_jax.models import flops
from palette_jax.training import profiler
from palette_jax.training import run as runs
from palette_jax.training import step as steps

MIN_ROWS = 100  # before the share of unreadable records is judged


def picture(workdir: str, step: int) -> str:
  """Where the picture of the held-out photos after `step` steps is."""
  return f'{workdir}/samples/{step}.png'


class Monitor:
  """Takes the metrics of every step, checks them and reports their means.

  Metrics are fetched one step late, so that the device never waits for the
  host: `check` first, wherever a state is about to be kept.
  """

  def __init__(
    self,
    workdir: str,
    num_steps: int,
    batch: int,
    fastest_step: float | None = None,
    profile: tuple[int, int] | None = None,
  ):
    """Opens the curves.

    Args:
      workdir: of the run.
      num_steps: of the whole run.
      batch: rows of the global batch.
      fastest_step: seconds of a step at the devices' peak; None if unknown.
      profile: the first and the last step of a profile; None for none.
    """
    self._writer = metric_writers.MultiWriter([])
    if jax.process_index() == 0:
      self._writer = metric_writers.SummaryWriter(workdir)
    self._workdir, self._num_steps = workdir, num_steps
    self._batch, self._fastest_step = batch, fastest_step
    self._profiler = profiler.Profiler(workdir, profile)
    self._step = contextlib.ExitStack()
    self._pending = None
    self._rows: list[dict] = []
    self._since: float | None = None
    self._waited = 0.0

  def batches(
    self, source: Iterator[pipeline.HostBatch], done: int
  ) -> Iterator[pipeline.HostBatch]:
    """The batches of the steps after `done`; measures the time they take.

    What is done from here to `add` is a step for the profile.
    """
    while True:
      done += 1
      self._profiler.before(done)
      self._step.enter_context(
        jax.profiler.StepTraceAnnotation('train', step_num=done)
      )
      began = time.monotonic()
      batch = next(source)
      self._waited += time.monotonic() - began
      yield batch

  def add(self, step: int, metrics: arrays.Metrics) -> None:
    """Takes the metrics of step `step`, checks those of the one before."""
    self.check()
    self._pending = step, metrics
    if self._since is None:  # the first step was spent on compiling
      self.check()
      self._restart()
    self._step.close()
    if self._profiler.ends_with(step):
      self.check()
      self._profiler.close()

  def _restart(self):
    """Begins a new interval."""
    self._rows, self._since, self._waited = [], time.monotonic(), 0.0

  def check(self) -> None:
    """Waits for the last step's metrics.

    Raises:
      NotFinite: if its loss or gradient is not finite.
    """
    if self._pending is None:
      return
    step, metrics = self._pending
    self._pending = None
    values = jax.tree.map(np.asarray, metrics)
    for name in ('loss', 'grad_norm'):
      if not np.isfinite(values[name]):
        raise steps.NotFinite(step, f'{name} is {values[name]}')
    self._rows.append(values)

  def report(self, step: int, **scalars: float) -> None:
    """Writes the means since the last report, and scalars of the moment.

    Prints them in a line, with the time that is left.
    """
    self.check()
    if self._rows:
      scalars = {**means(self._rows), **scalars, **self._pace()}
      logging.info(
        'step %d/%d  loss %.4f  %s',
        step,
        self._num_steps,
        scalars['loss'],
        describe_pace(scalars, self._num_steps - step),
      )
      self._restart()
    self._writer.write_scalars(step, scalars)

  def _pace(self):
    """How fast the steps since the last report were, and what they took."""
    elapsed = time.monotonic() - self._since
    speed = len(self._rows) / elapsed
    pace = {
      'steps_per_second': speed,
      'images_per_second': speed * self._batch,
      'data_wait': self._waited / elapsed,
      'memory_gb': most_memory() / 1e9,
    }
    if jax.process_count() > 1:  # the host that has it worst slows all down
      worst = np.array([pace['data_wait'], pace['memory_gb']])
      worst = multihost_utils.process_allgather(worst).max(axis=0)
      pace['data_wait'], pace['memory_gb'] = map(float, worst)
    if self._fastest_step is not None:
      pace['share_of_peak'] = speed * self._fastest_step
    return pace

  def show(self, step: int, sheet: np.ndarray) -> None:
    """Writes a picture of the held-out photos: TensorBoard, samples/STEP.png.

    Args:
      step: of the weights that made it.
      sheet: [H, W, 3] in [-1, 1].
    """
    self._writer.write_images(step, {'held_out': images.to_u8(sheet)[None]})
    self._writer.flush()
    if jax.process_index() == 0:
      images.write_png(picture(self._workdir, step), sheet)
    self._restart()  # sampling is not the speed of training

  def close(self) -> None:
    """Waits until everything is written."""
    self._profiler.close()
    self._writer.close()


def describe_pace(pace: dict[str, float], steps_left: int) -> str:
  """The pace in a line: what `Monitor.report` writes, for the terminal."""
  speed = pace['steps_per_second']
  parts = [f'{speed:.3g} steps/s', f'{pace["images_per_second"]:.3g} images/s']
  if 'share_of_peak' in pace:
    parts.append(f'{pace["share_of_peak"]:.0%} of peak')
  parts.append(f'data {pace["data_wait"]:.0%}')
  parts.append(f'{pace["memory_gb"]:.3g} GB')
  left = datetime.timedelta(seconds=round(steps_left / speed))
  return '  '.join([*parts, f'ETA {left}'])


def most_memory() -> int:
  """Bytes that one device of this host has held at most.

  Of the whole process where devices do not count them, as CPUs do not.
  """
  stats = [device.memory_stats() or {} for device in jax.local_devices()]
  if all('peak_bytes_in_use' in one for one in stats):
    return max(one['peak_bytes_in_use'] for one in stats)
  most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return most if sys.platform == 'darwin' else most * 1024


def fastest_step(run: runs.Run, batch: int) -> float | None:
  """Seconds of a step if all devices did the model's FLOPs at their peak.

  Args:
    run: the parts of the run.
    batch: rows of the global batch.

  Returns:
    None if the devices are not in palette_jax/chips.py.
  """
  chip = chips.of(run.mesh.devices.flat[0])
  if chip is None:
    return None
  model, _, size, _ = run.recipe
  work = flops.training_step(model, *size, batch)
  return work / (run.mesh.size * chip.peak_flops)


def means(rows: Sequence[dict]) -> dict[str, float]:
  """Means over steps; by noise level, the sums' ratio where there are any."""
  errors = np.sum([row['errors'] for row in rows], axis=0)
  counts = np.sum([row['counts'] for row in rows], axis=0)
  edges = steps.GAMMA_EDGES
  levels = {
    f'loss_by_gamma/{low}-{high}': float(error / count)
    for low, high, error, count in zip(edges, edges[1:], errors, counts)
    if count > 0
  }
  return {
    'loss': float(np.mean([row['loss'] for row in rows])),
    'grad_norm': float(np.mean([row['grad_norm'] for row in rows])),
    **levels,
  }


class Unreadable:
  """Counts the records that cannot be read, and names each once.

  Attributes:
    limit: the share of them, of all records seen, at which the run stops.
  """

  def __init__(self, names: Sequence[str], limit: float):
    self.limit = limit
    self._names, self._named = names, set()
    self._rows = self._bad = 0

  def add(self, batch: pipeline.HostBatch) -> None:
    """Looks at one batch of this host.

    Raises:
      ValueError: if there have been too many.
    """
    self._rows += len(batch.readable)
    for record in batch.record[~batch.readable]:
      self._bad += 1
      name = self._names[record]
      if name not in self._named:
        self._named.add(name)
        logging.warning(
          'Cannot read %s: it weighs nothing (%d such so far).',
          name,
          len(self._named),
        )
    if self._bad > self.limit * max(self._rows, MIN_ROWS):
      raise ValueError(
        f'{self._bad} of {self._rows} records could not be read, more than '
        f'data.max_unreadable={self.limit}; among them '
        f'{", ".join(sorted(self._named)[:5])}. Repair or remove them, or '
        'raise the limit.'
      )
