"""What a person watches: progress, curves, pictures; and what stops a run.

Next: palette_jax/training/loop.py
"""

import datetime
import time
from collections.abc import Sequence

import jax
import numpy as np
from absl import logging
from clu import metric_writers

from palette_jax import arrays, images
from palette_jax.data import pipeline
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

  def __init__(self, workdir: str, num_steps: int, batch: int):
    self._writer = metric_writers.MultiWriter([])
    if jax.process_index() == 0:
      self._writer = metric_writers.SummaryWriter(workdir)
    self._workdir, self._num_steps = workdir, num_steps
    self._batch = batch
    self._pending = None
    self._rows: list[dict] = []
    self._since: float | None = None

  def add(self, step: int, metrics: arrays.Metrics) -> None:
    """Takes the metrics of step `step`, checks those of the one before."""
    self.check()
    self._pending = step, metrics
    if self._since is None:  # the first step was spent on compiling
      self.check()
      self._rows, self._since = [], time.monotonic()

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

    Prints a line with the loss, the speed and the time that is left.
    """
    self.check()
    if self._rows:
      now = time.monotonic()
      speed = len(self._rows) / (now - self._since)
      scalars = {
        **means(self._rows),
        **scalars,
        'steps_per_second': speed,
        'images_per_second': speed * self._batch,
      }
      left = datetime.timedelta(seconds=round((self._num_steps - step) / speed))
      logging.info(
        'step %d/%d  loss %.4f  %.3g steps/s  %.3g images/s  ETA %s',
        step,
        self._num_steps,
        scalars['loss'],
        speed,
        speed * self._batch,
        left,
      )
      self._rows, self._since = [], now
    self._writer.write_scalars(step, scalars)

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
    self._since = time.monotonic()  # sampling is not the speed of training

  def close(self) -> None:
    """Waits until everything is written."""
    self._writer.close()


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
