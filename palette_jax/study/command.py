"""`palette study`: serves a study, or reports on its answers."""

import argparse
import json

from absl import logging
from etils import epath
from werkzeug import serving

from palette_jax import web
from palette_jax.evaluation import matching
from palette_jax.study import answers as store
from palette_jax.study import findings, server, stimuli
from palette_jax.study import trials as plan


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
  listening = prepare(args)
  try:
    print(
      f'The study is at {web.address(listening)}\n'
      f'Answers go to {args.answers}. Ctrl-C stops; the same command goes on.\n'
      f'What they say:\n  palette study --report --answers {args.answers}',
      flush=True,
    )
    listening.serve_forever()
  except KeyboardInterrupt:
    pass  # how it is meant to end
  finally:
    listening.app.close()


def prepare(args: argparse.Namespace) -> serving.BaseWSGIServer:
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
    pair = {'original': args.originals, 'output': folder}
    matching.match(dict(reversed(pair.items())))  # every output has an original
    matched = matching.match(pair)
    for name, original, output in zip(matched.names, *matched.files.values()):
      files[name, model] = epath.Path(output)
      originals[name] = epath.Path(original)
  images = sorted(originals)
  trials = plan.check(models, images, args.trials)
  logging.info('Reading %d images.', len(images) * (1 + len(models)))
  digest = stimuli.check(
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
    return web.serve(application, web.bind(args.host, args.port))
  except ValueError:
    application.close()
    raise


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
  made = findings.make(*store.load(answers), seed)
  text = findings.text(made)
  path = epath.Path(answers)
  path.with_suffix('.report.md').write_text(f'{text}\n')
  path.with_suffix('.report.json').write_text(json.dumps(made, indent=2) + '\n')
  print(f'{text}\n\nThis is in {path.with_suffix(".report.md")}, and in .json.')
  return text
