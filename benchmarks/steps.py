"""Quality against sampling steps: every sampler at every number of steps.

  python -m benchmarks.steps --config=configs/colorize.py:small \
    --workdir=runs/colorize-small --every=10 --out=steps-colorization.json

Judges one in ten of the images that `config.evaluation` names: the Frechet
distance to the originals and LPIPS, with intervals, in bold where they differ
from those of the first row, the paper's sampler with all its steps, by no more
than noise. Drawings are kept in WORKDIR/steps: a stopped run goes on.
"""

import argparse
import json
import pathlib
import sys
import time

from absl import flags
from etils import epath

from palette_jax import markdown, settings
from palette_jax.evaluation import intervals, protocol, samples, selection
from palette_jax.training import trained_run

STEPS = 5, 10, 20, 50, 100, 250
SAMPLERS = {  # by the names of rows: the sampler, and its noise's variance
  'ancestral': ('ancestral', 'upper'),
  'posterior': ('ancestral', 'posterior'),
  'ddim': ('ddim', 'upper'),
  'dpm_solver': ('dpm_solver', 'upper'),
}
METRICS = 'fd_efficientnet', 'lpips_alex', 'pd_efficientnet', 'colourfulness'


def draw(config, workdir, name, steps, every):
  """Draws by one sampler: what is to be judged, and seconds an image drawn."""
  sampler, variance = SAMPLERS[name]
  config.objective.sampler.update(name=sampler, steps=steps, variance=variance)
  run, step, params = trained_run.load(config, workdir)
  folder = epath.Path(workdir, 'steps', f'{name}-{steps or "all"}')
  [request] = samples.requests(config, run, step, str(folder))[:1]
  records, names, labels = request.selection
  some = selection.Selection(
    records[::every],
    names[::every],
    None if labels is None else labels[::every],
  )
  request = request._replace(selection=some)
  outputs = samples.outputs(request.folder, 0)
  there = len(list(pathlib.Path(outputs).rglob('*.png')))
  start = time.time()
  samples.draw(request, run, params)
  drawn = len(request.selection.names) - there
  return request, (time.time() - start) / drawn if drawn else None


def table(rows, differences, seconds):
  """As lines of markdown."""
  lines = []
  for name, found in rows.items():
    cells = [cell(found[m], differences.get(name, {}).get(m)) for m in METRICS]
    sampler, _, steps = name.partition(' ')
    lines.append([sampler, steps, f'{seconds[name]:.3f}', *cells])
  return markdown.table(['sampler', 'steps', 's/image', *METRICS], lines)


def cell(value: intervals.Estimate, difference: intervals.Estimate | None):
  """A figure; in bold where its difference to all steps is within noise."""
  text = f'{value.value:.4g} [{value.low:.4g}, {value.high:.4g}]'
  if difference and difference.low <= 0 <= difference.high:
    return f'**{text}**'
  return text


def main() -> None:
  """Draws, judges, prints."""
  config, argv = settings.take(sys.argv[1:])
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--workdir', required=True)
  parser.add_argument(
    '--every', type=int, default=4, help='judge one image of so many'
  )
  parser.add_argument('--out', type=pathlib.Path, required=True)
  args = parser.parse_args(argv)
  flags.FLAGS.mark_as_parsed()
  asked = [('ancestral', 0)]  # the schedule as it is: first, all others less it
  asked += [(name, steps) for name in SAMPLERS for steps in STEPS]
  clock = pathlib.Path(args.workdir, 'steps/seconds.json')
  seconds = json.loads(clock.read_text()) if clock.exists() else {}
  drawn = {}
  for name, steps in asked:
    row = f'{name} {steps or "all"}'
    config_of_row = config.copy_and_resolve_references()
    drawn[row], took = draw(
      config_of_row, args.workdir, name, steps, args.every
    )
    if took is not None:  # of several starts, the last that has drawn some
      seconds[row] = took
      clock.write_text(json.dumps(seconds))
    print(f'{row}: {seconds[row]:.3f} s an image', flush=True)
  found = protocol.judge(samples.comparison(drawn), metrics=METRICS)
  rows = {row: found.rows[row] for row in drawn}
  text = table(rows, found.differences, seconds)
  print(text)
  plain = {
    row: {
      'seconds': seconds[row],
      'figures': {m: e._asdict() for m, e in own.items()},
      'less_all': {
        m: e._asdict() for m, e in found.differences.get(row, {}).items()
      },
    }
    for row, own in rows.items()
  }
  about = dict(
    case=drawn['ancestral all'].case.name,
    config=' '.join(word for word in sys.argv if word.startswith('--config')),
    run=pathlib.Path(args.workdir).name,
    every=args.every,
    images=found.count,
    all=config.objective.sample_schedule.num_steps,
  )
  kept = about | dict(rows=plain, markdown=text)
  args.out.write_text(json.dumps(kept, indent=1) + '\n')


if __name__ == '__main__':
  main()
