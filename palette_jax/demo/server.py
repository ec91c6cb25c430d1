"""The demo's server: the page and its endpoints.

  GET  /                       the page, its style and its programs
  GET  /about                  tasks, limits, photos of the gallery
  GET  /gallery/NAME           one of these photos, small
  POST /gallery/NAME           uses it, as if it were uploaded
  POST /photo?name=NAME        a file: uses it as a photo
  GET  /photo/ID/view          its preview; /file: the file itself
  POST /photo/ID/jpeg          {quality}: the same as a bad JPEG, a new photo
  POST /photo/ID/mask          a file: uses it as a mask for the photo; without
                               a file, the transparent part of the photo
  GET  /mask/ID/view           white in the hole; /file: for saving
  POST /job                    {task, photo, mask, sides, ...}: a sampling
  GET  /job/ID                 its status
  POST /job/ID/stop            ends it
  GET  /job/ID/before          what the model was given
  GET  /job/ID/NUMBER/view     a result; /file: in full, with its recipe

Photos stay in memory, results in a folder that only this user may open; both
are deleted after two hours, and when the server ends. No path is ever built
from what a browser sends: IDs are random and looked up.
"""

import hashlib
import pathlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from werkzeug import exceptions, wrappers

from palette_jax import console, web
from palette_jax.demo import gallery, previews, queue, requests, shelf
from palette_jax.demo import model as models
from palette_jax.photo import hole, quantization, reader
from palette_jax.photo import photo as photos

MOST_BYTES = 64 * 2**20  # of a file
MOST_PIXELS = 25_000_000  # of a photo, and of a result
_PHOTOS, _MASKS = 64, 64  # that are kept
_MEMORY = 2**30  # bytes of all photos, and of all masks
_SWEEP = 60.0  # seconds between two sweeps
_PAGE = pathlib.Path(__file__).parent / 'page'


class _Upload(NamedTuple):
  """A photo or a mask, its file, and its preview as a PNG."""

  photo: photos.Photo
  encoded: bytes
  preview: bytes

  @property
  def size(self) -> int:
    """Bytes in memory."""
    return self.photo.levels.nbytes + len(self.encoded) + len(self.preview)

  @property
  def stem(self) -> str:
    """The name of its file without a suffix."""
    return pathlib.PurePosixPath(self.photo.source).stem or 'photo'


