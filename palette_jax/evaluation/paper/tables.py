"""The paper's tables: which models, trained how, on which images.

The first row of a table is what the others are compared with, image by image.
"""

import re
from typing import NamedTuple

import ml_collections

from palette_jax import settings

# The variant of configs/ of each scale.
SCALES = {'tiny': 'tiny,steps=20', 'small': 'small', 'paper': ''}


class Entry(NamedTuple):
  """A row of ours.

  Attributes:
    row: as the paper calls it.
    config: of configs/, with its variant.
    changes: fields that differ from the file's.
    sampling: likewise, of drawing alone: rows may share a run.
  """

  row: str
  config: str
  changes: tuple[tuple[str, str], ...] = ()
  sampling: tuple[tuple[str, str], ...] = ()

  def run(self, scale: str) -> str:
    """The name of its folder, as training would choose it."""
    return _joined(self._file(scale), self.changes)

  def folder(self, scale: str) -> str:
    """Of what is drawn: the run's, and how."""
    return _joined(self.run(scale), self.sampling)

  def _file(self, scale):
    """NAME.py:VARIANT."""
    file, _, variant = self.config.partition(':')
    variant = ','.join(filter(None, [variant, SCALES[scale]]))
    return f'{file}:{variant}' if variant else file

  def load(self, scale: str, seed: int) -> ml_collections.ConfigDict:
    """The config.

    Args:
      scale: one of SCALES.
      seed: of training.

    Raises:
      SystemExit: as `settings.take`, if there is no such file.
    """
    arguments = [f'--config={self._file(scale).replace(".py", "", 1)}']
    changes = *self.changes, *self.sampling, ('seed', str(seed))
    arguments += [f'--config.{name}={value}' for name, value in changes]
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


def _joined(name, changes):
  plain = re.sub('[^a-z0-9_]', '-', name.replace('.py', ''))
  return '-'.join([plain, *(value for _, value in changes)])


_L1 = (('objective.norm', 'l1'),)
_COLORIZE = Entry('Palette', 'colorize.py')
_INPAINT = Entry('Palette', 'inpaint.py')
_UNCROP = Entry('Palette', 'uncrop.py')
_JPEG = Entry('Palette', 'jpeg.py')
_MULTITASK = Entry('Multi-task', 'multitask.py')
_OF_COLOUR = Entry('Regression', 'regression.py')
_OF_JPEG = Entry('Regression', 'regression.py:task=jpeg')
_BASE = Entry('Global self-attention', 'ablations.py')
_IMPUTED = Entry(
  'Imputation',
  'unconditional.py',
  sampling=(('objective.sampler.name', 'imputation'),),
)
_REPAINTED = Entry(
  'RePaint',
  'unconditional.py',
  sampling=(
    ('objective.sampler.name', 'repaint'),
    ('objective.sampler.jump', '5'),
    ('objective.sampler.resamplings', '4'),
  ),
)
_HOLES_OPEN = 'The paper does not state the holes: they are 20-30% here.'
_LIST_OPEN = (
  'The paper does not list its categories: give them as a file, --records '
  'categories:FILE, one folder a line.'
)
_OTHER_HALF = 'For its second half give --source and --records of Places2.'

TABLES = {
  'table-1': Table(
    'Colorization',
    {'colorization': (_COLORIZE, _OF_COLOUR)},
    'first5k',
  ),
  'table-2': Table(
    'Inpainting',
    {case: (_INPAINT,) for case in ('inpainting:20-30%', 'inpainting:centre')},
    'ctest10k',
    remark=_OTHER_HALF,
  ),
  'table-3': Table(
    'Uncropping',
    {'uncropping:right': (_UNCROP,)},
    'ctest10k',
    remark=_OTHER_HALF,
  ),
  'table-4': Table(
    'JPEG restoration',
    {f'jpeg:{quality}': (_JPEG, _OF_JPEG) for quality in (5, 10, 20)},
    'ctest10k',
  ),
  'table-5': Table(
    'Self-attention',
    {
      'inpainting:20-30%': (
        _BASE,
        Entry('Dilated convolutions', 'ablations.py:dilated'),
        Entry('More ResNet blocks', 'ablations.py:more_blocks'),
        Entry('Local self-attention', 'ablations.py:local'),
      )
    },
    'ctest10k',
    remark=_HOLES_OPEN,
  ),
  'table-6': Table(
    'L1 and L2, quality and diversity',
    {
      'inpainting:20-30%': (
        _BASE._replace(row='L2'),
        Entry('L1', 'ablations.py:l1'),
      ),
      'colorization': (
        _COLORIZE._replace(row='L2'),
        Entry('L1', 'colorize.py', _L1),
      ),
    },
    'ctest10k',
    samples=4,
    remark=f'{_HOLES_OPEN} Nor how many samples: 4 here.',
  ),
  'table-7': Table(
    'One model for several tasks',
    {
      'inpainting:centre': (_INPAINT._replace(row='Specialist'), _MULTITASK),
      'colorization': (
        _COLORIZE._replace(row='Specialist'),
        _MULTITASK,
        _OF_COLOUR,
      ),
      'jpeg:5': (_JPEG._replace(row='Specialist'), _MULTITASK, _OF_JPEG),
    },
    'ctest10k',
  ),
  'table-8': Table(
    'Colorization on ctest10k',
    {
      'colorization': (
        _COLORIZE._replace(row='Palette L2'),
        Entry('Palette L1', 'colorize.py', _L1),
      )
    },
    'ctest10k',
  ),
  'table-9': Table(
    'Inpainting, all holes',
    {
      f'inpainting:{hole}': (
        _INPAINT,
        _INPAINT._replace(
          row='Palette (ImageNet)',
          changes=(('data.source', 'tfds:imagenet2012'),),
        ),
      )
      for hole in ('10-20%', '20-30%', '30-40%', 'centre')
    },
    'ctest10k',
    remark=_OTHER_HALF,
  ),
  'table-10': Table(
    'Uncropping, the 50 largest categories of Places2',
    {'uncropping:right': (_UNCROP,)},
    'places50',
    remark=_LIST_OPEN,
  ),
  'table-11': Table(
    'Uncropping, scenery of Places2',
    {'uncropping:right': (_UNCROP,)},
    'scenery',
    remark=_LIST_OPEN,
  ),
  'figure-9': Table(
    'A model that learns to inpaint, and imputation by one that does not',
    {
      'inpainting:centre': (
        _INPAINT._replace(row='Conditional'),
        _IMPUTED,
        _REPAINTED,
      )
    },
    'ctest10k',
    remark='The paper shows pictures and no figures.',
  ),
}
