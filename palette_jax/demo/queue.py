"""Runs one sampling at a time, in the order of the requests.

Web requests never wait for it: a thread of its own samples, and pages ask for
its status. A page that has not asked for two minutes is taken to be closed; its
job is dropped as soon as another one waits. A phone that sleeps loses nothing
as long as nobody else waits.
"""

import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import NamedTuple

from absl import logging

from palette_jax import console

MOST_WAITING = 16
PATIENCE = 120.0  # seconds without a status request until a page is absent
Progress = Callable[[int, int], None]
_ABSENT = 'This page was away for too long.'


class Full(Exception):
  """Too many jobs are waiting."""


class _Stopped(Exception):
  """Raised in the sampler, to end it."""


class Job:
  """A sampling that was requested; `Queue.status` reads it.

  Attributes:
    sample: samples; None once it is no longer needed, since it holds a photo.
    state: 'waiting', 'running', 'done', 'failed' or 'stopped'.
    done: network passes so far.
    total: network passes in all; 0 before the first.
    result: the number of results, once they exist.
    error: a sentence, if it failed or was dropped.
    is_cancelled: whether somebody has asked to end it.
    last_seen: the time at which its page last asked, in seconds.
    first_pass: the time at which the first pass was reported, and its `done`.
  """

  def __init__(self, sample: Callable[[Progress], int], now: float) -> None:
    """Starts as waiting; its page counts as seen `now`."""
    self.sample: Callable[[Progress], int] | None = sample
    self.state, self.done, self.total = 'waiting', 0, 0
    self.result: int | None = None
    self.error, self.is_cancelled, self.last_seen = '', False, now
    self.first_pass: tuple[float, int] | None = None


class Status(NamedTuple):
  """A snapshot of a job.

  Attributes:
    state: as the job's.
    ahead: the number of jobs before it, including the running one.
    done: network passes so far.
    total: network passes in all, 0 before the first.
    left: estimated seconds until it is done; None if not known yet.
    error: a sentence, or ''.
    results: the number of results; None before they exist.
  """

  state: str
  ahead: int
  done: int
  total: int
  left: float | None
  error: str
  results: int | None


class Queue:
  """The waiting jobs, and the thread that runs them."""

  def __init__(
    self,
    most_waiting: int = MOST_WAITING,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
  ) -> None:
    """Starts empty; the thread starts with the first job.

    Args:
      most_waiting: the number of jobs that may wait; more are refused.
      patience: seconds without a status request until a page is absent.
      clock: returns seconds; never goes back.
    """
    self._most_waiting, self._patience = most_waiting, patience
    self._clock, self._is_closed = clock, False
    self._waiting: list[Job] = []
    self._running: Job | None = None
    self._lock = threading.Lock()
    self._executor = futures.ThreadPoolExecutor(1, 'sampler')

  def put(self, sample: Callable[[Progress], int]) -> Job:
    """Adds a job.

    Args:
      sample: samples and returns the number of results. It calls its argument
        with (done, total) after each network pass; an exception raised there
        ends it.

    Raises:
      Full: if too many jobs wait.
    """
    with self._lock:
      if len(self._waiting) >= self._most_waiting:
        self._drop_absent()
      if len(self._waiting) >= self._most_waiting:
        raise Full
      job = Job(sample, self._clock())
      self._waiting.append(job)
      self._executor.submit(self._run, job)
      return job

  def status(self, job: Job) -> Status:
    """Returns the status of a job, which shows that its page is not absent."""
    with self._lock:
      job.last_seen = self._clock()
      ahead = 0
      if job in self._waiting:
        ahead = self._waiting.index(job) + (self._running is not None)
      left = self._seconds_left(job)
      return Status(
        job.state, ahead, job.done, job.total, left, job.error, job.result
      )

  def stop(self, job: Job) -> None:
    """Ends a job: at once if it waits, otherwise after the current pass."""
    with self._lock:
      job.is_cancelled = True
      if job in self._waiting:
        self._drop(job, '')

  def close(self) -> None:
    """Ends all jobs, and the thread after the current pass."""
    with self._lock:
      self._is_closed = True
    self._executor.shutdown(cancel_futures=True)

  def _seconds_left(self, job: Job) -> float | None:
    if job.state != 'running' or job.first_pass is None:
      return None
    began, first = job.first_pass  # the first pass also compiles
    if job.done <= first:
      return None
    seconds_a_pass = (self._clock() - began) / (job.done - first)
    return seconds_a_pass * (job.total - job.done)

  def _run(self, job: Job) -> None:
    with self._lock:
      self._drop_absent()
      if job.sample is None:  # dropped while it waited
        return
      self._waiting.remove(job)
      self._running, job.state, sample = job, 'running', job.sample
    state, result, error = self._outcome(job, sample)
    with self._lock:
      self._running = job.sample = None
      job.state, job.result, job.error = state, result, error

  def _outcome(
    self, job: Job, sample: Callable[[Progress], int]
  ) -> tuple[str, int | None, str]:
    """Runs the sampling; returns the job's state, result and error."""
    try:
      return 'done', sample(lambda *passes: self._report(job, *passes)), ''
    except _Stopped as stopped:
      return 'stopped', None, str(stopped)
    except Exception as error:
      if isinstance(error, ValueError) and console.is_for_the_user(error):
        return 'failed', None, str(error)
      logging.exception('A sampling failed.')
      return 'failed', None, (
        'The sampling failed; the terminal in which `palette demo` runs shows '
        'why.'
      )  # fmt: skip

  def _report(self, job: Job, done: int, total: int) -> None:
    """Records the progress of a job, and ends it if nobody waits for it."""
    with self._lock:
      job.done, job.total = int(done), int(total)
      if job.first_pass is None:
        job.first_pass = self._clock(), job.done
      if job.is_cancelled or self._is_closed:
        raise _Stopped
      if self._waiting and self._is_absent(job):
        raise _Stopped(_ABSENT)

  def _drop_absent(self) -> None:
    """Drops jobs of absent pages; the last one that waits always stays."""
    for job in list(self._waiting):
      if len(self._waiting) > 1 and self._is_absent(job):
        self._drop(job, _ABSENT)

  def _drop(self, job: Job, error: str) -> None:
    self._waiting.remove(job)
    job.state, job.error, job.sample = 'stopped', error, None

  def _is_absent(self, job: Job) -> bool:
    return self._clock() - job.last_seen > self._patience
