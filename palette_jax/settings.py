"""Configs on the command line: --config=FILE.py[:VARIANT] --config.x=y."""

import os
import pathlib
import sys
import traceback
from collections.abc import Sequence

import ml_collections
from absl import flags
from ml_collections import config_flags

COMMON = pathlib.Path('configs/common.py')  # what all configs share


def define(
  values: flags.FlagValues, argv: Sequence[str] | None = None
) -> flags.FlagHolder:
  """Defines --config, and with it every field of the file that it names.

  Args:
    values: where the flags are kept.
    argv: where ml_collections looks for fields; None for the process's own.
  """
  return config_flags.DEFINE_config_file(
    'config',
    None,
    'What to train: configs/NAME.py, configs/NAME.py:tiny, ...',
    flag_values=values,
    lock_config=True,
    sys_argv=argv,
  )


def parse(
  argv: Sequence[str],
  values: flags.FlagValues,
  holder: flags.FlagHolder,
  known_only: bool = False,
) -> list[str]:
  """As absl does, but whatever is wrong is answered in one sentence.

  Args:
    argv: the program's name and its arguments.
    values: where the flags are kept.
    holder: that of --config.
    known_only: leaves flags that are not defined to somebody else.

  Returns:
    The program's name and what is no flag.

  Raises:
    SystemExit: with that sentence.
  """
  try:
    rest = values(argv, known_only=known_only)
    if holder.value is not None:
      holder.value.get('seed')  # a file that is missing is noticed here
    return rest
  except (AttributeError, KeyError) as error:
    calls = traceback.extract_tb(error.__traceback__)
    if any(call.name == 'get_config' for call in calls):
      raise  # a mistake in the config file, not on the command line
    # An AttributeError's text is that of a KeyError, in quotes.
    quoted = isinstance(error, AttributeError) and error.__context__
    sys.exit(f'\nThe config has no such field: {(quoted or error).args[0]}')
  except ModuleNotFoundError as error:
    if error.name != 'configs':
      raise
    sys.exit(
      '\nA config imports its neighbours, configs/: change to the clone.'
    )
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
    everything = '--help' if known_only else '--helpshort'
    sys.exit(f'\n{reason}\nAll flags: {everything}.')


def take(
  argv: Sequence[str],
) -> tuple[ml_collections.ConfigDict | None, list[str]]:
  """Takes the config out of a command line that has other options, too.

  Returns:
    The config, None if there is none, and what is left.

  Raises:
    SystemExit: as `parse`.
  """
  # As `python -m` does: a config imports its neighbour configs/common.py.
  sys.path.insert(0, os.getcwd())
  argv = ['palette', *argv]
  values = flags.FlagValues()
  holder = define(values, argv)
  _, *rest = parse(argv, values, holder, known_only=True)
  return holder.value, rest
