"""What docs/results.md needs of finished runs, as small files in results/.

  python -m tools.collect --runs=runs/small --out=results/small \
    --sheets colorize-small

  runs.json                 of each run: parameters, and its losses by step
  sheets/RUN-STEP.png       what those of --sheets have drawn of held-out images
  TABLE/CASE.json           what `palette reproduce` has found, as it wrote it
  TABLE/CASE.png            the same images by every row, enlarged if small
  NAME.json, NAME.png       likewise of `palette evaluate --folder RUNS/NAME`
  progress/RUN.json         what `--mode=evaluate` has found of a run after
                            several numbers of steps (`--until=STEPS`)

A table's second seed lies in TABLE/CASE-seed-1.json, without a picture. Runs
that are not finished wait; what is there already and is not in RUNS stays.
"""

import argparse
import json
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from palette_jax.evaluation.paper import tables

SIDE = 64  # of an image of a sheet, at least
DIGITS = 4
FOUND = 'results.json'
BY_STEPS = 'fd_efficientnet', 'lpips_alex', 'colourfulness'


def curves(run: pathlib.Path) -> dict[str, list[tuple[int, float]]]:
  """Every loss of a run by step; of a step seen twice, the later."""
  import tensorflow as tf  # after palette_jax, which tells it to be quiet

  found: dict[str, dict[int, float]] = {}
  for file in sorted(run.glob('events.out.tfevents.*')):
    for event in tf.compat.v1.train.summary_iterator(str(file)):
      for value in event.summary.value:
        if 'loss' in value.tag:
          number = float(tf.make_ndarray(value.tensor))
          found.setdefault(value.tag, {})[event.step] = number
  return {
    tag: [
      (step, float(f'{value:.{DIGITS}g}'))
      for step, value in sorted(own.items())
      if np.isfinite(value)
    ]
    for tag, own in found.items()
  }


def describe(run: pathlib.Path) -> dict:
  """A run: its settings where they matter here, its size, its losses."""
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


def is_whole(run: pathlib.Path) -> bool:
  """Whether all its steps are done."""
  config = json.loads((run / 'config.json').read_text())
  return (run / 'checkpoints' / str(config['train']['steps'])).exists()


def progress(run: pathlib.Path) -> dict[str, list[dict]]:
  """A run's scores by case, in the order of its steps."""
  files = run.glob(f'evaluation/*/*/{FOUND}')
  found = [json.loads(file.read_text()) for file in files]
  cases: dict[str, list[dict]] = {}
  for one in sorted(found, key=lambda one: one['step']):
    own = one['rows'][run.name]
    point = {'step': one['step'], 'images': one['images']}
    cases.setdefault(one['case'], []).append(
      point | {metric: own[metric] for metric in BY_STEPS}
    )
  return {case: points for case, points in cases.items() if len(points) > 1}


def enlarge(file: pathlib.Path, out: pathlib.Path, side: int) -> None:
  """Copies a sheet of images of so many pixels, pixel by pixel larger."""
  with Image.open(file) as sheet:
    times = -(-SIDE // side)
    size = sheet.width * times, sheet.height * times
    sheet.resize(size, Image.Resampling.NEAREST).save(out, optimize=True)


def collect(
  runs: pathlib.Path, out: pathlib.Path, sheets: Sequence[str]
) -> list[pathlib.Path]:
  """Writes everything; returns the files."""
  written = []
  out.mkdir(parents=True, exist_ok=True)
  found = [run.parent for run in sorted(runs.glob('*/config.json'))]
  found = [run for run in found if is_whole(run)]
  file = out / 'runs.json'
  known = json.loads(file.read_text()) if file.exists() else {}
  known |= {run.name: describe(run) for run in found}
  lines = [f'{json.dumps(run)}: {json.dumps(of)}' for run, of in known.items()]
  file.write_text('{' + ',\n'.join(lines) + '}\n')  # a run a line
  written.append(file)
  for run in found:
    if cases := progress(run):
      target = out / 'progress' / f'{run.name}.json'
      target.parent.mkdir(exist_ok=True)
      target.write_text(json.dumps(cases, indent=1) + '\n')
      written.append(target)
  for name in sheets:
    for sheet in (runs / name).glob('samples/*.png'):
      target = out / 'sheets' / f'{name}-{sheet.name}'
      target.parent.mkdir(exist_ok=True)
      enlarge(sheet, target, known[name]['size'][0])
      written.append(target)
  judged = [f for name in tables.TABLES for f in runs.glob(f'{name}/*/{FOUND}')]
  for file in sorted([*judged, *runs.glob(f'*/{FOUND}')]):
    target = out / file.parent.relative_to(runs).with_suffix('.json')
    target.parent.mkdir(exist_ok=True)
    target.write_text(f'{file.read_text()}\n')
    written.append(target)
    one = json.loads(target.read_text())
    if one.get('seed', 0) == 0:
      sheet = file.with_name('side_by_side.png')
      enlarge(sheet, target.with_suffix('.png'), one['height_width'][0])
      written.append(target.with_suffix('.png'))
  return written


def main() -> None:
  """Collects, and says what."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--runs', type=pathlib.Path, required=True)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  parser.add_argument('--sheets', nargs='+', default=(), metavar='RUN')
  args = parser.parse_args()
  if not list(args.runs.glob('*/config.json')):
    parser.error(f'There are no runs in {args.runs}.')
  for file in collect(args.runs, args.out, args.sheets):
    print(f'{file}  {file.stat().st_size / 1024:.0f} kB')


if __name__ == '__main__':
  main()
