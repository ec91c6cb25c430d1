"""A run survives kills, notices, damage, full disks and other machines."""

import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import ROOT, orphans
from runs import SMALL, command, environment, run_main, same_bits, tiny

from benchmarks import survival
from palette_jax.data import pipeline
from palette_jax.training import (
  checkpoint,
  lock,
  loop,
  preemption,
  trained_run,
)

CONFIG = 'inpaint.py:tiny,steps=100000'

pytestmark = pytest.mark.usefixtures('one_device')


def latest(workdir):
  with contextlib.closing(checkpoint.Checkpoints(str(workdir))) as saved:
    return saved.latest()


def at_batch(monkeypatch, number, action):
  """Calls a function before the batch of a step is yielded."""
  original = pipeline.Pipeline.train

  def patched(self, size, start, *hosts):
    for step, batch in enumerate(original(self, size, start, *hosts), start):
      if step == number:
        action()
      yield batch

  monkeypatch.setattr(pipeline.Pipeline, 'train', patched)


def test_sigterm_saves_and_the_same_command_goes_on(tmp_path, monkeypatch):
  """The signal comes in the fourth step, which is completed and saved."""
  config = tiny(steps=6, checkpoint_every=100)
  before = signal.getsignal(signal.SIGTERM)
  with monkeypatch.context() as patch:
    at_batch(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(preemption.Preempted) as stopped:
      loop.train(config, str(tmp_path / 'parts'))
  assert stopped.value.step == 4
  assert signal.getsignal(signal.SIGTERM) is before
  assert latest(tmp_path / 'parts') == 4
  resumed = loop.train(config, str(tmp_path / 'parts'))
  assert same_bits(resumed, loop.train(config, str(tmp_path / 'whole')))


def test_until_stops_early_and_changes_nothing_else(tmp_path, capsys):
  config = tiny(steps=4, checkpoint_every=100)
  assert int(loop.train(config, str(tmp_path / 'parts'), until=2).step) == 2
  assert latest(tmp_path / 'parts') == 2
  assert 'this model' not in capsys.readouterr().out  # it is not the end
  resumed = loop.train(config, str(tmp_path / 'parts'), until=9)
  assert same_bits(resumed, loop.train(config, str(tmp_path / 'whole')))


def test_a_second_run_of_a_workdir_is_refused_and_sampling_is_not(tmp_path):
  config = tiny(steps=1)
  loop.train(config, str(tmp_path))
  with lock.hold(str(tmp_path)):
    with pytest.raises(lock.InUse, match=f'process {os.getpid()}'):
      loop.train(config, str(tmp_path))
    trained_run.evaluate(config, str(tmp_path))


@orphans
@pytest.mark.usefixtures('collected')
def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
  tmp_path, caplog
):
  """Sampling uses the earlier one, too, and changes nothing."""
  config = tiny(steps=4, checkpoint_every=2)
  whole = loop.train(config, str(tmp_path))
  for path in (tmp_path / 'checkpoints/4/ema').rglob('d/*'):
    damaged = bytearray(path.read_bytes())
    for at in range(500, len(damaged), 1000):
      damaged[at] ^= 1
    path.write_bytes(damaged)
  trained_run.evaluate(config, str(tmp_path))
  assert 'checkpoint 2, which is whole' in caplog.text
  folder = tmp_path / 'checkpoints'
  assert sorted(path.name for path in folder.iterdir()) == ['2', '4']
  assert same_bits(loop.train(config, str(tmp_path)), whole)
  names = sorted(path.name for path in folder.iterdir())
  assert names == ['2', '4', '4.damaged']


def test_a_state_is_saved_before_it_is_sampled(tmp_path, monkeypatch):
  """Drawing may take longer than the notice of a machine."""
  config = tiny(steps=4, checkpoint_every=100)
  config.held_out.every = 2

  def show(self, step, sheet):
    raise KeyboardInterrupt

  monkeypatch.setattr(loop.monitor.Monitor, 'show', show)
  with pytest.raises(KeyboardInterrupt):
    loop.train(config, str(tmp_path))
  assert latest(tmp_path) == 2


