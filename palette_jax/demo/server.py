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
"""

import pathlib
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

from werkzeug import exceptions, wrappers

from palette_jax import console, web
from palette_jax.demo import previews, requests, shelf
from palette_jax.demo import queue as queues
from palette_jax.photo import hole, quantization, reader
from palette_jax.photo import photo as photos

MOST_BYTES = 64 * 2**20  # of a file
MOST_PIXELS = 25_000_000  # of a photo, and of what is made of it
_PHOTOS, _MASKS = 64, 64  # that are kept
_MEMORY = 2**30  # bytes of all photos
_SWEEP = 60.0  # seconds between looks for what is to be forgotten
_PAGE = pathlib.Path(__file__).parent / 'page'


class _Kept(NamedTuple):
  photo: photos.Photo
  encoded: bytes
  view: bytes


class Application(web.Application):
  """The demo as a WSGI application; any number of threads may call it."""

  def __init__(self, model: Any, names: Iterable[str] = ()):
    """Starts the queue.

    Args:
      model: what `palette_jax.load` returns; one thread uses it.
      names: by which this server is called, beside `localhost`.
    """
    self._model, self._names = model, set(names)
    self._examples = previews.examples()
    self._decoding = threading.Lock()  # one large photo in the air at a time
    self._photos = shelf.Shelf(_PHOTOS, shelf.SECONDS, most_bytes=_MEMORY)
    self._masks = shelf.Shelf(_MASKS, shelf.SECONDS)
    self._orders = requests.Orders(model, MOST_PIXELS)
    self._closed = threading.Event()
    threading.Thread(target=self._forget, daemon=True).start()
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
    self._closed.set()
    self._orders.close()
    self._photos.clear()
    self._masks.clear()

  def _forget(self):
    """In a thread of its own: nobody may ask for anything any more."""
    while not self._closed.wait(_SWEEP):
      for kept in (self._photos, self._masks, self._orders):
        kept.sweep()

  def _about(self, request):
    model = self._model
    return web.answer(
      {
        'tasks': [
          {'name': task, 'experimental': task in model.experimental}
          for task in self._orders.tasks
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
    small = previews.thumbnail(self._example(name).encoded)
    return wrappers.Response(small, content_type='image/jpeg')

  def _take_example(self, request, name):
    return self._keep(self._example(name).encoded, name)

  def _example(self, name):
    if name not in self._examples:
      raise exceptions.NotFound('There is no such example.')
    return self._examples[name]

  def _take_photo(self, request):
    return self._keep(web.body(request, MOST_BYTES), web.file_name(request))

  def _keep(self, encoded, name):
    with self._decoding:
      photo = reader.decode(encoded, name, MOST_PIXELS)._replace(source=name)
      kept = _Kept(photo, encoded, previews.view(photo))
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
        'fine': quantization.too_fine(photo.quality, self._model.jpeg_quality),
        'erased': bool(clear and photo.alpha.max() > 0),
      }
    )

  def _photo_view(self, request, name):
    return _png(self._photos.get(name).view)

  def _photo_file(self, request, name):
    kept = self._photos.get(name)
    return web.attachment(request, kept.encoded, kept.photo.source)

  def _worsen(self, request, name):
    (quality,) = web.fields(request, quality=int)
    if not 1 <= quality <= 95:
      raise exceptions.BadRequest(f'Qualities are 1 to 95, not {quality}.')
    photo = self._photos.get(name).photo
    with self._decoding:
      encoded = previews.worsened(photo, quality)
    return self._keep(encoded, f'{previews.stem(photo)}-q{quality}.jpg')

  def _take_mask(self, request, name):
    photo = self._photos.get(name).photo
    invert = request.args.get('invert') == '1'
    encoded = web.body(request, MOST_BYTES)
    if encoded:
      with self._decoding:
        name = web.file_name(request)
        drawn = reader.decode(encoded, name, MOST_PIXELS)
        found = hole.from_mask(drawn, name, *photo.levels.shape[:2], invert)
    else:
      found = hole.from_transparency(photo, invert)
    mask = previews.mask_png(found.mask), f'{previews.stem(photo)}-mask.png'
    said = _as_on_the_page(found.description)
    return web.answer({'id': self._masks.put(mask), 'said': said})

  def _mask_view(self, request, name):
    return _png(self._masks.get(name)[0])

  def _mask_file(self, request, name):
    encoded, file_name = self._masks.get(name)
    return web.attachment(request, encoded, file_name)

  # Sampling.

  def _begin(self, request):
    task, photo, mask, sides, *drawing = web.fields(
      request,
      task=str,
      photo=str,
      mask=str,
      sides=dict,
      **requests.Drawing.__annotations__,
    )
    kept = self._photos.get(photo).photo
    drawn = self._masks.get(mask)[0] if task == 'inpainting' else None
    drawing = requests.Drawing(*drawing)
    name = self._orders.put(task, kept, drawn, sides, drawing)
    return web.answer({'id': name})

  def _look(self, request, name):
    seen = self._orders.look(name)
    error = _as_on_the_page(seen.error)
    return web.answer(seen._replace(error=error)._asdict())

  def _stop(self, request, name):
    self._orders.stop(name)
    return web.answer({})

  def _before(self, request, name):
    return _png(self._orders.before(name).read_bytes())

  def _result_view(self, request, name, number):
    return _png(self._orders.view(name, number).read_bytes())

  def _result_file(self, request, name, number):
    path, file_name = self._orders.file(name, number)
    return web.attachment(request, path, file_name)


def _png(encoded):
  return wrappers.Response(encoded, content_type='image/png')


def _as_on_the_page(message):
  """A sentence of the commands, whose options are boxes on the page."""
  for option, box in (
    ('leave out --invert', 'untick "Inverted"'),
    ('give --invert', 'tick "Inverted"'),
    ('give --mask, an image', 'paint, or open an image'),
  ):
    message = message.replace(option, box)
  return message
