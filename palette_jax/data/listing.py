"""Files on a disk or in a bucket: folders, lists, pairs of folders."""

import hashlib
import json
import os
import pathlib
import time
from collections.abc import Iterator, Sequence

from absl import logging
from etils import epath, epy

with epy.lazy_imports():
  import tensorflow as tf

CACHE = pathlib.Path('~/.cache/palette_jax').expanduser()
SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.webp')
WORTH_CACHING = 10_000  # files; fewer are listed in no time
TICK = 2.0  # seconds in which a file system may not notice a second change


def folder(path: str) -> list[str]:
  """Relative paths of all images below a folder, sorted; hidden ones not.

  Links are followed, except into a folder that they lie in. A long list is
  kept in the user's cache folder for as long as no folder of it changes.

  Args:
    path: local or gs://, where TensorFlow can read it.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if a folder below may not be read.
  """
  if '://' in path:
    return _remote_folder(path)
  root = pathlib.Path(path).expanduser()
  if not root.is_dir():
    raise FileNotFoundError(f'There is no folder {path}.')
  kept = _cache_file(str(root))
  files = _recall(kept, str(root))
  if files is None:
    began, folders, files = time.time(), {}, []
    for name, changed, images in _walk(str(root)):
      folders[name] = changed
      files += images
    files.sort()
    settled = max(folders.values()) < (began - TICK) * 1e9
    if settled and len(files) >= WORTH_CACHING:
      _remember(kept, folders, files)
  return files


def _remote_folder(path: str) -> list[str]:
  root = path.rstrip('/')
  if not tf.io.gfile.isdir(root):
    raise FileNotFoundError(f'There is no folder {path}.')
  names = [
    f'{below}/{file}'.removeprefix(root).lstrip('/')
    for below, _, files in tf.io.gfile.walk(root)
    for file in files
  ]
  return sorted(name for name in names if _is_image(name))


def _is_image(path: str) -> bool:
  hidden = path.startswith('.') or '/.' in path
  return path.lower().endswith(SUFFIXES) and not hidden


def _walk(root: str) -> Iterator[tuple[str, int, list[str]]]:
  """(folder, when it changed in ns, its images) of all, relative to root."""
  waiting = [('', ())]
  while waiting:
    prefix, above = waiting.pop()
    path = os.path.join(root, prefix)
    status = os.stat(path)
    identity = status.st_dev, status.st_ino
    if identity in above:
      logging.warning('%s leads back to a folder it lies in: left out.', path)
      continue
    images = []
    try:
      with os.scandir(path) as entries:
        for entry in entries:
          name = entry.name
          if name.startswith('.'):
            continue
          if name.lower().endswith(SUFFIXES) and not entry.is_dir():
            images.append(prefix + name)
          elif entry.is_dir():
            waiting.append((f'{prefix}{name}/', (*above, identity)))
    except OSError as error:
      raise ValueError(f'{path} cannot be listed: {error.strerror}.') from error
    yield prefix, status.st_mtime_ns, images


def _cache_file(root: str) -> pathlib.Path:
  digest = hashlib.sha256(os.path.realpath(root).encode()).hexdigest()
  return CACHE / f'folder-{digest[:32]}.json'


def _recall(kept: pathlib.Path, root: str) -> list[str] | None:
  """The list of before, if no folder has changed since."""
  try:
    folders, files = json.loads(kept.read_text())
    changed = {
      name: os.stat(os.path.join(root, name)).st_mtime_ns for name in folders
    }
  except (OSError, ValueError):
    return None
  return files if changed == folders else None


def _remember(kept: pathlib.Path, folders: dict, files: Sequence[str]) -> None:
  kept.parent.mkdir(parents=True, exist_ok=True)
  partial = kept.with_suffix(f'.{os.getpid()}')
  partial.write_text(json.dumps([folders, files]))
  partial.replace(kept)


def text(path: str) -> tuple[list[str], list[int | None]]:
  """A list of images: one path a line, and a class label if it has one.

  Paths are absolute, gs://, or relative to the list's own folder; what follows
  a tab, or the last blank if it is a number, is the label.

  Returns:
    Paths as they can be opened, and labels, None where there is none.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is empty or is not text.
  """
  rows = [_row(line) for line in lines(path)]
  file = epath.Path(path).expanduser()
  names, labels = map(list, zip(*rows))
  # Published lists of a data set write /class/file for what is below its root.
  first = names[0]
  if first.startswith('/') and (file.parent / first.lstrip('/')).exists():
    names = [name.lstrip('/') for name in names]
  absolute = [
    n if n.startswith('/') or '://' in n else f'{file.parent}/{n}'
    for n in names
  ]
  return absolute, labels


def lines(path: str) -> list[str]:
  """The lines of a list that are not empty.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is empty or is not text.
  """
  file = epath.Path(path).expanduser()
  if not file.exists():
    raise FileNotFoundError(f'There is no list {path}.')
  try:
    found = file.read_text().splitlines()
  except UnicodeDecodeError as error:
    raise ValueError(
      f'{path} is not text; it takes one path a line.'
    ) from error
  found = [line for line in found if line.strip()]
  if not found:
    raise ValueError(f'{path} is empty; it takes one path a line.')
  return found


def _row(line: str) -> tuple[str, int | None]:
  path, separator, label = line.rstrip().rpartition('\t')
  if not separator:
    path, _, label = line.rstrip().rpartition(' ')
  if path and label.strip().isdigit():
    return path.strip(), int(label)
  return line.strip(), None


def pairs(source: str, target: str) -> list[tuple[str, str]]:
  """Images of two folders that have the same name, but for its ending.

  Returns:
    Relative paths in the one and in the other, sorted.

  Raises:
    FileNotFoundError: if a folder is missing.
    ValueError: if an image has no partner, or two.
  """
  sources, targets = (_by_stem(path) for path in (source, target))
  for here, there, path in (
    (sources, targets, target),
    (targets, sources, source),
  ):
    single = sorted(here.keys() - there.keys())
    if single:
      raise ValueError(
        f'{len(single)} of {len(here)} images have no partner in {path}; the '
        f'first is {here[single[0]]}. Partners have the same name and folder, '
        'whatever their ending.'
      )
  return [(sources[stem], targets[stem]) for stem in sorted(sources)]


def _by_stem(path: str) -> dict[str, str]:
  found = {}
  for name in folder(path):
    stem = os.path.splitext(name)[0]
    if stem in found:
      raise ValueError(
        f'{path} has both {found[stem]} and {name}: which one is the partner?'
      )
    found[stem] = name
  return found
