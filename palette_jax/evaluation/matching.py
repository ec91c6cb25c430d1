"""Anybody's images as files: which belong together, and their pixels.

Images belong together if they have the same name, whatever their endings:
outputs/a/1.png and originals/a/1.jpg.
"""

import concurrent.futures
import functools
import posixpath
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from etils import epath
from PIL import ExifTags, Image, ImageOps

from palette_jax.data import listing

_SHOWN = 10  # of missing files in a message
# What Pillow raises for files that are none, or none of those it accepts.
_BROKEN = OSError, ValueError, SyntaxError, Image.DecompressionBombError


class Matched(NamedTuple):
  """Images that belong together.

  Attributes:
    names: without endings, sorted.
    files: of each kind ('output', 'original', ...), in the names' order.
  """

  names: list[str]
  files: dict[str, list[str]]


def match(folders: Mapping[str, str]) -> Matched:
  """The images of several folders, by name.

  Args:
    folders: kind -> folder; the first says which images there are, the others
      may have more.

  Raises:
    FileNotFoundError: if a folder is missing.
    ValueError: if images have no partner (they are listed), or a name is there
      twice.
  """
  found = {kind: by_name(folder) for kind, folder in folders.items()}
  first = next(iter(folders))
  names = sorted(found[first])
  for kind, files in found.items():
    missing = [name for name in names if name not in files]
    if missing:
      listed = '\n'.join(f'  {name}' for name in missing[:_SHOWN])
      more = len(missing) - _SHOWN
      rest = f'\n  and {more} more' if more > 0 else ''
      raise ValueError(
        f'{len(missing)} of {len(names)} images of {folders[first]} have no '
        f'{kind} in {folders[kind]}:\n{listed}{rest}\nPartners have the same '
        'name and folder, whatever their ending.'
      )
  files = {
    kind: [posixpath.join(folders[kind], found[kind][name]) for name in names]
    for kind in found
  }
  return Matched(names, files)


def by_name(folder: str) -> dict[str, str]:
  """The images below a folder: name without ending -> relative path.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if there is no image in it, or two of one name.
  """
  found = {}
  for file in listing.folder(folder):
    name = posixpath.splitext(file)[0]
    if name in found:
      raise ValueError(
        f'{folder} has {found[name]} and {file}: which is meant? Remove one.'
      )
    found[name] = file
  if not found:
    raise ValueError(
      f'{folder} has no images ending in {" ".join(listing.SUFFIXES)}.'
    )
  return found


def read(path: str) -> np.ndarray:
  """uint8 [h, w, 3], upright, transparency on white.

  Raises:
    ValueError: if it is no image of 8 bits a channel.
  """
  try:
    with epath.Path(path).open('rb') as file, Image.open(file) as opened:
      image = ImageOps.exif_transpose(opened)
      if image.mode.startswith(('I', 'F')):
        raise ValueError(f'it has more than 8 bits a channel ({image.mode})')
      if image.has_transparency_data:
        image = image.convert('RGBA')
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
      return np.asarray(image.convert('RGB'))
  except _BROKEN as error:
    raise ValueError(f'{path} cannot be read: {error}.') from error


def size(matched: Matched) -> tuple[int, int]:
  """Height and width of all images, by their headers.

  Raises:
    ValueError: naming the images that have another size, or are none.
  """
  paths = [path for files in matched.files.values() for path in files]
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    sizes = list(pool.map(_upright_size, paths))
  expected = max(set(sizes), key=sizes.count)
  others = [i for i, found in enumerate(sizes) if found != expected]
  if others:
    listed = '\n'.join(
      f'  {paths[i]}: {_sides(sizes[i])}' for i in others[:_SHOWN]
    )
    more = len(others) - _SHOWN
    raise ValueError(
      f'{len(others)} of {len(paths)} files are not {_sides(expected)} (height '
      f'x width), as the others are:\n{listed}'
      + (f'\n  and {more} more' if more > 0 else '')
      + '\nOutputs and originals are judged at one size (the paper: 256x256).'
    )
  return expected


def _upright_size(path):
  """Height and width, without decoding."""
  try:
    with epath.Path(path).open('rb') as file, Image.open(file) as image:
      turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
      return image.size if turned else image.size[::-1]
  except _BROKEN as error:
    raise ValueError(f'{path} cannot be read: {error}.') from error


def _sides(shape):
  return f'{shape[0]}x{shape[1]}'


def batches(
  matched: Matched, batch: int, rows: np.ndarray
) -> Iterator[dict[str, np.ndarray]]:
  """Pixels of some of the images: kind -> uint8 [batch, h, w, 3].

  The last batch is filled up with its first image.

  Args:
    matched: the images.
    batch: how many at a time.
    rows: int [n], which of them; all of one `size`.

  Raises:
    ValueError: naming the first file that cannot be read.
  """
  load = functools.partial(_read_row, matched)
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    ahead = []
    for start in range(0, len(rows), batch):
      jobs = [pool.submit(load, row) for row in rows[start : start + batch]]
      ahead.append(jobs)
      if len(ahead) > 1:
        yield _stack(ahead.pop(0), batch)
    for jobs in ahead:
      yield _stack(jobs, batch)


def _read_row(matched, row):
  return {kind: read(files[row]) for kind, files in matched.files.items()}


def _stack(jobs, batch):
  rows = [job.result() for job in jobs]
  rows += rows[:1] * (batch - len(rows))
  return {kind: np.stack([row[kind] for row in rows]) for kind in rows[0]}
