"""What is asked of the model, and what came of it: files, for a while.

Results lie in a folder that only this user may open, each order's in one of its
own; it goes with the order.
"""

import functools
import pathlib
import shutil
import tempfile
from typing import Any, NamedTuple

from palette_jax.demo import previews, shelf
from palette_jax.demo import queue as queues
from palette_jax.photo import arguments, reader
from palette_jax.photo import photo as photos

MOST_SAMPLES = 4
MOST_STEPS = 2000
_ORDERS = 64  # that are kept
_DONE = {
  'colorization': 'colorized',
  'inpainting': 'inpainted',
  'uncropping': 'uncropped',
  'jpeg': 'restored',
}


class Drawing(NamedTuple):
  """How to draw.

  Attributes:
    seed: of all chance, 32 bits.
    samples: 1 to MOST_SAMPLES.
    sampler: one of `arguments.SAMPLERS`, '' for the model's own.
    steps: 1 to MOST_STEPS, 0 for the model's own.
  """

  seed: int
  samples: int
  sampler: str
  steps: int


class _Order(NamedTuple):
  job: queues.Job
  folder: pathlib.Path
  names: list[str]  # of the results, for whoever saves them


class Orders:
  """The orders of all pages; any number of threads may use them."""

  def __init__(self, model: Any, most_pixels: int):
    """Starts the queue.

    Args:
      model: what `palette_jax.load` returns; one thread uses it.
      most_pixels: of a result.
    """
    self.tasks = tuple(task for task in model.tasks if task in _DONE)
    self._model, self._most_pixels = model, most_pixels
    self._folder = pathlib.Path(tempfile.mkdtemp(prefix='palette-demo-'))
    self._queue = queues.Queue()
    self._orders = shelf.Shelf(_ORDERS, shelf.SECONDS, self._discard)

  def put(
    self,
    task: str,
    photo: photos.Photo,
    mask: bytes | None,
    sides: dict[str, Any],
    drawing: Drawing,
  ) -> str:
    """Asks for a sampling; returns the order's name.

    Args:
      task: one of `tasks`.
      photo: to be worked on.
      mask: for inpainting, a PNG of the photo's size.
      sides: for uncropping, pixels to add on the left, right, top and bottom.
      drawing: how.

    Raises:
      ValueError: for what cannot be done.
      photo.TooLarge: if the result would have too many pixels.
      queue.Full: if too many wait.
    """
    if task not in self.tasks:
      raise ValueError('These weights have not learnt this task.')
    _check(drawing)
    options = drawing._asdict()
    if task == 'inpainting':
      options['mask'] = reader.decode(mask, 'The mask')
    elif task == 'uncropping':
      self._check_sides(sides, photo)
      options.update(sides)
    folder = pathlib.Path(tempfile.mkdtemp(dir=self._folder))
    make = functools.partial(self._make, task, photo, options, folder)
    try:
      job = self._queue.put(make)
    except queues.Full:
      folder.rmdir()
      raise
    name = f'{previews.stem(photo)}-{_DONE[task]}-{drawing.seed}'
    numbers = range(1, drawing.samples + 1)
    names = [f'{name}-{i}.png' for i in numbers if drawing.samples > 1]
    return self._orders.put(_Order(job, folder, names or [f'{name}.png']))

  def look(self, name: str) -> queues.Seen:
    """How far an order is; `made` is how many results there are.

    Raises:
      shelf.Gone: if there is no such order, as all that follow do.
    """
    return self._queue.look(self._orders.get(name).job)

  def stop(self, name: str) -> None:
    """Ends an order after the pass under way."""
    self._queue.stop(self._orders.get(name).job)

  def before(self, name: str) -> pathlib.Path:
    """A PNG to be shown: what the model was given."""
    return self._finished(name, 0).folder / 'before'

  def view(self, name: str, number: int) -> pathlib.Path:
    """A PNG to be shown: what the model made."""
    return self._finished(name, number).folder / f'{number}.view'

  def file(self, name: str, number: int) -> tuple[pathlib.Path, str]:
    """The PNG to be saved, in full and with its recipe, and its name."""
    order = self._finished(name, number)
    return order.folder / f'{number}.png', order.names[number]

  def sweep(self) -> None:
    """Ends and deletes what is old."""
    self._orders.sweep()

  def close(self) -> None:
    """Ends what is under way after this pass, and deletes all files."""
    try:
      self._queue.close()
    finally:  # also if somebody does not want to wait for it
      self._orders.clear()
      shutil.rmtree(self._folder, ignore_errors=True)

  def _finished(self, name, number):
    order = self._orders.get(name)
    if not 0 <= number < (self._queue.look(order.job).made or 0):
      raise shelf.Gone
    return order

  def _discard(self, order):
    self._queue.stop(order.job)
    shutil.rmtree(order.folder, ignore_errors=True)

  def _make(self, task, photo, options, folder, progress):
    """In the queue's thread: makes and writes; returns how many."""
    method = {
      'colorization': self._model.colorize,
      'inpainting': self._model.inpaint,
      'uncropping': self._model.uncrop,
      'jpeg': self._model.restore_jpeg,
    }[task]
    several = method(photo, progress=progress, **options)
    before = photo
    if task == 'uncropping':
      before, _ = photos.widen(
        photo, *(options[side] for side in arguments.SIDES)
      )
    view = previews.view(before, grey=task == 'colorization')
    (folder / 'before').write_bytes(view)
    for i, made in enumerate(several):
      made.save(folder / f'{i}.png')
      (folder / f'{i}.view').write_bytes(previews.view(made.photo))
    return len(several)

  def _check_sides(self, sides, photo):
    if set(sides) != set(arguments.SIDES) or not all(
      type(pixels) is int and pixels >= 0 for pixels in sides.values()
    ):
      raise ValueError('Sides are left, right, top and bottom, in pixels.')
    if not any(sides.values()):
      raise ValueError('Drag a side outwards first.')
    height, width = photo.levels.shape[:2]
    height += sides['top'] + sides['bottom']
    width += sides['left'] + sides['right']
    if height * width > self._most_pixels:
      raise photos.TooLarge(
        f'{width} x {height} pixels are more than '
        f'{self._most_pixels / 1e6:g} million: drag less far.'
      )


def _check(drawing):
  for what, number, least, most in (
    ('The seed', drawing.seed, 0, 2**32 - 1),
    ('The number of samples', drawing.samples, 1, MOST_SAMPLES),
    ('The number of steps (0: as usual)', drawing.steps, 0, MOST_STEPS),
  ):
    if not least <= number <= most:
      raise ValueError(f'{what} is {least} to {most}, not {number}.')
  if drawing.sampler not in ('', *arguments.SAMPLERS):
    raise ValueError(f'Samplers: {", ".join(arguments.SAMPLERS)}.')
