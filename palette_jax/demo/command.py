"""`palette demo`: loads a model once and serves the page until Ctrl-C."""

import contextlib
import signal
import socket

import palette_jax
from palette_jax import web
from palette_jax.demo import server


def run(checkpoint: str, host: str, port: int) -> None:
  """Serves until it is stopped.

  Args:
    checkpoint: the weights, as `palette_jax.load` takes them.
    host: where to listen.
    port: likewise; 0 for any that is free.

  Raises:
    FileNotFoundError: if there are no such weights.
    ValueError: if the port cannot be had, or the weights cannot be used.
  """
  taken = web.take(host, port)
  with taken:
    application = server.Application(palette_jax.load(checkpoint), names(host))
    listening = web.listen(application, taken)
  # As Ctrl-C does: what is in the temporary folder goes.
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  try:
    print(
      f'The page is at {web.address(listening)}\n'
      'Ctrl-C stops; photos and results are forgotten then.',
      flush=True,
    )
    listening.serve_forever()
  except KeyboardInterrupt:
    print('Stopping after this step; Ctrl-C again: at once.', flush=True)
  finally:
    listening.server_close()
    with contextlib.suppress(KeyboardInterrupt):
      application.close()


def names(host: str) -> list[str]:
  """By which a browser may call a server that listens there."""
  if host in ('0.0.0.0', '::'):
    own = socket.gethostname().lower()
    return [own, f'{own}.local', socket.getfqdn().lower()]
  return [host.lower()]
