"""Measures the time from a process's start to its first step of a resumed run.

  python -m benchmarks.startup [--rounds=3] [--config=configs/colorize.py:tiny]

A first run of a few steps leaves a checkpoint, and its compiled programs in the
persistent cache. The same command then resumes from the checkpoint in fresh
processes, which exit after their first step. The table has the seconds of each
phase, medians over rounds: of the clock, and of the CPU over all threads, which
other processes do not lengthen much.
"""

import argparse
import functools
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

FIRST = 5  # steps of the run that is resumed


def main() -> None:
  """Prints a line for each phase."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--config', default='configs/colorize.py:tiny')
  parser.add_argument('--workdir', help='of the run that is resumed')
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    command = [
      f'--config={args.config}',
      f'--workdir={args.workdir or folder}',
      '--config.optimizer.warmup_steps=1',
    ]
    prepare(command)
    rounds = [resume(command) for _ in range(args.rounds)]

  cores = len(os.sched_getaffinity(0))
  load = os.getloadavg()[0]
  print(f'{cores} core(s), load {load:.1f}, medians of {args.rounds}')
  print(f'{"":42} {"clock":>7} {"CPU":>7}')
  for phase in dict.fromkeys(name for marks in rounds for name in marks):
    seconds = [marks[phase] for marks in rounds if phase in marks]
    clock, cpu = (statistics.median(column) for column in zip(*seconds))
    print(f'{phase:42} {clock:7.2f} {cpu:7.2f}')
  for column, name in enumerate(('clock', 'CPU')):
    sums = [sum(pair[column] for pair in marks.values()) for marks in rounds]
    print(f'{name} to the first step: {statistics.median(sums):.1f} s')


def prepare(command: list[str]) -> None:
  """Trains a run that has a checkpoint, and its programs in the cache."""
  for steps in FIRST, FIRST + 1:
    subprocess.run(
      [
        *(sys.executable, '-m', 'palette_jax.main', *command),
        f'--config.train.steps={steps}',
        '--config.objective.sample_schedule.num_steps=2',
      ],
      check=True,
      stdout=subprocess.DEVNULL,
    )


def resume(command: list[str]) -> dict[str, tuple[float, float]]:
  """Resumes the run; returns the (clock, CPU) seconds of each phase."""
  done = subprocess.run(
    [
      *(sys.executable, '-c', 'from benchmarks import startup as s; s.child()'),
      *command,
      '--config.train.steps=1000',
    ],
    check=True,
    capture_output=True,
    text=True,
  )
  return json.loads(done.stdout.splitlines()[-1])


class Watch:
  """Seconds between marks."""

  def __init__(self) -> None:
    with open('/proc/self/stat') as file:
      started = int(file.read().rpartition(')')[2].split()[19])
    self._clock = started / os.sysconf('SC_CLK_TCK')
    self._cpu = 0.0
    self.marks: dict[str, tuple[float, float]] = {}

  def mark(self, phase: str) -> None:
    """Adds the time since the last mark to a phase."""
    clock, cpu = time.clock_gettime(time.CLOCK_BOOTTIME), time.process_time()
    before = self.marks.get(phase, (0.0, 0.0))
    self.marks[phase] = (
      before[0] + clock - self._clock,
      before[1] + cpu - self._cpu,
    )
    self._clock, self._cpu = clock, cpu

  def around(
    self, owner: object, name: str, phase: str, between: str = 'the rest'
  ) -> None:
    """Wraps a function of a module or class to add its time to a phase.

    Args:
      owner: the module or class.
      name: name of the function.
      phase: phase of the function.
      between: phase of the time before it.
    """
    function = getattr(owner, name)

    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
      self.mark(between)
      result = function(*args, **kwargs)
      self.mark(phase)
      return result

    setattr(owner, name, timed)


def child() -> None:
  """Resumes as the command does, and exits after a step."""
  watch = Watch()
  watch.mark('Python itself')
  gc.disable()  # as main.run does around these imports
  from absl import app, flags

  from palette_jax import main as command

  watch.mark('import: palette_jax.main')
  import jax  # noqa: F401

  watch.mark('import: JAX')
  import tensorflow  # noqa: F401

  watch.mark('import: TensorFlow')
  from palette_jax.training import checkpoint, held_out, learner, loop, monitor
  from palette_jax.training import run as runs

  watch.mark('import: the rest, Flax, Orbax, clu')
  watch.around(runs, 'build', 'list the images, build the parts')
  watch.around(checkpoint, 'Checkpoints', 'open the checkpoints')
  watch.around(loop, 'resume_or_create', 'read the checkpoint, check its bits')
  watch.around(held_out, 'HeldOut', 'read the held-out photos')
  watch.around(learner.Learner, 'jit_step', 'the rest')
  watch.around(loop.sharding, 'put_batch', 'the rest', 'the first batch')
  add = monitor.Monitor.add

  def end(self: monitor.Monitor, *args: Any) -> None:
    add(self, *args)
    watch.mark('the step: trace, read its program, compute')
    print(json.dumps(watch.marks), flush=True)
    os._exit(0)

  setattr(monitor.Monitor, 'add', end)  # noqa: B010
  flags.mark_flag_as_required('config')
  app.run(command.main, flags_parser=command.parse_flags)


if __name__ == '__main__':
  main()
