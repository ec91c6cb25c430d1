"""The command lines of the evaluation; importing them needs no JAX."""

import argparse

from absl import logging

from palette_jax import console
from palette_jax.evaluation import cases


def evaluate(commands: console.Commands) -> None:
  """Adds `palette evaluate`."""
  command = commands.add_parser(
    'evaluate',
    usage='palette evaluate --outputs [NAME=]DIR [--outputs ...] --originals '
    'DIR [--inputs DIR] [--holes DIR] [--labels FILE] [--case CASE]\n'
    '       palette evaluate --config=configs/NAME.py[:VARIANT] --workdir DIR',
    help="judges any model's outputs, or a run's, by the paper's protocol",
  )
  command.add_argument(
    '--outputs',
    action='append',
    metavar='[NAME=]DIR[,DIR]',
    help="folder of a model's outputs; repeat it for a table, in which the "
    'others are compared with the first. After commas: further samples of the '
    'same inputs',
  )
  command.add_argument(
    '--originals', metavar='DIR', help='folder of the true images'
  )
  command.add_argument(
    '--inputs', metavar='DIR', help='folder of what the models were given'
  )
  command.add_argument(
    '--holes',
    metavar='DIR',
    help='folder of masks, white where the models painted',
  )
  command.add_argument(
    '--labels',
    metavar='FILE',
    help="the images' classes: a name and a class number a line",
  )
  command.add_argument(
    '--probe',
    default='',
    metavar='FILE',
    help="classifier of those classes, if they are not ImageNet's "
    '(palette_jax/evaluation/networks/probe.py)',
  )
  command.add_argument(
    '--case',
    default='',
    help="the case, for the paper's rows and for faithfulness: "
    f'{", ".join(cases.names()).replace("%", "%%")}, ...',
  )
  command.add_argument(
    '--reference',
    default='',
    metavar='DIR',
    help='reference of Frechet distances: a folder, a source (the paper takes '
    "ImageNet's whole validation set) or statistics.npz; the originals by "
    'default',
  )
  command.add_argument(
    '--metrics',
    metavar='NAME,...',
    help='names as in results.json; by default, all that can be computed',
  )
  command.add_argument(
    '--dialect',
    choices=['tf1', 'torch', 'clean'],
    default='tf1',
    help="dialect of FID's resizing",
  )
  command.add_argument('--batch', type=int, default=16, help='images at a time')
  command.add_argument(
    '--folder', metavar='DIR', help='folder of the results (evaluation)'
  )
  command.add_argument('--workdir', metavar='DIR', help='folder of a run')
  command.set_defaults(run=run_evaluate, extra='evaluation')


def run_evaluate(args: argparse.Namespace) -> None:
  """Runs `palette evaluate`."""
  logging.set_verbosity(logging.INFO)  # a large set takes an hour
  from palette_jax.evaluation import command

  command.evaluate(args)


def reproduce(commands: console.Commands) -> None:
  """Adds `palette reproduce`."""
  command = commands.add_parser(
    'reproduce', help="reproduces a table of the paper, beside the paper's"
  )
  subject = command.add_mutually_exclusive_group(required=True)
  subject.add_argument(
    '--table', type=int, choices=range(1, 12), metavar='1..11'
  )
  subject.add_argument('--figure', type=int, choices=[9], metavar='9')
  command.add_argument(
    '--scale',
    choices=['tiny', 'small', 'paper'],
    required=True,
    help='tiny: trains for minutes on photos inside the package, to show that '
    'it works; small: trains for an hour a model, on the images that `python '
    '-m tools.small_data` writes; paper: takes trained runs',
  )
  command.add_argument(
    '--seeds', type=int, default=1, metavar='N', help='trainings of each model'
  )
  command.add_argument(
    '--runs',
    default='runs',
    metavar='DIR',
    help='folder with a folder for each model (%(default)s)',
  )
  command.add_argument(
    '--source',
    default='',
    help="the images; by default, tfds:imagenet2012 for paper, the package's "
    "for tiny, CIFAR-10's test set for small",
  )
  command.add_argument(
    '--records', default='', help='a part of them: first:5000, list:FILE, ...'
  )
  command.add_argument(
    '--reference',
    default='',
    help="reference of Frechet distances; by default, the source's images",
  )
  command.set_defaults(run=run_reproduce, extra='evaluation')


def run_reproduce(args: argparse.Namespace) -> None:
  """Runs `palette reproduce`.

  Raises:
    ValueError: for options that do not fit.
  """
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
  print(f'All results are in {folder}.')
