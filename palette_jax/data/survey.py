"""What the images of a source are: how many, how large, and which are refused.

What `palette inspect` reports. Every record is decoded whole, in threads, as
many at a time as there are cores; 48 bytes are kept of each image.
"""

import concurrent.futures
import functools
import hashlib
import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import ml_collections
import numpy as np
from etils import epy

from palette_jax import console
from palette_jax.data import decoder, pipeline, sources

with epy.lazy_imports():
  import tensorflow as tf

FOUND = np.dtype(
  [
    ('read', '?'),  # its bytes
    ('decoded', '?'),
    ('height', 'i4'),  # upright
    ('width', 'i4'),
    ('kind', 'i1'),  # place in decoder.FORMATS
    ('turned', '?'),
    ('sha256', 'S32'),
  ]
)
SHAPES = {  # width:height
  '1:2': 1 / 2,
  '2:3': 2 / 3,
  '3:4': 3 / 4,
  '1:1': 1.0,
  '4:3': 4 / 3,
  '3:2': 3 / 2,
  '2:1': 2.0,
}
MOST_REFUSED, MOST_GROUPS, MOST_NAMES = 20, 10, 4  # that are named
BAR = 40  # characters


class Survey(NamedTuple):
  """What was found in one split.

  Attributes:
    source: of the records.
    looked_at: int64 [n], which records.
    found: of each image by name, FOUND [n].
    refused: name and reason of what cannot be learnt from.
  """

  source: sources.Source
  looked_at: np.ndarray
  found: dict[str, np.ndarray]
  refused: list[tuple[str, str]]


def report(config: ml_collections.ConfigDict, most: int) -> str:
  """Looks at both splits of a config's source and says what is there.

  Args:
    config: of a run.
    most: records of a split, evenly spaced, that are looked at.

  Raises:
    ValueError, FileNotFoundError: if there is no such source.
  """
  surveys = {}
  for split in 'train', 'held_out':
    source = sources.open_source(config.data.source, split)
    surveys[split] = look(source, most, config.data.max_pixels, split)
  lines = [f'data.source={config.data.source}', '']
  for name in surveys['train'].source.images:
    lines += _duplicates(surveys, name)
  for split, survey in surveys.items():
    lines += ['', *_counts(split, survey)]
    for name, found in survey.found.items():
      if len(survey.found) > 1:
        lines += [f'  {name}']
      lines += _images(found[found['decoded']], config.data)
  return '\n'.join(lines) + '\n'


def look(
  source: sources.Source, most: int, max_pixels: int, split: str = ''
) -> Survey:
  """Reads and decodes records, at most `most` of them, evenly spaced.

  Args:
    source: of the records.
    most: how many.
    max_pixels: of a file; larger ones are refused.
    split: its name, for the lines of progress.
  """
  n = len(source)
  count = min(most, n)
  chosen = np.arange(count, dtype=np.int64) * n // count
  found = {name: np.zeros(count, FOUND) for name in source.images}
  refused = []
  starts = range(0, count, pipeline.CHUNK)
  pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
  reader = _reader(source, max_pixels)
  chunks = [chosen[i : i + pipeline.CHUNK] for i in starts]
  try:
    with console.Progress(split, count) as progress:
      for start, rows in zip(starts, pool.map(reader, chunks)):
        for place, (images, reason) in enumerate(rows, start):
          for name, image in images.items():
            found[name][place] = image
          if reason:
            refused.append((source.names[chosen[place]], reason))
        progress.advance(len(rows))
  finally:  # Ctrl-C does not wait for the rest
    pool.shutdown(cancel_futures=True)
  return Survey(source, chosen, found, refused)


def _as_graph(function, *specs):
  """In a graph TensorFlow lets other threads work while it runs."""
  return tf.function(function, input_signature=specs, autograph=False)


@functools.cache
def _decoder(max_pixels):
  """Bytes -> shape, kind, orientation; one graph for both splits."""

  def decode(encoded):
    file = decoder.read_header(encoded, max_pixels)
    return tf.shape(decoder.decode(file)), file.kind, file.orientation

  return _as_graph(decode, tf.TensorSpec([], tf.string))


