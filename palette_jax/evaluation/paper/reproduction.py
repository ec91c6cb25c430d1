"""The paper's tables again: which models, on which images, at what.

At the scale `paper` the models are runs that have been trained, each in its own
folder. At `small` they are trained here, for an hour each, on images of 32x32,
and the paper's claims are held against them (docs/results.md). At `tiny` they
are trained for minutes on the photos inside the package: that shows that
everything works, and nothing about the paper.

Below each table's rows stands the answer that takes no model.
"""

import contextlib
import shlex
from typing import NamedTuple

import jax
import ml_collections
from absl import logging
from etils import epath

from palette_jax.evaluation import (
  baselines,
  cases,
  command,
  protocol,
  report,
  samples,
)
from palette_jax.evaluation.networks import probe as probes
from palette_jax.evaluation.paper import claims, reported, tables
from palette_jax.training import loop, trained_run

_RECORDS = {'first5k': 'first:5000'}  # by a rule; others by a list, as follows
_LISTS = {
  'ctest10k': (
    '--records list:/path/ctest10k.txt, the list that Larsson et al. 2016 '
    'publish'
  ),
  'places50': '--records categories:/path/largest50.txt, --source of Places2',
  'scenery': '--records categories:/path/scenery.txt, --source of Places2',
}


class Scale(NamedTuple):
  """Of which models, and of which images.

  Attributes:
    name: one of tables.SCALES.
    runs: folder of the runs.
    source: of the images; '' for the table's.
    records: which of them, as in lists.py; '' for the table's.
    reference: of Frechet distances; '' for the table's.
    seeds: how often every model is trained.
  """

  name: str
  runs: str
  source: str = ''
  records: str = ''
  reference: str = ''
  seeds: int = 1


def reproduce(name: str, scale: Scale) -> epath.Path:
  """Draws and judges what a table of the paper reports.

  Args:
    name: in tables.TABLES.
    scale: of which models and images.

  Returns:
    The folder with a folder of scores for each case, and claims.md.

  Raises:
    ValueError: for what is missing: images' list, trained runs.
  """
  table = tables.TABLES[name]
  _check_images(name, table, scale)
  _check_runs(name, table, scale)
  asked = {case: _asked(case, table, scale) for case in table.cases}
  results = {case: [] for case in table.cases}
  for seed in range(scale.seeds):
    drawn = _draw(name, asked, scale, seed)
    for case, rows in drawn.items():
      found = _judge(name, asked[case], scale, seed, rows)
      results[case].append(found)
  folder = epath.Path(scale.runs, name)
  wanted = claims.of_table(name, list(table.cases))
  text = claims.markdown(claims.judge(wanted, results))
  if jax.process_index() == 0:
    (folder / 'claims.md').write_text(text)
    print(f'\n{text}\n{folder / "claims.md"}')
  return folder


class _Asked(NamedTuple):
  """What every row of a case is asked for.

  Attributes:
    evaluation: the config's section.
    probe: a classifier of the labels, if they are not ImageNet's.
  """

  evaluation: ml_collections.ConfigDict
  probe: probes.Probe | None


def _asked(case, table, scale):
  """What the first row's config says, unless the command line does."""
  asked = table.cases[case][0].load(scale.name, 0).evaluation
  asked.update(
    cases=(case,),
    samples=table.samples,
    source=scale.source or asked.source,
    records=scale.records or asked.records,
    reference=scale.reference or asked.reference,
  )
  if scale.name == 'paper':
    source = scale.source or 'tfds:imagenet2012'
    asked.update(
      source=source,
      records=scale.records or _RECORDS[table.images],
      reference=scale.reference or source,
    )
  with _hint(scale):
    probe = probes.load(asked.probe) if asked.probe else None
  return _Asked(asked, probe)


