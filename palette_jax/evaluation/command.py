"""Runs `palette evaluate` and --mode=evaluate."""

import argparse
import pathlib
import posixpath
import shlex
import sys
from collections.abc import Mapping, Sequence

import jax
import ml_collections
from etils import epath

from palette_jax.data import listing
from palette_jax.evaluation import (
  cases,
  matching,
  plots,
  protocol,
  registry,
  report,
  samples,
)
from palette_jax.evaluation.networks import probe as probes
from palette_jax.training import trained_run


def evaluate_run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Judges the newest checkpoint of a run, on all hosts.

  Prints the held-out loss, draws the samples of `config.evaluation` into
  WORKDIR/evaluation, and writes the results beside them.

  Raises:
    FileNotFoundError: if there is no checkpoint, or there are no such images.
    ValueError: for a config that does not fit.
  """
  probe = _probe(config.evaluation.probe)
  run, step, params = trained_run.evaluate(config, workdir)
  name = posixpath.basename(workdir.rstrip('/'))
  for request in samples.requests(config, run, step, workdir):
    samples.draw(request, run, params)
    results = protocol.judge(
      samples.comparison({name: request}, probe),
      reference=config.evaluation.reference,
    )
    publish(results, request.folder, request.meta)


def publish(
  results: protocol.Results, folder: epath.PathLike, about: Mapping[str, object]
) -> None:
  """Writes results and plots, and prints the tables."""
  if jax.process_index():
    return
  path = report.write(results, folder, about)
  print(f'\n{report.as_markdown(results, about)}')
  print(f'{path}, and results.md beside it')
  try:
    pictures = plots.write(results, folder)
  except ModuleNotFoundError as error:
    print(f'No plots: {error}. Install it: pip install matplotlib')
  else:
    print('\n'.join(map(str, pictures)))


def evaluate(args: argparse.Namespace) -> None:
  """Runs `palette evaluate`.

  Raises:
    ValueError, FileNotFoundError: for options that do not fit.
  """
  if args.config is not None:
    if args.workdir is None or args.outputs:
      raise ValueError(
        'With --config, give the --workdir of a run, and no folders.'
      )
    evaluate_run(args.config, args.workdir)
    return
  if not args.outputs or not args.originals:
    raise ValueError(
      'There is nothing to judge. Give --outputs DIR and --originals DIR, or\n'
      '  palette evaluate --config=configs/NAME.py --workdir=runs/NAME'
    )
  if args.case:
    cases.get(args.case)
  results = protocol.judge(
    matching.Comparison(
      rows=_rows(args.outputs),
      originals=args.originals,
      inputs=args.inputs,
      holes=args.holes,
      labels=_labels(args.labels),
      probe=_probe(args.probe),
      case=args.case,
    ),
    metrics=_metrics(args.metrics),
    reference=args.reference,
    dialect=args.dialect,
    batch=args.batch,
  )
  command = shlex.join(['palette', *sys.argv[1:]])
  publish(results, args.folder or 'evaluation', {'command': command})


def _probe(path: str) -> probes.Probe | None:
  return probes.load(path) if path else None


def _rows(outputs: Sequence[str]) -> dict[str, list[str]]:
  """Parses [NAME=]DIR[,DIR] into folders of samples by name."""
  rows = {}
  for text in outputs:
    name, equals, folders = text.partition('=')
    if not equals:
      name, folders = '', text
    row = folders.split(',')
    name = name or pathlib.PurePath(row[0]).name
    if name in rows or name == protocol.ORIGINAL:
      raise ValueError(
        f'Two rows are called {name}: give names, --outputs NAME=DIR.'
      )
    rows[name] = row
  return rows


def _labels(path: str | None) -> dict[str, int] | None:
  """Reads classes by the images' names, without folder and suffix."""
  if path is None:
    return None
  labels = {}
  for name, label in zip(*listing.read_list(path)):
    stem = posixpath.splitext(posixpath.basename(name))[0]
    if label is not None and labels.setdefault(stem, label) != label:
      raise ValueError(
        f'{path} calls two images {stem}, of classes {labels[stem]} and '
        f'{label}.'
      )
  if not labels:
    raise ValueError(f'{path} has no labels: a name and a number a line.')
  return labels


def _metrics(names: str | None) -> list[str] | None:
  if names is None:
    return None
  for name in names.split(','):
    if name not in registry.METRICS:
      raise ValueError(
        f'There is no metric {name!r}: {", ".join(registry.METRICS)}.'
      )
  return names.split(',')
