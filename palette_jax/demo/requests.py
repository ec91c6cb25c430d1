"""Requests for samplings, and their results as files, for a while.

Results lie in a folder that only this user may open, those of each request in a
folder of its own, which is deleted with it.
"""

import functools
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from palette_jax import tasks
from palette_jax.demo import model as models
from palette_jax.demo import previews, queue, shelf
from palette_jax.photo import limits, verbs
from palette_jax.photo import photo as photos

MOST_SAMPLES = 4
MOST_STEPS = 2000
_MOST_REQUESTS = 64  # that are kept


class Sampling(NamedTuple):
  """The options of a sampling.

  Attributes:
    seed: 32 bits, from which all random numbers follow.
    samples: 1 to MOST_SAMPLES.
    sampler: one of `limits.SAMPLERS`, '' for the model's default.
    steps: 1 to MOST_STEPS, 0 for the sampler's default.
  """

  seed: int
  samples: int
  sampler: str
  steps: int

  def check(self) -> None:
    """Checks all values.

    Raises:
      ValueError: for the first that is out of range.
    """
    for name, value, least, most in (
      ('The seed', self.seed, 0, 2**32 - 1),
      ('The number of samples', self.samples, 1, MOST_SAMPLES),
      ('The number of steps (0: the default)', self.steps, 0, MOST_STEPS),
    ):
      if not least <= value <= most:
        raise ValueError(f'{name} must be {least} to {most}; got {value}.')
    if self.sampler not in ('', *limits.SAMPLERS):
      raise ValueError(
        f'The sampler must be one of {", ".join(limits.SAMPLERS)}; got '
        f'{self.sampler!r}.'
      )


class _Request(NamedTuple):
  """A job, the folder of its results, and the names under which to save them.

  The folder holds `before.png`, and for each result, from 0, `0.png` in full
  and `0-preview.png`.
  """

  job: queue.Job
  folder: pathlib.Path
  names: list[str]


class Requests:
  """The requests of all pages; thread-safe.

  Attributes:
    verbs: what the model can do to photos, by the name of the task.
  """

  def __init__(
    self,
    model: models.Model,
    most_pixels: int,
    clock: Callable[[], float] = time.monotonic,
  ) -> None:
    """Creates the folder; starts nothing.

    Args:
      model: used by one thread.
      most_pixels: of a result.
      clock: returns seconds; never goes back.
    """
    known = verbs.every()
    self.verbs = {
      task.name: known[task.verb]
      for task in tasks.for_photos()
      if task.name in model.tasks
    }
    self._model, self._most_pixels = model, most_pixels
    self._folder = pathlib.Path(tempfile.mkdtemp(prefix='palette-demo-'))
    self._queue = queue.Queue(clock=clock)
    self._requests: shelf.Shelf[_Request] = shelf.Shelf(
      _MOST_REQUESTS, self._discard, clock=clock
    )

  def add(
    self,
    task: str,
    photo: photos.Photo,
    mask: photos.Photo | None,
    sides: Mapping[str, Any],
    sampling: Sampling,
  ) -> str:
    """Requests a sampling; returns the name of the request.

    Args:
      task: one of those in `verbs`.
      photo: the photo to work on.
      mask: of the photo's size, if the verb takes one.
      sides: for uncropping, pixels to add on the left, right, top and bottom.
      sampling: the other options.

    Raises:
      ValueError: if the arguments do not fit.
      photo.TooLarge: if the result would have too many pixels.
      queue.Full: if too many jobs wait.
    """
    if task not in self.verbs:
      raise ValueError('These weights have not learnt this task.')
    sampling.check()
    verb = self.verbs[task]
    options: dict[str, Any] = {}  # complete: the recipe records them
    if verb.has_mask:
      options = {'invert': False}
    elif verb.name == verbs.UNCROP:
      self._check_sides(sides, photo)
      options = dict(sides)
    folder = pathlib.Path(tempfile.mkdtemp(dir=self._folder))
    apply = functools.partial(
      self._model.apply, verb.name, photo, mask, options, **sampling._asdict()
    )
    before = functools.partial(_before, verb, photo, options)
    sample = functools.partial(_sample, apply, before, folder)
    try:
      job = self._queue.put(sample)
    except queue.Full:
      folder.rmdir()
      raise
    names = _file_names(verb, photo, sampling)
    return self._requests.put(_Request(job, folder, names))

  def status(self, name: str) -> queue.Status:
    """Returns the status of a request.

    Raises:
      shelf.Gone: if there is no such request, as all methods below do.
    """
    return self._queue.status(self._requests.get(name).job)

  def stop(self, name: str) -> None:
    """Ends a request after the current network pass."""
    self._queue.stop(self._requests.get(name).job)

  def before(self, name: str) -> pathlib.Path:
    """Returns the file of the preview of the photo that the model was given."""
    return self._finished(name, 0).folder / 'before.png'

  def preview(self, name: str, number: int) -> pathlib.Path:
    """Returns the file of the preview of a result."""
    return self._finished(name, number).folder / f'{number}-preview.png'

  def file(self, name: str, number: int) -> tuple[pathlib.Path, str]:
    """Returns the file of a result, with its recipe, and a name to save it."""
    request = self._finished(name, number)
    return request.folder / f'{number}.png', request.names[number]

  def sweep(self) -> None:
    """Ends and deletes requests whose page has not asked for too long."""
    self._requests.sweep()

  def close(self) -> None:
    """Ends all requests after the current pass."""
    self._queue.close()

  def clear(self) -> None:
    """Ends all requests, and deletes all files."""
    self._requests.clear()
    shutil.rmtree(self._folder, ignore_errors=True)

  def _finished(self, name: str, number: int) -> _Request:
    request = self._requests.get(name)
    if not 0 <= number < (self._queue.status(request.job).results or 0):
      raise shelf.Gone
    return request

  def _discard(self, request: _Request) -> None:
    self._queue.stop(request.job)
    shutil.rmtree(request.folder, ignore_errors=True)

  def _check_sides(self, sides: Mapping[str, Any], photo: photos.Photo) -> None:
    if set(sides) != set(limits.SIDES) or not all(
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
        f'The result would have {width} x {height} pixels, more than '
        f'{self._most_pixels / 1e6:g} million: drag less far.'
      )


def _sample(
  apply: Callable[..., Sequence[models.Result]],
  before: Callable[[], bytes],
  folder: pathlib.Path,
  progress: queue.Progress,
) -> int:
  """Samples and writes all files, in the queue's thread."""
  results = apply(progress=progress)
  (folder / 'before.png').write_bytes(before())
  for i, result in enumerate(results):
    result.save(folder / f'{i}.png')
    preview = previews.photo_png(result.photo)
    (folder / f'{i}-preview.png').write_bytes(preview)
  return len(results)


def _before(
  verb: verbs.Verb, photo: photos.Photo, sides: Mapping[str, int]
) -> bytes:
  """Returns a preview of the photo that the model is given."""
  if verb.name == verbs.UNCROP:
    photo, _ = photos.widen(photo, **sides)
  return previews.photo_png(photo, grey=verb.name == verbs.COLORIZE)


def _file_names(
  verb: verbs.Verb, photo: photos.Photo, sampling: Sampling
) -> list[str]:
  stem = pathlib.PurePosixPath(photo.source).stem or 'photo'
  name = f'{stem}-{verb.task.participle}-{sampling.seed}'
  if sampling.samples == 1:
    return [f'{name}.png']
  return [f'{name}-{i}.png' for i in range(1, sampling.samples + 1)]
