"""`palette demo`: loads a model once and serves the page until Ctrl-C."""

import os
import signal
import socket

import palette_jax
from palette_jax import web
from palette_jax.demo import server


def run(checkpoint: str, host: str, port: int) -> None:
  """Serves until Ctrl-C.

  Args:
    checkpoint: the weights, as `palette_jax.load` takes them.
    host: the address to listen on.
    port: of that address; 0 for any free one.

  Raises:
    FileNotFoundError: if there are no such weights.
    ValueError: if the port is not free, or the weights cannot be used.
  """
  listener = web.bind(host, port)
  with listener:
    model = palette_jax.load(checkpoint)
    application = server.Application(model, host_names(host))
    http_server = web.serve(application, listener)
  # SIGTERM deletes the temporary folder, too, as Ctrl-C does.
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  print(
    f'The page is at {web.address(http_server)}\n'
    'Ctrl-C stops it and deletes all photos and results.',
    flush=True,
  )
  http_server.serve_forever()  # Werkzeug returns at Ctrl-C
  try:
    print(
      'Stopping after this network pass; press Ctrl-C again to stop at once.',
      flush=True,
    )
    application.close()
  except KeyboardInterrupt:
    application.forget()
    os._exit(0)  # Python would wait for the thread that samples


def host_names(host: str) -> list[str]:
  """Returns the names by which a browser may call a server on that address."""
  if host in ('0.0.0.0', '::'):
    own = socket.gethostname().lower()
    return [own, f'{own}.local', socket.getfqdn().lower()]
  return [host.lower()]
