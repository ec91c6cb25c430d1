"""Command lines for photos, apart so that `palette --help` is quick.

Every number is checked here, before any weights are read.
"""

import argparse
from collections.abc import Callable

from palette_jax import console

# palette_jax/diffusion/choice.py imports JAX, and has all of them.
SAMPLERS = ('ancestral', 'ddim', 'dpm_solver')
HOLE_SAMPLERS = (*SAMPLERS, 'imputation', 'repaint')
SIDES = ('left', 'right', 'top', 'bottom')
_OF_HOLES = ('inpainting', 'uncropping')
_MOST_SAMPLES = 64  # on one sheet
_MOST_STEPS = 10_000
_MOST_PIXELS = 20_000  # of one side
_MOST_SHIFTS = 1_000
SEEDS = 2**32


def photos(commands: console.Commands) -> None:
  """The command lines of all that is done to photos."""
  _command(
    commands,
    'colorize',
    'colorization',
    'grey photos become coloured ones',
    'Grey photos become coloured ones, of the same size and sharpness: all but '
    'the colour stays. What colour a photo has is not looked at.',
  )
  _inpaint(commands)
  _uncrop(commands)
  _command(
    commands,
    'restore-jpeg',
    'jpeg',
    'removes what JPEG has done to photos',
    'Removes the blocks and rings of a photo that was compressed too much.',
    verb='restore_jpeg',
  )
  _panorama(commands)
  _replay(commands)
  _demo(commands)


def _inpaint(commands):
  command = _command(
    commands,
    'inpaint',
    'inpainting',
    'paints holes anew, where a mask says so',
    'Paints the part of a photo anew that a mask shows in white. All other '
    'pixels stay as they are, bit for bit.',
  )
  command.add_argument(
    '--mask',
    metavar='MASK',
    help='as large as the photo, white where it is painted, or painted or '
    'erased on a transparent ground; for a folder, a folder with masks of the '
    "same names, or one mask for all. The photo's own transparency by default",
  )
  command.add_argument(
    '--invert', action='store_true', help='black is painted, white is kept'
  )
  command.add_argument(
    '--preview',
    action='store_true',
    help='only shows in OUT-preview.png what would be painted, in magenta',
  )


def _uncrop(commands):
  command = _command(
    commands,
    'uncrop',
    'uncropping',
    'continues photos beyond their edges',
    'Continues a photo beyond its edges. Its own pixels stay as they are.',
  )
  command.add_argument(
    '--side', choices=[*SIDES, 'all'], required=True, help='that is added to'
  )
  command.add_argument(
    '--pixels',
    type=_whole(1, _MOST_PIXELS),
    required=True,
    metavar='N',
    help='that are added; with --side all on each side',
  )


def _panorama(commands):
  command = _command(
    commands,
    'panorama',
    'uncropping',
    'continues photos to the left and right, step by step',
    'Continues a photo to the left and right, half a picture at a time, as '
    "the paper's panoramas.",
  )
  for side in 'left', 'right':
    command.add_argument(
      f'--{side}',
      type=_whole(0, _MOST_SHIFTS),
      default=0,
      metavar='N',
      help=f'steps to the {side}, each half as wide as the photo is high (0)',
    )
  command.add_argument(
    '--loop', action='store_true', help='both ends meet: a picture all round'
  )


def _command(
  commands: console.Commands,
  name: str,
  task: str,
  short: str,
  description: str,
  verb: str = '',
) -> argparse.ArgumentParser:
  """What all of them have: photos in and out, and how they are drawn."""
  command = commands.add_parser(
    name,
    help=short,
    description=f'{description} A folder in makes a folder out; started again, '
    'it goes on with what is missing.',
  )
  command.add_argument('source', metavar='IN', help='a photo, or a folder')
  command.add_argument(
    'target',
    metavar='OUT',
    help='a file (.png keeps everything, and how it was made), or a folder',
  )
  command.add_argument(
    '-n',
    '--samples',
    type=_whole(1, _MOST_SAMPLES),
    default=1,
    metavar='N',
    help='several answers: OUT-1.png ..., all of them on OUT-sheet.png, where '
    'they differ in OUT-spread.png, the most different in OUT-pair.png',
  )
  command.add_argument(
    '--seed',
    type=_whole(0, SEEDS - 1),
    default=0,
    metavar='N',
    help='of all chance: the same makes the same pixels (0); in a folder each '
    'photo has its own, by its name, that this is added to',
  )
  command.add_argument(
    '--steps',
    type=_whole(1, _MOST_STEPS),
    default=0,
    metavar='N',
    help='of the sampler: more take longer; by default as many as it needs',
  )
  command.add_argument(
    '--sampler',
    choices=HOLE_SAMPLERS if task in _OF_HOLES else SAMPLERS,
    default='',
    help='by default the one that needs the fewest steps',
  )
  _checkpoint(command)
  command.set_defaults(run=run, command=name, verb=verb or name, task=task)
  return command


def _checkpoint(command):
  command.add_argument(
    '--checkpoint',
    default='',
    metavar='PATH',
    help="a run's or an import's folder, or a file from `palette export`; by "
    'default the weights that come with the package',
  )


def _replay(commands):
  command = commands.add_parser(
    'replay',
    help='makes a file again by the recipe in it, and compares',
    description='Makes a file again by the recipe that it carries, and '
    'compares. Exit code 0: the same pixels, bit for bit; 1: others; 2: it '
    'could not be made.',
  )
  command.add_argument('file', metavar='OUT.png', help='is only read')
  command.add_argument(
    '--input', required=True, metavar='IN', help='the photo it was made from'
  )
  command.add_argument('--mask', metavar='MASK', help='that was used')
  _checkpoint(command)
  command.set_defaults(run=run_replay)


def _demo(commands):
  command = commands.add_parser(
    'demo',
    help='a page in the browser on which to do all this',
    description='Serves a page on which photos are coloured, filled, widened '
    'and restored: brush, handles, several answers beside each other.',
  )
  command.add_argument(
    '--host',
    default='127.0.0.1',
    help='0.0.0.0: whoever can reach this machine may use it',
  )
  command.add_argument('--port', type=_whole(0, 65_535), default=8000)
  _checkpoint(command)
  command.set_defaults(run=run_demo)


def _whole(least: int, most: int) -> Callable[[str], int]:
  """A whole number between two, both allowed."""

  def parse(text: str) -> int:
    try:
      number = int(text)
    except ValueError:
      number = None
    if number is None or not least <= number <= most:
      raise argparse.ArgumentTypeError(
        f'{text!r} is no whole number from {least} to {most}'
      )
    return number

  return parse


def run(args: argparse.Namespace) -> int:
  """palette colorize, inpaint, uncrop, restore-jpeg, panorama."""
  from palette_jax.photo import command

  return command.run(args)


def run_replay(args: argparse.Namespace) -> int:
  """palette replay."""
  from palette_jax.photo import command

  return command.replay(args)


def run_demo(args: argparse.Namespace) -> None:
  """palette demo."""
  from palette_jax.demo import command

  command.run(args.checkpoint, args.host, args.port)
