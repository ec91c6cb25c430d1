"""Writes the measured part of docs/results.md, and its plots, from results/.

  python -m tools.results --results=results/small

Tables, verdicts and pictures of what `tools.collect` has found there, and
of `benchmarks.steps` in steps-CASE.json; the text above the mark in the page
stays.
"""

import argparse
import json
import os
import pathlib

from matplotlib import axes, cycler, figure, rcParams

from palette_jax.evaluation import intervals, protocol, registry, report
from palette_jax.evaluation.paper import claims, reported, tables
from tools import collect

PAGE = pathlib.Path(__file__).parents[1] / 'docs/results.md'
MARK = '<!-- From here on by `python -m tools.results`. -->'
# Ours, and what the paper reports in its place.
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
THIN = {'linewidth': 0.8}


def read(folder: pathlib.Path) -> dict[str, dict[str, list[dict]]]:
  """table -> case -> what was found, by seed."""
  found: dict[str, dict[str, list[dict]]] = {}
  for name in tables.TABLES:
    for file in folder.glob(f'{name}/*.json'):
      one = json.loads(file.read_text()) | {'picture': file.with_suffix('.png')}
      found.setdefault(name, {}).setdefault(one['case'], []).append(one)
  for cases in found.values():
    for seeds in cases.values():
      seeds.sort(key=lambda one: one['seed'])
  return found


def section(name: str, cases: dict[str, list[dict]], page: pathlib.Path):
  """Lines about a table: verdicts first, then figures and pictures."""
  kind, _, number = name.partition('-')
  asked = [case for case in tables.TABLES[name].cases if case in cases]
  wanted = [c for c in claims.of_table(name, asked) if c.case in cases]
  verdicts = claims.judge(wanted, cases)
  lines = [f'### {kind.title()} {number}: {tables.TABLES[name].title}', '']
  lines += [sentence(verdicts), '', *claims.table(verdicts).splitlines()]
  for case in asked:
    lines += ['', f'**{case}**', '', *figures(name, case, cases[case]), '']
    first = cases[case][0]
    rows = ', '.join(row for row in first['rows'] if row != protocol.ORIGINAL)
    picture = os.path.relpath(first['picture'], page.parent)
    lines += [f'![{case}]({picture})', '']
    lines += [f'From above: the input, {rows}, the original.']
  return [*lines, '']


def sentence(verdicts: list[claims.Verdict]) -> str:
  """How many claims have come to what."""
  counts = {'reproduced': 0, 'not reproduced': 0, 'not decided': 0}
  for verdict in verdicts:
    counts[verdict.outcome] += 1
  listed = ', '.join(f'{count} {said}' for said, count in counts.items())
  return f'Of {len(verdicts)} claims: {listed}.'


def figures(name: str, case: str, seeds: list[dict]) -> list[str]:
  """A table of markdown: the paper's rows, then ours of every seed."""
  asked = case, case.partition(':')[0]  # where it does not say which holes
  theirs = [row for row in reported.of_table(name) if row.case in asked]
  columns = [
    ours
    for ours in COLUMNS
    if any(ours in found for found in seeds[0]['rows'].values())
  ]
  titles = [
    f'{registry.METRICS[ours].title} (paper: {TITLES[COLUMNS[ours]]})'
    if COLUMNS[ours] in TITLES and theirs
    else registry.METRICS[ours].title
    for ours in columns
  ]
  lines = [f'| | {" | ".join(titles)} |', '|---|' + '---:|' * len(columns)]
  several = len({row.images for row in theirs}) > 1
  for row in theirs:
    cells = [f'{row.values.get(COLUMNS[ours], "")}' for ours in columns]
    images = f', {row.images}' if several else ''
    lines.append(f"| the paper's {row.model}{images} | {' | '.join(cells)} |")
  for one in seeds:
    ending = f', seed {one["seed"]}' if len(seeds) > 1 else ''
    for row, found in one['rows'].items():
      cells = [
        report.cell(ours, estimate(found[ours])) if ours in found else ''
        for ours in columns
      ]
      lines.append(f'| **{row}**{ending} | {" | ".join(cells)} |')
  return lines


