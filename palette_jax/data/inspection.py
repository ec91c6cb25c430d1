"""The text that `palette inspect` prints on the images of a config's source."""

import math
from collections.abc import Mapping, Sequence

import ml_collections
import numpy as np
from jaxtyping import Float

from palette_jax.data import decoder, sources, survey

SHAPES = {  # width:height
  '1:2': 1 / 2,
  '2:3': 2 / 3,
  '3:4': 3 / 4,
  '1:1': 1.0,
  '4:3': 4 / 3,
  '3:2': 3 / 2,
  '2:1': 2.0,
}
MAX_REFUSED, MAX_GROUPS, MAX_NAMES = 20, 10, 4  # that are listed
BAR = 40  # characters


def report(config: ml_collections.ConfigDict, most: int) -> str:
  """Surveys both splits of a config's source, and describes them.

  Args:
    config: of a run.
    most: the largest number of records of a split that are read.

  Raises:
    ValueError, FileNotFoundError: if there is no such source.
  """
  surveys = {}
  for split in 'train', 'held_out':
    source = sources.open_source(config.data.source, split)
    surveys[split] = survey.take(source, most, config.data.max_pixels, split)
  lines = [f'data.source={config.data.source}', '']
  for name in surveys['train'].source.images:
    lines += _duplicates(surveys, name)
  for split, own in surveys.items():
    lines += ['', *_counts(split, own)]
    for name, images in own.images.items():
      if len(own.images) > 1:
        lines += [f'  {name}']
      lines += _images(images[images['decoded']], config.data)
  return '\n'.join(lines) + '\n'


def _counts(split: str, own: survey.Survey) -> list[str]:
  """Counts the records, those that were read, and those that are refused."""
  total, count = len(own.source), len(own.records)
  read = 'all' if count == total else f'{count:,} of {total:,}'
  lines = [
    f'{split.replace("_", " ")}: {total:,} records, {read} read',
    f'  refused    {len(own.refused):,}',
  ]
  listed = own.refused[:MAX_REFUSED]
  lines += [f'    {name}: {reason}' for name, reason in listed]
  return lines + _more(len(own.refused) - len(listed))


def _images(images: np.ndarray, data: ml_collections.ConfigDict) -> list[str]:
  """Describes sizes, formats and shapes of decoded images."""
  if not len(images):
    return ['  none could be decoded']
  height, width = images['height'].astype(float), images['width'].astype(float)
  ranked = images[np.argsort(height * width, kind='stable')]
  smallest, median, largest = (
    f'{image["height"]}x{image["width"]}'
    for image in (ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1])
  )
  scale = np.minimum(height / data.size[0], width / data.size[1])
  size = 'x'.join(map(str, data.size))
  lines = [
    f'  sizes      {smallest} smallest, {median} median, {largest} largest '
    '(height x width)',
    f'  enlarged   {np.sum(scale < 1):,} are smaller than data.size={size}',
  ]
  if data.min_crop < 1:
    lines += [
      f'             {np.sum(scale * data.min_crop < 1):,} where the crop is '
      f'smallest (data.min_crop={data.min_crop:g})'
    ]
  counts = np.bincount(images['kind'], minlength=len(decoder.FORMATS))
  formats = [f'{f} {n:,}' for f, n in zip(decoder.FORMATS, counts) if n]
  return lines + [
    f'  formats    {", ".join(formats)}',
    f'  turned     {images["turned"].sum():,} by their EXIF orientation',
    '  shapes     width:height, to the nearest of',
    *_histogram(np.log(width / height)),
  ]


def _histogram(log_ratios: Float[np.ndarray, ' n']) -> list[str]:
  known = np.log(list(SHAPES.values()))
  nearest = np.abs(log_ratios[:, None] - known).argmin(axis=1)
  counts = np.bincount(nearest, minlength=len(known))
  return [
    f'    {name}  {"#" * math.ceil(BAR * n / counts.max())} {n:,}'
    for name, n in zip(SHAPES, counts)
  ]


def _duplicates(surveys: Mapping[str, survey.Survey], name: str) -> list[str]:
  """Lists files of the same bytes, those in both splits first."""
  parts = [own.images[name] for own in surveys.values()]
  split = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
  images = np.concatenate(parts)
  places = np.flatnonzero(images['read'])
  _, group, count = np.unique(
    images['sha256'][places], return_inverse=True, return_counts=True
  )
  members = {}
  for place, g in zip(places, group):
    if count[g] > 1:
      members.setdefault(g, []).append(int(place))
  groups = list(members.values())
  across = [g for g in groups if len({*split[g]}) > 1]
  within = [g for g in groups if len({*split[g]}) == 1]
  names = [
    f'{split.replace("_", " ")} {own.source.names[i]}'
    for split, own in surveys.items()
    for i in own.records
  ]
  of_pair = f' ({name})' if len(surveys['train'].images) > 1 else ''
  return [
    *_groups(f'Files both trained on and held out{of_pair}', across, names),
    *_groups(f'Files more than once in one split{of_pair}', within, names),
  ]


def _groups(
  title: str, groups: Sequence[Sequence[int]], names: Sequence[str]
) -> list[str]:
  lines = [f'{title}: {f"{len(groups):,}" if groups else "none"}']
  for group in groups[:MAX_GROUPS]:
    listed = ' = '.join(names[i] for i in group[:MAX_NAMES])
    rest = len(group) - MAX_NAMES
    lines += [f'  {listed}{f" and {rest:,} more" if rest > 0 else ""}']
  return lines + _more(len(groups) - MAX_GROUPS)


def _more(rest: int) -> list[str]:
  return [f'    and {rest:,} more'] if rest > 0 else []
