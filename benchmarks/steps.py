"""Measures quality against sampling steps, for every sampler.

  python -m benchmarks.steps --config=configs/colorize.py:small \
    --workdir=runs/colorize-small --every=10 --out=steps-colorization.json

Evaluates one in ten of the images that `config.evaluation` names: the Frechet
distance to the originals and LPIPS, with intervals, in bold where the
difference to the first row, the paper's sampler with all steps, is within
noise. Samples are kept in WORKDIR/steps, so that an interrupted run can be
continued.
"""

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Mapping

import ml_collections
from absl import flags
from etils import epath

from palette_jax import markdown, settings
from palette_jax.evaluation import intervals, protocol, samples, selection
from palette_jax.training import trained_run

STEPS = 5, 10, 20, 50, 100, 250
SAMPLERS = {  # sampler and variance of its noise, by the name of the row
  'ancestral': ('ancestral', 'upper'),
  'posterior': ('ancestral', 'posterior'),
  'ddim': ('ddim', 'upper'),
  'dpm_solver': ('dpm_solver', 'upper'),
}
METRICS = 'fd_efficientnet', 'lpips_alex', 'pd_efficientnet', 'colourfulness'


def draw(
  config: ml_collections.ConfigDict,
  workdir: str,
  name: str,
  steps: int,
  every: int,
) -> tuple[samples.Request, float | None]:
  """Draws samples with a sampler.

  Args:
    config: config of the run, which is changed.
    workdir: folder of the run.
    name: a key of SAMPLERS.
    steps: number of steps, 0 for all of the schedule.
    every: draws one image of so many.

  Returns:
    The request that was drawn, and seconds per image; None if all existed.
  """
  sampler, variance = SAMPLERS[name]
  config.objective.sampler.update(name=sampler, steps=steps, variance=variance)
  run, step, params = trained_run.load(config, workdir)
  folder = epath.Path(workdir, 'steps', f'{name}-{steps or "all"}')
  [request] = samples.requests(config, run, step, str(folder))[:1]
  records, names, labels = request.selection
  subset = selection.Selection(
    records[::every],
    names[::every],
    None if labels is None else labels[::every],
  )
  request = request._replace(selection=subset)
  outputs = samples.outputs(request.folder, 0)
  existing = len(list(pathlib.Path(outputs).rglob('*.png')))
  start = time.time()
  samples.draw(request, run, params)
  count = len(request.selection.names) - existing
  return request, (time.time() - start) / count if count else None


Figures = Mapping[str, Mapping[str, intervals.Estimate]]


def table(
  rows: Figures, differences: Figures, seconds: Mapping[str, float]
) -> str:
  """Returns a Markdown table."""
  lines = []
  for name, figures in rows.items():
    cells = [
      cell(figures[m], differences.get(name, {}).get(m)) for m in METRICS
    ]
    sampler, _, steps = name.partition(' ')
    lines.append([sampler, steps, f'{seconds[name]:.3f}', *cells])
  return markdown.table(['sampler', 'steps', 's/image', *METRICS], lines)


def cell(
  value: intervals.Estimate, difference: intervals.Estimate | None
) -> str:
  """Returns a figure, in bold if it differs from all steps only by noise."""
  text = f'{value.value:.4g} [{value.low:.4g}, {value.high:.4g}]'
  if difference is None or difference.low is None or difference.high is None:
    return text
  return f'**{text}**' if difference.low <= 0 <= difference.high else text


def main() -> None:
  """Samples, evaluates and prints."""
  config, argv = settings.take(sys.argv[1:])
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--workdir', required=True, help='of the run')
  parser.add_argument(
    '--every', type=int, default=4, help='evaluate one image of so many'
  )
  parser.add_argument('--out', type=pathlib.Path, required=True, help='file')
  args = parser.parse_args(argv)
  if config is None:
    parser.error('--config is missing.')
  flags.FLAGS.mark_as_parsed()
  # First the schedule as it is, with which all others are compared.
  choices = [('ancestral', 0)]
  choices += [(name, steps) for name in SAMPLERS for steps in STEPS]
  clock = pathlib.Path(args.workdir, 'steps/seconds.json')
  seconds = json.loads(clock.read_text()) if clock.exists() else {}
  requests = {}
  for name, steps in choices:
    row = f'{name} {steps or "all"}'
    config_of_row = config.copy_and_resolve_references()
    requests[row], spent = draw(
      config_of_row, args.workdir, name, steps, args.every
    )
    if spent is not None:  # after an interruption, the last part counts
      seconds[row] = spent
      clock.write_text(json.dumps(seconds))
    print(f'{row}: {seconds[row]:.3f} s per image', flush=True)
  results = protocol.judge(samples.comparison(requests), metrics=METRICS)
  rows = {row: results.rows[row] for row in requests}
  text = table(rows, results.differences, seconds)
  print(text)
  entries = {
    row: {
      'seconds': seconds[row],
      'figures': {m: e._asdict() for m, e in figures.items()},
      'less_all': {
        m: e._asdict() for m, e in results.differences.get(row, {}).items()
      },
    }
    for row, figures in rows.items()
  }
  about = dict(
    case=requests['ancestral all'].case.name,
    config=' '.join(word for word in sys.argv if word.startswith('--config')),
    run=pathlib.Path(args.workdir).name,
    every=args.every,
    images=results.count,
    all=config.objective.sample_schedule.num_steps,
  )
  report = about | dict(rows=entries, markdown=text)
  args.out.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
  main()