def estimate(figures: dict) -> intervals.Estimate:
  """Of what results.json holds, in which infinite values are words."""
  found = {name: figures[name] for name in intervals.Estimate._fields}
  numbers = {
    name: None if found[name] is None else float(found[name])
    for name in ('value', 'low', 'high')
  }
  return intervals.Estimate(**found | numbers)


def plot_losses(runs: dict[str, dict]) -> figure.Figure:
  """The loss by step of seed 0's runs, then of the first by noise level."""
  picture = figure.Figure(figsize=(12, 3.4), layout='constrained')
  left, right = picture.subplots(1, 2)
  # There are ten colours: the eleventh line is dashed.
  colours = rcParams['axes.prop_cycle']
  left.set_prop_cycle(cycler(linestyle=['-', '--', ':']) * colours)
  for name, run in runs.items():
    if run['seed'] == 0:
      left.plot(*zip(*run['curves']['loss']), label=name, **THIN)
  left.set_title('loss of the batches', fontsize=9)
  shown = next(
    (run for run in runs.values() if run['objective'] == 'diffusion'), None
  )
  for tag, points in (shown or {'curves': {}})['curves'].items():
    if tag.startswith('loss_by_gamma/'):
      label = f'gamma {tag.partition("/")[2]}'
      right.plot(*zip(*points), label=label, **THIN)
  right.set_title('of colorization, by noise level', fontsize=9)
  for axis in (left, right):
    axis.set_yscale('log')
    axis.set_xlabel('step', fontsize=8)
    axis.legend(fontsize=6, loc='upper left', bbox_to_anchor=(1, 1))
  return picture


def plot_steps(found: dict) -> figure.Figure:
  """Quality against sampling steps, a line for each sampler."""
  picture, panels = by_steps('sampling steps')
  for metric, panel in panels.items():
    lines: dict[str, list[tuple[int, dict]]] = {}
    for row, own in found['rows'].items():
      sampler, _, steps = row.partition(' ')
      number = found['all'] if steps == 'all' else int(steps)
      lines.setdefault(sampler, []).append((number, own['figures'][metric]))
    for sampler, points in lines.items():
      draw(panel, sampler, sorted(points, key=lambda point: point[0]))
    panel.set_xscale('log')
    panel.set_yscale('log')
  return picture


def plot_progress(cases: dict[str, list[dict]]) -> figure.Figure:
  """Quality against steps of training, a line for each case."""
  picture, panels = by_steps('steps of training')
  for metric, panel in panels.items():
    for case, points in cases.items():
      draw(panel, case, [(one['step'], one[metric]) for one in points])
  return picture


def by_steps(of_what: str) -> tuple[figure.Figure, dict[str, axes.Axes]]:
  """A figure with a panel for each of the metrics that go by steps."""
  picture = figure.Figure(figsize=(10, 3), layout='constrained')
  panels = picture.subplots(1, len(collect.BY_STEPS))
  for metric, panel in zip(collect.BY_STEPS, panels):
    panel.set_xlabel(of_what, fontsize=8)
    panel.set_title(registry.METRICS[metric].title, fontsize=9)
  return picture, dict(zip(collect.BY_STEPS, panels))


def draw(panel: axes.Axes, name: str, points: list[tuple[int, dict]]) -> None:
  """A line of figures by steps, with their intervals."""
  steps, figures = zip(*points)
  value, low, high = (
    [one[end] for one in figures] for end in ('value', 'low', 'high')
  )
  panel.plot(steps, value, '.-', label=name, **THIN)
  panel.fill_between(steps, low, high, alpha=0.15)
  panel.legend(fontsize=7)


