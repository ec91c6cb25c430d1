"""Reproduces the paper's tables: trains their models, draws, judges.

At the scale `paper`, the models are trained runs, each in a folder of its own.
At `small`, they are trained here, for an hour each, on images of 32x32, and the
paper's claims are judged by them (docs/results.md). At `tiny`, they are trained
for minutes on the photos inside the package, which shows that everything works
and says nothing about the paper.

The last row of each table is the baseline, the answer without a model.
"""

import contextlib
import shlex
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import ml_collections
from absl import logging
from etils import epath

from palette_jax import files
from palette_jax.evaluation import (
  baselines,
  cases,
  command,
  matching,
  protocol,
  report,
  samples,
)
from palette_jax.evaluation.networks import probe as probes
from palette_jax.evaluation.paper import claims, reported, tables
from palette_jax.training import loop, trained_run

_RECORDS = {'first5k': 'first:5000'}  # selected by a rule; others by a list:
_LISTS = {
  'ctest10k': (
    '--records list:/path/ctest10k.txt, the list that Larsson et al. 2016 '
    'publish'
  ),
  'places50': '--records categories:/path/largest50.txt, --source of Places2',
  'scenery': '--records categories:/path/scenery.txt, --source of Places2',
}


class Scale(NamedTuple):
  """The models and images with which a table is reproduced.

  Attributes:
    name: one of tables.SCALES.
    runs: folder of the runs.
    source: source of the images; '' for the table's.
    records: rule that selects them (selection.py); '' for the table's.
    reference: reference of Frechet distances; '' for the table's.
    seeds: trainings of every model.
  """

  name: str
  runs: str
  source: str = ''
  records: str = ''
  reference: str = ''
  seeds: int = 1


def reproduce(name: str, scale: Scale) -> epath.Path:
  """Draws and judges the samples of a table of the paper.

  Args:
    name: a name in tables.TABLES.
    scale: the models and images.

  Returns:
    The folder, with a folder of results for each case, and claims.md.

  Raises:
    ValueError: if the list of images or a trained run is missing.
    FileNotFoundError: if images are missing.
  """
  reproduction = _Reproduction(name, scale)
  results = {case: [] for case in reproduction.table.cases}
  for seed in range(scale.seeds):
    for case, requests in reproduction.draw(seed).items():
      results[case].append(reproduction.judge(case, requests, seed))
  judged = claims.of_table(name, list(reproduction.table.cases))
  text = claims.table(claims.judge(judged, results))
  if jax.process_index() == 0:
    path = files.write(reproduction.folder / 'claims.md', f'{text}\n'.encode())
    print(f'\n{text}\n\n{path}')
  return reproduction.folder


class _Conditions(NamedTuple):
  """The conditions that all rows of a case share.

  Attributes:
    evaluation: the section of the config.
    probe: a classifier of the labels, if they are not ImageNet's.
  """

  evaluation: ml_collections.ConfigDict
  probe: probes.Probe | None


