"""Selects the images that are judged, by a rule that anybody can repeat.

(nothing)              all images of the source
first:5000             the first by name: the 5,000 of ImageNet's validation
                       set of ColTran and Table 1
list:/path.txt         a name and a label a line, in any folder: ctest10k
                       (Larsson et al. 2016), 10,000 of that set
per_class:30           the first of each class by name: places10k has 30 of
                       each of 365; which 30 the paper took is not known
categories:/path.txt   those in folders that the file lists, one a line
"""

import hashlib
import os
import pathlib
import posixpath
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from palette_jax import files
from palette_jax.data import listing, records

IMAGENET_CLASSES = 1000


class Selection(NamedTuple):
  """The images that are judged.

  Attributes:
    records: int64 [n], indices into the source.
    names: unique names for their files, without suffix.
    labels: int64 [n], classes, -1 where unknown; None if all are.
  """

  records: Int[np.ndarray, ' n']
  names: list[str]
  labels: Int[np.ndarray, ' n'] | None

  def digest(self) -> str:
    """Hashes names and labels."""
    labels = [] if self.labels is None else self.labels.tolist()
    return hashlib.sha256(repr((self.names, labels)).encode()).hexdigest()


def select(source: records.Source, rule: str) -> Selection:
  """Selects images of a source.

  Args:
    source: the source.
    rule: one of those above.

  Raises:
    ValueError: if there is no such rule, or the source lacks what it takes;
      says what is missing.
    FileNotFoundError: if there is no such list.
  """
  kind, _, argument = rule.partition(':')
  if source.catalogue is None:
    listed, labels = source.names, _labels(source)
  else:
    listed, labels = source.catalogue()
  names = _below_common_folder(listed)
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
  return Selection(
    chosen,
    [names[i] for i in chosen],
    None if labels is None else labels[chosen],
  )


def _below_common_folder(names: Sequence[str]) -> list[str]:
  """Returns the names below the folder that all share, without suffix.

  Raises:
    ValueError: if two would be the same.
  """
  paths = [posixpath.normpath(name.replace('\\', '/')) for name in names]
  folder = posixpath.commonpath([posixpath.dirname(path) for path in paths])
  short = [posixpath.relpath(path, folder or '.') for path in paths]
  return list(files.by_stem(short, folder or 'The source'))


def _labels(source: records.Source) -> Int[np.ndarray, ' n'] | None:
  """Returns the labels of the source's list, or those of ImageNet's folders."""
  if source.labels is not None:
    return np.asarray(source.labels)
  folders = [pathlib.PurePath(name).parent.name for name in source.names]
  classes = sorted(set(folders))
  if len(classes) not in (IMAGENET_CLASSES, 365):  # ImageNet's, or Places'
    return None
  return np.array([classes.index(folder) for folder in folders])


def _first(names: Sequence[str], count: int) -> list[int]:
  if count > len(names):
    raise ValueError(
      f'evaluation.records=first:{count}: the source has {len(names)} images.'
    )
  # By the file's name alone, which holds ImageNet's number.
  by_file = sorted(range(len(names)), key=lambda i: os.path.basename(names[i]))
  return by_file[:count]


def _per_class(
  names: Sequence[str], labels: Int[np.ndarray, ' n'] | None, count: int
) -> list[int]:
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


def _in_categories(names: Sequence[str], path: str) -> list[int]:
  """Returns images by folder; 'airfield' includes Places2's a/airfield."""
  categories = [line.strip().strip('/') for line in listing.read_lines(path)]
  inside = {name: f'/{posixpath.dirname(name)}/' for name in names}
  for category in categories:
    if not any(f'/{category}/' in folder for folder in inside.values()):
      raise ValueError(
        f'{path} names the category {category}; the source has no such folder.'
      )
  return [
    i
    for i, name in enumerate(names)
    if any(f'/{category}/' in inside[name] for category in categories)
  ]


def _listed(
  names: Sequence[str], labels: Int[np.ndarray, ' n'] | None, path: str
) -> tuple[list[int], Int[np.ndarray, ' n'] | None]:
  """Returns the images of a list, in its order, by their file names alone.

  Returns:
    Their indices, and labels of all images.
  """
  listed, listed_labels = listing.read_list(path)
  stems = [posixpath.splitext(posixpath.basename(name))[0] for name in listed]
  index = {os.path.basename(name): i for i, name in enumerate(names)}
  if len(index) < len(names):
    raise ValueError(
      f'evaluation.records=list:{path} finds images by their file names, and '
      'some of the source have the same in two folders.'
    )
  missing = [stem for stem in stems if stem not in index]
  if missing:
    raise ValueError(
      f'{len(missing)} of {len(stems)} images of {path} are not in the source; '
      f'the first is {missing[0]}. Which folder has them? '
      '--config.evaluation.source=folder:/path'
    )
  chosen = [index[stem] for stem in stems]
  if any(label is not None for label in listed_labels):
    labels = np.full(len(names), -1)
    labels[chosen] = [-1 if n is None else n for n in listed_labels]
  return chosen, labels
