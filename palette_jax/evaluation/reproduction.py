"""The paper's tables again: which models, on which images, at what.

At the scale `paper` the models are runs that have been trained, each in its own
folder; at `tiny` they are trained here, for minutes, on the photos inside the
package: that shows that everything works, and nothing about the paper.

Next: palette_jax/evaluation/study/plan.py
"""

import shlex
from typing import NamedTuple

import ml_collections
from absl import logging
from etils import epath

from palette_jax import settings
from palette_jax.evaluation import cases, command, paper, protocol, samples
from palette_jax.training import loop

SCALES = 'tiny', 'paper'
TINY = 'tiny,steps=20'


class Entry(NamedTuple):
  """A row of ours.

  Attributes:
    row: as the paper calls it.
    config: of configs/, with its variant.
    changes: fields that differ from the file's.
  """

  row: str
  config: str
  changes: tuple[tuple[str, str], ...] = ()

  @property
  def folder(self) -> str:
    """The run's name."""
    changed = '-'.join(value for _, value in self.changes)
    plain = self.config.replace('.py', '').replace(':', '-').replace('=', '-')
    return f'{plain}-{changed}' if changed else plain

  def load(self, scale: str) -> ml_collections.ConfigDict:
    """The config.

    Raises:
      SystemExit: as `settings.take`, if there is no such file.
    """
    variants = [self.config.partition(':')[2], TINY if scale == 'tiny' else '']
    variant = ','.join(filter(None, variants))
    file = self.config.partition(':')[0]
    arguments = [f'--config=configs/{file}' + (variant and f':{variant}')]
    arguments += [f'--config.{name}={value}' for name, value in self.changes]
    config, _ = settings.take(arguments)
    return config


class Table(NamedTuple):
  """A table of the paper.

  Attributes:
    title: what it is about.
    cases: entries by what is done to the images.
    images: as in paper.IMAGES.
    samples: of each image.
    remark: what the paper leaves open, and what is done here.
  """

  title: str
  cases: dict[str, tuple[Entry, ...]]
  images: str
  samples: int = 1
  remark: str = ''


_L1 = (('objective.norm', 'l1'),)
_COLORIZE = Entry('Palette', 'colorize.py')
_INPAINT = Entry('Palette', 'inpaint.py')
_UNCROP = Entry('Palette', 'uncrop.py')
_JPEG = Entry('Palette', 'jpeg.py')
_MULTITASK = Entry('Multi-task', 'multitask.py')
_OF_COLOUR = Entry('Regression', 'regression.py')
_OF_JPEG = Entry('Regression', 'regression.py:task=jpeg')
_HOLES_OPEN = 'The paper does not state the holes: they are 20-30% here.'
_LIST_OPEN = (
  'The paper does not list its categories: give them as a file, --records '
  'categories:FILE, one folder a line.'
)

