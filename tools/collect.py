"""Collects the data of docs/results.md from finished runs, into results/.

  python -m tools.collect --runs=runs/small --out=results/small \
    --sheets colorize-small

  runs.json                 parameters of each run, and its losses by step
  sheets/RUN-STEP.png       samples of held-out images of the runs of --sheets
  TABLE/CASE.json           results of `palette reproduce`
  TABLE/CASE.png            the same images by every row, enlarged if small
  NAME.json, NAME.png       results of `palette evaluate --folder RUNS/NAME`
  progress/RUN.json         results of `--mode=evaluate` after several numbers
                            of steps (`--until=STEPS`)

The results of a table's second seed go to TABLE/CASE-seed-1.json, without a
picture. Unfinished runs are skipped; files of other runs stay.
"""

import argparse
import io
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from palette_jax import files
from palette_jax.evaluation.paper import tables

SIDE = 64  # smallest side of an image in a sheet
DIGITS = 4
RESULTS = 'results.json'
BY_STEPS = 'fd_efficientnet', 'lpips_alex', 'colourfulness'


def curves(run: pathlib.Path) -> dict[str, list[tuple[int, float]]]:
  """Returns every loss of a run by step; of repeated steps, the last."""
  import tensorflow as tf  # after palette_jax, which keeps it quiet

  by_tag: dict[str, dict[int, float]] = {}
  for path in sorted(run.glob('events.out.tfevents.*')):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        if 'loss' in value.tag:
          number = float(tf.make_ndarray(value.tensor))
          by_tag.setdefault(value.tag, {})[event.step] = number
  return {
    tag: [
      (step, float(f'{value:.{DIGITS}g}'))
      for step, value in sorted(by_step.items())
      if np.isfinite(value)
    ]
    for tag, by_step in by_tag.items()
  }


def describe(run: pathlib.Path) -> dict[str, Any]:
  """Returns a run's main settings, its size and its losses."""
  config = json.loads((run / 'config.json').read_text())
  last = (run / 'parameters.txt').read_text().strip().splitlines()[-1]
  return {
    'task': config['task']['name'],
    'objective': config['objective']['name'],
    'seed': config['seed'],
    'size': config['data']['size'],
    'batch': config['train']['batch'],
    'steps': config['train']['steps'],
    'parameters': last,
    'curves': curves(run),
  }


def is_finished(run: pathlib.Path) -> bool:
  """Checks whether all steps of a run are done."""
  config = json.loads((run / 'config.json').read_text())
  return (run / 'checkpoints' / str(config['train']['steps'])).exists()


def progress(run: pathlib.Path) -> dict[str, list[dict[str, Any]]]:
  """Returns a run's metrics by case, in the order of its steps."""
  paths = run.glob(f'evaluation/*/*/{RESULTS}')
  results = [json.loads(path.read_text()) for path in paths]
  cases: dict[str, list[dict[str, Any]]] = {}
  for result in sorted(results, key=lambda result: result['step']):
    row = result['rows'][run.name]
    point = {'step': result['step'], 'images': result['images']}
    cases.setdefault(result['case'], []).append(
      point | {metric: row[metric] for metric in BY_STEPS}
    )
  return {case: points for case, points in cases.items() if len(points) > 1}


def enlarge(path: pathlib.Path, out: pathlib.Path, side: int) -> pathlib.Path:
  """Copies a sheet, enlarged by a whole factor if its images are small.

  Args:
    path: the sheet.
    out: the copy.
    side: side of the sheet's images.
  """
  with Image.open(path) as sheet:
    factor = -(-SIDE // side)
    size = sheet.width * factor, sheet.height * factor
    encoded = io.BytesIO()
    enlarged = sheet.resize(size, Image.Resampling.NEAREST)
    enlarged.save(encoded, 'png', optimize=True)
  files.write(out, encoded.getvalue())
  return out


def _write(path: pathlib.Path, text: str) -> pathlib.Path:
  files.write(path, text.encode())
  return path


def collect(
  runs: pathlib.Path, out: pathlib.Path, sheets: Sequence[str]
) -> list[pathlib.Path]:
  """Writes everything; returns the paths."""
  finished = [path.parent for path in sorted(runs.glob('*/config.json'))]
  finished = [run for run in finished if is_finished(run)]
  path = out / 'runs.json'
  described = json.loads(path.read_text()) if path.exists() else {}
  described |= {run.name: describe(run) for run in finished}
  lines = [f'{json.dumps(k)}: {json.dumps(v)}' for k, v in described.items()]
  written = [_write(path, '{' + ',\n'.join(lines) + '}\n')]  # a run a line
  for run in finished:
    if cases := progress(run):
      text = json.dumps(cases, indent=1) + '\n'
      written.append(_write(out / 'progress' / f'{run.name}.json', text))
  for name in sheets:
    side = described[name]['size'][0]
    for sheet in (runs / name).glob('samples/*.png'):
      copy = out / 'sheets' / f'{name}-{sheet.name}'
      written.append(enlarge(sheet, copy, side))
  return written + _collect_results(runs, out)


def _collect_results(
  runs: pathlib.Path, out: pathlib.Path
) -> list[pathlib.Path]:
  """Copies results, with a picture for the first seed."""
  written = []
  of_tables = [
    path for name in tables.TABLES for path in runs.glob(f'{name}/*/{RESULTS}')
  ]
  for path in sorted([*of_tables, *runs.glob(f'*/{RESULTS}')]):
    copy = out / path.parent.relative_to(runs).with_suffix('.json')
    written.append(_write(copy, f'{path.read_text()}\n'))
    result = json.loads(path.read_text())
    if result.get('seed', 0) == 0:
      sheet = path.with_name('side_by_side.png')
      side = result['height_width'][0]
      written.append(enlarge(sheet, copy.with_suffix('.png'), side))
  return written


def main() -> None:
  """Collects the files and lists them."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--runs', type=pathlib.Path, required=True)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  parser.add_argument('--sheets', nargs='+', default=(), metavar='RUN')
  args = parser.parse_args()
  if not list(args.runs.glob('*/config.json')):
    parser.error(f'There are no runs in {args.runs}.')
  for path in collect(args.runs, args.out, args.sheets):
    print(f'{path}  {path.stat().st_size / 1024:.0f} kB')


if __name__ == '__main__':
  main()
