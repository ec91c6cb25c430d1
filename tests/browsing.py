"""Pages in a browser, and servers of `palette` in processes of their own."""

import contextlib
import os
import signal
import subprocess
import sys

from conftest import PATIENCE, ROOT


@contextlib.contextmanager
def pages(chromium, script=''):
  """Yields a function that opens an address on some device.

  Fails at the end if a script failed, or if a page requested anything from
  elsewhere.
  """
  failures = []
  with contextlib.ExitStack() as stack:

    def open_page(address, **device):
      context = stack.enter_context(chromium.new_context(**device))
      context.set_default_timeout(PATIENCE)
      context.add_init_script(script)
      page = context.new_page()
      page.on('pageerror', lambda error: failures.append(str(error)))
      ours = 'blob:', 'data:', address
      page.on(
        'request',
        lambda request: (
          request.url.startswith(ours) or failures.append(request.url)
        ),
      )
      page.goto(address)
      return page

    yield open_page
  assert not failures


PALETTE = '-m', 'palette_jax.cli'


def start_server(*words, **environment):
  """Starts Python with a server; returns its process and its address."""
  # Background jobs of a script ignore Ctrl-C, and so do their children.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  process = subprocess.Popen(
    [sys.executable, *map(str, words)],
    cwd=ROOT,
    env=os.environ | {'PYTHONPATH': str(ROOT)} | environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  lines = []
  for line in process.stdout:
    lines.append(line)
    if ' is at http://' in line:
      return process, line.split()[-1]
  raise AssertionError(''.join(lines))
