"""Progress, curves and sheets of a run, and checks that stop it."""

import contextlib
import datetime
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from clu import metric_writers
from etils import epath
from jax.experimental import multihost_utils
from jaxtyping import Float

from palette_jax import arrays, chips, images
from palette_jax.data import pipeline
from palette_jax.models import flops
from palette_jax.training import learner as learners
from palette_jax.training import profiler
from palette_jax.training import step as steps

MIN_ROWS = 100  # before the share of unreadable records is judged

# The metrics of a step, on the host.
Row = Mapping[str, Any]


def sheet_path(workdir: str, step: int) -> epath.Path:
  """Returns the path of the sheet of held-out photos after `step` steps."""
  return epath.Path(workdir, 'samples', f'{step}.png')


class Monitor:
  """Checks the metrics of every step, and reports their means.

  Metrics are fetched one step late, so that the device never waits for the
  host. Call `check` before a state is saved.
  """

  def __init__(
    self,
    workdir: str,
    num_steps: int,
    batch: int,
    fastest_step: float | None = None,
    profile: tuple[int, int] | None = None,
  ) -> None:
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
    self._pending: tuple[int, arrays.Metrics] | None = None
    self._is_compiled = False
    self._restart()

  def _restart(self) -> None:
    """Begins a new interval."""
    self._rows: list[Row] = []
    self._since, self._waited = time.monotonic(), 0.0

  def batches(
    self, source: Iterator[pipeline.HostBatch], done: int
  ) -> Iterator[pipeline.HostBatch]:
    """Yields the batches of the steps after `done`; measures their time.

    The time from here to `add` is a step in the profile.
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
    """Takes the metrics of a step, and checks those of the step before."""
    self.check()
    self._pending = step, metrics
    if not self._is_compiled:  # compiling took most of the first step
      self.check()
      self._restart()
      self._is_compiled = True
    self._step.close()
    if self._profiler.ends_with(step):
      self.check()
      self._profiler.close()

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
    """Writes the means since the last report, and the given scalars.

    Logs a line with the loss, the pace and the time left.
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

  def _pace(self) -> dict[str, float]:
    """Returns the speed since the last report, and what it depends on."""
    elapsed = time.monotonic() - self._since
    speed = len(self._rows) / elapsed
    pace = {
      'steps_per_second': speed,
      'images_per_second': speed * self._batch,
      'data_wait': self._waited / elapsed,
      'memory_gb': peak_memory() / 1e9,
    }
    if jax.process_count() > 1:  # the slowest host sets the pace
      worst = np.array([pace['data_wait'], pace['memory_gb']])
      worst = multihost_utils.process_allgather(worst).max(axis=0)
      pace['data_wait'], pace['memory_gb'] = map(float, worst)
    if self._fastest_step is not None:
      pace['share_of_peak'] = speed * self._fastest_step
    return pace

  def show(self, step: int, sheet: Float[np.ndarray, 'h w 3']) -> None:
    """Writes the sheet of held-out photos to TensorBoard and samples/.

    Args:
      step: of the weights that it shows.
      sheet: in [-1, 1].
    """
    self._writer.write_images(step, {'held_out': images.to_u8(sheet)[None]})
    self._writer.flush()
    if jax.process_index() == 0:
      images.write_png(sheet_path(self._workdir, step), sheet)
    self._restart()  # leaves sampling out of the speed

  def close(self) -> None:
    """Ends a profile, and waits until the curves are written."""
    self._profiler.close()
    self._writer.close()


def describe_pace(pace: Mapping[str, float], steps_left: int) -> str:
  """Formats the pace that `Monitor.report` writes as a line."""
  speed = pace['steps_per_second']
  parts = [f'{speed:.3g} steps/s', f'{pace["images_per_second"]:.3g} images/s']
  if 'share_of_peak' in pace:
    parts.append(f'{pace["share_of_peak"]:.0%} of peak')
  parts.append(f'data {pace["data_wait"]:.0%}')
  parts.append(f'{pace["memory_gb"]:.3g} GB')
  left = datetime.timedelta(seconds=round(steps_left / speed))
  return '  '.join([*parts, f'ETA {left}'])


def peak_memory() -> int:
  """Returns the peak memory of the fullest local device, in bytes.

  Where devices do not count it, as on CPUs, it is that of the process.
  """
  stats = [device.memory_stats() or {} for device in jax.local_devices()]
  if all('peak_bytes_in_use' in device for device in stats):
    return max(device['peak_bytes_in_use'] for device in stats)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == 'darwin' else peak * 1024


def fastest_step(learner: learners.Learner, batch: int) -> float | None:
  """Returns the seconds of a step in which all devices compute at their peak.

  Args:
    learner: its network's FLOPs are counted.
    batch: rows of the global batch.

  Returns:
    None if the devices are not in palette_jax/chips.py.
  """
  chip = chips.of_device(learner.mesh.devices.flat[0])
  if chip is None:
    return None
  work = flops.training_step(learner.network, *learner.size, batch)
  return work / (learner.mesh.size * chip.peak_flops)


def means(rows: Sequence[Row]) -> dict[str, float]:
  """Returns means over steps, and those of the loss by noise level."""
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
  """Counts the records that cannot be read, and names each once."""

  def __init__(self, names: Sequence[str], limit: float) -> None:
    """Starts at zero.

    Args:
      names: of all records.
      limit: the share of unreadable records at which the run stops.
    """
    self._names, self._limit = names, limit
    self._named: set[str] = set()
    self._rows = self._bad = 0

  def add(self, batch: pipeline.HostBatch) -> None:
    """Counts the unreadable records of a batch of this host.

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
          'Cannot read %s: it is ignored (%d such records so far).',
          name,
          len(self._named),
        )
    if self._bad > self._limit * max(self._rows, MIN_ROWS):
      raise ValueError(
        f'{self._bad} of {self._rows} records could not be read, more than '
        f'data.max_unreadable={self._limit}; among them '
        f'{", ".join(sorted(self._named)[:5])}. Repair or remove them, or '
        'raise the limit.'
      )
