"""What a browser can ask the demo for.

  GET  /                    the page, and its style and programs
  GET  /about               tasks, limits, examples
  GET  /example/NAME        one of them, small
  POST /example/NAME        takes it, as if it were uploaded
  POST /photo?name=NAME     a file: takes it as a photo
  GET  /photo/ID/view       what it looks like; /file: the file itself
  POST /photo/ID/jpeg       {quality}: the same as a bad JPEG, another photo
  POST /photo/ID/mask       a file: takes it as the photo's mask; without one,
                            the photo's transparent part is meant
  GET  /mask/ID/view        white where it paints; /file: to be saved
  POST /job                 {task, photo, mask, sides, ...}: asks for a sampling
  GET  /job/ID              how far it is
  POST /job/ID/stop         ends it
  GET  /job/ID/before       what the model was given
  GET  /job/ID/NUMBER/view  what it made; /file: in full, with its recipe

Photos stay in memory, results in a folder that only this user may open; both
go after two hours, and when the server ends. No path is ever made of what a
browser sends: all names are random and looked up.

Next: palette_jax/restoration/demo/command.py
"""

import functools
import io
import pathlib
import posixpath
import shutil
import tempfile
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

from PIL import Image
from werkzeug import exceptions, utils, wrappers

from palette_jax import console, web
from palette_jax.restoration import hole
from palette_jax.restoration import photo as photos
from palette_jax.restoration.demo import pictures, shelf
from palette_jax.restoration.demo import queue as queues

MOST_BYTES = 64 * 2**20  # of a file
MOST_PIXELS = 25_000_000  # of a photo, and of what is made of it
MOST_SAMPLES = 4
MOST_STEPS = 2000
SAMPLERS = ('ancestral', 'ddim', 'dpm_solver')  # that any model can use
_SECONDS = 2 * 3600  # after which what nobody uses is forgotten
_PHOTOS, _MASKS, _JOBS = 64, 64, 64  # that are kept
_MEMORY = 2**30  # bytes of all photos
_PAGE = pathlib.Path(__file__).parent / 'page'
_DONE = {
  'colorization': 'colorized',
  'inpainting': 'inpainted',
  'uncropping': 'uncropped',
  'jpeg': 'restored',
}


class _Kept(NamedTuple):
  photo: photos.Photo
  encoded: bytes
  view: bytes


class _Ordered(NamedTuple):
  job: queues.Job
  folder: pathlib.Path
  names: list[str]  # of the results, for whoever saves them


