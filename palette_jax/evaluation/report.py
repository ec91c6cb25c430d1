"""Scores as people and programs read them: results.json, results.md, plots.

No figure stands without its conditions: how many images, the interval and how
it was made, the network, its weights, what it did to the images, the reference.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

import palette_jax
from palette_jax.evaluation import intervals, protocol, scores
from palette_jax.evaluation.metrics import diversity, similarity
from palette_jax.evaluation.paper import reported

PAPERS = 'fid', 'is', 'ca', 'pd', 'diversity_lpips'  # what the paper reports
STAND_INS = {  # where its networks are not here
  'fid': 'fd_efficientnet',
  'is': 'is_efficientnet',
  'ca': 'ca_efficientnet',
  'pd': 'pd_efficientnet',
  'diversity_lpips': 'diversity_lpips_alex',
}


def write(
  results: protocol.Results, folder: epath.PathLike, about: Mapping[str, Any]
) -> epath.Path:
  """Writes results.json and results.md.

  Args:
    results: of `protocol.judge`.
    folder: made if it is not there.
    about: what else belongs to the conditions: the command, the checkpoint.

  Returns:
    The path of results.json.
  """
  folder = epath.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  file = folder / 'results.json'
  encoded = json.dumps(as_json(results, about), indent=2, allow_nan=False)
  file.write_text(encoded)
  (folder / 'results.md').write_text(markdown(results, about))
  return file


def as_json(results: protocol.Results, about: Mapping[str, Any]) -> dict:
  """Everything, as plain values; infinite ones as 'inf'."""
  return {
    'palette_jax': palette_jax.__version__,
    **about,
    'case': results.subject.case,
    'images': results.count,
    'height_width': list(results.size),
    'rows': {
      name: _figures(found, results) for name, found in results.rows.items()
    },
    'differences_to_first': {
      name: _figures(found, results)
      for name, found in results.differences.items()
    },
    'diversity': _diversity(results.diversity),
    'absent': results.absent,
    'paper': [
      row._asdict() | {'source': reported.SOURCE}
      for row in reported.of_case(results.subject.case)
    ],
  }


def _figures(found, results):
  return {
    name: {
      key: 'inf' if isinstance(value, float) and math.isinf(value) else value
      for key, value in estimate._asdict().items()
    }
    | conditions(name, results)
    for name, estimate in found.items()
  }


def _diversity(rows):
  """The histograms: row -> metric -> edges and counts."""
  found = {row: {} for row in rows}
  for metric in next(iter(rows.values()), {}):
    edges, counts = diversity.histograms(
      {row: own[metric] for row, own in rows.items()}
    )
    for row, own in rows.items():
      found[row][metric] = dict(
        pairs=list(own[metric].shape),
        edges=edges.tolist(),
        counts=counts[row].tolist(),
      )
  return found


def conditions(metric: str, results: protocol.Results) -> dict[str, str]:
  """What a figure was made with, but for its images."""
  network = results.networks.get(scores.METRICS[metric].network)
  found = {}
  if network is not None:
    found = dict(
      network=network.name,
      weights=network.weights,
      preparation=network.preparation,
    )
  if metric == 'ca_probe' and results.subject.probe:
    found['probe'] = results.subject.probe.sha256
  if metric in scores.FRECHET:
    found['reference'] = results.reference
  elif metric.startswith(('kid', 'kd', 'precision', 'recall', 'pd')):
    found['reference'] = f'the {results.count:,} originals'
  if metric.startswith('is'):
    found['splits'] = str(scores.SPLITS)
  if metric.endswith('ms_ssim'):
    found['scales'] = str(similarity.scales(*results.size))
  return found


def markdown(results: protocol.Results, about: Mapping[str, Any]) -> str:
  """The same for people."""
  case = results.subject.case
  height, width = results.size
  lines = [
    f'# {case or "Outputs"}: {results.count:,} images, {height}x{width}',
    '',
    *(f'- {name}: `{value}`' for name, value in about.items()),
    f'- Frechet distances are to {results.reference}.',
    '- [low, high] are 95% intervals over images, the reference held fixed.',
    '',
  ]
  lines += _beside_the_paper(results)
  lines += ['## All figures', '', *_all(results.rows), '']
  if results.differences:
    first = next(iter(results.subject.rows))
    lines += [
      f'## Differences to {first}',
      '',
      'Of the same images, paired.',
      '',
      *_all(results.differences),
      '',
    ]
  lines += ['## Made with', '', *_made_with(results)]
  if results.absent:
    lines += ['', '## Not computed', '', *_not_computed(results.absent)]
  return '\n'.join(lines) + '\n'


def _beside_the_paper(results):
  """The paper's table for this case, ours below."""
  theirs = reported.of_case(results.subject.case)
  if not theirs:
    return []
  columns = [
    name for name in PAPERS if any(name in row.values for row in theirs)
  ]
  title = dict(diversity_lpips='LPIPS of samples', fid='FID', pd='PD')
  title |= {'is': 'IS', 'ca': 'CA (%)'}
  rows = [['', 'images', *(title[name] for name in columns)]]
  for row in theirs:
    values = [f'{row.values[c]:g}' if c in row.values else '' for c in columns]
    rows.append([f"paper's {row.model}", row.images or 'not stated', *values])
  for name, found in results.rows.items():
    cells = [_ours(column, found) for column in columns]
    rows.append([f'**{name}**', f'{results.count:,}', *cells])
  return [
    '## Beside the paper',
    '',
    *_table(rows),
    '',
    f"The paper's rows ({reported.SOURCE}) are of its own images, and of FIDs "
    'to a whole validation set. Ours compare with them for the same images, '
    'the same reference and the same network only; figures of another network '
    'are marked with its name.',
    '',
  ]