class _Reproduction:
  """A table at a scale."""

  def __init__(self, name: str, scale: Scale) -> None:
    """Checks that images and runs are known, before anything is trained.

    Raises:
      ValueError, FileNotFoundError: if they are not.
    """
    self.name, self.scale = name, scale
    self.table = tables.TABLES[name]
    self.folder = epath.Path(scale.runs, name)
    self._check_images()
    self._check_runs()
    self.conditions = {
      case: self._conditions(case) for case in self.table.cases
    }

  def rows(self) -> Iterator[tuple[str, tables.Row]]:
    """Yields each case and row."""
    for case, rows in self.table.cases.items():
      for row in rows:
        yield case, row

  def workdir(self, row: tables.Row, seed: int) -> epath.Path:
    """Returns the workdir of a row's model."""
    name = row.run_name(self.scale.name)
    return epath.Path(self.scale.runs, _with_seed(name, seed))

  def _check_images(self) -> None:
    """Checks that the images of the scale `paper` are known."""
    images = self.table.images
    if self.scale.name != 'paper' or self.scale.records or images in _RECORDS:
      return
    raise ValueError(
      f'{self._title()} is of {reported.IMAGES[images]}. Give '
      f'{_LISTS[images]}. {self.table.remark}'
    )

  def _check_runs(self) -> None:
    """Checks that the runs of the scale `paper` exist."""
    if self.scale.name != 'paper':
      return
    rows = {row.run_name('paper'): row for _, row in self.rows()}
    missing = [
      f'  {self._training_command(row, seed)}'
      for row in rows.values()
      for seed in range(self.scale.seeds)
      if not (self.workdir(row, seed) / 'config.json').exists()
    ]
    if missing:
      raise ValueError(
        f'{self._title()} takes {len(rows)} trained models; these are not in '
        f'{self.scale.runs}:\n' + '\n'.join(missing)
      )

  def _training_command(self, row: tables.Row, seed: int) -> str:
    changes = [f'--config.{field}={value}' for field, value in row.changes]
    if seed:
      changes.append(f'--config.seed={seed}')
    return ' '.join(
      [
        'python -m palette_jax.main',
        f'--config={row.config}',
        *changes,
        f'--workdir={self.workdir(row, seed)}',
      ]
    )

  def _title(self) -> str:
    return self.name.replace('-', ' ').title()

  def _conditions(self, case: str) -> _Conditions:
    """Takes the conditions from the first row's config and the scale."""
    scale = self.scale
    evaluation = self.table.cases[case][0].load(scale.name, 0).evaluation
    evaluation.update(
      cases=(case,),
      samples=self.table.samples,
      source=scale.source or evaluation.source,
      records=scale.records or evaluation.records,
      reference=scale.reference or evaluation.reference,
    )
    if scale.name == 'paper':
      source = scale.source or 'tfds:imagenet2012'
      evaluation.update(
        source=source,
        records=scale.records or _RECORDS[self.table.images],
        reference=scale.reference or source,
      )
    with self._hint():
      probe = probes.load(evaluation.probe) if evaluation.probe else None
    return _Conditions(evaluation, probe)

  @contextlib.contextmanager
  def _hint(self) -> Generator[None]:
    """Adds to the error of a missing file how the scale `small` gets it."""
    try:
      yield
    except FileNotFoundError as error:
      if self.scale.name != 'small':
        raise
      raise FileNotFoundError(
        f'{error} `python -m tools.small_data` writes the images of this '
        'scale, and with --probe their classifier: docs/results.md.'
      ) from error

  def draw(self, seed: int) -> dict[str, dict[str, samples.Request]]:
    """Trains every model, unless it is trained, and draws its samples.

    Returns:
      Requests by case and row, in the table's order.
    """
    requests = {}
    distinct = {
      row.samples_name(self.scale.name): row for _, row in self.rows()
    }
    for folder, model in distinct.items():
      config = model.load(self.scale.name, seed)
      workdir = str(self.workdir(model, seed))
      if self.scale.name != 'paper':
        with self._hint():
          loop.train(config, workdir)
      run, step, params = trained_run.load(config, workdir)
      # Tables take other images, or more samples, of the same run.
      drawings = str(self.folder / _with_seed(folder, seed))
      for case, row in self.rows():
        if row.samples_name(self.scale.name) != folder:
          continue
        config.evaluation = self.conditions[case].evaluation
        [request] = samples.requests(config, run, step, drawings)
        samples.draw(request, run, params)
        requests[case, row.name] = request
    return {
      case: {row.name: requests[case, row.name] for row in rows}
      for case, rows in self.table.cases.items()
    }

  def judge(
    self, case: str, requests: Mapping[str, samples.Request], seed: int
  ) -> dict[str, Any]:
    """Writes the results of a case; returns the contents of results.json."""
    logging.info('Judging %s.', case)
    conditions = self.conditions[case]
    comparison = samples.comparison(requests, conditions.probe)
    reported_rows = reported.of_table(self.name)
    if any('fool_rate' in row.values for row in reported_rows):
      print(f'\nFool rates take people:\n  {_study_command(comparison)}')
    folder = cases.get(case).folder
    assert comparison.inputs is not None  # of samples
    comparison.rows[baselines.label(case)] = [
      baselines.write(
        case,
        comparison.inputs,
        comparison.holes,
        self.folder / 'trivial' / folder,
      )
    ]
    reference = conditions.evaluation.reference
    results = protocol.judge(comparison, reference=reference)
    about = dict(
      table=self.name,
      scale=self.scale.name,
      seed=seed,
      remark=self.table.remark,
    )
    command.publish(results, self.folder / _with_seed(folder, seed), about)
    return report.as_json(results, about)


def _with_seed(name: str, seed: int) -> str:
  return f'{name}-seed-{seed}' if seed else name


def _study_command(comparison: matching.Comparison) -> str:
  """Returns the command of a study of the rows."""
  words = ['palette', 'study', '--originals', comparison.originals]
  for row, (folder, *_) in comparison.rows.items():
    words += ['--outputs', row, folder]
  return shlex.join(words)