class Application(web.Application):
  """The demo as a WSGI application; any number of threads may call it."""

  def __init__(self, model: Any, names: Iterable[str] = ()):
    """Starts the queue.

    Args:
      model: what `palette_jax.load` returns; one thread uses it.
      names: by which this server is called, beside `localhost`.
    """
    self._model, self._names = model, set(names)
    self._examples = pictures.examples()
    self._folder = pathlib.Path(tempfile.mkdtemp(prefix='palette-demo-'))
    self._decoding = threading.Lock()  # one large photo in the air at a time
    self._queue = queues.Queue()
    self._photos = shelf.Shelf(_PHOTOS, _SECONDS, most_bytes=_MEMORY)
    self._masks = shelf.Shelf(_MASKS, _SECONDS)
    self._jobs = shelf.Shelf(_JOBS, _SECONDS, self._discard)
    super().__init__(
      _PAGE,
      [
        web.rule('GET', '/about', self._about),
        web.rule('GET', '/example/<name>', self._thumbnail),
        web.rule('POST', '/example/<name>', self._take_example),
        web.rule('POST', '/photo', self._take_photo),
        web.rule('GET', '/photo/<name>/view', self._photo_view),
        web.rule('GET', '/photo/<name>/file', self._photo_file),
        web.rule('POST', '/photo/<name>/jpeg', self._worsen),
        web.rule('POST', '/photo/<name>/mask', self._take_mask),
        web.rule('GET', '/mask/<name>/view', self._mask_view),
        web.rule('GET', '/mask/<name>/file', self._mask_file),
        web.rule('POST', '/job', self._begin),
        web.rule('GET', '/job/<name>', self._look),
        web.rule('POST', '/job/<name>/stop', self._stop),
        web.rule('GET', '/job/<name>/before', self._before),
        web.rule('GET', '/job/<name>/<int:number>/view', self._result_view),
        web.rule('GET', '/job/<name>/<int:number>/file', self._result_file),
      ],
    )

  def check(self, request: web.Request) -> None:
    """Whoever can read this page may use it, and no other page."""
    web.check_origin(request, self._names)

  def refusal(self, error: Exception) -> wrappers.Response | None:
    """Whatever a person can do something about."""
    if isinstance(error, shelf.Gone):
      text = 'This has been forgotten meanwhile: choose the photo again.'
      return web.answer({'error': text}, 404)
    if isinstance(error, queues.Full):
      text = 'Too many are waiting already; try again in a while.'
      return web.answer({'error': text}, 503)
    if isinstance(error, ValueError) and console.is_for_the_user(error):
      status = 413 if isinstance(error, photos.TooLarge) else 400
      return web.answer({'error': _as_on_the_page(str(error))}, status)
    return None

  def close(self) -> None:
    """Ends the sampling after the pass under way, and forgets everything."""
    self._queue.close()
    for kept in (self._photos, self._masks, self._jobs):
      kept.clear()
    shutil.rmtree(self._folder, ignore_errors=True)

  def _about(self, request):
    model = self._model
    return web.answer(
      {
        'tasks': [
          {'name': task, 'experimental': task in model.experimental}
          for task in model.tasks
          if task in _DONE
        ],
        'bytes': MOST_BYTES,
        'examples': [
          {'id': name, 'name': e.name, 'author': e.author, 'licence': e.licence}
          for name, e in self._examples.items()
        ],
      }
    )

  # Photos and masks.

  def _thumbnail(self, request, name):
    small = pictures.thumbnail(self._example(name).encoded)
    return wrappers.Response(small, content_type='image/jpeg')

  def _take_example(self, request, name):
    return self._keep(self._example(name).encoded, name)

  def _example(self, name):
    if name not in self._examples:
      raise exceptions.NotFound('There is no such example.')
    return self._examples[name]

  def _take_photo(self, request):
    return self._keep(_body(request), _file_name(request))

  def _keep(self, encoded, name):
    with self._decoding:
      photo = photos.decode(encoded, name, MOST_PIXELS)
      kept = _Kept(photo, encoded, pictures.view(photo))
    height, width = photo.levels.shape[:2]
    size = photo.levels.nbytes + len(encoded) + len(kept.view)
    clear = photo.alpha is not None and photo.alpha.min() == 0
    return web.answer(
      {
        'id': self._photos.put(kept, size),
        'name': name,
        'width': width,
        'height': height,
        'notes': photo.notes,
        'erased': bool(clear and photo.alpha.max() > 0),
      }
    )

  def _photo_view(self, request, name):
    return _png(self._photos.get(name).view)

  def _photo_file(self, request, name):
    kept = self._photos.get(name)
    return _attachment(request, io.BytesIO(kept.encoded), kept.photo.source)

  def _worsen(self, request, name):
    (quality,) = web.fields(request, quality=int)
    _check_range('The quality', quality, 1, 95)
    photo = self._photos.get(name).photo
    with self._decoding:
      encoded = pictures.worsened(photo, quality)
    return self._keep(encoded, f'{_stem(photo.source)}-q{quality}.jpg')

  def _take_mask(self, request, name):
    photo = self._photos.get(name).photo
    invert = request.args.get('invert') == '1'
    encoded = _body(request)
    if encoded:
      with self._decoding:
        drawn = photos.decode(encoded, _file_name(request), MOST_PIXELS)
        found = hole.detect(drawn, *photo.levels.shape[:2], invert)
    else:
      found = hole.erased(photo, invert)
    mask = pictures.mask_png(found.mask), f'{_stem(photo.source)}-mask.png'
    said = _as_on_the_page(found.said)
    return web.answer({'id': self._masks.put(mask), 'said': said})

  def _mask_view(self, request, name):
    return _png(self._masks.get(name)[0])

  def _mask_file(self, request, name):
    encoded, file_name = self._masks.get(name)
    return _attachment(request, io.BytesIO(encoded), file_name)

  # Sampling.

  def _begin(self, request):
    task, photo, mask, sides, seed, samples, sampler, steps = web.fields(
      request,
      task=str,
      photo=str,
      mask=str,
      sides=dict,
      seed=int,
      samples=int,
      sampler=str,
      steps=int,
    )
    if task not in self._model.tasks or task not in _DONE:
      raise exceptions.BadRequest('These weights have not learnt this task.')
    _check_range('The seed', seed, 0, 2**32 - 1)
    _check_range('The number of samples', samples, 1, MOST_SAMPLES)
    _check_range('The number of steps (0: as usual)', steps, 0, MOST_STEPS)
    if sampler not in ('', *SAMPLERS):
      raise exceptions.BadRequest(f'Samplers: {", ".join(SAMPLERS)}.')
    kept = self._photos.get(photo)
    more = {}
    if task == 'inpainting':
      more['mask'] = Image.open(io.BytesIO(self._masks.get(mask)[0]))
    if task == 'uncropping':
      more.update(_checked_sides(sides, kept.photo))
    drawing = dict(seed=seed, samples=samples, sampler=sampler, steps=steps)
    folder = pathlib.Path(tempfile.mkdtemp(dir=self._folder))
    make = functools.partial(
      self._make, task, kept.photo, {**more, **drawing}, folder
    )
    try:
      job = self._queue.put(make)
    except queues.Full:
      folder.rmdir()
      raise
    name = f'{_stem(kept.photo.source)}-{_DONE[task]}-{seed}'
    names = [f'{name}-{i + 1}.png' for i in range(samples)]
    names = names if samples > 1 else [f'{name}.png']
    return web.answer({'id': self._jobs.put(_Ordered(job, folder, names))})

  def _make(self, task, photo, options, folder, progress):
    """In the queue's thread: makes and writes; returns how many."""
    model, before = self._model, photo
    method = {
      'colorization': model.colorize,
      'inpainting': model.inpaint,
      'uncropping': model.uncrop,
      'jpeg': model.restore_jpeg,
    }[task]
    several = method(photo, progress=progress, **options)
    if task == 'uncropping':
      sides = ('left', 'right', 'top', 'bottom')
      before, _ = photos.widen(photo, *(options[side] for side in sides))
    view = pictures.view(before, grey=task == 'colorization')
    (folder / 'before').write_bytes(view)
    for i, made in enumerate(several):
      made.save(folder / f'{i}.png')
      (folder / f'{i}.view').write_bytes(pictures.view(made.photo))
    return len(several)

  def _discard(self, ordered):
    self._queue.stop(ordered.job)
    shutil.rmtree(ordered.folder, ignore_errors=True)

  def _look(self, request, name):
    seen = self._queue.look(self._jobs.get(name).job)
    error = _as_on_the_page(seen.error)
    return web.answer(seen._replace(error=error)._asdict())

  def _stop(self, request, name):
    self._queue.stop(self._jobs.get(name).job)
    return web.answer({})

  def _before(self, request, name):
    ordered, _ = self._finished(name, 0)
    return _png((ordered.folder / 'before').read_bytes())

  def _result_view(self, request, name, number):
    ordered, number = self._finished(name, number)
    return _png((ordered.folder / f'{number}.view').read_bytes())

  def _result_file(self, request, name, number):
    ordered, number = self._finished(name, number)
    path = ordered.folder / f'{number}.png'
    return _attachment(request, path.open('rb'), ordered.names[number])

  def _finished(self, name, number):
    ordered = self._jobs.get(name)
    if number >= (self._queue.look(ordered.job).made or 0):
      raise exceptions.NotFound('There is no such picture, or not yet.')
    return ordered, number


