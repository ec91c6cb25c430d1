"""What a browser can ask for: the page, the trial that is due, its pictures.

Nothing that leaves here tells an original from an output but its pixels: both
are encoded alike, and their addresses are random, a rater's own, and dead when
the pair has been shown. So a page that is loaded anew gets no second look.

  GET  /               the page, and its style and program
  GET  /trial          the trial at which this rater is, by the cookie
  POST /begin          makes a rater, unless there is one who has not finished
  GET  /image/TOKEN    one side of the trial that is due, until it is shown
  POST /shown          {trial, page}: it is about to be on the screen
  POST /answer         {trial, left, milliseconds}

Next: palette_jax/evaluation/study/rates.py
"""

import json
import pathlib
import socket
from collections.abc import Mapping

from absl import logging
from etils import epath
from werkzeug import exceptions, routing, serving, wrappers

from palette_jax.evaluation import folders
from palette_jax.evaluation.study import pictures, plan
from palette_jax.evaluation.study import store as stores

_PAGE = pathlib.Path(__file__).parent / 'page'
_FILES = {
  '': ('index.html', 'text/html; charset=utf-8'),
  'study.css': ('study.css', 'text/css; charset=utf-8'),
  'study.js': ('study.js', 'text/javascript; charset=utf-8'),
}
_COOKIE = 'palette-rater'
_HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src "
  "'self'; connect-src 'self'; img-src 'self' blob: data:; base-uri 'none'; "
  "form-action 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
}
_DAY = 86_400_000  # milliseconds


class _Request(wrappers.Request):
  max_content_length = 2048


class Application:
  """The study as a WSGI application; any number of threads may call it."""

  def __init__(
    self,
    study: plan.Study,
    store: stores.Store,
    files: Mapping[tuple[str, str | None], epath.PathLike],
  ):
    """Takes what it serves.

    Args:
      study: for all raters.
      store: of answers.
      files: (image, model) -> its output; (image, None) -> the original.
    """
    self._study, self._store, self._files = study, store, files
    self._pages = {
      name: ((_PAGE / file).read_bytes(), kind)
      for name, (file, kind) in _FILES.items()
    }
    self._map = routing.Map(
      [
        *(
          routing.Rule(
            f'/{name}',
            endpoint=self._page,
            defaults={'name': name},
            methods=['GET'],
          )
          for name in _FILES
        ),
        routing.Rule('/trial', endpoint=self._trial, methods=['GET']),
        routing.Rule('/image/<token>', endpoint=self._image, methods=['GET']),
        routing.Rule('/begin', endpoint=self._begin, methods=['POST']),
        routing.Rule('/shown', endpoint=self._shown, methods=['POST']),
        routing.Rule('/answer', endpoint=self._answer, methods=['POST']),
      ],
      redirect_defaults=False,
    )

  @_Request.application
  def __call__(self, request: _Request) -> wrappers.Response:
    """Answers one request."""
    try:
      endpoint, values = self._map.bind_to_environ(request.environ).match()
      response = endpoint(request, **values)
    except routing.RequestRedirect:
      response = _json({'error': 'There is nothing here.'}, 404)
    except exceptions.HTTPException as error:
      response = _json({'error': error.description}, error.code)
    except stores.Refused as error:
      response = _json({'error': str(error)}, 409 if error.known else 404)
    except Exception:  # the page asks again; whoever runs this has to know why
      logging.exception('A request failed.')
      response = _json({'error': 'The server failed; try again.'}, 500)
    response.headers.extend(_HEADERS)
    return response

  def close(self) -> None:
    """Lets go of the answers file."""
    self._store.close()

  def _page(self, request, name):
    content, kind = self._pages[name]
    return wrappers.Response(content, content_type=kind)

  def _rater(self, request):
    return request.cookies.get(_COOKIE, '')

  def _trial(self, request):
    return _json(self._state(self._rater(request)))

  def _state(self, rater):
    """What the page has to know, and nothing else."""
    study = self._study
    common = {
      'seconds': study.seconds,
      'of': study.trials + plan.CATCHES,
    }
    try:
      current = self._store.current(rater)
    except stores.Refused:
      return {'state': 'new', **common}
    if current is None:
      return {'state': 'done', **common}
    due = {'state': 'trial', **common, 'number': current.number + 1}
    due.update(trial=current.token, shown=current.shown)
    if not current.shown:
      due.update(left=f'image/{current.left}', right=f'image/{current.right}')
    return due

  def _image(self, request, token):
    current = self._store.current(self._rater(request))
    if current is None or current.shown:
      raise stores.Refused('This picture has been shown.', known=False)
    if token not in (current.left, current.right):
      raise stores.Refused('There is no such picture.', known=False)
    if (token == current.left) != current.fake_left:
      image = self._pixels(current.image, None)
    elif current.model is None:
      image = pictures.spoil(self._pixels(current.image, None))
    else:
      image = self._pixels(current.image, current.model)
    return wrappers.Response(pictures.png(image), content_type='image/png')

  def _pixels(self, image, model):
    return folders.read(str(self._files[image, model]))

  def _begin(self, request):
    request.get_json()  # no form of another site can send this type
    rater = self._rater(request)
    state = self._state(rater)
    if state['state'] != 'trial':
      rater = self._store.begin()
      logging.info('Somebody began.')
      state = self._state(rater)
    response = _json(state)
    response.set_cookie(
      _COOKIE, rater, max_age=30 * 86_400, httponly=True, samesite='Strict'
    )
    return response

  def _shown(self, request):
    trial, page = _fields(request, trial=str, page=str)
    self._store.show(self._rater(request), trial, page)
    return _json({})

  def _answer(self, request):
    trial, left, milliseconds = _fields(
      request, trial=str, left=bool, milliseconds=int | None
    )
    if milliseconds is not None and not 0 <= milliseconds <= _DAY:
      milliseconds = None  # a clock that was set, or a made-up number
    rater = self._rater(request)
    self._store.answer(rater, trial, left, milliseconds)
    state = self._state(rater)
    if state['state'] == 'done':
      logging.info('Somebody finished.')
    return _json(state)


