"""Command lines of the launchers, and the commands that they run or print.

Launchers need Python and nothing else: the machine that starts a run need not
be able to run it.
"""

import argparse
import shlex
import subprocess
import sys

# The exit code of a run that has saved and stopped on request, and should be
# started again (palette_jax/main.py).
RUN_AGAIN = 75


def parser(name: str, doc: str) -> argparse.ArgumentParser:
  """Returns a parser with --dry-run, and a script's docstring as its help."""
  result = argparse.ArgumentParser(
    name,
    description=doc,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  result.add_argument(
    '--dry-run', action='store_true', help='only print the commands'
  )
  return result


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
  """Parses the command line; `command` holds the words after --."""
  options, command = sys.argv[1:], []
  if '--' in options:
    split = options.index('--')
    options, command = options[:split], options[split + 1 :]
  args = parser.parse_args(options)
  args.command = command
  return args


def positive(text: str) -> int:
  """Parses a positive number, for argparse.

  Raises:
    argparse.ArgumentTypeError: if it is not a number of at least 1.
  """
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f'{text!r} is not a number of at least 1')
  return int(text)


def run(command: list[str], dry_run: bool, text: str | None = None) -> None:
  """Runs a command, or prints it as a shell would take it.

  Args:
    command: the program and its arguments.
    dry_run: only prints.
    text: the command's standard input.

  Raises:
    SystemExit: if the command fails, or there is no such program.
  """
  line = shlex.join(command)
  if dry_run:
    print(line if text is None else f"{line} <<'EOF'\n{text.rstrip()}\nEOF")
    return
  print(line, file=sys.stderr)
  try:
    process = subprocess.run(command, input=text, text=True)
  except FileNotFoundError:
    sys.exit(f'There is no {command[0]} on this machine.')
  if process.returncode:
    sys.exit(process.returncode)