def _draw(name, asked, scale, seed):
  """Every row's answers to every case: requests by case and row."""
  table = tables.TABLES[name]
  drawn = {case: {} for case in table.cases}
  entries = {
    e.folder(scale.name): e for own in table.cases.values() for e in own
  }
  for folder, entry in entries.items():
    config = entry.load(scale.name, seed)
    workdir = _run(entry, scale, seed)
    if scale.name != 'paper':
      with _hint(scale):
        loop.train(config, workdir)
    run, step, params = trained_run.load(config, workdir)
    # Tables ask the same run for other images, or for more samples.
    drawings = str(epath.Path(scale.runs, name, _seeded(folder, seed)))
    for case, own in table.cases.items():
      for row in (e.row for e in own if e.folder(scale.name) == folder):
        config.evaluation = asked[case].evaluation
        [request] = samples.requests(config, run, step, drawings)
        samples.draw(request, run, params)
        drawn[case][row] = request
  # In the table's order, whatever was drawn first.
  return {
    case: {entry.row: drawn[case][entry.row] for entry in own}
    for case, own in table.cases.items()
  }


@contextlib.contextmanager
def _hint(scale):
  """Says who makes what is missing."""
  try:
    yield
  except FileNotFoundError as error:
    if scale.name != 'small':
      raise
    raise FileNotFoundError(
      f'{error} `python -m tools.small_data` makes the images of this '
      'scale, and with --probe their classifier: docs/results.md.'
    ) from error


def _judge(name, asked, scale, seed, drawn):
  """Writes the scores of a case, and gives what results.json holds."""
  [case] = asked.evaluation.cases
  logging.info('Judging %s.', case)
  subject = samples.subject(drawn, asked.probe)
  if any('fool_rate' in row.values for row in reported.of_table(name)):
    print(f'\nFool rates take people:\n  {_study(subject)}')
  folder = cases.get(case).folder
  answers = baselines.write(
    case,
    subject.inputs,
    subject.holes,
    epath.Path(scale.runs, name, 'trivial', folder),
  )
  subject.rows[baselines.label(case)] = [answers]
  results = protocol.judge(subject, reference=asked.evaluation.reference)
  remark = tables.TABLES[name].remark
  about = dict(table=name, scale=scale.name, seed=seed, remark=remark)
  out = epath.Path(scale.runs, name, _seeded(folder, seed))
  command.publish(results, out, about)
  return report.as_json(results, about)


def _seeded(name, seed):
  return f'{name}-seed-{seed}' if seed else name


def _run(entry, scale, seed):
  """The workdir of a row's model."""
  return str(epath.Path(scale.runs, _seeded(entry.run(scale.name), seed)))


def _study(subject):
  """The command that asks them."""
  words = ['palette', 'study', '--originals', subject.originals]
  for row, (folder, *_) in subject.rows.items():
    words += ['--outputs', row, folder]
  return shlex.join(words)


def _check_images(name, table, scale):
  asked = scale.records or table.images in _RECORDS
  if scale.name == 'paper' and not asked:
    raise ValueError(
      f'{_title(name)} is of {reported.IMAGES[table.images]}. Give '
      f'{_LISTS[table.images]}. {table.remark}'
    )


def _title(name):
  kind, _, number = name.partition('-')
  return f'{kind.title()} {number}'


def _check_runs(name, table, scale):
  if scale.name != 'paper':
    return
  entries = {e.run(scale.name): e for own in table.cases.values() for e in own}
  missing = [
    _command(entry, scale, seed)
    for entry in entries.values()
    for seed in range(scale.seeds)
    if not epath.Path(_run(entry, scale, seed), 'config.json').exists()
  ]
  if missing:
    lines = '\n'.join(f'  {line}' for line in missing)
    raise ValueError(
      f'{_title(name)} takes {len(entries)} trained models; these are not in '
      f'{scale.runs}:\n{lines}'
    )


def _command(entry, scale, seed):
  changes = ''.join(f' --config.{name}={v}' for name, v in entry.changes)
  changes += f' --config.seed={seed}' if seed else ''
  return (
    f'python -m palette_jax.main --config=configs/{entry.config}{changes} '
    f'--workdir={_run(entry, scale, seed)}'
  )
