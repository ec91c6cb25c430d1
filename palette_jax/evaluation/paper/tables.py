"""The paper's tables: their models, the training of each, and their images.

The other rows of a table are compared with its first row, image by image.
"""

import re
from typing import NamedTuple

import ml_collections

from palette_jax import settings

# The variant of the configs for each scale.
SCALES = {'tiny': 'tiny,steps=20', 'small': 'small', 'paper': ''}

# Fields of a config, and their values.
Changes = tuple[tuple[str, str], ...]


class Row(NamedTuple):
  """A row of a table, and the model behind it.

  Attributes:
    name: its name in the paper.
    config: name of the model's config, with its variant.
    changes: fields that differ from the config's in training.
    sampling: fields that differ in sampling alone: rows may share a run.
  """

  name: str
  config: str
  changes: Changes = ()
  sampling: Changes = ()

  def run_name(self, scale: str) -> str:
    """Returns the name of the run's folder."""
    return _joined(self.variant(scale), self.changes)

  def samples_name(self, scale: str) -> str:
    """Returns the name of the samples' folder."""
    return _joined(self.run_name(scale), self.sampling)

  def variant(self, scale: str) -> str:
    """Returns NAME:VARIANT of the config at a scale."""
    name, _, variant = self.config.partition(':')
    variant = ','.join(filter(None, [variant, SCALES[scale]]))
    return f'{name}:{variant}' if variant else name

  def load(self, scale: str, seed: int) -> ml_collections.ConfigDict:
    """Returns the config.

    Args:
      scale: one of SCALES.
      seed: seed of training.
    """
    changes = *self.changes, *self.sampling, ('seed', str(seed))
    config, _ = settings.take(
      [
        f'--config={self.variant(scale)}',
        *(f'--config.{name}={value}' for name, value in changes),
      ]
    )
    assert config is not None
    return config


class Table(NamedTuple):
  """A table of the paper.

  Attributes:
    title: its subject.
    cases: rows by case.
    images: its images, a name in reported.IMAGES.
    samples: samples of each image.
    remark: the choices made here where the paper states none.
  """

  title: str
  cases: dict[str, tuple[Row, ...]]
  images: str
  samples: int = 1
  remark: str = ''


def _joined(name: str, changes: Changes) -> str:
  plain = re.sub('[^a-z0-9_]', '-', name)
  return '-'.join([plain, *(value for _, value in changes)])


_L1 = (('objective.norm', 'l1'),)
_COLORIZE = Row('Palette', 'colorize')
_INPAINT = Row('Palette', 'inpaint')
_UNCROP = Row('Palette', 'uncrop')
_JPEG = Row('Palette', 'jpeg')
_MULTITASK = Row('Multi-task', 'multitask')
_OF_COLOUR = Row('Regression', 'regression')
_OF_JPEG = Row('Regression', 'regression:task=jpeg')
_BASE = Row('Global self-attention', 'ablations')
_IMPUTED = Row(
  'Imputation',
  'unconditional',
  sampling=(('objective.sampler.name', 'imputation'),),
)
_REPAINTED = Row(
  'RePaint',
  'unconditional',
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
        Row('Dilated convolutions', 'ablations:dilated'),
        Row('More ResNet blocks', 'ablations:more_blocks'),
        Row('Local self-attention', 'ablations:local'),
      )
    },
    'ctest10k',
    remark=_HOLES_OPEN,
  ),
  'table-6': Table(
    'L1 and L2, quality and diversity',
    {
      'inpainting:20-30%': (
        _BASE._replace(name='L2'),
        Row('L1', 'ablations:l1'),
      ),
      'colorization': (
        _COLORIZE._replace(name='L2'),
        Row('L1', 'colorize', _L1),
      ),
    },
    'ctest10k',
    samples=4,
    remark=f'{_HOLES_OPEN} Nor how many samples: 4 here.',
  ),
  'table-7': Table(
    'One model for several tasks',
    {
      'inpainting:centre': (_INPAINT._replace(name='Specialist'), _MULTITASK),
      'colorization': (
        _COLORIZE._replace(name='Specialist'),
        _MULTITASK,
        _OF_COLOUR,
      ),
      'jpeg:5': (_JPEG._replace(name='Specialist'), _MULTITASK, _OF_JPEG),
    },
    'ctest10k',
  ),
  'table-8': Table(
    'Colorization on ctest10k',
    {
      'colorization': (
        _COLORIZE._replace(name='Palette L2'),
        Row('Palette L1', 'colorize', _L1),
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
          name='Palette (ImageNet)',
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
        _INPAINT._replace(name='Conditional'),
        _IMPUTED,
        _REPAINTED,
      )
    },
    'ctest10k',
    remark='The paper shows pictures and no figures.',
  ),
}
