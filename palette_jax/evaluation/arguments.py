"""Command lines of the evaluation, apart so that `palette --help` is quick."""

import argparse

from absl import logging

from palette_jax import console
from palette_jax.evaluation import cases
from palette_jax.study import trials


def evaluate(commands: console.Commands) -> None:
  """The command line of `palette evaluate`."""
  command = commands.add_parser(
    'evaluate',
    usage='palette evaluate --outputs [NAME=]DIR [--outputs ...] --originals '
    'DIR [--inputs DIR] [--holes DIR] [--labels FILE] [--case CASE]\n'
    '       palette evaluate --config=configs/NAME.py[:VARIANT] --workdir DIR',
    help="any model's outputs, or a run's, by the paper's protocol",
  )
  command.add_argument(
    '--outputs',
    action='append',
    metavar='[NAME=]DIR[,DIR]',
    help='what a model made; several for a table, the first is compared with; '
    'after commas, further samples of the same inputs',
  )
  command.add_argument('--originals', metavar='DIR')
  command.add_argument(
    '--inputs', metavar='DIR', help='what the models were given'
  )
  command.add_argument(
    '--holes', metavar='DIR', help='masks, white where the models painted'
  )
  command.add_argument(
    '--labels', metavar='FILE', help='a name and a class number a line'
  )
  command.add_argument(
    '--probe',
    default='',
    metavar='FILE',
    help="a classifier of those classes, if they are not ImageNet's "
    '(palette_jax/evaluation/networks/probe.py)',
  )
  command.add_argument(
    '--case',
    default='',
    help="what was done, for the paper's rows and for faithfulness: "
    f'{", ".join(cases.names()).replace("%", "%%")}, ...',
  )
  command.add_argument(
    '--reference',
    default='',
    metavar='DIR',
    help="of Frechet distances: a folder or source (the paper's is ImageNet's "
    'whole validation set), or statistics.npz; the originals by default',
  )
  command.add_argument(
    '--metrics',
    metavar='NAME,...',
    help='as they are called in results.json; all that can be had by default',
  )
  command.add_argument(
    '--dialect',
    choices=['tf1', 'torch', 'clean'],
    default='tf1',
    help="of FID's resizing",
  )
  command.add_argument('--batch', type=int, default=16, help='images at a time')
  command.add_argument(
    '--folder', metavar='DIR', help='of the results; evaluation by default'
  )
  command.add_argument('--workdir', metavar='DIR', help='of a run')
  command.set_defaults(run=run_evaluate, extra='evaluation')


def run_evaluate(args: argparse.Namespace) -> None:
  """palette evaluate."""
  logging.set_verbosity(logging.INFO)  # a large set takes an hour
  from palette_jax.evaluation import command

  command.run(args)


def reproduce(commands: console.Commands) -> None:
  """The command line of `palette reproduce`."""
  command = commands.add_parser(
    'reproduce', help="a table of the paper, ours beside the paper's"
  )
  which = command.add_mutually_exclusive_group(required=True)
  which.add_argument('--table', type=int, choices=range(1, 12), metavar='1..11')
  which.add_argument('--figure', type=int, choices=[9], metavar='9')
  command.add_argument(
    '--scale',
    choices=['tiny', 'small', 'paper'],
    required=True,
    help='tiny: trains for minutes on photos inside the package, to show that '
    'it works; small: for an hour a model, on the images that `python -m '
    'tools.small_data` writes; paper: runs that have been trained',
  )
  command.add_argument(
    '--seeds', type=int, default=1, metavar='N', help='trainings of each model'
  )
  command.add_argument(
    '--runs', default='runs', metavar='DIR', help='one folder for each model'
  )
  command.add_argument(
    '--source',
    default='',
    help="of the images: paper, tfds:imagenet2012; tiny, the package's; small, "
    "CIFAR-10's test set",
  )
  command.add_argument(
    '--records', default='', help='which of them: first:5000, list:FILE, ...'
  )
  command.add_argument(
    '--reference', default='', help="of Frechet distances; the source's images"
  )
  command.set_defaults(run=run_reproduce, extra='evaluation')


def run_reproduce(args: argparse.Namespace) -> None:
  """palette reproduce."""
  logging.set_verbosity(logging.INFO)  # training takes minutes
  from palette_jax.evaluation.paper import reproduction

  if args.seeds < 1:
    raise ValueError(f'--seeds={args.seeds}: train every model at least once.')
  scale = reproduction.Scale(
    args.scale,
    args.runs,
    args.source,
    args.records,
    args.reference,
    args.seeds,
  )
  name = f'table-{args.table}' if args.table else f'figure-{args.figure}'
  folder = reproduction.reproduce(name, scale)
  print(f'All of it is in {folder}.')


def study(commands: console.Commands) -> None:
  """The command line of `palette study`."""
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
    help='photos, named as the outputs but for the extension',
  )
  command.add_argument(
    '--answers', default='study.sqlite', help='the file of all answers'
  )
  command.add_argument(
    '--seconds',
    type=int,
    choices=[3, 5],
    default=3,
    help='for which a pair is shown, as in the paper (3 by default)',
  )
  command.add_argument(
    '--trials',
    type=int,
    metavar='N',
    help=f'of each rater, beside {trials.CATCHES} catch trials '
    f'({trials.TRIALS} by default, or as many as there are originals for)',
  )
  command.add_argument('--seed', type=int, default=0)
  command.add_argument(
    '--host',
    default='127.0.0.1',
    help='0.0.0.0: whoever can reach this machine may take part',
  )
  command.add_argument('--port', type=int, default=8000)
  command.add_argument(
    '--report',
    action='store_true',
    help='says what the answers say, and writes it beside them',
  )
  command.set_defaults(run=run_study, extra='serve')


def run_study(args: argparse.Namespace) -> None:
  """palette study."""
  from palette_jax.study import command

  command.run(args)