@pytest.mark.slow
def test_a_run_killed_25_times_ends_as_one_never_killed(tmp_path):
  folder = tmp_path / 'lives'
  done = subprocess.run(
    [sys.executable, '-m', 'benchmarks.survival', f'--workdir={folder}'],
    cwd=ROOT,
    env=environment(),
    capture_output=True,
    text=True,
  )
  print(done.stdout)  # the phase of each kill
  assert done.returncode == 0, done.stdout + done.stderr
  results = json.loads((folder / 'survival.json').read_text())
  assert sum(results['kills'].values()) >= 25
  assert results['kills']['step'] >= 5 and results['kills']['save'] >= 5
  assert results['arrays that differ'] == results['batches that differ'] == []
  # Not only what the benchmark reports, but what is on disk.
  step = results['steps']
  sums = [
    json.loads(
      json.loads(
        (folder / f'{run}/checkpoints/{step}/meta/_strings.json').read_text()
      )['json']
    )['checksums']
    for run in ('killed', 'alone')
  ]
  assert sums[0] == sums[1] and 'key' in sums[0]['train']
  taken = [survival.batches(folder / run) for run in ('killed', 'alone')]
  assert len(taken[1]) == step < len(taken[0])
  assert all(dict(taken[1])[step] == rows for step, rows in taken[0])


