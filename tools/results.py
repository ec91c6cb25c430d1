"""Writes the measured part of docs/results.md, and its plots, from results/.

  python -m tools.results --results=results/small

It reads the files that `tools.collect` and `benchmarks.steps` (steps-CASE.json)
have written there. The text above the mark in the page stays.
"""

import argparse
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from palette_jax import files, markdown
from palette_jax.evaluation import intervals, plots, protocol, registry, report
from palette_jax.evaluation.paper import claims, reported, tables
from tools import collect, result_plots

PAGE = pathlib.Path(__file__).parents[1] / 'docs/results.md'
MARK = '<!-- From here on by `python -m tools.results`. -->'
# Our metrics, and those that the paper reports in their place.
COLUMNS = {
  'fd_efficientnet': 'fid',
  'is_efficientnet': 'is',
  'ca_probe': 'ca',
  'pd_efficientnet': 'pd',
  'lpips_alex': '',
  'colourfulness': '',
  'diversity_lpips_alex': 'diversity_lpips',
}
TITLES = {'fid': 'FID', 'is': 'IS', 'ca': 'CA', 'pd': 'PD'}
DPI = 90

Result = dict[str, Any]  # the contents of results.json, and its picture
Cases = dict[str, list[Result]]  # results by case, one for each seed


def read(folder: pathlib.Path) -> dict[str, Cases]:
  """Reads the results of all tables, by table and case."""
  by_table: dict[str, Cases] = {}
  for name in tables.TABLES:
    for path in folder.glob(f'{name}/*.json'):
      result = json.loads(path.read_text())
      result['picture'] = path.with_suffix('.png')
      cases = by_table.setdefault(name, {})
      cases.setdefault(result['case'], []).append(result)
  for cases in by_table.values():
    for seeds in cases.values():
      seeds.sort(key=lambda result: result['seed'])
  return by_table


def section(name: str, cases: Cases, page: pathlib.Path) -> list[str]:
  """Returns lines about a table: verdicts, then metrics and pictures."""
  kind, _, number = name.partition('-')
  table = tables.TABLES[name]
  finished = [case for case in table.cases if case in cases]
  judged = [c for c in claims.of_table(name, finished) if c.case in cases]
  verdicts = claims.judge(judged, cases)
  lines = [f'### {kind.title()} {number}: {table.title}', '']
  lines += [summary(verdicts), '', claims.table(verdicts)]
  for case in finished:
    first = cases[case][0]
    rows = ', '.join(row for row in first['rows'] if row != protocol.ORIGINAL)
    picture = os.path.relpath(first['picture'], page.parent)
    lines += ['', f'**{case}**', '', metrics(name, case, cases[case]), '']
    lines += [f'![{case}]({picture})', '']
    lines += [f'From above: the input, {rows}, the original.']
  return [*lines, '']


def summary(verdicts: Sequence[claims.Verdict]) -> str:
  """Counts the verdicts."""
  outcomes = [verdict.outcome for verdict in verdicts]
  counts = [f'{outcomes.count(of)} {of}' for of in claims.OUTCOMES]
  return f'Of {len(verdicts)} claims: {", ".join(counts)}.'


def metrics(name: str, case: str, seeds: Sequence[Result]) -> str:
  """Returns a table of the paper's rows, then ours of every seed."""
  names = case, case.partition(':')[0]  # where it does not state the holes
  theirs = [row for row in reported.of_table(name) if row.case in names]
  columns = [
    metric
    for metric in COLUMNS
    if any(metric in row for row in seeds[0]['rows'].values())
  ]
  titles = [
    f'{registry.METRICS[metric].title} (paper: {TITLES[COLUMNS[metric]]})'
    if COLUMNS[metric] in TITLES and theirs
    else registry.METRICS[metric].title
    for metric in columns
  ]
  several = len({row.images for row in theirs}) > 1
  rows = []
  for row in theirs:
    images = f', {row.images}' if several else ''
    cells = [row.values.get(COLUMNS[metric], '') for metric in columns]
    rows.append([f"the paper's {row.model}{images}", *cells])
  for result in seeds:
    seed = f', seed {result["seed"]}' if len(seeds) > 1 else ''
    for row, of_row in result['rows'].items():
      cells = [
        report.cell(metric, estimate(of_row[metric]))
        if metric in of_row
        else ''
        for metric in columns
      ]
      rows.append([f'**{row}**{seed}', *cells])
  return markdown.table(['', *titles], rows)


