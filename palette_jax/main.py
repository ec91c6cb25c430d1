"""Trains, samples or evaluates, on one device or on all hosts of a run.

  python -m palette_jax.main --config=colorize:tiny
  python -m palette_jax.main --config=... --workdir=... --mode=sample

Any field can be set on the command line: --config.train.batch=256. A run goes
on from the newest checkpoint in its workdir. Exit codes: 0 done; 75 stopped on
request, with everything saved (start it again); 1 a mistake, which the last
lines explain.
"""

import errno
import functools
import gc
import pathlib
import shlex
import sys
from collections.abc import Sequence

import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags

from palette_jax import console, extras, settings
from palette_jax.data import sources

_CONFIG = settings.define(flags.FLAGS)
_WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'Folder of the run, local or gs://; runs/NAME by default.',
)
_MODE = flags.DEFINE_enum(
  'mode',
  'train',
  ['train', 'sample', 'evaluate'],
  'train: until the last step. sample: draw the held-out photos. evaluate: '
  'their loss, and the scores that config.evaluation asks for.',
)
_UNTIL = flags.DEFINE_integer(
  'until',
  None,
  'Save and stop after this step of training; the schedule stays as it is.',
  lower_bound=1,
)
_DEBUG_NANS = flags.DEFINE_bool(
  'debug_nans',
  False,
  'Name the operation that produces the first NaN or infinity; slow.',
)


class _Steps(flags.ArgumentParser):
  """Parses FIRST:LAST, a range of steps."""

  syntactic_help = 'FIRST:LAST'

  def parse(self, argument: str | tuple[int, int]) -> tuple[int, int]:
    if isinstance(argument, tuple):  # parsed before
      return argument
    first, _, last = argument.partition(':')
    if not (first.isdecimal() and last.isdecimal()) or not (
      1 <= int(first) <= int(last)
    ):
      raise ValueError('write FIRST:LAST, a range of steps: 100:110.')
    return int(first), int(last)


_PROFILE = flags.DEFINE(
  _Steps(),
  'profile',
  None,
  'Trace these steps of training, as in 100:110, for XProf in TensorBoard.',
)


def default_workdir(config_file: str) -> str:
  """Returns runs/colorize-tiny for configs/colorize.py:tiny."""
  path, _, variant = config_file.partition(':')
  name = pathlib.Path(path).stem
  variant = ''.join(c if c.isalnum() else '-' for c in variant)
  return str(pathlib.Path('runs', f'{name}-{variant}' if variant else name))


def parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses flags as absl does, but reports mistakes in one sentence."""
  return settings.parse(argv, flags.FLAGS)


def main(argv: Sequence[str]) -> None:
  """Runs the command, and reports the user's mistakes in one sentence."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  console.simplify_logging()
  try:
    run(_CONFIG.value)
  except (ValueError, RuntimeError, OSError) as error:
    disk_full = getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT)
    if not disk_full and not console.is_for_the_user(error):
      raise
    sys.exit(f'\n{error}')
  except KeyboardInterrupt:
    sys.exit('\nStopped. The same command goes on from the newest checkpoint.')


def run(config: ml_collections.ConfigDict) -> None:
  """Checks the data, sets the machine up, and runs the mode."""
  workdir = _WORKDIR.value or default_workdir(
    config_flags.get_config_filename(flags.FLAGS['config'])
  )
  _check_profile(config.train.steps)
  extras.require('train', 'Training')
  # Reports missing data before the slow imports below.
  sources.check(config.data.source)

  gc.disable()  # scanning the million objects of imports takes seconds
  import jax
  import tensorflow as tf

  from palette_jax import hosts
  from palette_jax.training import loop, preemption, step, trained_run

  gc.freeze()
  gc.enable()
  if _DEBUG_NANS.value:
    jax.config.update('jax_debug_nans', True)
    jax.config.update('jax_debug_infs', True)
  tf.config.set_visible_devices([], 'GPU')  # JAX needs them
  hosts.join()
  hosts.cache_compilations()
  logging.info(
    'Host %d of %d; devices %s; files go to %s.',
    jax.process_index(),
    jax.process_count(),
    ', '.join(str(device) for device in jax.local_devices()),
    workdir,
  )
  train = functools.partial(
    loop.train, until=_UNTIL.value, profile=_PROFILE.value
  )
  modes = dict(train=train, sample=trained_run.sample, evaluate=_evaluate)
  try:
    modes[_MODE.value](config, workdir)
  except preemption.Preempted as notice:
    print(f'\n{notice}', file=sys.stderr)
    sys.exit(preemption.EXIT_CODE)
  except step.NotFinite as error:
    sys.exit(f'\n{error}\n{how_to_repeat(error.step)}')


def _evaluate(config: ml_collections.ConfigDict, workdir: str) -> None:
  # Only this mode needs the import.
  from palette_jax.evaluation import command

  command.evaluate_run(config, workdir)


def how_to_repeat(step: int) -> str:
  """Explains how to repeat a step that gave NaN: same batch, same key."""
  command = ['python', '-m', 'palette_jax.main', *sys.argv[1:]]
  command += [f'--until={step}', '--debug_nans']
  return (
    'To repeat it with the same batch and the same noise, and name the '
    f'operation:\n\n  {shlex.join(command)}\n\nA lower '
    '--config.optimizer.learning_rate usually helps.'
  )


def _check_profile(num_steps: int) -> None:
  """Checks that the run takes the steps of a profile."""
  if _PROFILE.value is None:
    return
  first, last = _PROFILE.value
  if _MODE.value != 'train' or last > num_steps:
    raise ValueError(
      f'--profile={first}:{last} needs --mode=train and steps from 1 to '
      f'{num_steps} (train.steps); got --mode={_MODE.value}.'
    )


if __name__ == '__main__':
  flags.mark_flag_as_required('config')
  app.run(main, flags_parser=parse_flags)
