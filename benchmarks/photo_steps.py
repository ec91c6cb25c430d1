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
from palette_jax.evaluation import intervals, protocol

STEPS = '1000', '250', '100', '50', '20', '10', '5'
METRICS = 'fd_efficientnet', 'lpips_alex', 'colourfulness'


def judge(task: str, folder: pathlib.Path, rows: list[str]) -> dict:
  """Figures by row, and those less the first row's; rows as lines, too."""
  found = protocol.judge(unseen.subject(task, folder, rows), wanted=METRICS)
  judged = [*rows, *(row for row in found.differences if row not in rows)]
  lines = [
    f'| steps | {" | ".join(METRICS)} |',
    '|---|' + '---:|' * len(METRICS),
  ]
  for row in judged:
    less = found.differences.get(row, {})
    cells = [steps.cell(found.rows[row][m], less.get(m)) for m in METRICS]
    lines.append(f'| {row} | {" | ".join(cells)} |')
  return dict(
    rows={
      row: {m: found.rows[row][m]._asdict() for m in METRICS} for row in judged
    },
    less_first={
      row: {m: e._asdict() for m, e in less.items()}
      for row, less in found.differences.items()
    },
    markdown='\n'.join(lines),
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
  parser.add_argument('--steps', nargs='+', default=STEPS)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  args = parser.parse_args()
  if args.count < intervals.LEAST:
    parser.error(f'An interval takes {intervals.LEAST} photos.')
  photos = unseen.some(args.photos, args.count)
  model = palette_jax.load(args.weights)
  about = dict(photos=args.count, side=model.size[0], weights=model.checkpoint)
  for task in args.tasks or model.tasks:
    folder = args.out / task
    for row in args.steps:
      sampler, _, number = row.rpartition(':')
      drawing = dict(sampler=sampler, steps=int(number))
      unseen.draw(model, task, photos, folder, row, **drawing)
    found = judge(task, folder, args.steps)
    print(f'\n{task}, {args.count} photos\n\n{found["markdown"]}')
    written = json.dumps(about | found, indent=1) + '\n'
    (args.out / f'{task}.json').write_text(written)


if __name__ == '__main__':
  main()