def estimate(fields: Mapping[str, Any]) -> intervals.Estimate:
  """Returns an estimate of results.json, in which infinite values are words."""

  def number(name: str) -> float | None:
    return None if fields[name] is None else float(fields[name])

  return intervals.Estimate(
    value=float(fields['value']),
    low=number('low'),
    high=number('high'),
    n=fields['n'],
    method=fields['method'],
  )


def training_steps(run: str, cases: Mapping[str, list[Result]]) -> list[str]:
  """Returns lines about quality against steps of training."""
  titles = [registry.METRICS[metric].title for metric in collect.BY_STEPS]
  rows = []
  for case, points in cases.items():
    for point in points:
      cells = [
        report.cell(metric, estimate(point[metric]))
        for metric in collect.BY_STEPS
      ]
      rows.append([case, f'{point["step"]:,}', *cells])
  images = next(iter(cases.values()))[0]['images']
  return [
    f'### Quality against steps of training: {run}',
    '',
    f'{images} test images, a sample each by the averaged weights, 95% '
    'intervals; distances of so few images compare with each other only. For '
    "each number of steps in turn, with the run's config and seed: `python -m "
    f'palette_jax.main --config=CONFIG --workdir=runs/small/{run} '
    '--until=STEPS`, then the same with `--mode=evaluate '
    '--config.evaluation.records=per_class:50 '
    f'--config.evaluation.cases="{tuple(cases)}"`.',
    '',
    markdown.table(['case', 'steps', *titles], rows),
    '',
    f'![Progress](results/progress-{run}.png)',
    '',
  ]


def sampling_steps(quality: Mapping[str, Any], name: str) -> list[str]:
  """Returns lines about quality against sampling steps, of a file's name."""
  return [
    f'### Quality against sampling steps: {quality["case"]}',
    '',
    f'{quality["images"]} test images, a sample each, 95% intervals; distances '
    'of so few images compare with each other only. In bold: the paired '
    "difference to the first row, the paper's sampler, is within noise. "
    "`ancestral` has the paper's variance, `posterior` is the same with the "
    f"posterior's. `python -m benchmarks.steps {quality['config']} "
    f'--workdir=runs/small/{quality["run"]} --every={quality["every"]} '
    f'--out=results/small/{name}.json`; seconds on one core.',
    '',
    quality['markdown'],
    '',
    f'![Steps](results/{name}.png)',
    '',
  ]


def write(results: pathlib.Path, page: pathlib.Path) -> None:
  """Writes the measured part of a page, and its plots to results/ beside it."""
  folder = page.parent / 'results'
  lines = [MARK, '', '## What came of it', '']
  for name, cases in read(results).items():
    lines += section(name, cases, page)
    if all(seeds[0]['diversity'] for seeds in cases.values()):
      plot = result_plots.diversity(cases)
      plots.save(plot, folder / 'diversity.png', DPI)
      lines += ['![Diversity, as in Figure 8](results/diversity.png)', '']
  for path in sorted(results.glob('steps-*.json')):
    quality = json.loads(path.read_text())
    plot = result_plots.sampling_steps(quality)
    plots.save(plot, folder / f'{path.stem}.png', DPI)
    lines += sampling_steps(quality, path.stem)
  for path in sorted(results.glob('progress/*.json')):
    cases = json.loads(path.read_text())
    plot = result_plots.training_steps(cases)
    plots.save(plot, folder / f'progress-{path.stem}.png', DPI)
    lines += training_steps(path.stem, cases)
  runs = json.loads((results / 'runs.json').read_text())
  plots.save(result_plots.losses(runs), folder / 'loss.png', DPI)
  lines += ['### Training', '', '![Losses](results/loss.png)']
  above = page.read_text().partition(MARK)[0].rstrip()
  files.write(page, (above + '\n\n' + '\n'.join(lines) + '\n').encode())


def main() -> None:
  """Writes the page."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--results', type=pathlib.Path, required=True)
  args = parser.parse_args()
  if not (args.results / 'runs.json').exists():
    parser.error(f'There is no runs.json in {args.results}: collect first.')
  write(args.results, PAGE)
  print(PAGE)


if __name__ == '__main__':
  main()
