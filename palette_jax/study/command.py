"""`palette study`: serves a study, or reports on its answers."""

import argparse
import json

from absl import logging
from etils import epath
from werkzeug import serving

from palette_jax import files, web
from palette_jax.evaluation import matching
from palette_jax.study import (
  answers,
  database,
  findings,
  server,
  stimuli,
  summary,
  trials,
)


def run(args: argparse.Namespace) -> None:
  """Serves until Ctrl-C, or writes the report.

  Raises:
    FileNotFoundError: if there are no answers to report on.
    ValueError: if the arguments or files do not fit, before anything is served.
  """
  if args.seed < 0:
    raise ValueError(f'--seed must be 0 or more; got {args.seed}.')
  if args.report:
    write_report(args.answers, args.seed)
    return
  logging.set_verbosity(logging.INFO)
  application, http_server = prepare(args)
  try:
    print(
      f'The study is at {web.address(http_server)}\n'
      f'Answers go to {args.answers}. Ctrl-C stops; the same command continues.'
      '\nTo report on the answers:\n'
      f'  palette study --report --answers {args.answers}',
      flush=True,
    )
    http_server.serve_forever()  # Werkzeug returns at Ctrl-C
  finally:
    application.close()


def prepare(
  args: argparse.Namespace,
) -> tuple[server.Application, serving.BaseWSGIServer]:
  """Checks everything, and returns the application and its server.

  Raises:
    ValueError: if the arguments or files do not fit.
  """
  if not args.outputs or not args.originals:
    raise ValueError(
      'A study shows outputs beside originals: give --outputs MODEL DIR and '
      '--originals DIR, or --report to report on answers.'
    )
  models = [model for model, _ in args.outputs]
  paths, originals = _match(args.outputs, args.originals)
  images = sorted(originals)
  per_rater = trials.per_rater(models, images, args.trials)
  logging.info('Reading %d images.', len(images) * (1 + len(models)))
  digest = stimuli.digest(
    {name: originals[name] for name in images},
    {name: [paths[name, model] for model in models] for name in images},
  )
  study = trials.Study(
    tuple(models), tuple(images), per_rater, args.seconds, args.seed, digest
  )
  application = server.Application(
    study,
    database.Database(args.answers, study),
    paths | {(name, None): path for name, path in originals.items()},
  )
  try:
    return application, web.serve(application, web.bind(args.host, args.port))
  except ValueError:
    application.close()
    raise


def _match(
  outputs: list[list[str]], originals: str
) -> tuple[dict[tuple[str, str | None], epath.Path], dict[str, epath.Path]]:
  """Returns (image, model) -> output, and image -> original.

  Raises:
    ValueError: if an image is missing somewhere.
  """
  output_paths: dict[tuple[str, str | None], epath.Path] = {}
  original_paths: dict[str, epath.Path] = {}
  for model, folder in outputs:
    folders = {'original': originals, 'output': folder}
    # Both ways: outputs without an original are mistakes, too.
    matching.match(dict(reversed(folders.items())))
    matched = matching.match(folders)
    for name, original, output in zip(matched.names, *matched.files.values()):
      output_paths[name, model] = epath.Path(output)
      original_paths[name] = epath.Path(original)
  return output_paths, original_paths


def write_report(path: str, seed: int = 0) -> str:
  """Prints the report and writes it beside the answers, as .md and .json.

  Args:
    path: path of the answers file.
    seed: random seed of the bootstraps.

  Returns:
    The report in Markdown.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is not an answers file.
  """
  report = findings.compute(*answers.load(path), seed)
  text = summary.text(report)
  target = epath.Path(path).with_suffix('.report.md')
  files.write(target, f'{text}\n'.encode())
  files.write(
    target.with_suffix('.json'), f'{json.dumps(report, indent=2)}\n'.encode()
  )
  print(f'{text}\n\nThe report is in {target}, and its figures in .json.')
  return text
