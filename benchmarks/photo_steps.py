"""Measures quality against the number of sampling steps on photos.

  python -m benchmarks.photo_steps --photos=PHOTOS --count=20 --out=photo-steps

Each task is done on N photos, degraded as by `benchmarks.unseen`, with the
weights' own sampler in 1000 steps, the paper's number, and in fewer.
`--steps dpm_solver:20` selects another sampler. The table has FD and LPIPS with
intervals, in bold where the difference to the first row is within noise. The
last row is the answer without a model. OUT/TASK.json has all of it. An
interrupted run can be continued.
"""

import argparse
import json
import pathlib
from typing import Any

import palette_jax
from benchmarks import steps, unseen
from palette_jax import markdown
from palette_jax.evaluation import intervals, protocol

STEPS = '1000', '250', '100', '50', '20', '10', '5'
METRICS = 'fd_efficientnet', 'lpips_alex', 'colourfulness'


def sampling(text: str) -> tuple[str, unseen.Drawing]:
  """Parses 'dpm_solver:20' or '20'."""
  sampler, _, number = text.rpartition(':')
  return text, unseen.Drawing(sampler=sampler, steps=int(number))


def judge(task: str, folder: pathlib.Path, rows: list[str]) -> dict[str, Any]:
  """Returns each row's figures, differences to the first row, and a table."""
  results = protocol.judge(unseen.subject(task, folder, rows), metrics=METRICS)
  judged = [*rows, *(row for row in results.differences if row not in rows)]
  lines = []
  for row in judged:
    less = results.differences.get(row, {})
    cells = [steps.cell(results.rows[row][m], less.get(m)) for m in METRICS]
    lines.append([row, *cells])
  return dict(
    rows={
      row: {m: results.rows[row][m]._asdict() for m in METRICS}
      for row in judged
    },
    less_first={
      row: {m: e._asdict() for m, e in less.items()}
      for row, less in results.differences.items()
    },
    markdown=markdown.table(['steps', *METRICS], lines),
  )


def main() -> None:
  """Samples, evaluates, prints and writes."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--weights', default='', help="default: the package's")
  parser.add_argument(
    '--photos', type=pathlib.Path, required=True, help='folder'
  )
  parser.add_argument('--count', type=int, default=20, help='photos')
  parser.add_argument('--tasks', nargs='+', help='default: all of the weights')
  parser.add_argument(
    '--steps',
    nargs='+',
    type=sampling,
    default=list(map(sampling, STEPS)),
    help='STEPS or SAMPLER:STEPS; the first is compared with',
  )
  parser.add_argument('--out', type=pathlib.Path, required=True, help='folder')
  args = parser.parse_args()
  if args.count < intervals.LEAST:
    parser.error(f'An interval needs at least {intervals.LEAST} photos.')
  photos = unseen.choose_photos(args.photos, args.count)
  rows = dict(args.steps)
  model = palette_jax.load(args.weights)
  about = dict(photos=args.count, side=model.size[0], weights=model.checkpoint)
  for task in args.tasks or model.tasks:
    folder = args.out / task
    for row, drawing in rows.items():
      unseen.draw(model, task, photos, folder, row, drawing)
    results = judge(task, folder, [*rows])
    print(f'\n{task}, {args.count} photos\n\n{results["markdown"]}')
    text = json.dumps(about | results, indent=1) + '\n'
    (args.out / f'{task}.json').write_text(text)


if __name__ == '__main__':
  main()
