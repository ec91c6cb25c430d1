"""Quality against sampling steps on photos: how many do the weights need?

  python -m benchmarks.photo_steps --photos=PHOTOS --count=20 --out=photo-steps

Each task on N photos as `benchmarks.unseen` spoils them, by the weights' own
sampler in 1000 steps, the paper's number, and in fewer (--steps dpm_solver:20:
by another): FD and LPIPS, with intervals, in bold where they differ from those
of the first number of steps by no more than noise. Last, the answer that takes
no model. OUT/TASK.json has it all. A stopped run goes on.
"""

import argparse
import json
import pathlib

import palette_jax
from benchmarks import steps, unseen
from palette_jax import markdown
from palette_jax.evaluation import intervals, protocol

STEPS = '1000', '250', '100', '50', '20', '10', '5'
METRICS = 'fd_efficientnet', 'lpips_alex', 'colourfulness'


def sampling(text: str) -> tuple[str, dict]:
  """'dpm_solver:20' or '20', and what it asks of a model."""
  sampler, _, number = text.rpartition(':')
  return text, dict(sampler=sampler, steps=int(number))


def judge(task: str, folder: pathlib.Path, rows: list[str]) -> dict:
  """Figures by row, and those less the first row's; rows as lines, too."""
  found = protocol.judge(unseen.subject(task, folder, rows), metrics=METRICS)
  judged = [*rows, *(row for row in found.differences if row not in rows)]
  lines = []
  for row in judged:
    less = found.differences.get(row, {})
    cells = [steps.cell(found.rows[row][m], less.get(m)) for m in METRICS]
    lines.append([row, *cells])
  return dict(
    rows={
      row: {m: found.rows[row][m]._asdict() for m in METRICS} for row in judged
    },
    less_first={
      row: {m: e._asdict() for m, e in less.items()}
      for row, less in found.differences.items()
    },
    markdown=markdown.table(['steps', *METRICS], lines),
  )


def main() -> None:
  """Draws, judges, prints, writes."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--weights', default='')
  parser.add_argument('--photos', type=pathlib.Path, required=True)
  parser.add_argument('--count', type=int, default=20)
  parser.add_argument('--tasks', nargs='+', help='default: all that it does')
  parser.add_argument(
    '--steps', nargs='+', type=sampling, default=map(sampling, STEPS)
  )
  parser.add_argument('--out', type=pathlib.Path, required=True)
  args = parser.parse_args()
  if args.count < intervals.LEAST:
    parser.error(f'An interval takes {intervals.LEAST} photos.')
  photos, wanted = unseen.some(args.photos, args.count), dict(args.steps)
  model = palette_jax.load(args.weights)
  about = dict(photos=args.count, side=model.size[0], weights=model.checkpoint)
  for task in args.tasks or model.tasks:
    folder = args.out / task
    for row, drawing in wanted.items():
      unseen.draw(model, task, photos, folder, row, **drawing)
    found = judge(task, folder, [*wanted])
    print(f'\n{task}, {args.count} photos\n\n{found["markdown"]}')
    written = json.dumps(about | found, indent=1) + '\n'
    (args.out / f'{task}.json').write_text(written)


if __name__ == '__main__':
  main()
