"""Preemption: a run that is told to stop saves its work and exits in time.

SLURM, Kubernetes and clouds send SIGTERM and, some seconds later, SIGKILL.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Generator

import jax
from jax.experimental import multihost_utils

# EX_TEMPFAIL of sysexits.h: unfinished, but nothing is wrong; start it again.
# Schedulers tell it from 143 (killed before it could save) and 1 (failed).
EXIT_CODE = 75


class Preempted(Exception):
  """The run has stopped as requested, with all its work on disk.

  Attributes:
    step: number of steps done and saved.
  """

  def __init__(self, step: int, num_steps: int) -> None:
    super().__init__(
      f'Asked to stop: {step} of {num_steps} steps are done and saved. The '
      'same command goes on from there.'
    )
    self.step = step


@contextlib.contextmanager
def notice() -> Generator[Callable[[int], bool]]:
  """Listens for SIGTERM.

  Yields:
    A function to be called before every step, on all hosts, with the number of
    steps done; it returns True if the run must stop here. If one of several
    hosts gets the signal, JAX's coordination service picks a step that none of
    them has passed yet.
  """
  if jax.process_count() > 1:
    yield multihost_utils.reached_preemption_sync_point
    return
  notified = threading.Event()
  before = signal.signal(signal.SIGTERM, lambda *_: notified.set())
  try:
    yield lambda done: notified.is_set()
  finally:
    signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
