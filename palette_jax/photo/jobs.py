"""Plans a command's jobs: which photos there are, and where each one goes.

  palette colorize old new      old/a/b.jpg -> new/a/b.png
  palette colorize b.jpg new/   b.jpg -> new/b.png

Subfolders are searched and links followed. Names that begin with a dot are
skipped, and so is the target folder, if it is inside. Two photos that would get
the same name keep their suffixes: a.jpg.png and a.tif.png.
"""

import collections
import os
import pathlib
import posixpath
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from etils import epath

from palette_jax import files
from palette_jax.photo import writer

# Formats that reader.py reads, and others that people have: those are refused
# with a message, not skipped.
SUFFIXES = (
  '.avif', '.bmp', '.dib', '.gif', '.heic', '.heif', '.j2k', '.jfif', '.jp2',
  '.jpe', '.jpeg', '.jpg', '.mpo', '.pgm', '.png', '.ppm', '.tga', '.tif',
  '.tiff', '.webp',
)  # fmt: skip
_SHOWN = 5  # names in a message


class Job(NamedTuple):
  """One photo.

  Attributes:
    source: its file.
    target: the file of the result; with several samples, numbers are added.
    name: path of the source relative to its folder, for messages.
    mask: the mask's file, or None.
    salt: added to the seed, below 2**32. In a folder it follows from the name:
      with the same noise, all photos would get the same tint.
  """

  source: epath.Path
  target: epath.Path
  name: str
  mask: epath.Path | None = None
  salt: int = 0


def plan(source: str, target: str, mask: str | None = None) -> list[Job]:
  """Plans the jobs: a photo into a file or folder, or a folder into a folder.

  Args:
    source: a photo, or a folder.
    target: a file, or a folder, which is created if it is missing.
    mask: a file for all photos, or a folder with a mask for each, of the same
      name up to its suffix.

  Returns:
    The jobs, in the order of their names; at least one.

  Raises:
    FileNotFoundError: if the source or the mask is missing.
    ValueError: if there is no photo, a photo has no mask, two would become one
      file, or the target does not fit or cannot be written to.
  """
  photos, out = epath.Path(source).expanduser(), epath.Path(target).expanduser()
  masks = None if mask is None else epath.Path(mask).expanduser()
  if not _exists(photos):
    raise FileNotFoundError(f'There is no photo or folder {source}.')
  if masks is not None and not _exists(masks):
    raise FileNotFoundError(f'There is no mask {mask}.')
  if photos.is_dir():
    jobs = _plan_folder(photos, out, masks)
    files.check_writable(out)
    return jobs
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
  files.check_writable(out.parent)
  return [Job(photos, out, photos.name, masks)]


def _real(path: epath.Path) -> pathlib.Path:
  """Resolves links, which epath does not."""
  return pathlib.Path(os.path.realpath(path))


def _exists(path: epath.Path) -> bool:
  try:
    return path.exists()
  except OSError as error:
    raise ValueError(f'{path} cannot be read: {error.strerror}.') from error


def _plan_folder(
  photos: epath.Path, out: epath.Path, masks: epath.Path | None
) -> list[Job]:
  _check_target(photos, out)
  skipped = [_real(out)]
  if masks is not None and masks.is_dir():
    if _real(masks) == _real(photos):
      raise ValueError(
        f'{masks} is the folder of the photos: put masks into another one.'
      )
    skipped.append(_real(masks))
  names = list(_images(photos, skipped))
  if not names:
    raise ValueError(
      f'There is no photo in {photos}: no file that ends in '
      f'{" ".join(SUFFIXES)}.'
    )
  mask_of = _masks(names, masks)
  return [
    Job(photos / name, out / target, name, mask_of[name], _salt(name))
    for name, target in _targets(names).items()
  ]


def _salt(name: str) -> int:
  return zlib.crc32(os.fsencode(name))


def _check_target(photos: epath.Path, out: epath.Path) -> None:
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
    which = 'that is read' if inner == outer else f'that contains {photos}'
    raise ValueError(
      f'{out} is the folder {which}: results would be taken for photos next '
      'time. Name another one; it may be inside.'
    )


def _images(
  folder: epath.Path,
  skipped: Sequence[pathlib.Path],
  above: tuple[pathlib.Path, ...] = (),
  below: str = '',
) -> Iterator[str]:
  """Yields paths of images, relative to the first folder, sorted."""
  here = _real(folder)
  if here in above or here in skipped:
    return  # a link that leads back, or not a folder of photos
  try:
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
  except OSError as error:
    raise ValueError(f'{folder} cannot be listed: {error.strerror}.') from error
  for entry in entries:
    path = below + entry.name
    if entry.name.startswith('.'):
      continue
    if entry.is_dir():
      yield from _images(entry, skipped, (*above, here), f'{path}/')
    elif entry.suffix.lower() in SUFFIXES:
      yield path


def _stem(name: str) -> str:
  return posixpath.splitext(name)[0]


def _masks(
  names: Sequence[str], masks: epath.Path | None
) -> dict[str, epath.Path | None]:
  """Returns the mask of each photo."""
  if masks is None or not masks.is_dir():
    return dict.fromkeys(names, masks)
  by_stem = files.by_stem(_images(masks, []), str(masks))
  missing = [name for name in names if _stem(name) not in by_stem]
  if missing:
    raise ValueError(
      f'{len(missing)} of {len(names)} photos have no mask in {masks}: '
      f'{_some(missing)}. A mask has the name of its photo, in the same '
      'subfolder; its suffix may differ.'
    )
  return {name: masks / by_stem[_stem(name)] for name in names}


def _targets(names: Sequence[str]) -> dict[str, str]:
  """Returns the file of each photo's result; unique even if case is ignored."""
  stems = collections.Counter(_stem(name).casefold() for name in names)
  targets = {
    name: f'{_stem(name) if stems[_stem(name).casefold()] == 1 else name}.png'
    for name in names
  }
  taken = collections.Counter(target.casefold() for target in targets.values())
  same = [name for name in names if taken[targets[name].casefold()] > 1]
  if same:
    raise ValueError(
      f'These photos would become one file: {_some(same)}. Rename one of them.'
    )
  return targets


def _some(names: Sequence[str]) -> str:
  more = len(names) - _SHOWN
  return ', '.join(names[:_SHOWN]) + (f' and {more} more' if more > 0 else '')
