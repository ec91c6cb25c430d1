"""Pages that a browser may ask for: what `palette study` and `demo` share.

A page is a folder of plain HTML, CSS and JavaScript, read once; no other file
can be asked for. It loads nothing from elsewhere, and may not: the headers say
so. Whatever goes wrong is one sentence in JSON.
"""

import io
import ipaddress
import json
import pathlib
import posixpath
import socket
from collections.abc import Callable, Iterable
from typing import Any

from absl import logging
from werkzeug import exceptions, routing, serving, utils, wrappers

_KINDS = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
}
_HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src "
  "'self'; connect-src 'self'; img-src 'self' blob: data:; base-uri 'none'; "
  "form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
}
_STYLE = pathlib.Path(__file__).with_suffix('.css')  # of all pages
_SMALL = 4096  # bytes, of a request unless its endpoint says otherwise


class Request(wrappers.Request):
  """What a browser asks; its body is small unless an endpoint allows more."""

  max_content_length = _SMALL


class Application:
  """A page and what it asks for (WSGI); any number of threads may call it."""

  def __init__(self, page: pathlib.Path, rules: Iterable[routing.Rule]):
    """Reads the page.

    Args:
      page: the folder of its files; `index.html` is what `/` shows, and
        `web.css` is there without being in it.
      rules: of all else, whose endpoints are functions: request, values of the
        path -> response.
    """
    pages = [
      self._page_rule(path) for path in [_STYLE, *sorted(page.iterdir())]
    ]
    self._map = routing.Map([*pages, *rules], redirect_defaults=False)

  def _page_rule(self, path):
    name = '' if path.name == 'index.html' else path.name
    content, kind = path.read_bytes(), _KINDS[path.suffix]

    def page(request):
      return wrappers.Response(content, content_type=kind)

    return rule('GET', f'/{name}', page)

  def __call__(self, environ: dict, start_response: Callable) -> Iterable:
    """Answers one request."""
    try:
      request = Request(environ)
      self.check(request)
      endpoint, values = self._map.bind_to_environ(environ).match()
      response = endpoint(request, **values)
    except routing.RequestRedirect:
      response = answer({'error': 'There is nothing here.'}, 404)
    except exceptions.HTTPException as error:
      response = answer({'error': error.description}, error.code)
    except Exception as error:
      response = self.refusal(error)
      if response is None:  # whoever runs this has to know why
        logging.exception('A request failed.')
        response = answer({'error': 'The server failed; try again.'}, 500)
    response.headers.extend(_HEADERS)
    return response(environ, start_response)

  def check(self, request: Request) -> None:
    """Raises an HTTPException for what is answered to nobody."""

  def refusal(self, error: Exception) -> wrappers.Response | None:
    """What an error of the endpoints' own tells the page; None: a failure."""


def rule(method: str, path: str, endpoint: Callable) -> routing.Rule:
  """What an application answers to a path, as `/image/<token>`."""
  return routing.Rule(path, endpoint=endpoint, methods=[method])


def answer(content: Any, status: int = 200) -> wrappers.Response:
  """JSON."""
  return wrappers.Response(
    json.dumps(content), status, content_type='application/json'
  )


def fields(request: Request, **kinds: Any) -> list[Any]:
  """Values of the JSON object that was sent, which has just these.

  Args:
    request: with a JSON body, a type that no form of another site can send.
    kinds: name -> type.

  Raises:
    werkzeug.exceptions.HTTPException: if it is anything else.
  """
  sent = request.get_json()
  if not isinstance(sent, dict) or set(sent) != set(kinds):
    raise exceptions.BadRequest(f'Expected the fields {", ".join(kinds)}.')
  for name, kind in kinds.items():
    exact = isinstance(sent[name], bool) == (kind is bool)
    if not exact or not isinstance(sent[name], kind):
      raise exceptions.BadRequest(f'{name} is of another type.')
  return [sent[name] for name in kinds]


def body(request: Request, most: int) -> bytes:
  """The file that was sent, b'' if none was; its type is that of any bytes.

  Args:
    request: its type is one that no form of another site can send.
    most: bytes.

  Raises:
    werkzeug.exceptions.HTTPException: 415 for another type, 413 for too many,
      411 if it does not say how many.
  """
  if 'Transfer-Encoding' in request.headers:
    raise exceptions.LengthRequired('Send a Content-Length.')
  if request.content_length and request.mimetype != 'application/octet-stream':
    raise exceptions.UnsupportedMediaType('Send application/octet-stream.')
  request.max_content_length = most
  try:
    return request.get_data(cache=False)
  except exceptions.RequestEntityTooLarge:
    length = request.content_length
    _drain(request.environ['wsgi.input'], min(length, 8 * most))
    raise exceptions.RequestEntityTooLarge(
      f'This file has {length / 2**20:.1f} MB, of which at most '
      f'{most / 2**20:g} are accepted: make it smaller first.'
    ) from None


