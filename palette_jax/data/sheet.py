"""A contact sheet of training examples, for `palette inspect`.

It shows the first rows of the batch of step 0, cropped and corrupted exactly as
the training will.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
from etils import epath, epy
from jaxtyping import Float, UInt8

from palette_jax import arrays, givens, images, tasks
from palette_jax.data import order, pipeline, sources

with epy.lazy_imports():
  import tensorflow as tf

HEADINGS = 'target', 'condition', 'mask (painted where white)'
STYLE = images.SheetStyle(
  smallest=192,
  largest=0,
  frame=160,  # Masks may be white at their edges.
  gap=12,
  border=12,
  letters=13,
  line=17,
  margin=4,
  indent=0,
  wraps=True,
)
UNREADABLE = 'unreadable'


class Row(NamedTuple):
  """A row of the sheet.

  Attributes:
    target: in [-1, 1].
    cond: has standard Gaussian noise in holes; the sheet clips it.
    mask: 1 where the network paints.
    name: of the record.
    readable: whether the record could be decoded.
    draws: random choices of the task by name: see `tasks.Task`.
  """

  target: Float[np.ndarray, 'h w 3']
  cond: Float[np.ndarray, 'h w 3']
  mask: Float[np.ndarray, 'h w 1']
  name: str
  readable: bool
  draws: Mapping[str, Any]


def write(
  path: epath.PathLike, config: ml_collections.ConfigDict, rows: int
) -> epath.Path:
  """Writes the sheet of a config's first training examples as a PNG.

  Raises:
    ValueError, FileNotFoundError: for a config that does not fit.
  """
  return images.write_png(path, draw(examples(config, rows)))


def examples(config: ml_collections.ConfigDict, count: int) -> list[Row]:
  """Returns the first rows of the batch of step 0.

  Raises:
    ValueError, FileNotFoundError: for a config that does not fit.
  """
  size = tuple(config.data.size)
  if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
    raise ValueError(f'data.size must be (height, width); got {size}.')
  data = pipeline.Pipeline(
    source=sources.open_source(config.data.source, 'train'),
    corrupt=tasks.corruption(**config.task),
    size=size,
    seed=config.seed,
    min_crop=config.data.min_crop,
    max_pixels=config.data.max_pixels,
  )
  batch = next(data.train(count))
  task_draws = tasks.draws(**config.task)

  def repeat_draws(
    epoch: 'tf.Tensor', record: 'tf.Tensor'
  ) -> tuple['tf.Tensor', dict[str, 'tf.Tensor']]:
    return record, task_draws(data.seeds(epoch, record)[1])

  positions = order.records(
    data.source.lengths, data.source.places, data.seed, start=0
  )
  repeated = positions.take(count).map(
    tf.autograph.experimental.do_not_convert(repeat_draws)
  )
  records, draws = zip(*repeated.as_numpy_iterator())
  assert np.array_equal(records, batch.record)
  names = [data.source.names[record] for record in batch.record]
  rows = zip(*_complete(batch.examples), names, batch.readable.tolist(), draws)
  return [Row(*row) for row in rows]


def _complete(
  examples: arrays.Examples,
) -> tuple[
  Float[np.ndarray, 'b h w 3'],
  Float[np.ndarray, 'b h w 3'],
  Float[np.ndarray, 'b h w 1'],
]:
  """Returns target, cond and mask as on the device, with other noise."""
  target, cond, given = map(np.asarray, examples)
  target, cond = images.from_u8(target), images.from_u8(cond)
  noise = np.random.default_rng(0).standard_normal(cond.shape, np.float32)
  cond = np.where(given == givens.NOISE, noise, cond)
  cond = np.where(given == givens.NOTHING, 0.0, cond)
  return target, cond, (given != givens.TRUTH).astype(np.float32)


def describe(draws: Mapping[str, Any]) -> str:
  """Puts a task's random choices into words, except those that are 0 or ''.

  For example, {'strokes': 2, 'segments': [9, 4, 0]} is described as
  'strokes 2, segments 9 4'.
  """
  parts = []
  for name, values in draws.items():
    words = [
      value.decode() if isinstance(value, bytes) else str(value)
      for value in np.ravel(values)
      if value
    ]
    if words:
      parts.append(' '.join([name, *words]))
  return ', '.join(parts)


def draw(rows: Sequence[Row]) -> UInt8[np.ndarray, 'y x 3']:
  """Lays out examples of one size, a row each, with captions and headings."""
  return images.sheet(
    [images.to_u8(image) for row in rows for image in _images(row)],
    [caption for row in rows for caption in _captions(row)],
    len(HEADINGS),
    HEADINGS,
    STYLE,
  )


def _captions(row: Row) -> tuple[str, str, str]:
  """Returns the captions of target, condition and mask."""
  if not row.readable:
    return row.name, UNREADABLE, ''
  return row.name, describe(row.draws), f'{100 * row.mask.mean():.3g}%'


def _images(row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns target, condition and mask as images of three channels."""
  if row.readable:
    return row.target, row.cond, np.repeat(row.mask * 2.0 - 1.0, 3, axis=-1)
  grey = np.full_like(row.target, pipeline.GREY / 127.5 - 1.0)
  return grey, grey, grey