class Application(web.Application):
  """The demo as a WSGI application; any number of threads may call it."""

  def __init__(
    self,
    model: models.Model,
    names: Iterable[str] = (),
    clock: Callable[[], float] = time.monotonic,
  ) -> None:
    """Creates a folder for results, and a thread that deletes old items.

    Args:
      model: used by one thread.
      names: host names of this server, besides `localhost`.
      clock: returns seconds; never goes back.
    """
    self._model, self._names = model, set(names)
    self._gallery = gallery.load()
    self._decoding = threading.Lock()  # one large photo at a time
    self._photos: shelf.Shelf[_Upload] = shelf.Shelf(
      _PHOTOS, most_bytes=_MEMORY, clock=clock
    )
    self._masks: shelf.Shelf[_Upload] = shelf.Shelf(
      _MASKS, most_bytes=_MEMORY, clock=clock
    )
    self._requests = requests.Requests(model, MOST_PIXELS, clock)
    self._closed = threading.Event()
    threading.Thread(target=self._sweep, daemon=True).start()
    super().__init__(
      _PAGE,
      [
        web.rule('GET', '/about', self._about),
        web.rule('GET', '/gallery/<name>', self._thumbnail),
        web.rule('POST', '/gallery/<name>', self._use_gallery_photo),
        web.rule('POST', '/photo', self._upload_photo),
        web.rule('GET', '/photo/<name>/view', self._view_photo),
        web.rule('GET', '/photo/<name>/file', self._save_photo),
        web.rule('POST', '/photo/<name>/jpeg', self._compress),
        web.rule('POST', '/photo/<name>/mask', self._upload_mask),
        web.rule('GET', '/mask/<name>/view', self._view_mask),
        web.rule('GET', '/mask/<name>/file', self._save_mask),
        web.rule('POST', '/job', self._begin),
        web.rule('GET', '/job/<name>', self._status),
        web.rule('POST', '/job/<name>/stop', self._stop),
        web.rule('GET', '/job/<name>/before', self._view_before),
        web.rule('GET', '/job/<name>/<int:number>/view', self._view_result),
        web.rule('GET', '/job/<name>/<int:number>/file', self._save_result),
      ],
    )

  def check(self, request: web.Request) -> None:
    """Refuses requests that another page has made a browser send."""
    web.check_origin(request, self._names)

  def refusal(self, error: Exception) -> wrappers.Response | None:
    """Turns user errors into HTTP responses."""
    if isinstance(error, shelf.Gone):
      text = 'The server no longer has this: choose the photo again.'
      return web.answer({'error': text}, 404)
    if isinstance(error, queue.Full):
      text = 'Too many people are waiting; try again in a while.'
      return web.answer({'error': text}, 503)
    if isinstance(error, ValueError) and console.is_for_the_user(error):
      status = 413 if isinstance(error, photos.TooLarge) else 400
      return web.answer({'error': _for_the_page(str(error))}, status)
    return None

  def close(self) -> None:
    """Ends all samplings after the current pass, and forgets everything."""
    self._closed.set()
    self._requests.close()
    self.forget()

  def forget(self) -> None:
    """Deletes all photos and results."""
    for store in (self._photos, self._masks, self._requests):
      store.clear()

  def _sweep(self) -> None:
    """Deletes old items, even if no request ever comes again."""
    while not self._closed.wait(_SWEEP):
      for store in (self._photos, self._masks, self._requests):
        store.sweep()

  def _about(self, request: web.Request) -> wrappers.Response:
    return web.answer(
      {
        'tasks': [
          {
            'name': name,
            'label': verb.task.label,
            'description': verb.description,
            'has_mask': verb.has_mask,
            'experimental': name in self._model.experimental,
          }
          for name, verb in self._requests.verbs.items()
        ],
        'bytes': MOST_BYTES,
        'gallery': [
          {
            'id': name,
            'title': photo.title,
            'author': photo.author,
            'licence': photo.licence,
          }
          for name, photo in self._gallery.items()
        ],
      }
    )

  # Photos and masks.

  def _thumbnail(self, request: web.Request, name: str) -> wrappers.Response:
    small = self._gallery_photo(name).thumbnail()
    return wrappers.Response(small, content_type='image/jpeg')

  def _use_gallery_photo(
    self, request: web.Request, name: str
  ) -> wrappers.Response:
    return self._keep_photo(self._gallery_photo(name).encoded, name)

  def _gallery_photo(self, name: str) -> gallery.GalleryPhoto:
    if name not in self._gallery:
      raise exceptions.NotFound('The gallery has no such photo.')
    return self._gallery[name]

  def _upload_photo(self, request: web.Request) -> wrappers.Response:
    encoded = web.body(request, MOST_BYTES)
    return self._keep_photo(encoded, web.file_name(request))

  def _keep_photo(self, encoded: bytes, name: str) -> wrappers.Response:
    with self._decoding:
      photo = reader.decode(encoded, name, MOST_PIXELS)._replace(source=name)
      upload = _Upload(photo, encoded, previews.photo_png(photo))
    height, width = photo.levels.shape[:2]
    return web.answer(
      {
        'id': self._photos.put(upload, upload.size),
        'name': name,
        'width': width,
        'height': height,
        'notes': photo.notes,
        'fine': quantization.too_fine(photo.quality, self._model.jpeg_quality),
        'erased': _is_partly_transparent(photo),
      }
    )

  def _view_photo(self, request: web.Request, name: str) -> wrappers.Response:
    return _png(self._photos.get(name).preview)

  def _save_photo(self, request: web.Request, name: str) -> wrappers.Response:
    upload = self._photos.get(name)
    return web.attachment(request, upload.encoded, upload.photo.source)

  def _compress(self, request: web.Request, name: str) -> wrappers.Response:
    (quality,) = web.fields(request, quality=int)
    if not 1 <= quality <= 95:
      raise exceptions.BadRequest(f'quality must be 1 to 95; got {quality}.')
    upload = self._photos.get(name)
    with self._decoding:
      encoded = previews.jpeg(upload.photo, quality)
    return self._keep_photo(encoded, f'{upload.stem}-q{quality}.jpg')

  def _upload_mask(self, request: web.Request, name: str) -> wrappers.Response:
    upload = self._photos.get(name)
    invert = request.args.get('invert') == '1'
    encoded = web.body(request, MOST_BYTES)
    if encoded:
      mask_name = web.file_name(request)
      with self._decoding:
        mask = reader.decode(encoded, mask_name, MOST_PIXELS)
        shape = upload.photo.levels.shape[:2]
        detected = hole.from_mask(mask, mask_name, *shape, invert)
    else:
      detected = hole.from_transparency(upload.photo, invert)
    mask_upload = _as_upload(detected, f'{upload.stem}-mask.png')
    return web.answer(
      {
        'id': self._masks.put(mask_upload, mask_upload.size),
        'description': _for_the_page(detected.description),
      }
    )

  def _view_mask(self, request: web.Request, name: str) -> wrappers.Response:
    return _png(self._masks.get(name).preview)

  def _save_mask(self, request: web.Request, name: str) -> wrappers.Response:
    mask = self._masks.get(name)
    return web.attachment(request, mask.encoded, mask.photo.source)

  # Samplings.

  def _begin(self, request: web.Request) -> wrappers.Response:
    task, photo_name, mask_name, sides, *sampling = web.fields(
      request,
      task=str,
      photo=str,
      mask=str,
      sides=dict,
      **requests.Sampling.__annotations__,
    )
    photo = self._photos.get(photo_name).photo
    verb = self._requests.verbs.get(task)
    mask = None
    if verb is not None and verb.has_mask:
      mask = self._masks.get(mask_name).photo
    name = self._requests.add(
      task, photo, mask, sides, requests.Sampling(*sampling)
    )
    return web.answer({'id': name})

  def _status(self, request: web.Request, name: str) -> wrappers.Response:
    status = self._requests.status(name)
    error = _for_the_page(status.error)
    return web.answer(status._replace(error=error)._asdict())

  def _stop(self, request: web.Request, name: str) -> wrappers.Response:
    self._requests.stop(name)
    return web.answer({})

  def _view_before(self, request: web.Request, name: str) -> wrappers.Response:
    return _png(self._requests.before(name).read_bytes())

  def _view_result(
    self, request: web.Request, name: str, number: int
  ) -> wrappers.Response:
    return _png(self._requests.preview(name, number).read_bytes())

  def _save_result(
    self, request: web.Request, name: str, number: int
  ) -> wrappers.Response:
    path, file_name = self._requests.file(name, number)
    return web.attachment(request, path, file_name)


def _is_partly_transparent(photo: photos.Photo) -> bool:
  alpha = photo.alpha
  return alpha is not None and bool(alpha.min() == 0 < alpha.max())


def _as_upload(detected: hole.Hole, name: str) -> _Upload:
  """Returns a hole as a mask file, and as the photo that it decodes to."""
  encoded = previews.mask_png(detected.mask)
  photo = photos.Photo(
    levels=(detected.mask > 0.5).astype(np.uint8) * 255,
    source=name,
    sha256=hashlib.sha256(encoded).hexdigest(),
  )
  return _Upload(photo, encoded, encoded)


def _png(encoded: bytes) -> wrappers.Response:
  return wrappers.Response(encoded, content_type='image/png')


def _for_the_page(message: str) -> str:
  """Replaces command-line options in a message by controls of the page."""
  for option, control in (
    ('leave out --invert', 'untick "Inverted"'),
    ('give --invert', 'tick "Inverted"'),
    ('give --mask, an image', 'paint, or open an image'),
  ):
    message = message.replace(option, control)
  return message
