"""The command lines for photos; importing them needs no JAX.

All numbers are checked here, before weights are loaded.
"""

import argparse
from collections.abc import Callable
from typing import Any

from palette_jax import console
from palette_jax.photo import limits, verbs


def photos(commands: console.Commands) -> None:
  """Adds a command for every verb, `replay` and `demo`."""
  for verb in verbs.every().values():
    _add_verb(commands, verb)
  _add_replay(commands)
  _add_demo(commands)


def _add_verb(commands: console.Commands, verb: verbs.Verb) -> None:
  command = commands.add_parser(
    verb.command,
    help=verb.summary,
    description=f'{verb.description} A folder as IN makes a folder; if it is '
    'stopped, the same command continues with the photos that are missing.',
  )
  command.add_argument('source', metavar='IN', help='a photo, or a folder')
  command.add_argument(
    'target',
    metavar='OUT',
    help='a file (.png keeps everything, and its recipe), or a folder',
  )
  _add_sampling(command, verb)
  _add_checkpoint(command)
  if verb.name == verbs.UNCROP:
    options = _add_sides(command)
  elif verb.name == verbs.PANORAMA:
    options = _add_steps(command)
  elif verb.has_mask:
    options = _add_mask(command)
  else:
    options = _no_options
  command.set_defaults(
    run=run, verb=verb, options_of=options, mask=None, preview=False
  )


def _add_sampling(command: argparse.ArgumentParser, verb: verbs.Verb) -> None:
  command.add_argument(
    '-n',
    '--samples',
    type=_whole(1, limits.MOST_SAMPLES),
    default=1,
    metavar='N',
    help='number of results: OUT-1.png, ..., all of them on OUT-sheet.png, a '
    'map of where they differ in OUT-spread.png, and the two that differ most '
    'in OUT-pair.png',
  )
  command.add_argument(
    '--seed',
    type=_whole(0, limits.SEEDS - 1),
    default=0,
    metavar='N',
    help='random seed; the same seed gives the same pixels (0); in a folder, '
    "a hash of each photo's name is added to it",
  )
  command.add_argument(
    '--steps',
    type=_whole(1, limits.MOST_STEPS),
    default=0,
    metavar='N',
    help='steps of the sampler; more take longer; by default as many as it '
    'needs',
  )
  has_hole = verb.task.has_hole
  command.add_argument(
    '--sampler',
    choices=limits.HOLE_SAMPLERS if has_hole else limits.SAMPLERS,
    default='',
    help='by default the one that needs the fewest steps',
  )


def _add_checkpoint(command: argparse.ArgumentParser) -> None:
  command.add_argument(
    '--checkpoint',
    default='',
    metavar='PATH',
    help='the folder of a run or an import, or a file from `palette export`; '
    'by default the weights in the package',
  )


# Returns the options of a verb from the parsed arguments.
_Options = Callable[[argparse.Namespace], dict[str, Any]]


def _no_options(args: argparse.Namespace) -> dict[str, Any]:
  del args
  return {}


def _add_mask(command: argparse.ArgumentParser) -> _Options:
  command.add_argument(
    '--mask',
    metavar='MASK',
    help='of the same size as the photo, white where it is painted; or painted '
    'or erased on a transparent background. For a folder: a folder with masks '
    "of the same names, or one mask for all. By default the photo's own "
    'transparency',
  )
  command.add_argument(
    '--invert', action='store_true', help='paints black and keeps white'
  )
  command.add_argument(
    '--preview',
    action='store_true',
    help='only shows in OUT-preview.png what would be painted, in magenta',
  )
  return lambda args: {'invert': args.invert}


def _add_sides(command: argparse.ArgumentParser) -> _Options:
  command.add_argument(
    '--side',
    choices=[*limits.SIDES, 'all'],
    required=True,
    help='the side to extend',
  )
  command.add_argument(
    '--pixels',
    type=_whole(1, limits.MOST_ADDED),
    required=True,
    metavar='N',
    help='number of pixels to add; with --side all, on each side',
  )
  return lambda args: {
    side: args.pixels if args.side in (side, 'all') else 0
    for side in limits.SIDES
  }


def _add_steps(command: argparse.ArgumentParser) -> _Options:
  for side in 'left', 'right':
    command.add_argument(
      f'--{side}',
      type=_whole(0, limits.MOST_SHIFTS),
      default=0,
      metavar='N',
      help=f'steps to the {side}, each half as wide as the photo is high (0)',
    )
  command.add_argument(
    '--loop',
    action='store_true',
    help='joins both ends: the panorama goes all the way round',
  )

  def options(args: argparse.Namespace) -> dict[str, Any]:
    if not args.left and not args.right:
      raise ValueError(
        'A panorama without steps is the photo itself: give --left N, --right '
        'N or both.'
      )
    return {'left': args.left, 'right': args.right, 'loop': args.loop}

  return options


def _add_replay(commands: console.Commands) -> None:
  command = commands.add_parser(
    'replay',
    help='makes a file again by its recipe, and compares',
    description='Makes a file again by the recipe that it carries, and '
    'compares. Exit code 0: the same pixels, bit for bit; 1: other pixels; 2: '
    'it could not be made.',
  )
  command.add_argument('file', metavar='OUT.png', help='is only read')
  command.add_argument(
    '--input', required=True, metavar='IN', help='the photo it was made from'
  )
  command.add_argument(
    '--mask', metavar='MASK', help='the mask it was made with, if any'
  )
  _add_checkpoint(command)
  command.set_defaults(run=run_replay)


def _add_demo(commands: console.Commands) -> None:
  command = commands.add_parser(
    'demo',
    help='a page in the browser for all of this',
    description='Serves a page on which photos are colorized, filled, extended '
    'and restored, with a brush, handles, and several results side by side.',
  )
  command.add_argument(
    '--host',
    default='127.0.0.1',
    help='0.0.0.0 lets everyone who can reach this machine use it',
  )
  command.add_argument('--port', type=_whole(0, 65_535), default=8000)
  _add_checkpoint(command)
  command.set_defaults(run=run_demo, extra='serve')


def _whole(least: int, most: int) -> Callable[[str], int]:
  """Returns a parser of integers from `least` to `most`."""

  def parse(text: str) -> int:
    try:
      number = int(text)
    except ValueError:
      number = None
    if number is None or not least <= number <= most:
      raise argparse.ArgumentTypeError(
        f'{text!r} is not an integer from {least} to {most}'
      )
    return number

  return parse


def run(args: argparse.Namespace) -> int:
  """Runs the command of a verb."""
  from palette_jax.photo import command

  return command.run(args)


def run_replay(args: argparse.Namespace) -> int:
  """Runs `palette replay`."""
  from palette_jax.photo import command

  return command.replay(args)


def run_demo(args: argparse.Namespace) -> None:
  """Runs `palette demo`."""
  from palette_jax.demo import command

  command.run(args.checkpoint, args.host, args.port)
