"""Who waits, who gives way, who is cancelled."""

import threading

import pytest
from waiting import Clock, until

from palette_jax.demo import queue


class Steps:
  """A sampling that takes a step for each call of `let`."""

  def __init__(self, total=5):
    self.total, self.taken = total, 0
    self.started = threading.Event()
    self._let = threading.Semaphore(0)

  def let(self, steps=1):
    for _ in range(steps):
      self._let.release()

  def __call__(self, progress):
    self.started.set()
    for done in range(1, self.total + 1):
      assert self._let.acquire(timeout=60)
      self.taken = done
      progress(done, self.total)
    return self.total


@pytest.fixture
def open_queue():
  opened = []

  def open_one(**options):
    opened.append(queue.Queue(**options))
    return opened[-1]

  yield open_one
  for each in opened:
    each.close()


def test_one_at_a_time_in_order(open_queue):
  jobs_queue = open_queue()
  several = [Steps(2) for _ in range(3)]
  jobs = [jobs_queue.put(steps) for steps in several]
  assert several[0].started.wait(60)
  assert [jobs_queue.status(job).ahead for job in jobs] == [0, 1, 2]
  assert [jobs_queue.status(job).state for job in jobs] == [
    'running',
    'waiting',
    'waiting',
  ]
  for i, steps in enumerate(several):
    assert steps.started.wait(60)
    assert not any(later.started.is_set() for later in several[i + 1 :])
    steps.let(2)
    until(lambda i=i: jobs_queue.status(jobs[i]).state == 'done')
    assert jobs_queue.status(jobs[i]).results == steps.total


def test_progress_and_time_left(open_queue):
  clock = Clock()
  jobs_queue, steps = open_queue(clock=clock), Steps(10)
  job = jobs_queue.put(steps)
  until(steps.started.is_set)
  assert jobs_queue.status(job)[2:5] == (0, 0, None)
  clock.now = 50.0  # compiled
  steps.let()
  until(lambda: jobs_queue.status(job).done == 1)
  assert jobs_queue.status(job).left is None
  clock.now = 58.0
  steps.let(4)
  until(lambda: jobs_queue.status(job).done == 5)
  seen = jobs_queue.status(job)
  assert (seen.done, seen.total, seen.left) == (5, 10, 10.0)
  steps.let(5)


def test_a_cancel_works_within_one_step(open_queue):
  jobs_queue, first, second = open_queue(), Steps(), Steps(1)
  jobs = jobs_queue.put(first), jobs_queue.put(second)
  first.let(2)
  until(lambda: first.taken == 2)
  jobs_queue.stop(jobs[0])
  first.let(3)
  until(lambda: jobs_queue.status(jobs[0]).state == 'stopped')
  assert first.taken <= 3 and jobs_queue.status(jobs[0]).error == ''
  second.let()
  until(lambda: jobs_queue.status(jobs[1]).state == 'done')
  jobs_queue.stop(jobs[1])  # too late
  assert jobs_queue.status(jobs[1]).state == 'done'


def test_a_waiting_job_is_cancelled_at_once(open_queue):
  jobs_queue, steps = open_queue(), [Steps(1) for _ in range(3)]
  jobs = [jobs_queue.put(each) for each in steps]
  until(steps[0].started.is_set)
  jobs_queue.stop(jobs[1])
  assert jobs_queue.status(jobs[1]).state == 'stopped'
  assert jobs_queue.status(jobs[2]).ahead == 1
  steps[0].let(), steps[2].let()
  until(lambda: jobs_queue.status(jobs[2]).state == 'done')
  assert not steps[1].started.is_set()


def test_a_failure_does_not_block_the_queue(open_queue, caplog):
  def fail(progress):
    raise RuntimeError('/secret/path')

  jobs_queue, steps = open_queue(), Steps(1)
  broken, whole = jobs_queue.put(fail), jobs_queue.put(steps)
  steps.let()
  until(lambda: jobs_queue.status(whole).state == 'done')
  seen = jobs_queue.status(broken)
  assert seen.state == 'failed' and 'secret' not in seen.error
  assert '/secret/path' in caplog.text  # for the person who runs it


def test_absent_pages_give_way_only_to_others(open_queue):
  clock = Clock()
  jobs_queue = open_queue(clock=clock, patience=60.0)
  first, second, third = Steps(9), Steps(1), Steps(1)
  gone = jobs_queue.put(first)
  until(first.started.is_set)
  clock.now = 1000.0
  first.let(3)
  until(lambda: first.taken == 3)
  assert gone.state == 'running'  # nobody waits
  also_gone = jobs_queue.put(second)
  clock.now = 2000.0
  there = jobs_queue.put(third)
  first.let()
  third.let()
  until(lambda: jobs_queue.status(there).state == 'done')
  assert (gone.state, first.taken) == ('stopped', 4)
  assert also_gone.state == 'stopped' and not second.started.is_set()
  assert 'away' in jobs_queue.status(gone).error


def test_a_full_queue_refuses(open_queue):
  clock = Clock()
  jobs_queue = open_queue(most_waiting=2, patience=60.0, clock=clock)
  running, *others = [Steps(1) for _ in range(3)]
  jobs_queue.put(running)
  until(running.started.is_set)
  jobs = [jobs_queue.put(each) for each in others]
  with pytest.raises(queue.Full):
    jobs_queue.put(Steps())
  clock.now = 100.0  # all have gone: the last of them stays, so that one may go
  jobs_queue.status(jobs[1])
  late = Steps(1)
  job = jobs_queue.put(late)
  for steps in (running, others[1], late):
    steps.let()
  until(lambda: jobs_queue.status(job).state == 'done')
  assert jobs[0].state == 'stopped' and jobs[1].state == 'done'


def test_closing_ends_what_runs():
  jobs_queue, steps = queue.Queue(), Steps(100)
  job = jobs_queue.put(steps)
  steps.let(3)
  until(lambda: steps.taken == 3)
  closing = threading.Thread(target=jobs_queue.close)
  closing.start()
  steps.let(2)
  closing.join(60)
  assert not closing.is_alive() and jobs_queue.status(job).state == 'stopped'
