"""One run a workdir: two would overwrite each other's checkpoints.

Where the file system has locks, the operating system keeps one for the process
and drops it when the process dies, whatever kills it. Elsewhere (gs://) process
0 holds a lease: a file that it rewrites every few seconds. Nobody's clock is
trusted: whoever wants the workdir watches that file, and takes it over when it
has not changed for as long as a lease lasts.
"""

import contextlib
import json
import os
import pathlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Protocol

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.experimental import multihost_utils

RENEW = 10.0  # seconds between two writes of a lease
EXPIRE = 60.0  # seconds without a write until another run may take it over
SETTLE = 3.0  # seconds in which one of two that write at once has the last word


class InUse(RuntimeError):
  """The workdir belongs to another run that is alive."""


class Hold(Protocol):
  """What keeps other runs out, until it is closed."""

  def check(self) -> None:
    """Raises InUse if another run has taken over."""

  def close(self) -> None:
    """Lets others in."""


@contextlib.contextmanager
def hold(workdir: str) -> Iterator[Callable[[], None]]:
  """Keeps other runs out of a workdir.

  Process 0 does so for all hosts, which go on or stop together.

  Args:
    workdir: of the run, local or gs://; made if it is not there.

  Yields:
    A function to be called by all hosts before they write: it raises if the
    workdir has been lost to another run, which a lock cannot be, a lease can.

  Raises:
    InUse: if another run holds it, naming its process and machine.
  """
  mine: Hold | None = None

  def take():
    nonlocal mine
    epath.Path(workdir).mkdir(parents=True, exist_ok=True)
    mine = _take(workdir)

  try:
    _on_first_host(take)
    yield lambda: _on_first_host(lambda: mine and mine.check())
  finally:
    if mine is not None:
      mine.close()


def _on_first_host(action):
  """Does it on process 0; what that raises is raised on all hosts."""
  failure = None
  if jax.process_index() == 0:
    try:
      action()
    except Exception as error:
      failure = error
  failed = np.array(failure is not None)
  if not multihost_utils.broadcast_one_to_all(failed):
    return
  raise failure or InUse('The first host could not hold the workdir.')


def _take(workdir):
  if '://' not in workdir:
    try:
      return Lock(pathlib.Path(workdir, 'lock'))
    except (ImportError, OSError) as error:  # Windows; some network mounts
      logging.info('No locks in %s (%s): holding a lease.', workdir, error)
  return Lease(epath.Path(workdir, 'lease.json'), RENEW, EXPIRE, SETTLE)


def _myself() -> str:
  return f'process {os.getpid()} on {socket.gethostname()}'


def _in_use(folder, holder):
  return InUse(
    f'{folder} is in use by {holder}: two runs would overwrite each other. '
    'Wait until it ends, stop it, or give another --workdir.'
  )


class Lock:
  """A lock of the operating system on a file, for as long as we live."""

  def __init__(self, path: pathlib.Path):
    """Takes the lock.

    Raises:
      InUse: if somebody has it.
      OSError, ImportError: if there are no locks here.
    """
    import fcntl

    self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      holder = os.pread(self._file, 1000, 0).decode(errors='replace')
      self.close()
      raise _in_use(path.parent, holder or 'a process that starts') from None
    except OSError:
      self.close()
      raise
    os.ftruncate(self._file, 0)
    os.pwrite(self._file, _myself().encode(), 0)

  def check(self) -> None:
    """Nobody can have taken it over."""

  def close(self) -> None:
    """Lets others in. The file stays: removing it would race with them."""
    os.close(self._file)


class Lease:
  """A file that we rewrite for as long as we live; any file system will do."""

  def __init__(
    self,
    path: epath.Path,
    renew: float,
    expire: float,
    settle: float,
  ):
    """Takes the lease, waiting until it expires if its holder has died.

    Args:
      path: of the file.
      renew: seconds between two writes.
      expire: seconds without a write until it may be taken over.
      settle: seconds in which a write is seen by all; more than it takes.

    Raises:
      InUse: if its holder lives, or another was faster.
    """
    self._path, self._renew, self._expire = path, renew, expire
    self._token, self._beats = uuid.uuid4().hex, 0
    self._lost = ''
    self._wait_for_expiry()
    self._write()
    time.sleep(settle)
    holder = self._read()
    if holder.get('token') != self._token:
      raise _in_use(path.parent, holder.get('holder', 'another'))
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._keep, daemon=True)
    self._thread.start()

  def check(self) -> None:
    """Raises InUse if another run has the lease, or soon might.

    Half of the time to expiry is left to finish what is being written.
    """
    if self._lost:
      raise _in_use(self._path.parent, self._lost)
    since = time.monotonic() - self._written
    if since > self._expire / 2:
      raise InUse(
        f'{self._path} could not be renewed for {since:.0f} s: another run may '
        'take this folder. The same command goes on from the newest checkpoint.'
      )

  def close(self) -> None:
    """Lets others in at once."""
    self._stop.set()
    self._thread.join()
    with contextlib.suppress(OSError):
      if self._read().get('token') == self._token:
        self._path.unlink(missing_ok=True)

  def _wait_for_expiry(self):
    """Until nobody has the lease; a holder that lives rewrites it meanwhile."""
    before = self._read()
    if not before:
      return
    logging.info(
      '%s has been held by %s: waiting for up to %.0f s whether it lives.',
      self._path.parent,
      before.get('holder'),
      self._expire,
    )
    end = time.monotonic() + self._expire
    while time.monotonic() < end:
      time.sleep(self._renew / 5)
      now = self._read()
      if not now:
        return
      if now != before:
        raise _in_use(self._path.parent, now.get('holder'))
    logging.info('It does not: going on.')

  def _keep(self):
    """Rewrites the lease, unless it has become somebody else's."""
    while not self._stop.wait(self._renew):
      try:
        found = self._read()
        if found.get('token') != self._token:
          self._lost = found.get('holder', 'somebody who removed the lease')
          return
        self._write()
      except Exception as error:  # of any storage; `check` knows how long
        logging.warning('Cannot renew %s: %s', self._path, error)

  def _write(self):
    """Its time is that of its beginning: others may see it no earlier."""
    now = time.monotonic()
    self._beats += 1
    record = dict(holder=_myself(), token=self._token, beats=self._beats)
    self._path.write_text(json.dumps(record))
    self._written = now

  def _read(self):
    """What is in the file; empty if it is not there."""
    try:
      return json.loads(self._path.read_text())
    except FileNotFoundError:
      return {}
    except json.JSONDecodeError:  # a local file while it is being written
      return {'holder': 'a process that is writing'}
