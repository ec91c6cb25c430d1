"""`palette evaluate` and --mode=evaluate: what they are given, in and out."""

import argparse
import pathlib
import posixpath
import shlex
import sys

import jax
import ml_collections
from etils import epath

from palette_jax.data import listing
from palette_jax.evaluation import (
  cases,
  observations,
  plots,
  protocol,
  report,
  samples,
  scores,
)
from palette_jax.evaluation.networks import probe as probes
from palette_jax.training import trained_run


def of_run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Judges the newest checkpoint of a run, on all hosts.

  Prints the held-out loss, then draws what `config.evaluation` asks for into
  WORKDIR/evaluation and writes the scores beside it.

  Raises:
    FileNotFoundError: if there is no checkpoint, or no such images.
    ValueError: for what does not fit.
  """
  probe = _probe(config.evaluation.probe)
  run, step, params = trained_run.evaluate(config, workdir)
  name = posixpath.basename(workdir.rstrip('/'))
  for request in samples.requests(config, run, step, workdir):
    samples.draw(request, run, params)
    results = protocol.judge(
      samples.subject({name: request}, probe),
      reference=config.evaluation.reference,
    )
    publish(results, request.folder, request.meta)


def publish(
  results: protocol.Results, folder: epath.PathLike, about: dict
) -> None:
  """Writes scores and pictures, and prints the table."""
  if jax.process_index():
    return
  file = report.write(results, folder, about)
  print(f'\n{report.markdown(results, about)}')
  print(f'{file}, and results.md beside it')
  try:
    pictures = plots.write(results, folder)
  except ModuleNotFoundError as error:
    print(f'No plots: {error}. pip install matplotlib brings them.')
  else:
    print('\n'.join(map(str, pictures)))


def run(args: argparse.Namespace) -> None:
  """palette evaluate.

  Raises:
    ValueError, FileNotFoundError: for whatever does not fit.
  """
  if args.config is not None:
    if args.workdir is None or args.outputs:
      raise ValueError(
        'With --config give --workdir, of a run, and no folders.'
      )
    of_run(args.config, args.workdir)
    return
  if not args.outputs or not args.originals:
    raise ValueError(
      'What shall be judged? Give --outputs DIR and --originals DIR, or\n'
      '  palette evaluate --config=configs/NAME.py --workdir=runs/NAME'
    )
  if args.case:
    cases.get(args.case)
  subject = observations.Subject(
    rows=_rows(args.outputs),
    originals=args.originals,
    inputs=args.inputs,
    holes=args.holes,
    labels=_labels(args.labels),
    probe=_probe(args.probe),
    case=args.case,
  )
  results = protocol.judge(
    subject,
    wanted=_wanted(args.metrics),
    reference=args.reference,
    dialect=args.dialect,
    batch=args.batch,
  )
  command = shlex.join(['palette', *sys.argv[1:]])
  publish(results, args.folder or 'evaluation', {'command': command})


def _probe(file):
  return probes.load(file) if file else None


def _rows(outputs):
  """[NAME=]DIR[,DIR] -> folders of samples by name."""
  rows = {}
  for text in outputs:
    name, equals, given = text.partition('=')
    if not equals:
      name, given = '', text
    samples_of = given.split(',')
    name = name or pathlib.PurePath(samples_of[0]).name
    if name in rows or name == protocol.ORIGINAL:
      raise ValueError(
        f'Two rows are called {name}: give names, --outputs NAME=DIR.'
      )
    rows[name] = samples_of
  return rows


def _labels(file):
  if file is None:
    return None
  found = {}
  for name, label in zip(*listing.text(file)):
    stem = posixpath.splitext(posixpath.basename(name))[0]
    if label is not None and found.setdefault(stem, label) != label:
      raise ValueError(
        f'{file} calls two images {stem}, of classes {found[stem]} and {label}.'
      )
  if not found:
    raise ValueError(f'{file} has no labels: a name and a number a line.')
  return found


def _wanted(text):
  if text is None:
    return None
  wanted = text.split(',')
  for name in wanted:
    if name not in scores.METRICS:
      raise ValueError(
        f'There is no metric {name!r}: {", ".join(scores.METRICS)}.'
      )
  return wanted
