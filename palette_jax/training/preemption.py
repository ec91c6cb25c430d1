"""The notice that a machine will be taken away: save, and leave in time.

SLURM, Kubernetes and the clouds send SIGTERM, and some seconds later SIGKILL.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils

# EX_TEMPFAIL of sysexits.h: not finished, nothing is wrong, start it again.
# Schedulers can tell it from 143 (killed before it could save) and 1 (failed).
EXIT_CODE = 75


class Preempted(Exception):
  """The run was told to stop, and did, with all that it has done on disk."""


@contextlib.contextmanager
def notice() -> Iterator[Callable[[int], bool]]:
  """Listens for SIGTERM.

  Yields:
    A function to be asked before every step, on all hosts, with the number of
    steps done: must the run stop here? If one of several hosts is told, JAX's
    coordination service finds the step that none has passed yet.
  """
  if jax.process_count() > 1:
    yield multihost_utils.reached_preemption_sync_point
    return
  told = threading.Event()
  before = signal.signal(signal.SIGTERM, lambda *_: told.set())
  try:
    yield lambda done: told.is_set()
  finally:
    signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
