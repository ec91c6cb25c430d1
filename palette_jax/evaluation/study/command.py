"""`palette study`: serves a study, or reports on its answers.

Next: palette_jax/console.py
"""

import argparse
import json
from collections.abc import Sequence

from absl import logging
from etils import epath

from palette_jax.evaluation.study import pictures, plan, report, server, store


def add(commands: argparse._SubParsersAction) -> None:
  """Adds `study` to the subcommands of `palette`."""
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
    help=f'of each rater, beside {plan.CATCHES} catch trials ({plan.TRIALS} by '
    'default, or as many as there are originals for)',
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
  command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
  """Serves until it is stopped, or reports.

  Raises:
    FileNotFoundError: if there are no answers to report on.
    ValueError: for whatever else does not fit, before anything is served.
  """
  if args.seed < 0:
    raise ValueError(f'--seed must be 0 or more; got {args.seed}.')
  if args.report:
    write_report(args.answers, args.seed)
    return
  logging.set_verbosity(logging.INFO)
  serving = prepare(args)
  try:
    print(
      f'The study is at {server.address(serving)}\n'
      f'Answers go to {args.answers}. Ctrl-C stops; the same command goes on.\n'
      f'What they say:\n  palette study --report --answers {args.answers}',
      flush=True,
    )
    serving.serve_forever()
  except KeyboardInterrupt:
    pass  # how it is meant to end
  finally:
    serving.app.close()


def prepare(args: argparse.Namespace) -> server.serving.BaseWSGIServer:
  """Checks everything and takes the port.

  Raises:
    ValueError: for what does not fit.
  """
  if not args.outputs or not args.originals:
    raise ValueError(
      'A study shows outputs beside originals: give --outputs MODEL DIR and '
      '--originals DIR, or --report for one that has answers.'
    )
  models = [model for model, _ in args.outputs]
  files, originals = {}, {}
  for model, folder in args.outputs:
    for name, output, original in _pair(folder, args.originals):
      files[name, model], originals[name] = output, original
  images = sorted(originals)
  trials = plan.check(models, images, args.trials)
  logging.info('Reading %d images.', len(images) * (1 + len(models)))
  digest = pictures.check(
    {name: originals[name] for name in images},
    {name: [files[name, model] for model in models] for name in images},
  )
  files.update({(name, None): path for name, path in originals.items()})
  study = plan.Study(
    tuple(models), tuple(images), trials, args.seconds, args.seed, digest
  )
  answers = store.Store(args.answers, study)
  application = server.Application(study, answers, files)
  try:
    return server.listen(application, args.host, args.port)
  except ValueError:
    application.close()
    raise


def _pair(
  outputs: str, originals: str
) -> Sequence[tuple[str, epath.Path, epath.Path]]:
  """(name, output, original) of each stem; both folders must have all."""
  sides = []
  for folder in outputs, originals:
    if not epath.Path(folder).is_dir():
      raise ValueError(f'{folder} is not a folder.')
    stems = {}
    for path in sorted(epath.Path(folder).iterdir()):
      if path.name.startswith('.') or path.is_dir():
        continue
      if path.stem in stems:
        raise ValueError(f'{path} and {stems[path.stem]} have the same name.')
      stems[path.stem] = path
    sides.append(stems)
  missing = []
  for these, those, folder in (*sides, originals), (*sides[::-1], outputs):
    missing += [
      f'{path}: nothing of this name in {folder}'
      for stem, path in these.items()
      if stem not in those
    ]
  if missing:
    raise ValueError(
      f'Every output needs an original and every original an output; '
      f'{len(missing)} have none:\n  '
      + '\n  '.join(missing[:20])
      + (f'\n  and {len(missing) - 20} more' if len(missing) > 20 else '')
    )
  return [(stem, path, sides[1][stem]) for stem, path in sides[0].items()]


def write_report(answers: str, seed: int = 0) -> str:
  """Prints the report and writes it beside the answers, as .md and .json.

  Args:
    answers: the file.
    seed: of the bootstraps.

  Returns:
    The report in Markdown.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is another file.
  """
  made = report.make(*store.load(answers), seed)
  text = report.text(made)
  path = epath.Path(answers)
  path.with_suffix('.report.md').write_text(f'{text}\n')
  path.with_suffix('.report.json').write_text(json.dumps(made, indent=2) + '\n')
  print(f'{text}\n\nThis is in {path.with_suffix(".report.md")}, and in .json.')
  return text
