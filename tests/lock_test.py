"""One run in a workdir, on any file system, also after a process died."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import ROOT
from etils import epath

from palette_jax.training import lock

PATIENT = dict(renew=0.05, expire=60.0, settle=0.05)


def test_a_second_run_is_refused_with_the_name_of_the_first(tmp_path):
  with lock.hold(str(tmp_path / 'new/run')) as check:
    check()
    with pytest.raises(lock.InUse, match=f'process {os.getpid()}'):
      with lock.hold(str(tmp_path / 'new/run')):
        pass
    with lock.hold(str(tmp_path / 'other')):
      pass
  with lock.hold(str(tmp_path / 'new/run')):
    pass


HOLD = """
import sys, time
from palette_jax.training import lock
with lock.hold(sys.argv[1]):
  print('mine', flush=True)
  time.sleep(600)
"""


@pytest.mark.slow
def test_a_lock_dies_with_its_process(tmp_path):
  holder = subprocess.Popen(
    [sys.executable, '-c', HOLD, str(tmp_path)],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert holder.stdout.readline() == 'mine\n'
  with pytest.raises(lock.InUse, match=f'process {holder.pid}'):
    with lock.hold(str(tmp_path)):
      pass
  holder.send_signal(signal.SIGKILL)
  holder.communicate()
  with lock.hold(str(tmp_path)):
    pass


def test_a_lease_is_held_where_there_are_no_locks(tmp_path, monkeypatch):
  """The code for gs://, on a local folder."""

  def no_locks(path):
    raise OSError(38, 'Function not implemented')

  monkeypatch.setattr(lock, 'Lock', no_locks)
  for name, value in dict(RENEW=0.05, SETTLE=0.05).items():
    monkeypatch.setattr(lock, name, value)
  with lock.hold(str(tmp_path)) as check:
    check()
    assert (tmp_path / 'lease.json').exists()
    with pytest.raises(lock.InUse, match=f'process {os.getpid()}'):
      with lock.hold(str(tmp_path)):
        pass
    check()
  assert not (tmp_path / 'lease.json').exists()


@pytest.fixture
def path(tmp_path):
  return epath.Path(tmp_path, 'lease.json')


def test_a_lease_is_renewed_and_refused_while_its_holder_lives(path):
  held = lock.Lease(path, **PATIENT)
  first = path.read_text()
  for _ in range(2):
    with pytest.raises(lock.InUse, match='process'):
      lock.Lease(path, **PATIENT)
  held.check()
  assert path.read_text() != first
  held.close()
  lock.Lease(path, **PATIENT).close()  # at once


def test_the_lease_of_a_dead_holder_expires(path):
  path.write_text('{"holder": "process 7 on mars", "token": "x", "beats": 9}')
  taken = lock.Lease(path, renew=0.05, expire=1.0, settle=0.05)
  assert 'mars' not in path.read_text()
  taken.close()


def test_a_half_written_lease_expires_too(path):
  path.write_text('{"holder": "proc')
  lock.Lease(path, renew=0.05, expire=1.0, settle=0.05).close()


def test_a_lease_taken_by_another_run_is_lost_and_left_alone(path):
  held = lock.Lease(path, **PATIENT)
  theirs = '{"holder": "process 7 on mars", "token": "x", "beats": 1}'
  while held._thread.is_alive():  # until it has seen it
    (path.parent / 'theirs').write_text(theirs)
    (path.parent / 'theirs').replace(path)
    time.sleep(0.01)
  with pytest.raises(lock.InUse, match='process 7 on mars'):
    held.check()
  held.close()
  assert path.read_text() == theirs


def test_a_lease_that_cannot_be_renewed_ends_before_it_can_be_taken(
  path, monkeypatch
):
  held = lock.Lease(path, renew=0.05, expire=60.0, settle=0.05)
  now = time.monotonic()

  def unreachable():
    raise OSError('unreachable')

  monkeypatch.setattr(held, '_read', unreachable)
  monkeypatch.setattr(held, '_written', now - 29)
  held.check()
  monkeypatch.setattr(held, '_written', now - 31)
  with pytest.raises(lock.InUse, match='be renewed'):
    held.check()
  held.close()


def test_of_many_runs_that_start_at_once_one_gets_the_lease(path):
  held, refused = [], []
  start = threading.Barrier(6)

  def contend():
    start.wait()
    try:
      held.append(lock.Lease(path, renew=60.0, expire=600.0, settle=2.0))
    except lock.InUse as error:
      refused.append(error)

  threads = [threading.Thread(target=contend) for _ in range(6)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(held) == 1 and len(refused) == 5
  held[0].check()
  held[0].close()
