"""Writes results for people and programs: results.md and results.json.

Every estimate comes with its conditions: the number of images, the interval and
its method, the network, its weights, its preprocessing, the reference.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from etils import epath

import palette_jax
from palette_jax import files, markdown
from palette_jax.evaluation import estimates, intervals, protocol, registry
from palette_jax.evaluation.metrics import diversity, similarity
from palette_jax.evaluation.paper import reported

# The paper's metrics, and ours in their place where its networks are missing.
SUBSTITUTES = {
  'fid': 'fd_efficientnet',
  'is': 'is_efficientnet',
  'ca': 'ca_efficientnet',
  'pd': 'pd_efficientnet',
  'diversity_lpips': 'diversity_lpips_alex',
}
_TITLES = {
  'fid': 'FID',
  'is': 'IS',
  'ca': 'CA (%)',
  'pd': 'PD',
  'diversity_lpips': 'LPIPS of samples',
}


def write(
  results: protocol.Results, folder: epath.PathLike, about: Mapping[str, object]
) -> epath.Path:
  """Writes results.json and results.md.

  Args:
    results: the results.
    folder: the folder, which is created if it does not exist.
    about: further conditions: the command, the checkpoint.

  Returns:
    The path of results.json.
  """
  folder = epath.Path(folder)
  text = as_markdown(results, about)
  files.write(folder / 'results.md', text.encode())
  encoded = json.dumps(as_json(results, about), indent=2, allow_nan=False)
  return files.write(folder / 'results.json', encoded.encode())


def read(path: epath.PathLike) -> dict[str, Any]:
  """Reads a results.json.

  Raises:
    FileNotFoundError: if it does not exist.
  """
  path = epath.Path(path)
  if not path.exists():
    raise FileNotFoundError(f'There are no results at {path}.')
  return json.loads(path.read_text())


def as_json(
  results: protocol.Results, about: Mapping[str, object]
) -> dict[str, Any]:
  """Returns everything as plain values; infinite ones as 'inf'."""
  return {
    'palette_jax': palette_jax.__version__,
    **about,
    'case': results.comparison.case,
    'images': results.count,
    'height_width': list(results.size),
    'rows': {
      row: _row_as_json(of_row, results) for row, of_row in results.rows.items()
    },
    'differences_to_first': {
      row: _row_as_json(of_row, results)
      for row, of_row in results.differences.items()
    },
    'diversity': _diversity(results),
    'absent': results.absent,
    'paper': [
      row._asdict() | {'source': reported.SOURCE}
      for row in reported.of_case(results.comparison.case)
    ],
  }


def _row_as_json(
  row: estimates.Estimates, results: protocol.Results
) -> dict[str, dict[str, Any]]:
  return {
    metric: {
      field: 'inf' if isinstance(value, float) and math.isinf(value) else value
      for field, value in estimate._asdict().items()
    }
    | conditions(metric, results)
    for metric, estimate in row.items()
  }


def _diversity(
  results: protocol.Results,
) -> dict[str, dict[str, dict[str, list]]]:
  """Returns histograms: row -> metric -> pairs, edges and counts."""
  histograms = {row: {} for row in results.diversity}
  for metric in next(iter(results.diversity.values()), {}):
    by_row = {row: pairs[metric] for row, pairs in results.diversity.items()}
    edges, counts = diversity.histograms(by_row)
    for row, pairs in by_row.items():
      histograms[row][metric] = dict(
        pairs=list(pairs.shape),
        edges=edges.tolist(),
        counts=counts[row].tolist(),
      )
  return histograms


def conditions(metric: str, results: protocol.Results) -> dict[str, str]:
  """Returns the conditions of a metric, except for its images."""
  network = results.networks.get(registry.METRICS[metric].network)
  stated = {}
  if network is not None:
    stated = dict(
      network=network.name,
      weights=network.weights,
      preparation=network.preparation,
    )
  if metric == 'ca_probe' and results.comparison.probe:
    stated['probe'] = results.comparison.probe.sha256
  if metric in registry.FRECHET:
    stated['reference'] = results.reference
  elif metric.startswith(('kid', 'kd', 'precision', 'recall', 'pd')):
    stated['reference'] = f'the {results.count:,} originals'
  if metric.startswith('is'):
    stated['splits'] = str(registry.SPLITS)
  if metric.endswith('ms_ssim'):
    stated['scales'] = str(similarity.scales(*results.size))
  return stated


def as_markdown(results: protocol.Results, about: Mapping[str, object]) -> str:
  """Returns the results as a page of Markdown."""
  height, width = results.size
  title = results.comparison.case or 'Outputs'
  lines = [
    f'# {title}: {results.count:,} images, {height}x{width}',
    '',
    *(f'- {name}: `{value}`' for name, value in about.items()),
    f'- Frechet distances are to {results.reference}.',
    '- [low, high] are 95% intervals over images, the reference held fixed.',
    '',
  ]
  lines += _beside_the_paper(results)
  lines += ['## All metrics', '', _table(results.rows), '']
  if results.differences:
    first = next(iter(results.comparison.rows))
    lines += [
      f'## Differences to {first}',
      '',
      'Of the same images, paired.',
      '',
      _table(results.differences),
      '',
    ]
  lines += ['## Made with', '', *_conditions(results)]
  if results.absent:
    lines += ['', '## Not computed', '', *_not_computed(results.absent)]
  return '\n'.join(lines) + '\n'


def _beside_the_paper(results: protocol.Results) -> list[str]:
  """Returns the paper's table for this case, with our rows below."""
  theirs = reported.of_case(results.comparison.case)
  if not theirs:
    return []
  columns = [
    name for name in SUBSTITUTES if any(name in row.values for row in theirs)
  ]
  rows = []
  for row in theirs:
    values = [f'{row.values[c]:g}' if c in row.values else '' for c in columns]
    rows.append([f"paper's {row.model}", row.images or 'not stated', *values])
  for name, of_row in results.rows.items():
    cells = [_cell_or_substitute(column, of_row) for column in columns]
    rows.append([f'**{name}**', f'{results.count:,}', *cells])
  return [
    '## Beside the paper',
    '',
    markdown.table(['', 'images', *(_TITLES[c] for c in columns)], rows),
    '',
    f"The paper's rows ({reported.SOURCE}) are of its own images, and of FIDs "
    'to a whole validation set. Ours compare with them for the same images, '
    'the same reference and the same network only; metrics of another network '
    'are marked with its name.',
    '',
  ]