def _png(encoded):
  return wrappers.Response(encoded, content_type='image/png')


def _attachment(request, file, name):
  """A file that is saved, never shown: it may be anything."""
  return utils.send_file(
    file,
    request.environ,
    mimetype='application/octet-stream',
    as_attachment=True,
    download_name=name,
  )


def _body(request):
  """The file that was sent, b'' if none was."""
  if request.content_length and request.mimetype != 'application/octet-stream':
    # No form of another site can send this type.
    raise exceptions.UnsupportedMediaType('Send application/octet-stream.')
  request.max_content_length = MOST_BYTES
  try:
    return request.get_data(cache=False)
  except exceptions.RequestEntityTooLarge:
    _drain(request)
    raise exceptions.RequestEntityTooLarge(
      f'This file has {(request.content_length or 0) / 2**20:.0f} MB, of which '
      f'at most {MOST_BYTES // 2**20} are accepted: make it smaller first.'
    ) from None


def _drain(request):
  """Lets a browser finish sending: it would not hear an answer before."""
  left = min(request.content_length or 0, 8 * MOST_BYTES)
  while left > 0:
    part = request.environ['wsgi.input'].read(min(left, 2**20))
    if not part:
      return
    left -= len(part)


def _file_name(request):
  """What the file was called, as a name that may be shown and saved."""
  name = request.args.get('name', '').replace('\\', '/')
  name = ''.join(c for c in posixpath.basename(name) if c.isprintable())
  return name[-100:].strip() or 'photo'


def _stem(name):
  return posixpath.splitext(name)[0] or 'photo'


def _check_range(what, number, least, most):
  if not least <= number <= most:
    raise exceptions.BadRequest(f'{what} is {least} to {most}, not {number}.')


def _checked_sides(sides, photo):
  """Pixels by side.

  Raises:
    exceptions.HTTPException: if they are none, or too many.
  """
  names = ('left', 'right', 'top', 'bottom')
  if set(sides) != set(names) or not all(
    type(pixels) is int and pixels >= 0 for pixels in sides.values()
  ):
    raise exceptions.BadRequest('Sides are left, right, top, bottom: pixels.')
  if not any(sides.values()):
    raise exceptions.BadRequest('Drag a side outwards first.')
  height, width = photo.levels.shape[:2]
  height += sides['top'] + sides['bottom']
  width += sides['left'] + sides['right']
  if height * width > MOST_PIXELS:
    raise exceptions.RequestEntityTooLarge(
      f'{width} x {height} pixels are more than {MOST_PIXELS / 1e6:g} million: '
      'drag less far.'
    )
  return sides


def _as_on_the_page(message):
  """A sentence of the commands, whose options are boxes on the page."""
  for option, box in (
    ('leave out --invert', 'untick "Inverted"'),
    ('give --invert', 'tick "Inverted"'),
    ('give --mask, a picture', 'paint, or open a picture'),
  ):
    message = message.replace(option, box)
  return message