def _ours(column, found):
  if column in found:
    return cell(column, found[column])
  other = STAND_INS[column]
  if other not in found:
    return ''
  named = '' if column == 'diversity_lpips' else ' (efficientnet)'
  return cell(other, found[other]) + named


def _all(rows):
  """Metrics down, rows across."""
  names = list(rows)
  found = [
    metric
    for metric in scores.METRICS
    if any(metric in rows[name] for name in names)
  ]
  table = [['', 'better', *names]]
  for metric in found:
    cells = [
      cell(metric, rows[name][metric]) if metric in rows[name] else ''
      for name in names
    ]
    described = scores.METRICS[metric]
    table.append([described.title, described.better, *cells])
  return _table(table)


def cell(metric: str, found: intervals.Estimate) -> str:
  """'12.3 [11.9, 12.7]', in the metric's unit and digits."""
  described = scores.METRICS[metric]

  def number(value):
    return f'{value * described.scale:,.{described.digits}f}'

  if found.low is None or found.high is None:
    return number(found.value)
  return f'{number(found.value)} [{number(found.low)}, {number(found.high)}]'


def _table(rows: Sequence[Sequence[str]]):
  """Markdown; numbers to the right."""
  rule = ['---', *['---:'] * (len(rows[0]) - 1)]
  return [f'| {" | ".join(row)} |' for row in [rows[0], rule, *rows[1:]]]


def _made_with(results):
  """Networks, and how intervals were made."""
  lines = [
    f'- {network.name}: weights sha256 {network.weights[:16]}...; '
    f'{network.preparation}'
    for network in results.networks.values()
  ]
  methods: dict[str, list[str]] = {}
  for found in results.rows.values():
    for metric, estimate in found.items():
      titles = methods.setdefault(estimate.method, [])
      if scores.METRICS[metric].title not in titles:
        titles.append(scores.METRICS[metric].title)
  lines += [
    f'- {method}: {", ".join(titles)}' for method, titles in methods.items()
  ]
  if any('ms_ssim' in found for found in results.rows.values()):
    count = similarity.scales(*results.size)
    lines.append(f'- MS-SSIM has {count} scales at this size')
  return lines


def _not_computed(absent):
  """Reasons, each once."""
  reasons: dict[str, list[str]] = {}
  for metric, reason in absent.items():
    reasons.setdefault(reason, []).append(scores.METRICS[metric].title)
  return [
    f'- {reason}'
    if reason.startswith(titles[0])  # that of one metric
    else f'- {", ".join(titles)}: {reason}'
    for reason, titles in reasons.items()
  ]


def read(file: epath.PathLike) -> dict:
  """What `write` wrote as results.json.

  Raises:
    FileNotFoundError: if it is not there.
  """
  file = epath.Path(file)
  if not file.exists():
    raise FileNotFoundError(f'There are no results at {file}.')
  return json.loads(file.read_text())
