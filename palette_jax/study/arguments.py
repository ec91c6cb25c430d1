"""The command line of `palette study`; importing it needs no JAX."""

import argparse

from palette_jax import console
from palette_jax.study import trials


def add(commands: console.Commands) -> None:
  """Adds `palette study`."""
  command = commands.add_parser(
    'study',
    usage='palette study --outputs MODEL DIR [--outputs MODEL DIR ...] '
    '--originals DIR [--answers FILE] [--seconds 3|5] [--trials N] [--seed N] '
    '[--host HOST] [--port N]\n'
    '       palette study --report --answers FILE [--seed N]',
    help='asks people which image is from a camera; reports fool rates',
  )
  command.add_argument(
    '--outputs',
    nargs=2,
    action='append',
    metavar=('MODEL', 'DIR'),
    default=[],
    help='a name for the report, and a folder of images',
  )
  command.add_argument(
    '--originals',
    metavar='DIR',
    help='photos, named as the outputs up to the suffix',
  )
  command.add_argument(
    '--answers',
    default='study.sqlite',
    help='file of all answers (%(default)s)',
  )
  command.add_argument(
    '--seconds',
    type=int,
    choices=[3, 5],
    default=3,
    help='how long a pair is shown, as in the paper (3 by default)',
  )
  command.add_argument(
    '--trials',
    type=int,
    metavar='N',
    help=f'trials of each rater, beside {trials.CATCHES} catch trials '
    f'({trials.TRIALS} by default, or fewer if there are fewer originals)',
  )
  command.add_argument('--seed', type=int, default=0)
  command.add_argument(
    '--host',
    default='127.0.0.1',
    help='0.0.0.0 admits everybody who can reach this machine',
  )
  command.add_argument('--port', type=int, default=8000)
  command.add_argument(
    '--report',
    action='store_true',
    help='prints a report of the answers, and writes it beside them',
  )
  command.set_defaults(run=run, extra='serve')


def run(args: argparse.Namespace) -> None:
  """Runs `palette study`."""
  from palette_jax.study import command

  command.run(args)
