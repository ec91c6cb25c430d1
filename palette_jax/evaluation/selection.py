"""Which images are judged: a list that is the same for everybody.

(nothing)              all images of the source
first:5000             by name: ColTran's and Table 1's first 5,000 of
                       ImageNet's validation set
list:/path.txt         a name and a label a line, in any folder: ctest10k
                       (Larsson et al. 2016), 10,000 of that set
per_class:30           so many of each class, first by name: places10k is 30
                       of each of 365; which 30 the paper took is not known
categories:/path.txt   those in the folders that the file names, one a line
"""

import collections
import hashlib
import os
import pathlib
import posixpath
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from palette_jax.data import listing, sources

IMAGENET_CLASSES = 1000


class Pinned(NamedTuple):
  """Images that are judged.

  Attributes:
    records: int64 [n], indices into the source.
    names: what a file of each may be called, without its ending; different.
    labels: int64 [n], classes, -1 where unknown; None if no class is known.
  """

  records: np.ndarray
  names: list[str]
  labels: np.ndarray | None

  def digest(self) -> str:
    """Of names and labels."""
    labels = [] if self.labels is None else self.labels.tolist()
    return hashlib.sha256(repr((self.names, labels)).encode()).hexdigest()


def pin(source: sources.Source, rule: str) -> Pinned:
  """Chooses images of a source.

  Args:
    source: opened.
    rule: as above.

  Raises:
    ValueError: if there is no such rule, or the source has not what it asks
      for; says what is missing.
    FileNotFoundError: if there is no such list.
  """
  kind, _, argument = rule.partition(':')
  if source.catalogue is None:
    listed, labels = source.names, _labels(source)
  else:
    listed, labels = source.catalogue()
  names = stems(listed)
  if not rule:
    chosen = np.arange(len(source))
  elif kind == 'first' and argument.isdecimal():
    chosen = _first(names, int(argument))
  elif kind == 'per_class' and argument.isdecimal():
    chosen = _per_class(names, labels, int(argument))
  elif kind == 'categories' and argument:
    chosen = _in_categories(listed, argument)
  elif kind == 'list' and argument:
    chosen, labels = _listed(names, labels, argument)
  else:
    raise ValueError(
      f'evaluation.records={rule!r}: write first:N, per_class:N, list:FILE or '
      'categories:FILE, or nothing for all images.'
    )
  chosen = np.asarray(chosen, np.int64)
  return Pinned(
    chosen,
    [names[i] for i in chosen],
    None if labels is None else labels[chosen],
  )


def stems(names: Sequence[str]) -> list[str]:
  """Names below the folder that all share, without their endings.

  Raises:
    ValueError: if two would be the same.
  """
  parts = [posixpath.normpath(name.replace('\\', '/')) for name in names]
  common = posixpath.commonpath(parts) if len(parts) > 1 else ''
  if len(parts) == 1:
    common = posixpath.dirname(parts[0])
  short = [
    posixpath.splitext(posixpath.relpath(part, common or '.'))[0]
    for part in parts
  ]
  twice = [name for name, n in collections.Counter(short).items() if n > 1]
  if twice:
    raise ValueError(
      f'Two images are called {twice[0]}, but for their endings: rename one.'
    )
  return short


def _labels(source):
  """Of the source's list; else of ImageNet's folders, one a class."""
  if source.labels is not None:
    return np.asarray(source.labels)
  folders = [pathlib.PurePath(name).parent.name for name in source.names]
  classes = sorted(set(folders))
  if len(classes) not in (IMAGENET_CLASSES, 365):  # ImageNet's, or Places'
    return None
  return np.array([classes.index(folder) for folder in folders])


def _first(names, count):
  if count > len(names):
    raise ValueError(
      f'evaluation.records=first:{count}: the source has {len(names)} images.'
    )
  # By the file's name alone: ImageNet's number is in it, whatever the folder.
  by_file = sorted(range(len(names)), key=lambda i: os.path.basename(names[i]))
  return by_file[:count]


def _per_class(names, labels, count):
  if labels is None:
    raise ValueError(
      f'evaluation.records=per_class:{count} needs classes: give a list with '
      'labels (evaluation.source=list:FILE), or a folder for each class.'
    )
  chosen = []
  for label in sorted({*labels.tolist()} - {-1}):
    own = [i for i in range(len(names)) if labels[i] == label]
    if len(own) < count:
      raise ValueError(
        f'evaluation.records=per_class:{count}: class {label} has {len(own)} '
        'images.'
      )
    chosen += sorted(own, key=lambda i: names[i])[:count]
  return chosen


def _in_categories(names, path):
  """Places2 has folders such as a/airfield; 'airfield' finds it, too."""
  wanted = [line.strip().strip('/') for line in listing.lines(path)]
  inside = {name: f'/{posixpath.dirname(name)}/' for name in names}
  for category in wanted:
    if not any(f'/{category}/' in folder for folder in inside.values()):
      raise ValueError(
        f'{path} names the category {category}; the source has no such folder.'
      )
  return [
    i
    for i, name in enumerate(names)
    if any(f'/{category}/' in inside[name] for category in wanted)
  ]


def _listed(names, labels, path):
  """Those of the list, in its order, found by the file's name alone."""
  wanted, wanted_labels = listing.text(path)
  files = [posixpath.splitext(posixpath.basename(name))[0] for name in wanted]
  index = {os.path.basename(name): i for i, name in enumerate(names)}
  if len(index) < len(names):
    raise ValueError(
      f'evaluation.records=list:{path} finds images by their file names, and '
      'some of the source have the same in two folders.'
    )
  missing = [file for file in files if file not in index]
  if missing:
    raise ValueError(
      f'{len(missing)} of {len(files)} images of {path} are not in the source; '
      f'the first is {missing[0]}. Which folder has them? '
      '--config.evaluation.source=folder:/path'
    )
  chosen = [index[file] for file in files]
  if any(label is not None for label in wanted_labels):
    labels = np.full(len(names), -1)
    labels[chosen] = [-1 if n is None else n for n in wanted_labels]
  return chosen, labels
