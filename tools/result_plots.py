"""Plots of docs/results.md."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cycler import cycler
from matplotlib import axes, figure, rcParams

from palette_jax.evaluation import registry
from tools import collect

# Entries of JSON files, as tools/collect.py and benchmarks/steps.py write them.
Entry = Mapping[str, Any]
_THIN = 0.8  # width of lines


def losses(runs: Mapping[str, Entry]) -> figure.Figure:
  """Plots the loss of seed 0's runs, and that of the first by noise level."""
  plot = figure.Figure(figsize=(12, 3.4), layout='constrained')
  left, right = plot.subplots(1, 2)
  # There are ten colours: the eleventh line is dashed.
  colours = rcParams['axes.prop_cycle']
  left.set_prop_cycle(cycler(linestyle=['-', '--', ':']) * colours)
  for name, run in runs.items():
    if run['seed'] == 0:
      _line(left, name, run['curves']['loss'])
  left.set_title('loss of the batches', fontsize=9)
  diffusion = [r for r in runs.values() if r['objective'] == 'diffusion']
  for run in diffusion[:1]:
    for tag, points in run['curves'].items():
      if tag.startswith('loss_by_gamma/'):
        _line(right, f'gamma {tag.partition("/")[2]}', points)
  right.set_title('of colorization, by noise level', fontsize=9)
  for panel in (left, right):
    panel.set_yscale('log')
    panel.set_xlabel('step', fontsize=8)
    panel.legend(fontsize=6, loc='upper left', bbox_to_anchor=(1, 1))
  return plot


def _line(
  panel: axes.Axes, label: str, points: Iterable[tuple[int, float]]
) -> None:
  steps, values = zip(*points)
  panel.plot(steps, values, label=label, linewidth=_THIN)


def sampling_steps(quality: Entry) -> figure.Figure:
  """Plots quality against sampling steps, a line for each sampler."""
  plot, panels = _panels('sampling steps')
  for metric, panel in panels.items():
    lines: dict[str, list[tuple[int, Entry]]] = {}
    for row, of_row in quality['rows'].items():
      sampler, _, steps = row.partition(' ')
      number = quality['all'] if steps == 'all' else int(steps)
      points = lines.setdefault(sampler, [])
      points.append((number, of_row['figures'][metric]))
    for sampler, points in lines.items():
      ordered = sorted(points, key=lambda point: point[0])
      _line_with_interval(panel, sampler, ordered)
    panel.set_xscale('log')
    panel.set_yscale('log')
  return plot


def training_steps(cases: Mapping[str, Sequence[Entry]]) -> figure.Figure:
  """Plots quality against steps of training, a line for each case."""
  plot, panels = _panels('steps of training')
  for metric, panel in panels.items():
    for case, points in cases.items():
      line = [(point['step'], point[metric]) for point in points]
      _line_with_interval(panel, case, line)
  return plot


def _panels(x_label: str) -> tuple[figure.Figure, dict[str, axes.Axes]]:
  """Returns a figure with a panel for each metric that is plotted by steps."""
  plot = figure.Figure(figsize=(10, 3), layout='constrained')
  panels = dict(zip(collect.BY_STEPS, plot.subplots(1, len(collect.BY_STEPS))))
  for metric, panel in panels.items():
    panel.set_xlabel(x_label, fontsize=8)
    panel.set_title(registry.METRICS[metric].title, fontsize=9)
  return plot, panels


def _line_with_interval(
  panel: axes.Axes, label: str, points: Sequence[tuple[int, Entry]]
) -> None:
  steps, estimates = zip(*points)
  value, low, high = (
    [estimate[field] for estimate in estimates]
    for field in ('value', 'low', 'high')
  )
  panel.plot(steps, value, '.-', label=label, linewidth=_THIN)
  panel.fill_between(steps, low, high, alpha=0.15)
  panel.legend(fontsize=7)


def diversity(cases: Mapping[str, Sequence[Entry]]) -> figure.Figure:
  """Plots the diversity of samples of one input, as the paper's Figure 8."""
  kinds = 'ms_ssim', 'lpips_alex'
  plot = figure.Figure(figsize=(9, 3 * len(cases)), layout='constrained')
  grid = plot.subplots(len(cases), len(kinds), squeeze=False)
  for panels, (case, seeds) in zip(grid, cases.items()):
    for panel, kind in zip(panels, kinds):
      for i, row in enumerate(seeds[0]['diversity']):
        for seed in seeds:
          histogram = seed['diversity'][row][kind]
          total = sum(histogram['counts'])
          shares = [count / total for count in histogram['counts']]
          label = row if seed is seeds[0] else None
          panel.stairs(shares, histogram['edges'], label=label, color=f'C{i}')
      title = registry.METRICS[f'diversity_{kind}'].title
      panel.set_title(f'{case}: {title} (share of pairs)', fontsize=9)
      panel.legend(fontsize=7)
  return plot
