"""The terminal: log lines, progress, groups of commands in the help."""

import argparse
import logging as std_logging
import pathlib
import sys
import textwrap
import time
import traceback
from typing import Any

import tqdm
from absl import logging

SECONDS = 30.0  # between two lines of progress where there is no terminal


def simplify_logging() -> None:
  """Logs time and message only, and hides routine messages of JAX and Orbax."""
  # Failures in Orbax are raised as well, and then reported in one sentence.
  levels = {'orbax': std_logging.CRITICAL, 'jax': std_logging.WARNING}

  def is_ours(record: std_logging.LogRecord) -> bool:
    return all(
      record.levelno >= level or f'/{library}/' not in record.pathname
      for library, level in levels.items()
    )

  logging.use_absl_handler()  # app.run has done so; the commands have not
  handler = logging.get_absl_handler()
  handler.addFilter(is_ours)
  handler.setFormatter(
    std_logging.Formatter('%(asctime)s %(message)s', '%H:%M:%S')
  )


def is_for_the_user(error: BaseException) -> bool:
  """Checks whether the package itself raised an error, for the user to read."""
  *_, (frame, _) = traceback.walk_tb(error.__traceback__)
  package = pathlib.Path(__file__).parent
  return pathlib.Path(frame.f_code.co_filename).is_relative_to(package)


class Progress:
  """Progress on standard error: a bar on a terminal, else a line now and then.

  Attributes:
    done: finished units; may be a fraction.
    total: units in all.
  """

  def __init__(
    self,
    title: str,
    total: int,
    unit: str = 'image',
    done: int = 0,
    shown: bool = True,
    leave: bool = True,
    bar_format: str | None = None,
  ) -> None:
    """Starts the clock.

    Args:
      title: text before the bar.
      total: units in all.
      unit: name of a unit, in the singular.
      done: units that were finished before; they do not count for the speed.
      shown: whether to show anything; on a pod, one host does.
      leave: whether the bar stays when it is full.
      bar_format: layout of the bar, as tqdm takes it.
    """
    self.done: float | int = done
    self.total, self._title, self._unit = total, title, unit
    self._shown, self._last_line = shown, time.monotonic()
    self._bar = tqdm.tqdm(
      total=total,
      initial=done,
      desc=title,
      unit=unit,
      leave=leave,
      bar_format=bar_format,
      disable=None if shown else True,  # None: where there is no terminal
    )

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *error: object) -> None:
    self._bar.close()

  def advance(self, count: float | int = 1, line: str = '') -> None:
    """Counts finished units.

    Args:
      count: how many more; may be a fraction.
      line: text to print where there is no terminal, in place of the title and
        the count.
    """
    self.done += count
    if not self._bar.disable:
      self._bar.update(count)
    elif self._shown and time.monotonic() - self._last_line > SECONDS:
      line = line or (
        f'{self._title}: {self.done:,.0f} of {self.total:,} {self._unit}s'
      )
      print(line, file=sys.stderr, flush=True)
      self._last_line = time.monotonic()

  def describe(self, title: str) -> None:
    """Replaces the text before the bar."""
    self._title = title
    self._bar.set_description_str(title)

  def skip(self) -> None:
    """Drops a unit that took no time, so that the ETA does not count it."""
    self.total -= 1
    self._bar.total = self.total
    self._bar.refresh()

  def write(self, line: str) -> None:
    """Prints a line on standard output, above the bar."""
    self._bar.write(line, file=sys.stdout)
    sys.stdout.flush()
    self._last_line = time.monotonic()


class Commands:
  """A group of subcommands, which the help lists under a title.

  argparse itself lists all subcommands in one column.
  """

  def __init__(
    self, subparsers: argparse._SubParsersAction, title: str
  ) -> None:
    """Starts an empty group.

    Args:
      subparsers: shared by all groups; without help texts of their own.
      title: of the group.
    """
    self._subparsers, self._lines = subparsers, [f'{title}:']

  def add_parser(
    self, name: str, *, help: str, **options: Any
  ) -> argparse.ArgumentParser:
    """Adds a subcommand, as argparse does.

    Args:
      name: of the subcommand.
      help: its line in the list; also its description, unless `options` has
        another.
      **options: of argparse.ArgumentParser.
    """
    self._lines += textwrap.wrap(
      help, 78, initial_indent=f'  {name:14}', subsequent_indent=' ' * 16
    )
    options.setdefault('description', help)
    return self._subparsers.add_parser(name, **options)

  def __str__(self) -> str:
    """Returns the title, and a line for each subcommand."""
    return '\n'.join(self._lines)
