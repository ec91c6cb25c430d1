"""A contact sheet of training examples: target, condition, mask, and in words.

What `palette inspect` draws, to be looked at before a long training: the first
rows of step 0's batch, cropped and corrupted as they will be.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import ml_collections
import numpy as np
from etils import epath, epy
from PIL import Image, ImageDraw, ImageFont

from palette_jax import arrays, givens, images, tasks
from palette_jax.data import order, pipeline, sources

with epy.lazy_imports():
  import tensorflow as tf

HEADINGS = 'target', 'condition', 'mask (painted where white)'
COLUMN = 192  # pixels, at least; small images are enlarged
LETTERS = 13  # pixels, their height
LINE = 17
MARGIN = 4  # between an image and its caption
GAP = 12  # between columns, and between rows
FRAME = 160  # the grey of one pixel around every image: masks may be all white
UNREADABLE = 'unreadable'


class Example(NamedTuple):
  """What one row shows.

  Attributes:
    target: [h, w, 3], float in [-1, 1].
    cond: [h, w, 3]; standard noise in holes, cut off at what can be shown.
    mask: [h, w, 1], 1 where the model must paint.
    name: of the record.
    readable: if not, there is nothing to show.
    drawn: what the task's `drawn` gave: values by name.
  """

  target: np.ndarray
  cond: np.ndarray
  mask: np.ndarray
  name: str
  readable: bool
  drawn: Mapping


def write(
  path: epath.PathLike, config: ml_collections.ConfigDict, rows: int
) -> epath.Path:
  """Writes the sheet of a config's first training examples as a PNG.

  Raises:
    ValueError, FileNotFoundError: for whatever in the config does not fit.
  """
  return images.write_png(path, draw(examples(config, rows)))


def examples(config: ml_collections.ConfigDict, count: int) -> list[Example]:
  """The first rows of step 0's batch, with what the task has drawn for each.

  Raises:
    ValueError, FileNotFoundError: for whatever in the config does not fit.
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
  drawing = tasks.draws(**config.task)

  def draw_again(epoch, record):
    return record, drawing(data.seeds(epoch, record)[1])

  positions = order.records(
    data.source.lengths, data.source.places, data.seed, start=0
  )
  drawn = positions.take(count).map(
    tf.autograph.experimental.do_not_convert(draw_again)
  )
  records, drawn = zip(*drawn.as_numpy_iterator())
  assert np.array_equal(records, batch.record)
  names = [data.source.names[record] for record in batch.record]
  rows = zip(*_shown(batch.examples), names, batch.readable.tolist(), drawn)
  return [Example(*row) for row in rows]


def _shown(examples: arrays.Examples) -> arrays.Batch:
  """What the device will make of them, but for the noise's seed."""
  target, cond = map(images.from_u8, (examples.target, examples.cond))
  given = examples.given
  noise = np.random.default_rng(0).standard_normal(cond.shape, np.float32)
  cond = np.where(given == givens.NOISE, noise, cond)
  cond = np.where(given == givens.NOTHING, 0.0, cond)
  return arrays.Batch(target, cond, np.float32(given != givens.TRUTH))


def describe(drawn: Mapping) -> str:
  """What a task has drawn, in words; what it has not (0 or '') is left out.

  Args:
    drawn: NumPy values by name, as {'strokes': 2, 'segments': [9, 4, 0]}.

  Returns:
    As 'strokes 2, segments 9 4'.
  """
  found = []
  for name, values in drawn.items():
    words = [
      value.decode() if isinstance(value, bytes) else str(value)
      for value in np.ravel(values)
      if value
    ]
    if words:
      found.append(' '.join([name, *words]))
  return ', '.join(found)


def draw(rows: Sequence[Example]) -> np.ndarray:
  """Lays examples out: headings, then a row each, captions under its images.

  Args:
    rows: of one size. They are enlarged, in whole steps, until a column is wide
      enough for its captions.

  Returns:
    One image, [H, W, 3], float in [-1, 1].
  """
  height, width, _ = rows[0].target.shape
  scale = max(1, COLUMN // max(height, width))
  column = max(width * scale, COLUMN) + 2  # for the frame
  captions = [[_wrap(text, column) for text in _captions(row)] for row in rows]
  lines = max(len(caption) for row in captions for caption in row)
  cells = [
    [
      _cell(picture, scale, column, caption, lines)
      for picture, caption in zip(_pictures(row), caption)
    ]
    for row, caption in zip(rows, captions)
  ]
  headings = [_cell(None, 1, column, [text], 1) for text in HEADINGS]
  parts = [images.grid(np.array(part), GAP) for part in ([headings], cells)]
  return np.pad(
    np.concatenate(parts),
    [(GAP, GAP), (GAP, GAP), (0, 0)],
    constant_values=1.0,
  )


def _captions(row):
  """Under the target, the condition and the mask."""
  if not row.readable:
    return row.name, UNREADABLE, ''
  return row.name, describe(row.drawn), f'{100 * row.mask.mean():.3g}%'


def _pictures(row):
  """Target, condition and mask as images of three channels."""
  if row.readable:
    return row.target, row.cond, np.repeat(row.mask * 2.0 - 1.0, 3, axis=-1)
  grey = np.full_like(row.target, pipeline.GREY / 127.5 - 1.0)
  return grey, grey, grey


def _cell(picture, scale, column, caption, lines):
  """An image in its frame over its caption, [h, column, 3], on white."""
  height = 0
  if picture is not None:
    shown = images.to_u8(picture).repeat(scale, axis=0).repeat(scale, axis=1)
    frame = [(1, 1), (1, 1), (0, 0)]
    shown = np.pad(shown, frame, constant_values=FRAME)
    height = len(shown) + MARGIN
  canvas = Image.new('RGB', (column, height + lines * LINE), 'white')
  if picture is not None:
    canvas.paste(Image.fromarray(shown), (0, 0))
  pen = ImageDraw.Draw(canvas)
  for i, line in enumerate(caption):
    pen.text((0, height + i * LINE), line, 'black', _font())
  return images.from_u8(np.asarray(canvas))


def _font():
  return ImageFont.load_default(LETTERS)


def _wrap(text, width):
  """Lines that fit; of a word that is too long, its end is shown."""
  # The font that Pillow brings along has no other letters.
  text = text.encode('ascii', 'replace').decode()
  fits = lambda line: _font().getlength(line) <= width  # noqa: E731
  lines = ['']
  for word in text.split(' '):
    if not fits(word):
      while not fits(f'...{word}'):
        word = word[1:]
      word = f'...{word}'
    joined = f'{lines[-1]} {word}'.strip()
    if fits(joined):
      lines[-1] = joined
    else:
      lines.append(word)
  return lines