def _cell_or_substitute(column: str, row: estimates.Estimates) -> str:
  """Returns a cell for a metric of the paper, or for its substitute."""
  if column in row:
    return cell(column, row[column])
  substitute = SUBSTITUTES[column]
  if substitute not in row:
    return ''
  mark = '' if column == 'diversity_lpips' else ' (efficientnet)'
  return cell(substitute, row[substitute]) + mark


def _table(rows: Mapping[str, estimates.Estimates]) -> str:
  """Returns a table with a line for each metric and a column for each row."""
  lines = []
  for name, metric in registry.METRICS.items():
    if any(name in row for row in rows.values()):
      cells = [
        cell(name, row[name]) if name in row else '' for row in rows.values()
      ]
      lines.append([metric.title, metric.better, *cells])
  return markdown.table(['', 'better', *rows], lines)


def cell(name: str, estimate: intervals.Estimate) -> str:
  """Returns '12.3 [11.9, 12.7]', in the metric's unit and digits."""
  metric = registry.METRICS[name]

  def number(value: float) -> str:
    return f'{value * metric.scale:,.{metric.digits}f}'

  if estimate.low is None or estimate.high is None:
    return number(estimate.value)
  return (
    f'{number(estimate.value)} '
    f'[{number(estimate.low)}, {number(estimate.high)}]'
  )


def _conditions(results: protocol.Results) -> list[str]:
  """Lists networks, and the methods of intervals."""
  lines = [
    f'- {network.name}: weights sha256 {network.weights[:16]}...; '
    f'{network.preparation}'
    for network in results.networks.values()
  ]
  methods: dict[str, list[str]] = {}
  for row in results.rows.values():
    for metric, estimate in row.items():
      titles = methods.setdefault(estimate.method, [])
      if registry.METRICS[metric].title not in titles:
        titles.append(registry.METRICS[metric].title)
  lines += [
    f'- {method}: {", ".join(titles)}' for method, titles in methods.items()
  ]
  if any('ms_ssim' in row for row in results.rows.values()):
    count = similarity.scales(*results.size)
    lines.append(f'- MS-SSIM has {count} scales at this size')
  return lines


def _not_computed(absent: Mapping[str, str]) -> list[str]:
  """Lists the reasons, each once."""
  reasons: dict[str, list[str]] = {}
  for metric, reason in absent.items():
    reasons.setdefault(reason, []).append(registry.METRICS[metric].title)
  return [
    f'- {reason}'
    if reason.startswith(titles[0])  # the reason of one metric
    else f'- {", ".join(titles)}: {reason}'
    for reason, titles in reasons.items()
  ]
