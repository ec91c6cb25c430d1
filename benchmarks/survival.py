"""Kills a run repeatedly and compares its end with an undisturbed run.

  python -m benchmarks.survival --kills=100 --workdir=/tmp/survival

Each life of the run is the command palette_jax.main in a process that kill -9
ends at a random moment: during the start, a step or an asynchronous save. The
phase follows from what the process leaves behind: a batch that it took, an
unfinished folder of Orbax. Every few lives, a second run starts in the same
workdir and must be refused.

A last life continues to the end, and another workdir is trained to the same
step without interruption. Both must agree in every batch that they took and in
every bit of their checkpoints. The results are printed and written to
survival.json.

This process imports everything once and forks the lives. It has a single thread
and never touches a device.
"""

import argparse
import collections
import io
import json
import os
import pathlib
import random
import signal
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from typing import Any

# Caches programs of small networks, too. JAX reads it when it is imported.
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from absl import app  # noqa: E402
from orbax.checkpoint import v1 as ocp  # noqa: E402

from palette_jax import arrays, main  # noqa: E402
from palette_jax.data import pipeline  # noqa: E402

ROOT = pathlib.Path(__file__).parents[1]
FLAGS = [
  f'--config={ROOT / "configs/colorize.py"}:tiny,steps=1000000',
  '--config.data.size=(8,8)',
  '--config.model.channel_mult=(1,)',
  '--config.model.attention_levels=()',
  '--config.held_out.examples=2',
  '--config.train.batch=2',
  '--config.train.checkpoint_every=50',
]
BATCHES = 'batches.txt'  # in the workdir; a line has a step and row checksums
PHASES = 'start', 'step', 'save'
RIVAL_EVERY = 6  # lives


