"""A small web application: the base of `palette study` and `palette demo`.

A page is a folder of plain HTML, CSS and JavaScript, read once; no other file
is served. It loads nothing from other sites, and its headers forbid it to. Each
error is one sentence in JSON.
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

_TYPES = {
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
STYLE = pathlib.Path(__file__).with_suffix('.css')  # shared by all pages
_MOST_BYTES = 4096  # of a request, unless its endpoint allows more

# request, values of the path -> response
Endpoint = Callable[..., wrappers.Response]


class Request(wrappers.Request):
  """A request; its body is small unless its endpoint allows more."""

  max_content_length = _MOST_BYTES


class Application:
  """A page and its endpoints (WSGI); any number of threads may call it."""

  def __init__(self, page: pathlib.Path, rules: Iterable[routing.Rule]) -> None:
    """Reads the page.

    Args:
      page: the folder of its files. `/` shows index.html; `web.css` is served
        although it lies elsewhere.
      rules: for all other paths, made by `rule`.
    """
    pages = [_page_rule(path) for path in [STYLE, *sorted(page.iterdir())]]
    self._map = routing.Map([*pages, *rules], redirect_defaults=False)

  def __call__(
    self, environ: dict[str, Any], start_response: Callable[..., Any]
  ) -> Iterable[bytes]:
    """Answers one request."""
    try:
      request = Request(environ)
      self.check(request)
      endpoint, values = self._map.bind_to_environ(environ).match()
      response = endpoint(request, **values)
    except routing.RequestRedirect:
      response = answer({'error': 'There is nothing at this path.'}, 404)
    except exceptions.HTTPException as error:
      response = answer({'error': error.description}, error.code or 500)
    except Exception as error:
      response = self.refusal(error)
      if response is None:  # for the person who runs the server
        logging.exception('A request failed.')
        response = answer({'error': 'The server failed; try again.'}, 500)
    response.headers.extend(_HEADERS)
    return response(environ, start_response)

  def check(self, request: Request) -> None:
    """Raises an HTTPException for a request that must not be answered."""

  def refusal(self, error: Exception) -> wrappers.Response | None:
    """Turns an endpoint's error into a response; None for a server failure."""

  def close(self) -> None:
    """Releases the application's resources."""


def _page_rule(path: pathlib.Path) -> routing.Rule:
  name = '' if path.name == 'index.html' else path.name
  content, content_type = path.read_bytes(), _TYPES[path.suffix]

  def page(request: Request) -> wrappers.Response:
    return wrappers.Response(content, content_type=content_type)

  return rule('GET', f'/{name}', page)


def rule(method: str, path: str, endpoint: Endpoint) -> routing.Rule:
  """Returns a rule for a path such as `/image/<token>`."""
  return routing.Rule(path, endpoint=endpoint, methods=[method])


def answer(content: Any, status: int = 200) -> wrappers.Response:
  """Returns a response in JSON."""
  return wrappers.Response(
    json.dumps(content), status, content_type='application/json'
  )


def fields(request: Request, **types: Any) -> list[Any]:
  """Returns the values of the JSON object in a request, in the order of types.

  Args:
    request: has a JSON body, a type that no form of another site can send.
    **types: the type of each field; the object must have exactly these.

  Raises:
    werkzeug.exceptions.HTTPException: if the body is anything else.
  """
  content = request.get_json()
  if not isinstance(content, dict) or set(content) != set(types):
    raise exceptions.BadRequest(f'Expected the fields {", ".join(types)}.')
  for name, expected in types.items():
    value = content[name]
    # A bool is an int in Python, but not here.
    fits = isinstance(value, bool) == (expected is bool)
    if not fits or not isinstance(value, expected):
      raise exceptions.BadRequest(f'{name} has the wrong type.')
  return [content[name] for name in types]


def body(request: Request, most_bytes: int) -> bytes:
  """Returns the file in a request, b'' if there is none.

  Args:
    request: of the type application/octet-stream, which no form of another
      site can send.
    most_bytes: of the file.

  Raises:
    werkzeug.exceptions.HTTPException: 415 for another type, 413 for a file
      that is too large, 411 for a request without a length.
  """
  if 'Transfer-Encoding' in request.headers:
    raise exceptions.LengthRequired('Send a Content-Length.')
  if request.content_length and request.mimetype != 'application/octet-stream':
    raise exceptions.UnsupportedMediaType('Send application/octet-stream.')
  request.max_content_length = most_bytes
  try:
    return request.get_data(cache=False)
  except exceptions.RequestEntityTooLarge:
    length = request.content_length or 0
    _drain(request.environ['wsgi.input'].read, min(length, 8 * most_bytes))
    raise exceptions.RequestEntityTooLarge(
      f'This file has {length / 2**20:.1f} MB; at most '
      f'{most_bytes / 2**20:g} MB are accepted: make it smaller first.'
    ) from None


