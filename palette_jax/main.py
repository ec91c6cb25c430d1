"""Trains, samples or evaluates, on one device or on all hosts of a pod.

  python -m palette_jax.main --config=configs/colorize.py:tiny
  python -m palette_jax.main --config=... --workdir=... --mode=sample

Any field can be set on the command line: --config.train.batch=256. A run goes
on from the newest checkpoint in its workdir.
"""

import os
import pathlib
import sys
import traceback
from collections.abc import Sequence

import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags

from palette_jax import console
from palette_jax.data import sources

# Before TensorFlow loads: no chatter, and decoding that is the same everywhere.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

COMMON = pathlib.Path('configs/common.py')  # what all configs share

_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'What to train: configs/NAME.py, configs/NAME.py:tiny, ...',
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'Folder of the run, local or gs://; runs/NAME by default.',
)
_MODE = flags.DEFINE_enum(
  'mode',
  'train',
  ['train', 'sample', 'evaluate'],
  'train: until the last step, then the two others. sample: draw held-out '
  'photos. evaluate: their loss.',
)


def default_workdir(config_file: str) -> str:
  """configs/colorize.py:tiny -> runs/colorize-tiny."""
  path, _, variant = config_file.partition(':')
  name = pathlib.Path(path).stem
  variant = ''.join(c if c.isalnum() else '-' for c in variant)
  return str(pathlib.Path('runs', f'{name}-{variant}' if variant else name))


def parse_flags(argv: Sequence[str]) -> list[str]:
  """As absl does, but whatever is wrong is answered in one sentence."""
  try:
    rest = flags.FLAGS(argv)
    _CONFIG.value.get('seed')  # a file that is missing is noticed here
    return rest
  except (AttributeError, KeyError) as error:
    calls = traceback.extract_tb(error.__traceback__)
    if any(call.name == 'get_config' for call in calls):
      raise  # a mistake in the config file, not on the command line
    # An AttributeError's text is that of a KeyError, in quotes.
    quoted = isinstance(error, AttributeError) and error.__context__
    sys.exit(f'\nThe config has no such field: {(quoted or error).args[0]}')
  except OSError as error:
    reason = str(error.__cause__ or error).splitlines()[-1].strip()
    known = sorted({*pathlib.Path('configs').glob('*.py')} - {COMMON})
    found = ', '.join(map(str, known)) or 'none: change to the clone'
    sys.exit(f'\nThere is no such config: {reason}. Here are {found}.')
  except flags.Error as error:
    # A variant's error comes wrapped in a traceback, which helps nobody.
    reason = error
    while 'Traceback' in str(reason) and reason.__context__:
      reason = reason.__context__
    sys.exit(f'\n{reason}\nAll flags: --helpshort.')


def main(argv: Sequence[str]) -> None:
  """Checks the data, sets the machine up, and hands over to the loop."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  console.simplify_logging()
  try:
    run(_CONFIG.value)
  except (ValueError, FileNotFoundError, FloatingPointError) as error:
    if not console.is_for_the_user(error):
      raise
    sys.exit(f'\n{error}')
  except KeyboardInterrupt:
    sys.exit('\nStopped. The same command goes on from the newest checkpoint.')


def run(config: ml_collections.ConfigDict) -> None:
  """Does what --mode says."""
  workdir = _WORKDIR.value or default_workdir(
    config_flags.get_config_filename(flags.FLAGS['config'])
  )
  # Missing data are noticed before the libraries below have loaded.
  sources.check(config.data.source)

  import jax
  import tensorflow as tf

  from palette_jax import sharding
  from palette_jax.training import loop

  tf.config.set_visible_devices([], 'GPU')  # they are JAX's
  sharding.join_hosts()
  sharding.cache_compilations()
  logging.info(
    'Host %d of %d; devices %s; files go to %s.',
    jax.process_index(),
    jax.process_count(),
    ', '.join(str(device) for device in jax.local_devices()),
    workdir,
  )
  modes = dict(train=loop.train, sample=loop.sample, evaluate=loop.evaluate)
  modes[_MODE.value](config, workdir)


if __name__ == '__main__':
  flags.mark_flag_as_required('config')
  app.run(main, flags_parser=parse_flags)
