"""Plots of results: intervals, spread over images, diversity, examples.

They need matplotlib, which is in the `evaluation` extra.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from etils import epath, epy
from jaxtyping import UInt8

from palette_jax import files, images
from palette_jax.evaluation import matching, protocol, registry
from palette_jax.evaluation.metrics import diversity

with epy.lazy_imports():
  from matplotlib import figure

if TYPE_CHECKING:
  from matplotlib import axes

_EXAMPLES = 5  # images of a row, from best to worst
_COLUMNS = 12  # images of which all rows are shown
_ACROSS = 4  # small plots side by side


def write(
  results: protocol.Results, folder: epath.PathLike
) -> list[epath.Path]:
  """Writes all plots and pictures of some results to a folder.

  Raises:
    ModuleNotFoundError: if matplotlib is not installed.
  """
  folder = epath.Path(folder)
  plots = {'metrics.png': metrics(results), 'per_image.png': spread(results)}
  if results.diversity:
    plots['diversity.png'] = diversity_histograms(results)
  paths = [save(plot, folder / name) for name, plot in plots.items()]
  sheets = {'side_by_side.png': side_by_side(results)}
  for row in results.comparison.rows:
    sheets[f'examples-{row}.png'] = examples(results, row)
  return paths + [
    images.write_png(folder / name, sheet) for name, sheet in sheets.items()
  ]


def save(
  plot: 'figure.Figure', path: epath.PathLike, dpi: int = 100
) -> epath.Path:
  """Writes a plot as a PNG file."""
  encoded = io.BytesIO()
  plot.savefig(encoded, format='png', dpi=dpi)
  return files.write(path, encoded.getvalue())


def metrics(results: protocol.Results) -> 'figure.Figure':
  """Plots every metric of every row, with its interval."""
  names = [
    name
    for name in registry.METRICS
    if any(name in results.rows[row] for row in results.comparison.rows)
  ]
  plot, panels = _panels(len(names), 0.35 * len(results.rows) + 0.9)
  for panel, name in zip(panels, names):
    metric = registry.METRICS[name]
    rows = [row for row in results.rows if name in results.rows[row]]
    for i, row in enumerate(rows):
      estimate = results.rows[row][name]
      value = estimate.value * metric.scale
      if not np.isfinite(value):
        continue
      panel.plot([value], [i], 'o', color='C0')
      if estimate.low is not None and estimate.high is not None:
        ends = estimate.low * metric.scale, estimate.high * metric.scale
        panel.plot(ends, [i, i], '-', color='C0')
    panel.set_yticks(range(len(rows)), rows)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    better = f'  ({metric.better} is better)' if metric.better else ''
    panel.set_title(metric.title + better, fontsize=9)
  return plot


def spread(results: protocol.Results) -> 'figure.Figure':
  """Plots the spread over images, since a mean hides single failures."""
  per_image = results.per_image
  first = next(iter(per_image.values()))
  names = [
    name
    for name, values in first.items()
    if np.all(np.isfinite(values))
    and np.ptp(values) > 0
    and name not in registry.ACCURACIES
  ]
  plot, panels = _panels(len(names), 2.0)
  for panel, name in zip(panels, names):
    by_row = {row: values[name] for row, values in per_image.items()}
    finite = [values[np.isfinite(values)] for values in by_row.values()]
    edges = np.histogram_bin_edges(np.concatenate(finite), 30)
    for row, values in by_row.items():
      panel.hist(values, list(edges), histtype='step', label=row)
    panel.set_title(registry.METRICS[name].title, fontsize=9)
    panel.set_yticks([])
  panels[0].legend(fontsize=7)
  return plot


def diversity_histograms(results: protocol.Results) -> 'figure.Figure':
  """Plots the similarity of samples of one input, as the paper's Figure 8."""
  kinds = list(next(iter(results.diversity.values())))
  plot, panels = _panels(len(kinds), 2.6)
  for panel, kind in zip(panels, kinds):
    by_row = {row: pairs[kind] for row, pairs in results.diversity.items()}
    edges, counts = diversity.histograms(by_row)
    for row, of_row in counts.items():
      panel.stairs(of_row / of_row.sum(), edges, label=row)
    title = registry.METRICS[f'diversity_{kind}'].title
    panel.set_title(f'{title} (share of pairs)', fontsize=9)
  panels[0].legend(fontsize=7)
  return plot


def examples(results: protocol.Results, row: str) -> UInt8[np.ndarray, 'y x 3']:
  """Lays out input, output and original, from a row's best image to its worst.

  They are ordered by LPIPS if it was computed, otherwise by PSNR.
  """
  means = results.per_image[row]
  order = np.argsort(means.get('lpips_alex', -means['psnr']), kind='stable')
  count = min(_EXAMPLES, len(order))
  places = np.linspace(0, len(order) - 1, count).astype(int)
  matched = results.comparison.match(row)
  kinds = [
    kind for kind in ('input', 'output', 'original') if kind in matched.files
  ]
  (batch,) = matching.batches(matched, count, order[places])
  return images.grid(np.stack([batch[kind] for kind in kinds], axis=1))


def side_by_side(results: protocol.Results) -> UInt8[np.ndarray, 'y x 3']:
  """Lays out images that are evenly spaced among the names, by every row.

  Returns:
    A sheet with an image in each column: the input, if it is known, the rows in
    their order, the original.
  """
  lines = []
  count = min(_COLUMNS, len(results.names))
  indices = np.arange(count) * len(results.names) // count
  batch = {}
  for row in results.comparison.rows:
    matched = results.comparison.match(row)
    (batch,) = matching.batches(matched, count, indices)
    if 'input' in batch and not lines:
      lines.append(batch['input'])
    lines.append(batch['output'])
  return images.grid(np.stack([*lines, batch['original']]))


def _panels(
  count: int, height: float
) -> tuple['figure.Figure', 'Sequence[axes.Axes]']:
  """Returns a figure of small plots, and its panels; spare ones are hidden."""
  across = min(_ACROSS, max(1, count))
  down = -(-max(1, count) // across)
  plot = figure.Figure(
    figsize=(3.2 * across, height * down), layout='constrained'
  )
  panels = plot.subplots(down, across, squeeze=False).ravel()
  for panel in panels:
    panel.tick_params(labelsize=7)
  for panel in panels[count:]:
    panel.set_visible(False)
  return plot, list(panels)