def _drain(read: Callable[[int], bytes], length: int) -> None:
  """Reads the rest of a body: a browser sends all of it before it reads."""
  while length > 0:
    part = read(min(length, 2**20))
    if not part:
      return
    length -= len(part)


def file_name(request: Request) -> str:
  """Returns the file name in `?name=`, safe to be shown and saved."""
  name = request.args.get('name', '').replace('\\', '/')
  name = ''.join(c for c in posixpath.basename(name) if c.isprintable())
  return name[-100:].strip() or 'photo'


def attachment(
  request: Request, file: bytes | pathlib.Path, name: str
) -> wrappers.Response:
  """Returns a response that a browser saves and never shows.

  Args:
    request: the request to answer.
    file: its content or its path; it may hold anything.
    name: under which it is saved.
  """
  opened = io.BytesIO(file) if isinstance(file, bytes) else file.open('rb')
  return utils.send_file(
    opened,
    request.environ,
    mimetype='application/octet-stream',
    as_attachment=True,
    download_name=name,
  )


def check_origin(request: Request, names: Iterable[str]) -> None:
  """Refuses requests that another site has made a browser send.

  A host name of that site may resolve to this server (DNS rebinding). So only
  IP addresses, which resolve to nothing else, and known names are accepted, and
  requests that change something must come from the page itself.

  Args:
    request: the request, of any method.
    names: host names of this server, besides `localhost`.

  Raises:
    werkzeug.exceptions.HTTPException: 421 for another host name, 403 for
      another page.
  """
  host = _without_port(request.host)
  if host not in {'localhost', *names} and not _is_ip_address(host):
    raise _Misdirected
  if request.method in ('GET', 'HEAD'):
    return
  origin = request.headers.get('Origin')
  site = request.headers.get('Sec-Fetch-Site', 'same-origin')
  is_ours = origin is None or origin.partition('://')[2] == request.host
  if not is_ours or site not in ('same-origin', 'none'):
    raise exceptions.Forbidden('Another page must not request this.')


def _without_port(host: str) -> str:
  name, _, port = host.rpartition(':')
  is_port = bool(name) and port.isdigit() and (']' in name or ':' not in name)
  return (name if is_port else host).lower()


def _is_ip_address(host: str) -> bool:
  try:
    ipaddress.ip_address(host.removeprefix('[').removesuffix(']'))
  except ValueError:
    return False
  return True


class _Misdirected(exceptions.HTTPException):
  code = 421
  description = (
    'This page answers only at an IP address or at localhost: open the address '
    'that the terminal shows.'
  )


class _Handler(serving.WSGIRequestHandler):
  timeout = 60  # seconds, after which a silent browser frees its thread

  def log_request(self, code: int | str = '-', size: int | str = '-') -> None:
    """Logs nothing: addresses of visitors stay out of terminals and logs."""

  def version_string(self) -> str:
    return 'palette'


def bind(host: str, port: int) -> socket.socket:
  """Binds a port, so that one that is in use is reported before slow work.

  Raises:
    ValueError: if it cannot be bound.
  """
  # Werkzeug would end the process if the port is in use.
  family = serving.select_address_family(host, port)
  listener = socket.socket(family, socket.SOCK_STREAM)
  listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  try:
    listener.bind(serving.get_sockaddr(host, port, family))
    listener.listen(128)
  except (OSError, OverflowError) as error:
    listener.close()
    raise ValueError(
      f'{host}, port {port}, cannot be served: {error}. Choose another --host '
      'or --port.'
    ) from error
  return listener


def serve(
  application: Application, listener: socket.socket
) -> serving.BaseWSGIServer:
  """Returns a server on a bound port, which it takes over.

  It answers requests from the call of its `serve_forever` on.
  """
  host, port = listener.getsockname()[:2]
  with listener:
    return serving.make_server(
      host,
      port,
      application,
      threaded=True,
      request_handler=_Handler,
      fd=listener.fileno(),
    )


def address(server: serving.BaseWSGIServer) -> str:
  """Returns the URL of the page, which works on other devices if they may."""
  host = server.host
  if host in ('0.0.0.0', '::'):
    family = socket.AddressFamily(server.address_family)
    host = serving.get_interface_ip(family)
  return f'http://{f"[{host}]" if ":" in host else host}:{server.port}/'