def start(workdir, *more, **variables):
  return subprocess.Popen(
    command(CONFIG, workdir, *SMALL, *more),
    cwd=ROOT,
    env=environment(**variables),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def stopped_after(log):
  """The steps that a run had done when it was asked to stop."""
  return int(re.search(r'(\d+) of \d+ steps are done and saved', log).group(1))


def wait_for(path, *processes):
  end = time.monotonic() + 900
  while not path.exists():
    assert time.monotonic() < end, f'no {path}'
    for process in processes:
      assert process.poll() is None, process.communicate()
    time.sleep(0.01)


@pytest.mark.slow
def test_sigterm_ends_the_command_with_75_and_all_saved(tmp_path):
  process = start(tmp_path)
  wait_for(tmp_path / 'checkpoints/5', process)
  process.send_signal(signal.SIGTERM)
  _, log = process.communicate(timeout=900)
  assert process.returncode == 75, log
  step = stopped_after(log)
  assert latest(tmp_path) == step >= 5
  done = run_main(CONFIG, tmp_path, *SMALL, f'--until={step + 1}')
  assert done.returncode == 0, done.stderr
  assert f'Going on from step {step}' in done.stderr
  assert latest(tmp_path) == step + 1


RECORDED = """
import pathlib, sys
from absl import app
from benchmarks import survival
from palette_jax import main
survival.record_batches(pathlib.Path(sys.argv.pop(1)))
app.run(main.main, flags_parser=main.parse_flags)
"""


def recorded(folder, name, *more, **variables):
  """Starts the command in a process that records its batches."""
  (folder / name).mkdir(exist_ok=True)
  record = folder / name / survival.BATCHES
  arguments = command(CONFIG, folder / 'run', *SMALL, *more)[3:]
  return subprocess.Popen(
    [sys.executable, '-c', RECORDED, record, *arguments],
    cwd=ROOT,
    env=environment(**variables),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


@pytest.mark.slow
def test_8_devices_then_2_preempted_hosts_then_1_device(tmp_path):
  """SIGTERM reaches one host only; both save the same step and leave.

  The order of the data is that of one device, and each process loads arrays
  with the checksums that the one before it saved.
  """
  config = '--config.mesh.fsdp=2'
  first = recorded(
    tmp_path, 'first', config, '--until=4', JAX_NUM_CPU_DEVICES='8'
  )
  _, log = first.communicate(timeout=900)
  assert first.returncode == 0, log
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  hosts = [
    recorded(
      tmp_path,
      f'host{i}',
      config,
      COORDINATOR_ADDRESS=f'localhost:{port}',
      NUM_PROCESSES='2',
      PROCESS_ID=str(i),
      JAX_NUM_CPU_DEVICES='1',
    )
    for i in range(2)
  ]
  wait_for(tmp_path / 'run/checkpoints/5', *hosts)
  hosts[1].send_signal(signal.SIGTERM)
  ends = [host.communicate(timeout=900)[1] for host in hosts]
  assert [host.returncode for host in hosts] == [75, 75], ends
  steps = [stopped_after(log) for log in ends]
  assert 'Going on from step 4' in ends[0]
  assert steps[0] == steps[1] == latest(tmp_path / 'run')
  last = recorded(tmp_path, 'last', f'--until={steps[0] + 2}')
  _, log = last.communicate(timeout=900)
  assert last.returncode == 0, log
  assert f'Going on from step {steps[0]}' in log

  alone = recorded(
    tmp_path, 'alone', f'--until={steps[0] + 2}', f'--workdir={tmp_path}/alone'
  )
  _, log = alone.communicate(timeout=900)
  assert alone.returncode == 0, log
  first, *halves, last, alone = (
    dict(survival.batches(tmp_path / name))
    for name in ('first', 'host0', 'host1', 'last', 'alone')
  )
  both = {step: halves[0][step] + halves[1][step] for step in halves[0]}
  assert first | both | last == alone


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(tmp_path):
  """A small file system of its own where one can be mounted; else a limit."""
  small = tmp_path / 'small'
  small.mkdir()
  line = shlex.join(command(CONFIG, small, *SMALL))
  # Room for two checkpoints and half of the third; then for all of them.
  script = f"""
    size=$(du -sk {tmp_path}/first/checkpoints/5 | cut -f1)
    if mount -t tmpfs -o size=$((size * 5 / 2 + 300))k tmpfs {small}; then
      more="mount -o remount,size=100m {small}"
    else
      ulimit -S -f 100; more="ulimit -S -f unlimited"
    fi
    {line} --until=30 > {tmp_path}/full.txt 2>&1; echo $? >> {tmp_path}/full.txt
    ls {small}/checkpoints > {tmp_path}/left.txt
    $more
    {line} --until=30 > {tmp_path}/free.txt 2>&1; echo $? >> {tmp_path}/free.txt
    ls {small}/checkpoints > {tmp_path}/end.txt
  """
  whole = run_main(CONFIG, tmp_path / 'first', *SMALL, '--until=5')
  assert whole.returncode == 0, whole.stderr
  namespace = ['unshare', '--mount', '--map-root-user']
  if subprocess.run([*namespace, 'true'], capture_output=True).returncode:
    namespace = []
  subprocess.run(
    [*namespace, 'bash', '-c', script], cwd=ROOT, env=environment(), check=True
  )
  log = (tmp_path / 'full.txt').read_text()
  assert log.splitlines()[-1] == '1' and 'Is the disk full?' in log, log
  left = (tmp_path / 'left.txt').read_text().split()
  free = (tmp_path / 'free.txt').read_text()
  kept = max((int(name) for name in left if name.isdigit()), default=0)
  if kept:
    assert f'Going on from step {kept}' in free
  assert free.splitlines()[-1] == '0', free
  assert '30' in (tmp_path / 'end.txt').read_text().split()


@pytest.mark.slow
def test_the_suggested_command_names_the_operation_that_makes_nan(
  tmp_path,
):
  """A learning rate that no network survives; then the suggested command."""
  failed = run_main(
    'inpaint.py:tiny,steps=9',
    tmp_path,
    *SMALL,
    '--config.optimizer.warmup_steps=3',
    '--config.optimizer.learning_rate=1e25',
    '--config.train.checkpoint_every=1',
  )
  assert failed.returncode == 1 and 'Traceback' not in failed.stderr
  step = int(re.search(r'\nStep (\d+): ', failed.stderr).group(1))
  assert latest(tmp_path) == step - 1
  (line,) = re.findall('^  (python -m .*)$', failed.stderr, re.M)
  assert f'--until={step} --debug_nans' in line
  path = f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}'
  again = subprocess.run(
    line,
    shell=True,
    cwd=ROOT,
    env=environment(PATH=path),
    capture_output=True,
    text=True,
  )
  assert again.returncode == 1
  assert f'Going on from step {step - 1}' in again.stderr
  named = r'FloatingPointError: invalid value \((nan|inf)\) encountered in \w+'
  assert re.search(named, again.stderr), again.stderr
  assert re.search('palette_jax/(models|diffusion|training)/', again.stderr)
  assert latest(tmp_path) == step - 1
