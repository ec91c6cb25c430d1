"""The `palette` command.

  palette colorize old.jpg new.png
  palette inpaint photo.jpg new.png --mask mask.png
  palette import --from=janspiry 200_Network_ema.pth weights/places2
  palette export runs/colorize colorize.safetensors
  palette inspect --config=inpaint:tiny inpaint.png
  palette plan --config=colorize --topology=v5e:16x16
  palette evaluate --outputs results --originals photos

Each subcommand calls one function elsewhere. The parser imports no JAX, so that
help and mistakes are quick.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence

from absl import flags, logging
from etils import epath

from palette_jax import console, extras, files, settings, tasks
from palette_jax.evaluation import arguments as evaluation
from palette_jax.photo import arguments as photo
from palette_jax.study import arguments as study


def main(argv: Sequence[str] | None = None) -> None:
  """Runs the command line; reports mistakes in one sentence."""
  argv, config = list(sys.argv[1:] if argv is None else argv), None
  if argv[:1] in (['evaluate'], ['inspect'], ['plan']):
    config, argv = settings.take(argv)
  args = parser().parse_args(argv, argparse.Namespace(config=config))
  flags.FLAGS.mark_as_parsed()  # for absl's logging
  console.simplify_logging()
  try:
    if extra := getattr(args, 'extra', ''):
      extras.require(extra, 'This command')
    code = args.run(args)
  except (ValueError, FileNotFoundError) as error:
    if not console.is_for_the_user(error):
      raise
    sys.exit(f'\n{error}')
  except KeyboardInterrupt:
    print('\nStopped.', file=sys.stderr)
    code = 130  # as in a shell
  if code:
    sys.exit(code)


def parser() -> argparse.ArgumentParser:
  """Builds the command line, with its subcommands in groups."""
  palette = argparse.ArgumentParser(
    'palette',
    description='Palette: image-to-image diffusion models, in JAX.',
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  subparsers = palette.add_subparsers(
    required=True, metavar='COMMAND', help='one of the following'
  )
  photos = console.Commands(subparsers, 'photos')
  research = console.Commands(subparsers, 'research')
  weights = console.Commands(subparsers, 'weights')
  photo.photos(photos)
  evaluation.evaluate(research)
  study.add(research)
  evaluation.reproduce(research)
  _add_inspect(research)
  _add_plan(research)
  _add_import(weights)
  _add_export(weights)
  more = 'palette COMMAND --help has the details.'
  palette.epilog = f'{photos}\n\n{research}\n\n{weights}\n\n{more}'
  return palette


def _add_import(commands: console.Commands) -> None:
  command = commands.add_parser(
    'import', help="converts another project's weights to a checkpoint"
  )
  command.add_argument(
    '--from',
    dest='source',
    required=True,
    choices=['guided-diffusion', 'janspiry', 'palette'],
    help='the project that wrote the file; palette: `palette export` did',
  )
  command.add_argument(
    '--head-channels',
    type=int,
    help='channels of an attention head, which tensors do not show '
    '(guided-diffusion: 64, janspiry: 32)',
  )
  command.add_argument(
    '--new-attention-order',
    action='store_true',
    help='the network was trained with use_new_attention_order, which tensors '
    'do not show either',
  )
  command.add_argument('file', metavar='IN')
  command.add_argument('folder', metavar='OUT_DIR')
  command.set_defaults(run=import_weights)


def _add_export(commands: console.Commands) -> None:
  command = commands.add_parser(
    'export', help="writes a checkpoint's averaged weights to one file"
  )
  command.add_argument(
    '--format',
    choices=['safetensors', 'torch', 'sampler'],
    default='safetensors',
    help='sampler: a .palette file that draws images of any size without this '
    'package, on a CPU, GPU or TPU',
  )
  command.add_argument(
    '--sampler',
    default='',
    help="for --format=sampler: ancestral (the paper's), ddim, dpm_solver, ...",
  )
  command.add_argument(
    '--steps', type=int, default=0, help='of that sampler, such as 20'
  )
  command.add_argument(
    '--half',
    action='store_true',
    help='round weights to float16, half the size; not for --format=sampler',
  )
  command.add_argument(
    'weights',
    metavar='WEIGHTS',
    help='the folder of a run or an import, or an exported file',
  )
  command.add_argument('file', metavar='OUT')
  command.set_defaults(run=export_weights)


def _add_inspect(commands: console.Commands) -> None:
  command = commands.add_parser(
    'inspect',
    usage='palette inspect --config=NAME[:VARIANT] '
    '[--config.FIELD=VALUE ...] [--rows N] [--records N] OUT.png',
    help="draws a config's training examples on one sheet, and reports on its "
    'data',
  )
  command.add_argument(
    '--rows', type=int, default=8, help='examples on the sheet'
  )
  command.add_argument(
    '--records',
    type=int,
    default=10_000,
    help='most images of each split to decode for the report',
  )
  command.add_argument('file', metavar='OUT.png')
  command.set_defaults(run=inspect_data, extra='train')


def _add_plan(commands: console.Commands) -> None:
  command = commands.add_parser(
    'plan',
    usage='palette plan --config=NAME[:VARIANT] '
    '[--config.FIELD=VALUE ...] --topology=v5e:16x16[,v5p:4x4x4,...] '
    '[--batch N | --per-chip N] [--mode MODE] [--scaling OUT.png]',
    help='compiles a config for TPUs that are not here: memory, speed, cost',
  )
  command.add_argument(
    '--topology',
    required=True,
    help='slices as GENERATION:SIDES, separated by commas',
  )
  images = command.add_mutually_exclusive_group()
  images.add_argument(
    '--batch', type=int, help="images on all chips; the config's by default"
  )
  images.add_argument('--per-chip', type=int, help='images on each chip')
  command.add_argument(
    '--mode',
    choices=['train', 'sample'],
    default='train',
    help='train: one step; sample: all steps of the sampler for a batch',
  )
  command.add_argument(
    '--scaling', metavar='OUT.png', help='plot the speed over the slices'
  )
  command.set_defaults(run=plan_run, extra='train')


def import_weights(args: argparse.Namespace) -> None:
  """Runs `palette import`."""
  from palette_jax.models import unet
  from palette_jax.weights import importer

  logging.set_verbosity(logging.INFO)  # lists tensors that are left out
  model = importer.import_weights(
    args.source,
    args.file,
    args.folder,
    args.head_channels,
    args.new_attention_order,
  )
  print(f'{args.file}: {unet.summary(model)}')
  print(f'The checkpoint is in {args.folder}. To sample it, or train it on:')
  print(f'  {_sample_command(args.folder)}')


def _sample_command(folder: str) -> str:
  """Returns the command that samples imported weights."""
  saved = json.loads(epath.Path(folder, 'config.json').read_text())
  with_hole = next(task for task in tasks.for_photos() if task.has_hole)
  task = dict(saved.get('task', {'name': with_hole.name}))
  name = task.pop('name')
  words = ['python', '-m', 'palette_jax.main']
  words += [f'--config={name}:model={folder}']
  words += [f'--workdir={folder}', '--mode=sample']
  for option, value in task.items():
    value = tuple(value) if isinstance(value, list) else value
    if value != tasks.get(name).options[option]:
      words += [f'--config.task.{option}={value}']
  if 'data' in saved:
    words += [f'--config.data.size={tuple(saved["data"]["size"])}']
  return shlex.join(words)


def export_weights(args: argparse.Namespace) -> None:
  """Runs `palette export`."""
  from palette_jax.models import unet
  from palette_jax.weights import exporter

  if args.format == 'sampler':
    if args.half:
      raise ValueError('--half is for weights alone: a sampler keeps float32.')
    return _export_sampler(args)
  if args.sampler or args.steps:
    raise ValueError(
      f'--sampler and --steps are for --format=sampler: {args.format} holds '
      'weights alone.'
    )
  model = exporter.write(args.weights, args.file, args.format, args.half)
  print(f'{args.file}: {unet.summary(model)}')


def _export_sampler(args: argparse.Namespace) -> None:
  from palette_jax.weights import exporter

  logging.set_verbosity(logging.INFO)  # the paper's network takes a while
  recipe = exporter.write_sampler(
    args.weights, args.file, args.sampler, args.steps
  )
  size = epath.Path(args.file).stat().length
  print(
    f'{args.file}: {size / 1e6:,.1f} MB, {recipe["sampler"]["name"]} in '
    f'{recipe["sampler"]["passes"]} passes of the network, for '
    f'{", ".join(recipe["platforms"])} and any size that is a multiple of '
    f'{recipe["multiple"]}. Inside, loader.py runs it and recipe.json says '
    'what it is.'
  )


def inspect_data(args: argparse.Namespace) -> None:
  """Runs `palette inspect`."""
  from palette_jax.data import sources

  if args.config is None:
    raise ValueError(
      'Which data? Give --config=NAME, as in\n  palette inspect '
      '--config=inpaint:tiny inpaint.png'
    )
  for option, value in ('rows', args.rows), ('records', args.records):
    if value < 1:
      raise ValueError(f'--{option} must be at least 1; got {value}.')
  report = _check_png(args.file).with_suffix('.txt')
  sources.check(args.config.data.source)
  tasks.corruption(**args.config.task)

  from palette_jax.data import inspection, sheet

  logging.set_verbosity(logging.INFO)  # a large source takes minutes
  sheet.write(args.file, args.config, args.rows)
  print(f'The sheet is {args.file}.\n')
  text = inspection.report(args.config, args.records)
  report.write_text(text)
  print(f'{text}\nThis report is {report}.')


def plan_run(args: argparse.Namespace) -> None:
  """Runs `palette plan`."""
  if args.config is None:
    raise ValueError(
      'Which run? Give --config=NAME, as in\n  palette plan '
      '--config=colorize --topology=v5e:16x16'
    )
  picture = args.scaling and _check_png(args.scaling)
  from palette_jax.planning import command

  logging.set_verbosity(logging.INFO)  # compiling takes minutes
  command.run(
    args.config,
    args.topology.split(','),
    args.mode,
    batch=args.batch,
    per_chip=args.per_chip,
    picture=picture,
  )


def _check_png(file: str) -> epath.Path:
  """Checks that a PNG, and a report beside it, can be written."""
  path = epath.Path(file)
  if path.suffix.lower() != '.png':
    raise ValueError(f'{file}: the sheet is a PNG; end its name in .png.')
  files.check_writable(path.parent)
  if path.is_dir():
    raise ValueError(f'{file} is a folder; name a file that may be written.')
  return path


if __name__ == '__main__':
  main()
