"""A workdir for one run: two would overwrite each other's checkpoints.

Where the file system has locks, the operating system keeps one for the process
and drops it when the process dies. Elsewhere (gs://) process 0 holds a lease: a
file that it rewrites every few seconds. No clocks are compared: another run
watches that file, and takes over when it has not changed for as long as a lease
lasts.
"""

import contextlib
import json
import os
import pathlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.experimental import multihost_utils

RENEW = 10.0  # seconds between two writes of a lease
EXPIRE = 60.0  # seconds without a write until another run may take it over
SETTLE = 3.0  # seconds after which simultaneous writers see the last write


class InUse(RuntimeError):
  """The workdir is held by another run, which is alive."""


@runtime_checkable
class Hold(Protocol):
  """Keeps other runs out until it is closed."""

  def check(self) -> None:
    """Raises InUse if another run has taken over."""

  def close(self) -> None:
    """Lets other runs in."""


@contextlib.contextmanager
def hold(workdir: str) -> Generator[Callable[[], None]]:
  """Keeps other runs out of a workdir.

  Process 0 does so for all hosts, which go on or stop together.

  Args:
    workdir: of the run, local or gs://; created if it does not exist.

  Yields:
    A function that all hosts call before they write. It raises InUse if the
    workdir has been lost to another run, as can happen with a lease.

  Raises:
    InUse: if another run holds it; names its process and machine.
  """
  mine: Hold | None = None

  def take() -> None:
    nonlocal mine
    epath.Path(workdir).mkdir(parents=True, exist_ok=True)
    mine = _take(workdir)

  try:
    _on_first_host(take)
    yield lambda: _on_first_host(lambda: mine.check() if mine else None)
  finally:
    if mine is not None:
      mine.close()


def _on_first_host(action: Callable[[], None]) -> None:
  """Calls a function on process 0; if it raises, all hosts raise."""
  failure: Exception | None = None
  if jax.process_index() == 0:
    try:
      action()
    except Exception as error:
      failure = error
  failed = np.array(failure is not None)
  if not multihost_utils.broadcast_one_to_all(failed):
    return
  raise failure or InUse('The first host could not hold the workdir.')


def _take(workdir: str) -> Hold:
  if '://' not in workdir:
    try:
      return Lock(pathlib.Path(workdir, 'lock'))
    except (ImportError, OSError) as error:  # Windows; some network mounts
      logging.info('No locks in %s (%s): holding a lease.', workdir, error)
  return Lease(epath.Path(workdir, 'lease.json'), RENEW, EXPIRE, SETTLE)


def _myself() -> str:
  return f'process {os.getpid()} on {socket.gethostname()}'


def _in_use(folder: epath.PathLike, holder: object) -> InUse:
  return InUse(
    f'{folder} is in use by {holder}: two runs would overwrite each other. '
    'Wait until it ends, stop it, or use another --workdir.'
  )


class Lock:
  """A lock of the operating system on a file, until the process ends."""

  def __init__(self, path: pathlib.Path) -> None:
    """Takes the lock.

    Raises:
      InUse: if another process has it.
      OSError, ImportError: if the system or its file system has no locks.
    """
    import fcntl

    self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      holder = os.pread(self._file, 1000, 0).decode(errors='replace')
      self.close()
      raise _in_use(
        path.parent, holder or 'a process that is starting'
      ) from None
    except OSError:
      self.close()
      raise
    os.ftruncate(self._file, 0)
    os.pwrite(self._file, _myself().encode(), 0)

  def check(self) -> None:
    """Does nothing: no other process can take a lock over."""

  def close(self) -> None:
    """Lets other runs in. The file stays: removing it would race with them."""
    os.close(self._file)


class Lease:
  """A file that the process keeps rewriting, on any file system."""

  def __init__(
    self,
    path: epath.Path,
    renew: float,
    expire: float,
    settle: float,
  ) -> None:
    """Takes the lease; if its holder has died, waits until it expires.

    Args:
      path: of the file.
      renew: seconds between two writes.
      expire: seconds without a write until it may be taken over.
      settle: seconds until every process sees a write.

    Raises:
      InUse: if its holder is alive, or another run was faster.
    """
    self._path, self._renew, self._expire = path, renew, expire
    self._token, self._beats = uuid.uuid4().hex, 0
    self._lost = ''
    self._wait_for_expiry()
    self._write()
    time.sleep(settle)
    holder = self._read()
    if holder.get('token') != self._token:
      raise _in_use(path.parent, holder.get('holder', 'another run'))
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._keep, daemon=True)
    self._thread.start()

  def check(self) -> None:
    """Raises InUse if another run has the lease, or soon might.

    It raises after half of the time to expiry; the other half is left to finish
    a write.
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
    """Lets other runs in at once."""
    self._stop.set()
    self._thread.join()
    with contextlib.suppress(OSError):
      if self._read().get('token') == self._token:
        self._path.unlink(missing_ok=True)

  def _wait_for_expiry(self) -> None:
    """Waits until the lease has expired; a living holder rewrites it meanwhile.

    Raises:
      InUse: if the holder is alive.
    """
    before = self._read()
    if not before:
      return
    logging.info(
      '%s was held by %s: waiting up to %.0f s for a sign of life.',
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
    logging.info('No sign of life: going on.')

  def _keep(self) -> None:
    """Rewrites the lease until another process has it."""
    while not self._stop.wait(self._renew):
      try:
        lease = self._read()
        if lease.get('token') != self._token:
          self._lost = lease.get('holder', 'someone who removed the lease')
          return
        self._write()
      except Exception as error:  # of any storage; `check` judges how long
        logging.warning('Cannot renew %s: %s', self._path, error)

  def _write(self) -> None:
    # The lease counts from before the write: nobody can see it earlier.
    now = time.monotonic()
    self._beats += 1
    lease = dict(holder=_myself(), token=self._token, beats=self._beats)
    self._path.write_text(json.dumps(lease))
    self._written = now

  def _read(self) -> Mapping[str, Any]:
    """Reads the file; returns an empty mapping if it does not exist."""
    try:
      return json.loads(self._path.read_text())
    except FileNotFoundError:
      return {}
    except json.JSONDecodeError:  # a local file while it is being written
      return {'holder': 'a process that is writing'}
