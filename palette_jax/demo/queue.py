"""One sampling at a time, in the order in which they were asked for.

Requests never wait for it: a thread of its own samples, and everybody else asks
how far it is. Who does not ask for two minutes has gone, and gives way as soon
as somebody else waits; a phone that sleeps loses nothing while nobody does.
"""

import collections
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from absl import logging

from palette_jax import console

MOST_WAITING = 16
PATIENCE = 120.0  # seconds without a question after which somebody has gone
Progress = Callable[[int, int], None]


class Full(Exception):
  """Too many wait already."""


class _Stopped(Exception):
  """Raised in the sampler, to end it."""


class Job:
  """A sampling that was asked for; read it by `Queue.look` only.

  Attributes:
    make: does it, tells how far it is, and returns what came out.
    state: 'waiting', 'running', 'done', 'failed' or 'stopped'.
    done: network passes so far.
    total: of all; 0 before the first.
    made: what came out.
    error: a sentence, if it failed or was stopped for another reason than that
      somebody wanted it.
    stop: whether somebody wants it to end.
    asked: when somebody asked for it last, seconds.
    first: when its first pass was done, and how many passes that were.
  """

  def __init__(self, make: Callable[[Progress], Any], asked: float):
    """See the attributes."""
    self.make, self.asked = make, asked
    self.state, self.done, self.total = 'waiting', 0, 0
    self.made, self.error, self.stop = None, '', False
    self.first: tuple[float, int] | None = None


class Seen(NamedTuple):
  """A job as it is now.

  Attributes:
    state: of the job.
    ahead: jobs before it, the running one included.
    done: network passes so far.
    total: of all, 0 before the first.
    left: seconds until it is done, about; None if nobody knows.
    error: a sentence, or ''.
    made: what came out, None before.
  """

  state: str
  ahead: int
  done: int
  total: int
  left: float | None
  error: str
  made: Any


class Queue:
  """The jobs that wait, and the thread that does them."""

  def __init__(
    self,
    most_waiting: int = MOST_WAITING,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Starts the thread.

    Args:
      most_waiting: jobs; more are refused.
      patience: seconds without a question after which somebody has gone.
      clock: seconds that only grow.
    """
    self._most_waiting, self._patience = most_waiting, patience
    self._clock, self._closed = clock, False
    self._waiting: collections.deque[Job] = collections.deque()
    self._running: Job | None = None
    self._changed = threading.Condition()
    self._thread = threading.Thread(target=self._work, daemon=True)
    self._thread.start()

  def put(self, make: Callable[[Progress], Any]) -> Job:
    """Asks for a sampling.

    Args:
      make: does it; what it returns is `made`. It calls its argument with
        (done, total) after each network pass, and what that raises ends it.

    Raises:
      Full: if too many wait.
    """
    with self._changed:
      if len(self._waiting) >= self._most_waiting:
        self._drop_gone()
      if len(self._waiting) >= self._most_waiting:
        raise Full
      job = Job(make, self._clock())
      self._waiting.append(job)
      self._changed.notify_all()
      return job

  def look(self, job: Job) -> Seen:
    """How far a job is; whoever looks has not gone."""
    with self._changed:
      job.asked = self._clock()
      ahead = 0
      if job in self._waiting:
        running = self._running is not None
        ahead = self._waiting.index(job) + running
      return Seen(
        job.state,
        ahead,
        job.done,
        job.total,
        self._left(job),
        job.error,
        job.made,
      )

  def stop(self, job: Job) -> None:
    """Ends a job: at once if it waits, else after the pass under way."""
    with self._changed:
      job.stop = True
      if job in self._waiting:
        self._drop(job, '')

  def close(self) -> None:
    """Ends all jobs and the thread, which finishes the pass under way."""
    with self._changed:
      self._closed = True
      self._changed.notify_all()
    self._thread.join()

  def _left(self, job):
    if job.state != 'running' or job.first is None or job.done <= job.first[1]:
      return None
    began, passes = job.first  # the first takes longer: it compiles
    each = (self._clock() - began) / (job.done - passes)
    return each * (job.total - job.done)

  def _work(self):
    while True:
      with self._changed:
        self._changed.wait_for(lambda: self._waiting or self._closed)
        if self._closed:
          return
        self._drop_gone()
        job = self._running = self._waiting.popleft()
        job.state = 'running'
      state, made, error = self._outcome(job)
      with self._changed:
        self._running, job.make = None, None  # holds the photo
        job.state, job.made, job.error = state, made, error

  def _drop_gone(self):
    """Drops those who have gone; somebody stays, so that the queue moves on."""
    for job in list(self._waiting):
      if len(self._waiting) > 1 and self._has_gone(job):
        self._drop(job, 'This page was away for too long.')

  def _drop(self, job, error):
    self._waiting.remove(job)
    job.state, job.error, job.make = 'stopped', error, None

  def _has_gone(self, job):
    return self._clock() - job.asked > self._patience

  def _outcome(self, job):
    """State, what came out, error."""
    try:
      return 'done', job.make(lambda *far: self._progress(job, *far)), ''
    except _Stopped as stopped:
      return 'stopped', None, str(stopped)
    except Exception as error:
      if isinstance(error, ValueError) and console.is_for_the_user(error):
        return 'failed', None, str(error)
      logging.exception('A sampling failed.')
      return 'failed', None, (
        'The sampling failed; the terminal in which `palette demo` runs says '
        'why.'
      )  # fmt: skip

  def _progress(self, job, done, total):
    with self._changed:
      job.done, job.total = int(done), int(total)
      if job.first is None:
        job.first = self._clock(), job.done
      if job.stop or self._closed:
        raise _Stopped
      if self._waiting and self._has_gone(job):
        raise _Stopped('This page was away for too long, and others waited.')