def _fields(request, **kinds):
  """Values of a JSON object that has just these."""
  sent = request.get_json()
  if not isinstance(sent, dict) or set(sent) != set(kinds):
    raise exceptions.BadRequest(f'Expected the fields {", ".join(kinds)}.')
  for name, kind in kinds.items():
    exact = isinstance(sent[name], bool) == (kind is bool)
    if not exact or not isinstance(sent[name], kind):
      raise exceptions.BadRequest(f'{name} is of another type.')
  return [sent[name] for name in kinds]


def _json(content, status=200):
  return wrappers.Response(
    json.dumps(content), status, content_type='application/json'
  )


class _Handler(serving.WSGIRequestHandler):
  timeout = 60  # seconds; who says nothing for longer holds no thread

  def log_request(self, code='-', size='-'):
    """Says nothing: no addresses of raters, here or in a log."""

  def version_string(self):
    return 'palette'


def listen(
  application: Application, host: str, port: int
) -> serving.BaseWSGIServer:
  """Takes the port; `serve_forever` of what it returns starts to answer.

  Raises:
    ValueError: if it cannot be had.
  """
  # Not left to Werkzeug, which ends the process if it cannot be had.
  family = serving.select_address_family(host, port)
  with socket.socket(family, socket.SOCK_STREAM) as taken:
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      taken.bind(serving.get_sockaddr(host, port, family))
      taken.listen(128)
    except (OSError, OverflowError) as error:
      raise ValueError(
        f'{host}, port {port}, cannot be served: {error}. Name another --host '
        'or --port.'
      ) from error
    return serving.make_server(
      host,
      port,
      application,
      threaded=True,
      request_handler=_Handler,
      fd=taken.fileno(),
    )


def address(listening: serving.BaseWSGIServer) -> str:
  """Where a browser finds the study; on another device, if it may."""
  host = listening.host
  if host in ('0.0.0.0', '::'):
    host = serving.get_interface_ip(listening.address_family)
  return f'http://{f"[{host}]" if ":" in host else host}:{listening.port}/'
