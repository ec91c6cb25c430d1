"""Configs on the command line: --config=NAME[:VARIANT] --config.FIELD=VALUE.

NAME is that of a file in configs/, which a wheel has inside the package and a
clone beside it; that of a task, for configs/task.py:NAME; or the path of any
config file.
"""

import contextlib
import difflib
import importlib.util
import pathlib
import sys
import traceback
import types
from collections.abc import Generator, Sequence

import ml_collections
from absl import flags
from ml_collections import config_flags

from palette_jax import tasks

_PACKAGE = pathlib.Path(__file__).resolve().parent
_FOLDERS = _PACKAGE / 'configs', _PACKAGE.parent / 'configs'
# Installed by a wheel, the package has unrelated neighbours.
CONFIGS = next((path for path in _FOLDERS if path.exists()), _FOLDERS[0])
COMMON = 'common'  # a module that all configs share, not a config
TASK = 'task'  # the config of any task, whose name precedes the variant


def names() -> list[str]:
  """Returns the names of the configs that come with the package."""
  return sorted({path.stem for path in CONFIGS.glob('*.py')} - {COMMON})


def find(name: str) -> pathlib.Path:
  """Returns the config file of a name or a path.

  Raises:
    ValueError: if there is no such file; suggests the nearest name.
  """
  file = pathlib.Path(name)
  if file.name == name and not file.suffix:
    file = CONFIGS / f'{name}.py'
  if file.is_file() and file.suffix == '.py':
    return file
  known = {*names(), *tasks.names()}
  close = difflib.get_close_matches(file.stem, known, n=1, cutoff=0.5)
  hint = f' Did you mean {close[0]!r}?' if close else ''
  raise ValueError(
    f'There is no config {name}.{hint} Give the path of a config file, or one '
    f'of {", ".join(names())}.'
  )


def load(name: str) -> ml_collections.ConfigDict:
  """Returns the config of NAME[:VARIANT], locked.

  Raises:
    ValueError: if there is no such config, or no such variant.
  """
  name, *variant = name.split(':', 1)
  if name in tasks.names() and name not in names():
    name, variant = TASK, [','.join([name, *variant])]
  file = find(name)
  spec = importlib.util.spec_from_file_location(file.stem, file)
  assert spec is not None and spec.loader is not None  # a .py file
  module = importlib.util.module_from_spec(spec)
  with _neighbours(file.parent):
    spec.loader.exec_module(module)
    return module.get_config(*variant).lock()


@contextlib.contextmanager
def _neighbours(folder: pathlib.Path) -> Generator[None]:
  """Makes `from configs import common` work, and nothing else importable.

  `configs` stands for the config's own folder, and then for that of the
  package. Neither folder nor its parent gets onto sys.path, where any file of
  theirs could shadow a library.
  """

  def take() -> dict[str, types.ModuleType]:
    loaded = [k for k in sys.modules if k == 'configs' or k[:8] == 'configs.']
    return {name: sys.modules.pop(name) for name in loaded}

  before = take()
  package = types.ModuleType('configs')
  package.__path__ = [str(folder), str(CONFIGS)]
  sys.modules['configs'] = package
  try:
    yield
  finally:
    take()
    sys.modules.update(before)


class _Parser(flags.ArgumentParser):
  """Loads the config that a flag names."""

  def parse(self, argument: str) -> ml_collections.ConfigDict:
    try:
      return load(argument)
    except ValueError as error:  # which absl would put behind the flag's name
      raise flags.Error(str(error)) from error

  def flag_type(self) -> str:
    return 'config'


def define(
  values: flags.FlagValues, argv: Sequence[str] | None = None
) -> flags.FlagHolder:
  """Defines --config, and a flag for every field of the config that it names.

  Args:
    values: the flags' registry.
    argv: where ml_collections looks for fields; None for the process's own
      arguments.
  """
  holder = config_flags.DEFINE_config_file(
    'config',
    None,
    'What to train: NAME, NAME:VARIANT or a path, as in colorize:tiny; names: '
    f'{", ".join(names())}.',
    flag_values=values,
    sys_argv=None if argv is None else list(argv),
  )
  values['config'].parser = _Parser()
  return holder


def parse(
  argv: Sequence[str],
  values: flags.FlagValues,
  known_only: bool = False,
) -> list[str]:
  """Parses flags as absl does, but reports every mistake in one sentence.

  Args:
    argv: the program's name and its arguments.
    values: the flags' registry.
    known_only: leaves undefined flags to another parser.

  Returns:
    The program's name and the arguments that are not flags.

  Raises:
    SystemExit: with that sentence.
  """
  try:
    return values(argv, known_only=known_only)
  except (AttributeError, KeyError) as error:
    calls = traceback.extract_tb(error.__traceback__)
    if any(call.name == 'get_config' for call in calls):
      raise  # a mistake in the config file, not on the command line
    # An AttributeError's text is that of a KeyError, in quotes.
    quoted = isinstance(error, AttributeError) and error.__context__
    sys.exit(f'\nThe config has no such field: {(quoted or error).args[0]}')
  except flags.Error as error:
    everything = '--help' if known_only else '--helpshort'
    sys.exit(f'\n{error}\nAll flags: {everything}.')


def take(
  argv: Sequence[str],
) -> tuple[ml_collections.ConfigDict | None, list[str]]:
  """Separates the config from the other options of a command line.

  Returns:
    The config, None without --config, and the other arguments.

  Raises:
    SystemExit: as `parse`.
  """
  argv = ['palette', *argv]
  values = flags.FlagValues()
  holder = define(values, argv)
  _, *rest = parse(argv, values, known_only=True)
  return holder.value, rest
