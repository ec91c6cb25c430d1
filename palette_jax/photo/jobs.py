"""Which photos there are, and where each of them goes: folders in and out.

  palette colorize old new      old/a/b.jpg -> new/a/b.png
  palette colorize b.jpg new/   b.jpg -> new/b.png

Folders below are searched, links followed; what begins with a dot is not, nor
is the folder that is written to, if it lies inside. Two photos that would have
one name keep their endings: a.jpg.png and a.tif.png.
"""

import collections
import os
import pathlib
import posixpath
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from etils import epath

from palette_jax import files as file_system
from palette_jax.photo import writer

# What photo.read knows, and what people have and must be told of.
SUFFIXES = (
  '.avif', '.bmp', '.dib', '.gif', '.heic', '.heif', '.j2k', '.jfif', '.jp2',
  '.jpe', '.jpeg', '.jpg', '.mpo', '.pgm', '.png', '.ppm', '.tga', '.tif',
  '.tiff', '.webp',
)  # fmt: skip
_SHOWN = 5  # of names in a message


class Job(NamedTuple):
  """One photo.

  Attributes:
    source: the photo's file.
    target: the file that is made of it; of several samples, with a number.
    name: of the source, as it is shown: below its folder.
    mask: a file, or None.
    salt: what the photo adds to the seed, below 2**32: in a folder it follows
      from the name, or one noise would tint all photos alike.
  """

  source: epath.Path
  target: epath.Path
  name: str
  mask: epath.Path | None = None
  salt: int = 0


def jobs(source: str, target: str, mask: str | None = None) -> list[Job]:
  """What is to be done: a photo into a file or folder, or a folder into one.

  Args:
    source: a photo, or a folder.
    target: a file, or a folder; made if it is missing.
    mask: a file for all photos, or a folder with a mask for each, of the same
      name, whatever its ending.

  Returns:
    In the order of their names; at least one.

  Raises:
    FileNotFoundError: if the source is missing, or the mask.
    ValueError: if there is no photo, one lacks a mask, two would become one
      file, or the target does not fit or cannot be written to.
  """
  photos, out = epath.Path(source).expanduser(), epath.Path(target).expanduser()
  masks = None if mask is None else epath.Path(mask).expanduser()
  if not _exists(photos):
    raise FileNotFoundError(f'There is no photo or folder {source}.')
  if masks is not None and not _exists(masks):
    raise FileNotFoundError(f'There is no mask {mask}.')
  if photos.is_dir():
    found = _of_folder(photos, out, masks)
    file_system.check_writable(out)
    return found
  if masks is not None and masks.is_dir():
    raise ValueError(
      f'{mask} is a folder, and {source} one photo: name the mask itself.'
    )
  if out.is_dir() or target.endswith('/'):
    out = out / f'{photos.stem}.png'
  out, _ = writer.target(out)
  if writer.is_same(out, photos):
    raise ValueError(
      f'{out} is the photo itself, which would be lost: give another name.'
    )
  file_system.check_writable(out.parent)
  return [Job(photos, out, photos.name, masks)]


def _real(path):
  """What links lead to, which epath does not say."""
  return pathlib.Path(os.path.realpath(path))


def _exists(path):
  try:
    return path.exists()
  except OSError as error:
    raise ValueError(f'{path} cannot be read: {error.strerror}.') from error


def _of_folder(photos, out, masks):
  _check_target(photos, out)
  apart = [_real(out)]
  by_name = {}
  if masks is not None and masks.is_dir():
    if _real(masks) == _real(photos):
      raise ValueError(f'{masks} are the photos: masks lie in another folder.')
    apart.append(_real(masks))
    by_name = _by_name(masks)
  files = list(_images(photos, apart))
  if not files:
    raise ValueError(
      f'There is no photo in {photos}: no file that ends in '
      f'{" ".join(SUFFIXES)}.'
    )
  if by_name:
    missing = [file for file in files if _stem(file) not in by_name]
    if missing:
      raise ValueError(
        f'{len(missing)} of {len(files)} photos have no mask in {masks}: '
        f'{_some(missing)}. A mask has the name of its photo and lies in the '
        'same folder below; its ending may be another.'
      )
    masks_of = {file: masks / by_name[_stem(file)] for file in files}
  else:
    masks_of = dict.fromkeys(files, masks)
  return [
    Job(photos / file, out / made, file, masks_of[file], _salt(file))
    for file, made in _targets(files).items()
  ]


def _salt(file):
  return zlib.crc32(os.fsencode(file))


def _check_target(photos, out):
  if out.exists() and not out.is_dir():
    raise ValueError(
      f'{out} is a file, and {photos} a folder: name a folder to write to.'
    )
  if not out.exists() and out.suffix.lower() in SUFFIXES:
    raise ValueError(
      f'{out} is the name of a photo, and {photos} is a folder: name a folder '
      'to write to.'
    )
  inner, outer = _real(photos), _real(out)
  if inner == outer or outer in inner.parents:
    where = 'that is read' if inner == outer else f'that {photos} lies in'
    raise ValueError(
      f'{out} is the folder {where}: what is made would be taken for photos '
      'next time. Name another one; it may lie inside.'
    )


def _images(folder, apart, above=(), below='') -> Iterator[str]:
  """Paths of photos, relative to the first folder, sorted."""
  here = _real(folder)
  if here in above or here in apart:
    return  # a link that leads back, or not a folder of photos
  try:
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
  except OSError as error:
    raise ValueError(f'{folder} cannot be listed: {error.strerror}.') from error
  for entry in entries:
    if entry.name.startswith('.'):
      continue
    if entry.is_dir():
      yield from _images(entry, apart, (*above, here), f'{below}{entry.name}/')
    elif entry.suffix.lower() in SUFFIXES:
      yield below + entry.name


def _stem(file):
  return posixpath.splitext(file)[0]


def _by_name(masks):
  """Masks by their name without ending."""
  found = {}
  for file in _images(masks, []):
    if _stem(file) in found:
      raise ValueError(
        f'{masks} has {found[_stem(file)]} and {file}: which one is the mask? '
        'Remove the other.'
      )
    found[_stem(file)] = file
  if not found:
    raise ValueError(f'There is no picture in {masks} that could be a mask.')
  return found


def _targets(files):
  """Photo -> file that is made of it; no two are one, whatever the case."""
  stems = collections.Counter(_stem(file).casefold() for file in files)
  made = {
    file: f'{_stem(file) if stems[_stem(file).casefold()] == 1 else file}.png'
    for file in files
  }
  taken = collections.Counter(name.casefold() for name in made.values())
  same = [file for file in files if taken[made[file].casefold()] > 1]
  if same:
    raise ValueError(
      f'These photos would become one file: {_some(same)}. Rename one of them.'
    )
  return made


def _some(names):
  more = len(names) - _SHOWN
  return ', '.join(names[:_SHOWN]) + (f' and {more} more' if more > 0 else '')
