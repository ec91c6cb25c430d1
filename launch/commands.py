"""What the launchers have in common: commands are printed, or run.

They need Python and nothing else: what starts a run need not be able to run it.
"""

import argparse
import shlex
import subprocess
import sys

# A run that was told to stop has saved, and is to be started again
# (palette_jax/main.py).
RUN_AGAIN = 75


def parser(name: str, doc: str) -> argparse.ArgumentParser:
  """A parser that shows a script's docstring, and has --dry-run."""
  made = argparse.ArgumentParser(
    name,
    description=doc,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  made.add_argument(
    '--dry-run', action='store_true', help='print what it would do, and stop'
  )
  return made


def parse(made: argparse.ArgumentParser) -> argparse.Namespace:
  """Parses the command line; `command` is what stands behind --."""
  options, command = sys.argv[1:], []
  if '--' in options:
    split = options.index('--')
    options, command = options[:split], options[split + 1 :]
  args = made.parse_args(options)
  args.command = command
  return args


def positive(text: str) -> int:
  """For argparse.

  Raises:
    argparse.ArgumentTypeError: if it is not a number of at least 1.
  """
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f'{text!r} is no number of at least 1')
  return int(text)


def run(command: list[str], dry_run: bool, text: str | None = None) -> None:
  """Runs a command, or prints what a shell would take.

  Args:
    command: the program and its arguments.
    dry_run: only print.
    text: what it reads from its standard input.

  Raises:
    SystemExit: if it fails, or there is no such program.
  """
  line = shlex.join(command)
  if dry_run:
    print(line if text is None else f"{line} <<'EOF'\n{text.rstrip()}\nEOF")
    return
  print(line, file=sys.stderr)
  try:
    done = subprocess.run(command, input=text, text=True)
  except FileNotFoundError:
    sys.exit(f'There is no {command[0]} on this machine.')
  if done.returncode:
    sys.exit(done.returncode)