def _drain(stream, left):
  """Lets a browser finish sending: it would not hear an answer before."""
  while left > 0:
    part = stream.read(min(left, 2**20))
    if not part:
      return
    left -= len(part)


def file_name(request: Request) -> str:
  """`?name=`, what a file was called, as a name that may be shown and saved."""
  name = request.args.get('name', '').replace('\\', '/')
  name = ''.join(c for c in posixpath.basename(name) if c.isprintable())
  return name[-100:].strip() or 'photo'


def attachment(
  request: Request, file: bytes | pathlib.Path, name: str
) -> wrappers.Response:
  """A file that is saved, never shown: it may be anything."""
  file = io.BytesIO(file) if isinstance(file, bytes) else file.open('rb')
  return utils.send_file(
    file,
    request.environ,
    mimetype='application/octet-stream',
    as_attachment=True,
    download_name=name,
  )


def check_origin(request: Request, names: Iterable[str]) -> None:
  """Refuses what another site has made a browser ask.

  A name of that site may lead here (DNS rebinding), so only numbers, which lead
  nowhere else, and names that are known are answered to. What changes something
  must come from the page itself.

  Args:
    request: any.
    names: by which this server is called, beside `localhost` and all numbers.

  Raises:
    werkzeug.exceptions.HTTPException: 421: another name; 403: another page.
  """
  host = _without_port(request.host)
  if host not in {'localhost', *names} and not _is_number(host):
    raise _Misdirected
  if request.method in ('GET', 'HEAD'):
    return
  origin = request.headers.get('Origin')
  elsewhere = request.headers.get('Sec-Fetch-Site', 'same-origin')
  is_ours = origin is None or origin.partition('://')[2] == request.host
  if not is_ours or elsewhere not in ('same-origin', 'none'):
    raise exceptions.Forbidden('Another page may not ask this.')


def _without_port(host):
  name, _, port = host.rpartition(':')
  is_port = bool(name) and port.isdigit() and (']' in name or ':' not in name)
  return (name if is_port else host).lower()


def _is_number(host):
  try:
    ipaddress.ip_address(host.removeprefix('[').removesuffix(']'))
  except ValueError:
    return False
  return True


class _Misdirected(exceptions.HTTPException):
  code = 421
  description = (
    'This page answers to its address in numbers, or localhost, only: open it '
    'as the terminal says.'
  )


class _Handler(serving.WSGIRequestHandler):
  timeout = 60  # seconds; who says nothing for longer holds no thread

  def log_request(self, code='-', size='-'):
    """Says nothing: no addresses of visitors, here or in a log."""

  def version_string(self):
    return 'palette'


def take(host: str, port: int) -> socket.socket:
  """Takes the port, so that it is known to be free before there is much to do.

  Raises:
    ValueError: if it cannot be had.
  """
  # Not left to Werkzeug, which ends the process if it cannot be had.
  family = serving.select_address_family(host, port)
  taken = socket.socket(family, socket.SOCK_STREAM)
  taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  try:
    taken.bind(serving.get_sockaddr(host, port, family))
    taken.listen(128)
  except (OSError, OverflowError) as error:
    taken.close()
    raise ValueError(
      f'{host}, port {port}, cannot be served: {error}. Name another --host '
      'or --port.'
    ) from error
  return taken


def listen(
  application: Application, taken: socket.socket
) -> serving.BaseWSGIServer:
  """Hands the port over; `serve_forever` of the result starts to answer."""
  host, port = taken.getsockname()[:2]
  with taken:
    return serving.make_server(
      host,
      port,
      application,
      threaded=True,
      request_handler=_Handler,
      fd=taken.fileno(),
    )


def address(listening: serving.BaseWSGIServer) -> str:
  """Where a browser finds the page; on another device, if it may."""
  host = listening.host
  if host in ('0.0.0.0', '::'):
    host = serving.get_interface_ip(listening.address_family)
  return f'http://{f"[{host}]" if ":" in host else host}:{listening.port}/'
