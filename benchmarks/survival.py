"""Kills a run again and again, and compares its end with a run left alone.

  python -m benchmarks.survival --kills=100 --workdir=/tmp/survival

Every life is the command itself, palette_jax.main, in a process of its own that
ends by kill -9 at a random moment: while it starts, during a step, during an
asynchronous save. What was going on is told by what it left behind: a batch it
had taken, a folder of Orbax's that is not finished. Now and then a second run
of the same workdir is started beside it, and must be refused.

Then one more life goes on to the end, another workdir is trained to the same
step undisturbed, and both must agree in every batch they ever took and in
every bit of both checkpoints. What happened is printed, and written to
survival.json.

This process imports everything once and forks the lives: it has one thread
only, and never touches a device.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import sys
import time
import traceback
import zlib

# Programs of a network this small are kept, too; before JAX is imported.
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
BATCHES = 'batches.txt'  # in the workdir: step and its rows' checksums, a line
PHASES = 'start', 'step', 'save'
RIVAL_EVERY = 6  # lives


def live(workdir: pathlib.Path, *flags: str) -> int:
  """Forks a run; returns its process id."""
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
  """Has every batch that this process takes written down, kill or not."""
  take = pipeline.Pipeline.train
  file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

  def recorded(self, batch, start, *hosts):
    for step, taken in enumerate(take(self, batch, start, *hosts), start):
      sums = [
        zlib.crc32(b''.join(array.tobytes() for array in row))
        for row in zip(*taken.examples, taken.record, taken.readable)
      ]
      os.write(file, f'{step} {" ".join(map(str, sums))}\n'.encode())
      yield taken

  pipeline.Pipeline.train = recorded


def batches(workdir: pathlib.Path) -> list[tuple[int, list[int]]]:
  """(step, checksum by row) of all batches that were taken in a workdir."""
  file = workdir / BATCHES
  lines = file.read_text().splitlines() if file.exists() else []
  numbers = [list(map(int, line.split())) for line in lines]
  return [(step, rows) for step, *rows in numbers]


def saving(workdir: pathlib.Path) -> set[tuple[str, int]]:
  """The checkpoints that are not finished."""
  found = workdir.glob('checkpoints/*.orbax-checkpoint-tmp*')
  return {(path.name, path.stat().st_ino) for path in found if path.exists()}


def wait_until(condition, child: int, what: str) -> None:
  """Waits for a child to get somewhere; it must not end before."""
  end = time.monotonic() + 1800
  while not condition():
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended or time.monotonic() > end:
      sys.exit(f'A life ended ({status}) or hung before {what}; see log.txt.')
    time.sleep(0.002)


def kill(workdir: pathlib.Path, number: int, chance: random.Random) -> str:
  """One life, to its violent end; returns the phase that it was in."""
  left, before = saving(workdir), len(batches(workdir))
  born = time.monotonic()
  child = live(workdir)
  aim = chance.choices(PHASES, [1, 4, 4])[0]
  if aim == 'start':
    time.sleep(chance.uniform(0, 4))
  else:
    # In steps and not in seconds: a busy machine gets as far.
    enough = before + chance.randint(1, 70)
    wait_until(lambda: len(batches(workdir)) >= enough, child, 'a step')
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
  lived = time.monotonic() - born
  print(f'kill {number + 1}: {phase}, batch {at}, after {lived:.1f} s')
  return phase


def check_refused(workdir: pathlib.Path, holder: int) -> None:
  """Starts a second run of a workdir, which must give up and say why."""
  log = workdir / 'log.txt'
  before = log.stat().st_size
  _, status = os.waitpid(live(workdir), 0)
  said = log.read_bytes()[before:].decode()
  if os.waitstatus_to_exitcode(status) != 1 or (
    f'is in use by process {holder} on' not in said
  ):
    sys.exit(f'A second run was not refused: {status}, {said}')


def finish(workdir: pathlib.Path, until: int) -> None:
  """Lets a run go on to a step, and end."""
  _, status = os.waitpid(live(workdir, f'--until={until}'), 0)
  if status:
    sys.exit(f'The last life of {workdir} failed ({status}); see log.txt.')


def compare(first: pathlib.Path, second: pathlib.Path, step: int) -> list[str]:
  """Names of the arrays of two checkpoints that differ in any bit; in a fork.

  The files themselves: train (step, weights, optimizer, key) and ema.
  """
  answer = second / 'different.json'
  child = os.fork()
  if not child:
    try:
      answer.write_text(json.dumps(_different(first, second, step)))
      os._exit(0)
    finally:
      traceback.print_exc()
      os._exit(1)
  if os.waitpid(child, 0)[1]:
    sys.exit('The checkpoints could not be compared.')
  return json.loads(answer.read_text())


def _different(first, second, step):
  one, other = (
    ocp.load_checkpointables(
      folder.absolute() / f'checkpoints/{step}', dict(train=None, ema=None)
    )
    for folder in (first, second)
  )
  one, other = (
    {name: _bytes(leaf) for name, leaf in arrays.leaves_by_path(tree).items()}
    for tree in (one, other)
  )
  names = sorted(one.keys() | other.keys())
  assert len(names) > 10 and 'train/key' in names, names
  return [name for name in names if one.get(name) != other.get(name)]


def _bytes(leaf):
  is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()


def survive(folder: pathlib.Path, kills: int, seed: int) -> dict:
  """The whole experiment; returns what happened."""
  chance, phases = random.Random(seed), collections.Counter()
  killed, alone = folder / 'killed', folder / 'alone'
  start = time.monotonic()
  # Until there have been enough of either kind: chance may favour one.
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
  """Reads the command line; exits with 1 if anything differs."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
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
  found = survive(args.workdir, args.kills, args.seed)
  text = json.dumps(found, indent=2)
  (args.workdir / 'survival.json').write_text(text)
  print(text)
  if found['batches that differ'] or found['arrays that differ']:
    sys.exit('The killed run did not end as the one that was left alone.')


if __name__ == '__main__':
  sys.stdout.reconfigure(line_buffering=True)
  run()