def live(workdir: pathlib.Path, *flags: str) -> int:
  """Forks a run and returns its process id."""
  workdir.mkdir(parents=True, exist_ok=True)
  child = os.fork()
  if child:
    return child
  log = os.open(workdir / 'log.txt', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
  os.dup2(log, 1)
  os.dup2(log, 2)
  record_batches(workdir / BATCHES)
  sys.argv = ['main.py', *FLAGS, f'--workdir={workdir}', *flags]
  app.run(main.main, flags_parser=main.parse_flags)
  raise AssertionError('app.run exits')


def record_batches(path: pathlib.Path) -> None:
  """Records every batch that this process takes, even if it is killed."""
  take = pipeline.Pipeline.train
  file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

  def recorded(
    self: pipeline.Pipeline, batch: int, start: int = 0, *hosts: int
  ) -> Iterator[pipeline.HostBatch]:
    for step, taken in enumerate(take(self, batch, start, *hosts), start):
      sums = [
        zlib.crc32(b''.join(array.tobytes() for array in row))
        for row in zip(*taken.examples, taken.record, taken.readable)
      ]
      os.write(file, f'{step} {" ".join(map(str, sums))}\n'.encode())
      yield taken

  setattr(pipeline.Pipeline, 'train', recorded)  # noqa: B010


def batches(workdir: pathlib.Path) -> list[tuple[int, list[int]]]:
  """Returns (step, row checksums) of all batches taken in a workdir."""
  file = workdir / BATCHES
  lines = file.read_text().splitlines() if file.exists() else []
  numbers = [list(map(int, line.split())) for line in lines]
  return [(step, rows) for step, *rows in numbers]


def saving(workdir: pathlib.Path) -> set[tuple[str, int]]:
  """Returns the unfinished checkpoints."""
  paths = workdir.glob('checkpoints/*.orbax-checkpoint-tmp*')
  return {(path.name, path.stat().st_ino) for path in paths if path.exists()}


def wait_until(condition: Callable[[], bool], child: int, event: str) -> None:
  """Waits for a condition, before which the child must not end."""
  end = time.monotonic() + 1800
  while not condition():
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended or time.monotonic() > end:
      sys.exit(f'A life ended ({status}) or hung before {event}; see log.txt.')
    time.sleep(0.002)


def kill(workdir: pathlib.Path, number: int, chance: random.Random) -> str:
  """Starts a run and kills it; returns the phase in which it was killed."""
  left, before = saving(workdir), len(batches(workdir))
  start = time.monotonic()
  child = live(workdir)
  aim = chance.choices(PHASES, [1, 4, 4])[0]
  if aim == 'start':
    time.sleep(chance.uniform(0, 4))
  else:
    # In steps, not in seconds, so that a busy machine gets as far.
    target = before + chance.randint(1, 70)
    wait_until(lambda: len(batches(workdir)) >= target, child, 'a step')
    if number % RIVAL_EVERY == 0:
      check_refused(workdir, child)
    wait_until(
      lambda: bool(saving(workdir) - left) == (aim == 'save'), child, aim
    )
    time.sleep(chance.uniform(0, 0.2))
  os.kill(child, signal.SIGKILL)
  _, status = os.waitpid(child, 0)
  if not os.WIFSIGNALED(status):
    sys.exit(f'A life ended by itself ({status}); see {workdir}/log.txt.')
  phase = 'start'
  taken = batches(workdir)
  if len(taken) > before:
    phase = 'save' if saving(workdir) - left else 'step'
  at = taken[-1][0] if taken else 0
  seconds = time.monotonic() - start
  print(f'kill {number + 1}: {phase}, batch {at}, after {seconds:.1f} s')
  return phase


def check_refused(workdir: pathlib.Path, holder: int) -> None:
  """Starts a second run in a workdir, which must exit and say why."""
  log = workdir / 'log.txt'
  before = log.stat().st_size
  _, status = os.waitpid(live(workdir), 0)
  message = log.read_bytes()[before:].decode()
  if os.waitstatus_to_exitcode(status) != 1 or (
    f'is in use by process {holder} on' not in message
  ):
    sys.exit(f'A second run was not refused: {status}, {message}')


def finish(workdir: pathlib.Path, until: int) -> None:
  """Continues a run to a step, where it ends."""
  _, status = os.waitpid(live(workdir, f'--until={until}'), 0)
  if status:
    sys.exit(f'The last life of {workdir} failed ({status}); see log.txt.')


def compare(first: pathlib.Path, second: pathlib.Path, step: int) -> list[str]:
  """Returns the names of arrays that differ in any bit of two checkpoints.

  A fork compares the files: train (step, weights, optimizer, key) and ema.
  """
  output = second / 'different.json'
  child = os.fork()
  if not child:
    try:
      output.write_text(json.dumps(_different(first, second, step)))
      os._exit(0)
    finally:
      traceback.print_exc()
      os._exit(1)
  if os.waitpid(child, 0)[1]:
    sys.exit('The checkpoints could not be compared.')
  return json.loads(output.read_text())


def _different(
  first: pathlib.Path, second: pathlib.Path, step: int
) -> list[str]:
  trees = (
    ocp.load_checkpointables(
      str(folder.absolute() / f'checkpoints/{step}'), dict(train=None, ema=None)
    )
    for folder in (first, second)
  )
  left, right = (
    {name: _bytes(leaf) for name, leaf in arrays.leaves_by_path(tree).items()}
    for tree in trees
  )
  names = sorted(left.keys() | right.keys())
  assert len(names) > 10 and 'train/key' in names, names
  return [name for name in names if left.get(name) != right.get(name)]


def _bytes(leaf: jax.Array) -> bytes:
  is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()


def survive(folder: pathlib.Path, kills: int, seed: int) -> dict[str, Any]:
  """Runs the whole experiment and returns its results."""
  chance, phases = random.Random(seed), collections.Counter()
  killed, alone = folder / 'killed', folder / 'alone'
  start = time.monotonic()
  # Until there are enough kills of either kind, since chance may favour one.
  while sum(phases.values()) < kills or min(
    phases['step'], phases['save']
  ) < min(5, kills // 4):
    phases[kill(killed, sum(phases.values()), chance)] += 1
  until = max(step for step, _ in batches(killed)) + 10
  finish(killed, until)
  finish(alone, until)
  expected = dict(batches(alone))
  wrong = [step for step, rows in batches(killed) if expected[step] != rows]
  return {
    'kills': dict(phases),
    'steps': until,
    'batches taken': len(batches(killed)),
    'batches that differ': wrong,
    'arrays that differ': compare(killed, alone, until),
    'seconds': round(time.monotonic() - start),
  }


def run() -> None:
  """Runs the command line; exits with 1 if anything differs."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--kills', type=int, default=25)
  parser.add_argument('--seed', type=int, default=random.randrange(10**6))
  parser.add_argument('--workdir', type=pathlib.Path, required=True)
  args = parser.parse_args()
  if args.workdir.exists() and any(args.workdir.iterdir()):
    parser.error(f'{args.workdir} is not empty.')
  threads = len(os.listdir('/proc/self/task'))
  if threads > 1:
    sys.exit(f'{threads} threads: forking would not be sound.')
  print(f'seed {args.seed}')
  results = survive(args.workdir, args.kills, args.seed)
  text = json.dumps(results, indent=2)
  (args.workdir / 'survival.json').write_text(text)
  print(text)
  if results['batches that differ'] or results['arrays that differ']:
    sys.exit('The killed run did not end as the undisturbed one.')


if __name__ == '__main__':
  assert isinstance(sys.stdout, io.TextIOWrapper)
  sys.stdout.reconfigure(line_buffering=True)
  run()
