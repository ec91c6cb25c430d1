"""Trains, samples or evaluates, on one device or on all hosts of a pod.

  python -m palette_jax.main --config=configs/colorize.py:tiny
  python -m palette_jax.main --config=... --workdir=... --mode=sample

Any field can be set on the command line: --config.train.batch=256. A run goes
on from the newest checkpoint in its workdir.
"""

import pathlib
import sys
from collections.abc import Sequence

import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags

from palette_jax import console, settings
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
  return settings.parse(argv, flags.FLAGS, _CONFIG)


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

  from palette_jax import hosts
  from palette_jax.training import loop

  tf.config.set_visible_devices([], 'GPU')  # they are JAX's
  hosts.join()
  hosts.cache_compilations()
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