TABLES = {
  1: Table(
    'Colorization',
    {'colorization': (_OF_COLOUR, _COLORIZE)},
    'first5k',
  ),
  2: Table(
    'Inpainting',
    {case: (_INPAINT,) for case in ('inpainting:20-30%', 'inpainting:centre')},
    'ctest10k',
    remark='For its second half give --source and --records of Places2.',
  ),
  3: Table(
    'Uncropping',
    {'uncropping:right': (_UNCROP,)},
    'ctest10k',
    remark='For its second half give --source and --records of Places2.',
  ),
  4: Table(
    'JPEG restoration',
    {f'jpeg:{quality}': (_OF_JPEG, _JPEG) for quality in (5, 10, 20)},
    'ctest10k',
  ),
  5: Table(
    'Self-attention',
    {
      'inpainting:20-30%': (
        Entry('Dilated convolutions', 'ablations.py:dilated'),
        Entry('More ResNet blocks', 'ablations.py:more_blocks'),
        Entry('Local self-attention', 'ablations.py:local'),
        Entry('Global self-attention', 'ablations.py'),
      )
    },
    'ctest10k',
    remark=_HOLES_OPEN,
  ),
  6: Table(
    'L1 and L2, quality and diversity',
    {
      'inpainting:20-30%': (
        Entry('L1', 'ablations.py:l1'),
        Entry('L2', 'ablations.py'),
      ),
      'colorization': (
        Entry('L1', 'colorize.py', _L1),
        Entry('L2', 'colorize.py'),
      ),
    },
    'ctest10k',
    samples=4,
    remark=f'{_HOLES_OPEN} Nor how many samples: 4 here.',
  ),
  7: Table(
    'One model for several tasks',
    {
      'inpainting:centre': (_INPAINT._replace(row='Specialist'), _MULTITASK),
      'colorization': (
        _OF_COLOUR,
        _COLORIZE._replace(row='Specialist'),
        _MULTITASK,
      ),
      'jpeg:5': (_OF_JPEG, _JPEG._replace(row='Specialist'), _MULTITASK),
    },
    'ctest10k',
  ),
  8: Table(
    'Colorization on ctest10k',
    {
      'colorization': (
        Entry('Palette L2', 'colorize.py'),
        Entry('Palette L1', 'colorize.py', _L1),
      )
    },
    'ctest10k',
  ),
  9: Table(
    'Inpainting, all holes',
    {
      f'inpainting:{hole}': (
        _INPAINT._replace(
          row='Palette (ImageNet)',
          changes=(('data.source', 'tfds:imagenet2012'),),
        ),
        _INPAINT,
      )
      for hole in ('10-20%', '20-30%', '30-40%', 'centre')
    },
    'ctest10k',
    remark='For its second half give --source and --records of Places2.',
  ),
  10: Table(
    'Uncropping, the 50 largest categories of Places2',
    {'uncropping:right': (_UNCROP,)},
    'places50',
    remark=_LIST_OPEN,
  ),
  11: Table(
    'Uncropping, scenery of Places2',
    {'uncropping:right': (_UNCROP,)},
    'scenery',
    remark=_LIST_OPEN,
  ),
}
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
    name: one of SCALES.
    runs: folder of the runs.
    source: of the images; '' for the table's.
    records: which of them, as in lists.py; '' for the table's.
    reference: of Frechet distances; '' for the table's.
  """

  name: str
  runs: str
  source: str = ''
  records: str = ''
  reference: str = ''


def reproduce(number: int, scale: Scale) -> epath.Path:
  """Draws and judges what a table of the paper reports.

  Args:
    number: of the table.
    scale: of which models and images.

  Returns:
    The folder with a folder of scores for each case.

  Raises:
    ValueError: for what is missing: images' list, trained runs.
  """
  table = TABLES[number]
  _check_images(number, table, scale)
  entries = {e.folder: e for own in table.cases.values() for e in own}
  configs = {name: entry.load(scale.name) for name, entry in entries.items()}
  for name, config in configs.items():
    _aim(config, name, table, scale)
  _check_runs(number, entries, scale)
  drawn: dict[tuple[str, str], samples.Request] = {}
  for name, config in configs.items():
    workdir = str(epath.Path(scale.runs, name))
    if scale.name == 'tiny':
      loop.train(config, workdir)
    run, step, params = loop.restore_ema(config, workdir)
    # Tables ask the same run for other images, or for more samples.
    drawings = str(epath.Path(scale.runs, f'table-{number}', name))
    for request in samples.requests(config, run, step, drawings):
      samples.draw(request, run, params)
      drawn[name, request.case.name] = request
  folder = epath.Path(scale.runs, f'table-{number}')
  for case, own in table.cases.items():
    requests = {entry.row: drawn[entry.folder, case] for entry in own}
    logging.info('Judging %s.', case)
    results = protocol.judge(
      samples.subject(requests),
      reference=configs[own[0].folder].evaluation.reference,
    )
    about = dict(table=number, scale=scale.name, remark=table.remark)
    command.publish(results, folder / cases.get(case).folder, about)
    if any('fool_rate' in row.values for row in paper.of_table(number)):
      print(f'\nFool rates take people:\n  {_study(results.subject)}')
  return folder


def _study(subject):
  """The command that asks them."""
  words = ['palette', 'study', '--originals', subject.originals]
  for row, (folder, *_) in subject.rows.items():
    words += ['--outputs', row, folder]
  return shlex.join(words)


def _aim(config, name, table, scale):
  """Sets what is judged, of the run of that name."""
  config.evaluation.update(
    cases=tuple(
      case
      for case, entries in table.cases.items()
      if any(entry.folder == name for entry in entries)
    ),
    samples=table.samples,
    source=scale.source,
    records=scale.records,
    reference=scale.reference,
  )
  if scale.name == 'paper':
    source = scale.source or 'tfds:imagenet2012'
    config.evaluation.update(
      source=source,
      records=scale.records or _RECORDS[table.images],
      reference=scale.reference or source,
    )


def _check_images(number, table, scale):
  asked = scale.records or table.images in _RECORDS
  if scale.name == 'paper' and not asked:
    raise ValueError(
      f'Table {number} is of {paper.IMAGES[table.images]}. Give '
      f'{_LISTS[table.images]}. {table.remark}'
    )


def _check_runs(number, entries, scale):
  if scale.name == 'tiny':
    return
  missing = {
    name: entry
    for name, entry in entries.items()
    if not epath.Path(scale.runs, name, 'config.json').exists()
  }
  if missing:
    lines = '\n'.join(f'  {_train(entry, scale)}' for entry in missing.values())
    raise ValueError(
      f'Table {number} takes {len(entries)} trained models; these are not in '
      f'{scale.runs}:\n{lines}'
    )


def _train(entry, scale):
  changes = ''.join(f' --config.{name}={v}' for name, v in entry.changes)
  return (
    f'python -m palette_jax.main --config=configs/{entry.config}{changes} '
    f'--workdir={scale.runs}/{entry.folder}'
  )
