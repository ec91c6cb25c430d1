"""What a person sees on the terminal."""

import argparse
import logging as std_logging
import pathlib
import textwrap
import traceback

from absl import logging


def simplify_logging() -> None:
  """Time and message; nothing that Orbax and JAX tell their developers."""
  # What fails in Orbax is raised as well, and then told in one sentence.
  least = {'orbax': std_logging.CRITICAL, 'jax': std_logging.WARNING}

  def ours(record: std_logging.LogRecord) -> bool:
    return all(
      record.levelno >= level or f'/{library}/' not in record.pathname
      for library, level in least.items()
    )

  logging.use_absl_handler()  # app.run has done so; the commands have not
  handler = logging.get_absl_handler()
  handler.addFilter(ours)
  handler.setFormatter(
    std_logging.Formatter('%(asctime)s %(message)s', '%H:%M:%S')
  )


def is_for_the_user(error: BaseException) -> bool:
  """Whether the package itself raised it: its message then says what to do."""
  *_, (frame, _) = traceback.walk_tb(error.__traceback__)
  package = pathlib.Path(__file__).parent
  return pathlib.Path(frame.f_code.co_filename).is_relative_to(package)


class Commands:
  """Subcommands of one kind, which the help lists under a title.

  argparse lists all subcommands in one column.
  """

  def __init__(self, subparsers: argparse._SubParsersAction, title: str):
    """`subparsers`, without a help of their own, are shared by all kinds."""
    self._subparsers, self._lines = subparsers, [f'{title}:']

  def add_parser(
    self, name: str, *, help: str, **options: object
  ) -> argparse.ArgumentParser:
    """As argparse's; what `help` says is told by the command's own, too."""
    self._lines += textwrap.wrap(
      help, 78, initial_indent=f'  {name:14}', subsequent_indent=' ' * 16
    )
    return self._subparsers.add_parser(name, **{'description': help} | options)

  def __str__(self) -> str:
    """The title and a line each."""
    return '\n'.join(self._lines)
