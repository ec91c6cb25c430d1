"""Listings of image files: folders, lists, pairs of folders."""

import hashlib
import json
import os
import pathlib
import time
from collections.abc import Iterator

from absl import logging
from etils import epath, epy

from palette_jax import files

with epy.lazy_imports():
  import tensorflow as tf

CACHE = pathlib.Path('~/.cache/palette_jax').expanduser()
SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.webp')
WORTH_CACHING = 10_000  # files; listing fewer is fast
TICK = 2.0  # seconds in which a file system may miss a second change


def list_folder(path: str) -> list[str]:
  """Returns relative paths of all images below a folder, sorted.

  Hidden files are left out. Links are followed, except to a folder above them.
  A long list is kept in the user's cache folder until one of its folders
  changes.

  Args:
    path: local or gs://.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if a folder below cannot be read.
  """
  if '://' in path:
    return _remote_folder(path)
  root = pathlib.Path(path).expanduser()
  if not root.is_dir():
    raise FileNotFoundError(f'There is no folder {path}.')
  cached = _cache_file(str(root))
  names = _recall(cached, str(root))
  if names is None:
    began, folders, names = time.time(), {}, []
    for name, changed, images in _walk(str(root)):
      folders[name] = changed
      names += images
    names.sort()
    settled = max(folders.values()) < (began - TICK) * 1e9
    if settled and len(names) >= WORTH_CACHING:
      content = json.dumps([folders, names])
      files.write(cached, content.encode())
  return names


def _remote_folder(path: str) -> list[str]:
  root = path.rstrip('/')
  if not tf.io.gfile.isdir(root):
    raise FileNotFoundError(f'There is no folder {path}.')
  names = [
    f'{below}/{file}'.removeprefix(root).lstrip('/')
    for below, _, below_files in tf.io.gfile.walk(root)
    for file in below_files
  ]
  return sorted(name for name in names if _is_image(name))


def _is_image(path: str) -> bool:
  hidden = path.startswith('.') or '/.' in path
  return path.lower().endswith(SUFFIXES) and not hidden


def _walk(root: str) -> Iterator[tuple[str, int, list[str]]]:
  """Yields each folder, its time of change in ns, and its images."""
  waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [('', ())]
  while waiting:
    prefix, above = waiting.pop()
    path = os.path.join(root, prefix)
    status = os.stat(path)
    identity = status.st_dev, status.st_ino
    if identity in above:
      logging.warning('%s is a link to a folder above it: left out.', path)
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


def _recall(cached: pathlib.Path, root: str) -> list[str] | None:
  """Returns the list in the cache, unless a folder has changed."""
  try:
    folders, names = json.loads(cached.read_text())
    changed = {
      name: os.stat(os.path.join(root, name)).st_mtime_ns for name in folders
    }
  except (OSError, ValueError):
    return None
  return names if changed == folders else None


def read_list(path: str) -> tuple[list[str], list[int | None]]:
  """Reads a list of images: a path on each line, optionally with its class.

  Paths are absolute, gs://, or relative to the folder of the list. The class is
  a number after a tab, or after the last blank.

  Returns:
    Paths that can be opened, and classes, None where the list has none.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is empty or is not text.
  """
  rows = [_row(line) for line in read_lines(path)]
  file = epath.Path(path).expanduser()
  names, labels = map(list, zip(*rows))
  # Published lists write /class/file for a path below the data set's root.
  first = names[0]
  if first.startswith('/') and (file.parent / first.lstrip('/')).exists():
    names = [name.lstrip('/') for name in names]
  absolute = [
    n if n.startswith('/') or '://' in n else f'{file.parent}/{n}'
    for n in names
  ]
  return absolute, labels


def read_lines(path: str) -> list[str]:
  """Reads the lines of a list that are not empty.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is empty or is not text.
  """
  file = epath.Path(path).expanduser()
  if not file.exists():
    raise FileNotFoundError(f'There is no list {path}.')
  try:
    lines = file.read_text().splitlines()
  except UnicodeDecodeError as error:
    raise ValueError(
      f'{path} is not text; it takes one path per line.'
    ) from error
  lines = [line for line in lines if line.strip()]
  if not lines:
    raise ValueError(f'{path} is empty; it takes one path per line.')
  return lines


def _row(line: str) -> tuple[str, int | None]:
  path, separator, label = line.rstrip().rpartition('\t')
  if not separator:
    path, _, label = line.rstrip().rpartition(' ')
  if path and label.strip().isdigit():
    return path.strip(), int(label)
  return line.strip(), None


def pair_folders(source: str, target: str) -> list[tuple[str, str]]:
  """Pairs the images of two folders by their names without suffixes.

  Returns:
    Relative paths in both folders, sorted.

  Raises:
    FileNotFoundError: if a folder is missing.
    ValueError: if an image has no partner, or two.
  """
  sources, targets = (
    files.by_stem(list_folder(path), path) for path in (source, target)
  )
  for here, there, path in (
    (sources, targets, target),
    (targets, sources, source),
  ):
    unpaired = sorted(here.keys() - there.keys())
    if unpaired:
      raise ValueError(
        f'{len(unpaired)} of {len(here)} images have no partner in {path}; the '
        f'first is {here[unpaired[0]]}. Partners have the same name and '
        'folder; their suffixes may differ.'
      )
  return [(sources[stem], targets[stem]) for stem in sorted(sources)]