def progress(run: str, cases: dict[str, list[dict]]) -> list[str]:
  """Lines about quality against steps of training."""
  titles = [registry.METRICS[metric].title for metric in collect.BY_STEPS]
  lines = [
    f'| case | steps | {" | ".join(titles)} |',
    '|---|' + '---:|' * (1 + len(titles)),
  ]
  for case, points in cases.items():
    for one in points:
      cells = [report.cell(of, estimate(one[of])) for of in collect.BY_STEPS]
      lines.append(f'| {case} | {one["step"]:,} | {" | ".join(cells)} |')
  images = next(iter(cases.values()))[0]['images']
  return [
    f'### Quality against steps of training: {run}',
    '',
    f'{images} test images, a sample each by the averaged weights, 95% '
    'intervals; distances of so few images compare with each other only. Of '
    "each number of steps in turn, with the run's config and seed: `python -m "
    f'palette_jax.main --config=CONFIG --workdir=runs/small/{run} '
    '--until=STEPS`, then the same with `--mode=evaluate '
    '--config.evaluation.records=per_class:50 '
    f'--config.evaluation.cases="{tuple(cases)}"`.',
    '',
    *lines,
    '',
    f'![Progress](results/progress-{run}.png)',
    '',
  ]


def about(found: dict, name: str) -> str:
  """The conditions of quality against steps, in a file of that name."""
  return (
    f'{found["images"]} test images, a sample each, 95% intervals; distances '
    'of so few images compare with each other only. In bold: the paired '
    "difference to the first row, the paper's sampler, is within noise. "
    "`ancestral` has the paper's variance, `posterior` is the same with the "
    f"posterior's. `python -m benchmarks.steps {found['config']} "
    f'--workdir=runs/small/{found["run"]} --every={found["every"]} '
    f'--out=results/small/{name}`; seconds on one core.'
  )


def plot_diversity(cases: dict[str, list[dict]]) -> figure.Figure:
  """How unlike samples of one input are, as in the paper's Figure 8."""
  kinds = 'ms_ssim', 'lpips_alex'
  picture = figure.Figure(figsize=(9, 3 * len(cases)), layout='constrained')
  panels = picture.subplots(len(cases), len(kinds), squeeze=False)
  for line, (case, seeds) in zip(panels, cases.items()):
    for axis, kind in zip(line, kinds):
      for i, row in enumerate(seeds[0]['diversity']):
        for one in seeds:
          shown = one['diversity'][row][kind]
          shares = [count / sum(shown['counts']) for count in shown['counts']]
          label = row if one is seeds[0] else None
          axis.stairs(shares, shown['edges'], label=label, color=f'C{i}')
      title = registry.METRICS[f'diversity_{kind}'].title
      axis.set_title(f'{case}: {title} (share of pairs)', fontsize=9)
      axis.legend(fontsize=7)
  return picture


def write(results: pathlib.Path, page: pathlib.Path) -> None:
  """Everything that is there."""
  plots = page.parent / 'results'
  plots.mkdir(exist_ok=True)
  lines = [MARK, '', '## What came of it', '']
  found = read(results)
  for name, cases in found.items():
    lines += section(name, cases, page)
    if all(seeds[0]['diversity'] for seeds in cases.values()):
      plot_diversity(cases).savefig(plots / 'diversity.png', dpi=90)
      lines += ['![Diversity, as in Figure 8](results/diversity.png)', '']
  for file in sorted(results.glob('steps-*.json')):
    steps, picture = json.loads(file.read_text()), f'{file.stem}.png'
    plot_steps(steps).savefig(plots / picture, dpi=90)
    lines += [f'### Quality against sampling steps: {steps["case"]}', '']
    lines += [about(steps, file.name), '', steps['markdown'], '']
    lines += [f'![Steps](results/{picture})', '']
  for file in sorted(results.glob('progress/*.json')):
    cases, picture = json.loads(file.read_text()), f'progress-{file.stem}.png'
    plot_progress(cases).savefig(plots / picture, dpi=90)
    lines += progress(file.stem, cases)
  runs = json.loads((results / 'runs.json').read_text())
  plot_losses(runs).savefig(plots / 'loss.png', dpi=90)
  lines += ['### Training', '', '![Losses](results/loss.png)', '']
  above = page.read_text().partition(MARK)[0].rstrip()
  page.write_text(above + '\n\n' + '\n'.join(lines).rstrip() + '\n')


def main() -> None:
  """Writes the page."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--results', type=pathlib.Path, required=True)
  args = parser.parse_args()
  if not (args.results / 'runs.json').exists():
    parser.error(f'There is no runs.json in {args.results}: collect first.')
  write(args.results, PAGE)
  print(PAGE)


if __name__ == '__main__':
  main()