def _reader(source, max_pixels):
  """A function of a few indices: of each record its images, and what is wrong.

  What reads is apart from what decodes: a file's bytes are wanted, too.
  """
  read = _as_graph(
    source.read, tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.string)
  )
  decode = _decoder(max_pixels)
  alike = _as_graph(
    lambda sizes: pipeline.alike(tf.constant(''), tf.unstack(sizes)),
    tf.TensorSpec([len(source.images), 2], tf.int32),
  )

  def one(index, fetched):
    images, reasons = {}, []
    try:
      files = read(tf.constant(index), tf.constant(fetched))
    except tf.errors.OpError as error:
      return images, decoder.reason(error)
    for name, encoded in files.items():
      image = np.zeros([], FOUND)
      image['read'] = True
      image['sha256'] = hashlib.sha256(encoded.numpy()).digest()
      try:
        shape, kind, orientation = decode(encoded)
      except tf.errors.OpError as error:
        of_pair = f'{name}: ' if len(files) > 1 else ''
        reasons.append(f'{of_pair}{decoder.reason(error)}')
      else:
        image['decoded'] = True
        image['height'], image['width'] = shape[0], shape[1]
        image['kind'], image['turned'] = kind, orientation != 1
      images[name] = image
    if not reasons:
      try:
        alike([[image['height'], image['width']] for image in images.values()])
      except tf.errors.OpError as error:
        reasons.append(decoder.reason(error))
    return images, '; '.join(reasons)

  def chunk(indices):
    fetched = [b''] * len(indices)
    if source.fetch:
      fetched = source.fetch(indices)
    return [one(*row) for row in zip(indices, fetched)]

  return chunk


def _counts(split, survey):
  """How many, how many of them were looked at, and which are refused."""
  total, count = len(survey.source), len(survey.looked_at)
  looked = 'all' if count == total else f'{count:,} of {total:,}'
  lines = [
    f'{split.replace("_", " ")}: {total:,} records, {looked} looked at',
    f'  refused    {len(survey.refused):,}',
  ]
  named = survey.refused[:MOST_REFUSED]
  lines += [f'    {name}: {reason}' for name, reason in named]
  return lines + _more(len(survey.refused) - len(named))


def _images(found, data):
  """Sizes, formats and shapes of what was decoded."""
  if not len(found):
    return ['  none could be decoded']
  height, width = found['height'].astype(float), found['width'].astype(float)
  ranked = found[np.argsort(height * width, kind='stable')]
  sizes = [
    f'{one["height"]}x{one["width"]}'
    for one in (ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1])
  ]
  largest = np.minimum(height / data.size[0], width / data.size[1])
  crops = 'x'.join(map(str, data.size))
  lines = [
    '  sizes      {} smallest, {} median, {} largest (height x width)'.format(
      *sizes
    ),
    f'  enlarged   {np.sum(largest < 1):,} are smaller than data.size={crops}',
  ]
  if data.min_crop < 1:
    lines += [
      f'             {np.sum(largest * data.min_crop < 1):,} where the crop is '
      f'smallest (data.min_crop={data.min_crop:g})'
    ]
  counts = np.bincount(found['kind'], minlength=len(decoder.FORMATS))
  formats = [f'{f} {n:,}' for f, n in zip(decoder.FORMATS, counts) if n]
  return lines + [
    f'  formats    {", ".join(formats)}',
    f'  turned     {found["turned"].sum():,} by their EXIF orientation',
    '  shapes     width:height, to the nearest of',
    *_histogram(np.log(width / height)),
  ]


def _histogram(log_ratios):
  known = np.log(list(SHAPES.values()))
  nearest = np.abs(log_ratios[:, None] - known).argmin(axis=1)
  counts = np.bincount(nearest, minlength=len(known))
  return [
    f'    {name}  {"#" * math.ceil(BAR * n / counts.max())} {n:,}'
    for name, n in zip(SHAPES, counts)
  ]


def _duplicates(surveys, image):
  """Files of the same bytes, first those in both splits."""
  parts = [survey.found[image] for survey in surveys.values()]
  split = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
  found = np.concatenate(parts)
  places = np.flatnonzero(found['read'])
  _, group, count = np.unique(
    found['sha256'][places], return_inverse=True, return_counts=True
  )
  members = {}
  for place, g in zip(places, group):
    if count[g] > 1:
      members.setdefault(g, []).append(int(place))
  groups = list(members.values())
  across = [g for g in groups if len({*split[g]}) > 1]
  within = [g for g in groups if len({*split[g]}) == 1]
  names = [
    f'{name.replace("_", " ")} {survey.source.names[i]}'
    for name, survey in surveys.items()
    for i in survey.looked_at
  ]
  of_pair = f' ({image})' if len(surveys['train'].found) > 1 else ''
  return [
    *_groups(f'Files both trained on and held out{of_pair}', across, names),
    *_groups(f'Files more than once in one split{of_pair}', within, names),
  ]


def _groups(title, groups, names):
  lines = [f'{title}: {f"{len(groups):,}" if groups else "none"}']
  for group in groups[:MOST_GROUPS]:
    listed = ' = '.join(names[i] for i in group[:MOST_NAMES])
    rest = len(group) - MOST_NAMES
    lines += [f'  {listed}{f" and {rest:,} more" if rest > 0 else ""}']
  return lines + _more(len(groups) - MOST_GROUPS)


def _more(rest: int) -> Sequence[str]:
  return [f'    and {rest:,} more'] if rest > 0 else []
