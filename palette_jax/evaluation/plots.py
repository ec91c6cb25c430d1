"""Pictures of scores: intervals, spread over images, diversity, examples.

They take matplotlib, which is in the `evaluation` extra.
"""

import numpy as np
from etils import epath, epy

from palette_jax import images
from palette_jax.evaluation import matching, observations, protocol, scores
from palette_jax.evaluation.metrics import diversity

with epy.lazy_imports():
  from matplotlib import figure

_SHOWN = 5  # examples, from best to worst
_BESIDE = 12  # images that every row has answered
_ACROSS = 4  # small plots in a row


def write(
  results: protocol.Results, folder: epath.PathLike
) -> list[epath.Path]:
  """Draws what there is to draw into a folder.

  Raises:
    ModuleNotFoundError: if matplotlib is not installed.
  """
  folder = epath.Path(folder)
  drawn = {'metrics.png': metrics(results), 'per_image.png': spread(results)}
  if results.diversity:
    drawn['diversity.png'] = diversity_histograms(results)
  for name, picture in drawn.items():
    with (folder / name).open('wb') as file:
      picture.savefig(file, format='png', dpi=100)
  paths = [folder / name for name in drawn]
  beside = images.write_png(folder / 'side_by_side.png', side_by_side(results))
  paths.append(beside)
  for row in results.subject.rows:
    path = folder / f'examples-{row}.png'
    paths.append(images.write_png(path, examples(results, row)))
  return paths


def metrics(results: protocol.Results) -> 'figure.Figure':
  """Every metric of every row, with its interval."""
  found = [
    name
    for name in scores.METRICS
    if any(name in results.rows[row] for row in results.subject.rows)
  ]
  picture, axes = _small_plots(len(found), 0.35 * len(results.rows) + 0.9)
  for axis, name in zip(axes, found):
    metric = scores.METRICS[name]
    shown = [row for row in results.rows if name in results.rows[row]]
    for i, row in enumerate(shown):
      estimate = results.rows[row][name]
      value = estimate.value * metric.scale
      if not np.isfinite(value):
        continue
      axis.plot([value], [i], 'o', color='C0')
      if estimate.low is not None:
        ends = estimate.low * metric.scale, estimate.high * metric.scale
        axis.plot(ends, [i, i], '-', color='C0')
    axis.set_yticks(range(len(shown)), shown)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    better = f'  ({metric.better} is better)' if metric.better else ''
    axis.set_title(metric.title + better, fontsize=9)
  return picture


def spread(results: protocol.Results) -> 'figure.Figure':
  """How single images score: no mean says that some have failed."""
  per_image = results.per_image
  first = next(iter(per_image))
  names = [
    name
    for name in per_image[first]
    if np.all(np.isfinite(per_image[first][name]))
    and np.ptp(per_image[first][name]) > 0
    and not name.startswith('ca')
  ]
  picture, axes = _small_plots(len(names), 2.0)
  for axis, name in zip(axes, names):
    values = [per_image[row][name] for row in per_image]
    edges = np.histogram_bin_edges(
      np.concatenate([v[np.isfinite(v)] for v in values]), 30
    )
    for row, one in zip(per_image, values):
      axis.hist(one, edges, histtype='step', label=row)
    axis.set_title(scores.METRICS[name].title, fontsize=9)
    axis.set_yticks([])
  axes[0].legend(fontsize=7)
  return picture


def diversity_histograms(results: protocol.Results) -> 'figure.Figure':
  """How alike samples of one input are, as in the paper's Figure 8."""
  kinds = list(next(iter(results.diversity.values())))
  picture, axes = _small_plots(len(kinds), 2.6)
  for axis, kind in zip(axes, kinds):
    of_kind = {row: own[kind] for row, own in results.diversity.items()}
    edges, counts = diversity.histograms(of_kind)
    for row, own in counts.items():
      axis.stairs(own / own.sum(), edges, label=row)
    title = scores.METRICS[f'diversity_{kind}'].title
    axis.set_title(f'{title} (share of pairs)', fontsize=9)
  axes[0].legend(fontsize=7)
  return picture


def examples(results: protocol.Results, row: str) -> np.ndarray:
  """input | output | original, from the best image to the worst.

  By LPIPS, where it was taken, or else by PSNR.

  Returns:
    A sheet in [-1, 1].
  """
  found = results.per_image[row]
  by = found.get('lpips_alex', -found['psnr'])
  order = np.argsort(by, kind='stable')
  shown = np.linspace(0, len(order) - 1, min(_SHOWN, len(order))).astype(int)
  matched = observations.match(results.subject, row)
  kinds = [
    kind for kind in ('input', 'output', 'original') if kind in matched.files
  ]
  (batch,) = matching.batches(matched, len(shown), order[shown])
  sheet = np.stack([batch[kind] for kind in kinds], axis=1)
  return images.grid(images.from_u8(sheet))


def side_by_side(results: protocol.Results) -> np.ndarray:
  """The same images, by every row: not chosen, but evenly among the names.

  Returns:
    A sheet in [-1, 1]: an image a column; from above the input, if it is known,
    the rows in their order, the original.
  """
  lines = {}
  for row in results.subject.rows:
    matched = observations.match(results.subject, row)
    count = min(_BESIDE, len(matched.names))
    chosen = np.arange(count) * len(matched.names) // count
    (batch,) = matching.batches(matched, count, chosen)
    if 'input' in batch:
      lines.setdefault('input', batch['input'])
    lines[f'row {row}'] = batch['output']
  lines['original'] = batch['original']
  return images.grid(images.from_u8(np.stack(list(lines.values()))))


def _small_plots(count, height):
  across = min(_ACROSS, max(1, count))
  down = -(-max(1, count) // across)
  picture = figure.Figure(
    figsize=(3.2 * across, height * down), layout='constrained'
  )
  axes = picture.subplots(down, across, squeeze=False).ravel()
  for axis in axes:
    axis.tick_params(labelsize=7)
  for axis in axes[count:]:
    axis.set_visible(False)
  return picture, axes
