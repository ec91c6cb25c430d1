"""Sources by name: where images come from.

  photos                    fifteen photos inside the package; three held out
  folder:/path              all images below a folder; a tenth is held out
  list:/path.txt            the images of a list; a tenth is held out
  pairs:/source,/target     files of the same name in two folders, for the task
                            `paired`
  tfds:NAME                 a data set prepared by TensorFlow Datasets
  0.5*NAME + 0.5*NAME       a mixture, exact over every 1,000 examples

Paths may be gs://. A source has two splits that share no record, 'train' and
'held_out'; the hashes of their names decide which files are held out. For
evaluation there is a third split, 'all': every file, or the validation or test
split of a data set.
"""

import dataclasses
import hashlib
import heapq
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np
from etils import epy

from palette_jax.data import listing, order, records, tfds_source

with epy.lazy_imports():
  import tensorflow as tf

PHOTOS = pathlib.Path(__file__).parent / 'photos'
PHOTOS_HELD_OUT = (
  'chelsea.jpg',
  'china.jpg',
  'picosdeeuropa-by-aitzol-berasategi.jpg',
)
HELD_OUT_SHARE, MAX_HELD_OUT = 0.1, 1000  # of files
PART = re.compile(r'\s*([0-9.]+)\s*\*\s*(\w.*?)\s*')  # of a mixture
HELP = """\
  --config=configs/NAME.py:tiny              the photos inside the package
  --config.data.source=folder:/path          your own images, at any depth
  --config.data.source=list:/path.txt        one path per line
  --config.data.source=pairs:/from,/to       pairs, with the task `paired`
  --config.data.source=tfds:NAME             a prepared TFDS data set
  --config.data.source='0.5*tfds:NAME + 0.5*folder:/path'   a mixture"""


def check(name: str) -> None:
  """Checks that a source exists, without TensorFlow.

  Raises:
    ValueError: if no source has this name, or it has no images.
    FileNotFoundError: if a folder or data set is missing.
  """
  for _, part in parts(name):
    kind, _, rest = part.partition(':')
    if kind == 'tfds' and rest:
      _check_tfds(rest)
    elif kind in ('folder', 'list', 'pairs') and rest or part == 'photos':
      _list_files(part)
    else:
      raise ValueError(
        f'data.source={part!r} is not known. Give one of\n{HELP}'
      )


def parts(name: str) -> list[tuple[float, str]]:
  """Returns weights and names of a mixture; 1 and the name otherwise.

  Raises:
    ValueError: for weights that are not possible.
  """
  matches = [PART.fullmatch(part) for part in name.split(' + ')]
  weighted = [(float(match[1]), match[2]) for match in matches if match]
  if len(weighted) < len(matches):
    return [(1.0, name)]
  order.places([weight for weight, _ in weighted])
  return weighted


def open_source(name: str, split: str) -> records.Source:
  """Opens a source.

  Args:
    name: see the module's docstring.
    split: 'train', 'held_out' or 'all'.

  Raises:
    ValueError, FileNotFoundError: see `check`.
  """
  check(name)
  weighted = [(weight, _open(part, split)) for weight, part in parts(name)]
  return records.mix(weighted) if len(weighted) > 1 else weighted[0][1]


def _open(name: str, split: str) -> records.Source:
  kind, _, rest = name.partition(':')
  if kind == 'tfds':
    return tfds_source.open_split(rest, split)
  files = _list_files(name)
  if name == 'photos':
    held_out = set(PHOTOS_HELD_OUT)
  else:
    held_out = _held_out(files.names)
  chosen = [
    i
    for i, file in enumerate(files.names)
    if split == 'all' or (file in held_out) == (split == 'held_out')
  ]
  paths = {
    image: tf.constant([column[i] for i in chosen])
    for image, column in files.paths.items()
  }
  labels = None if files.labels is None else np.array(files.labels)[chosen]

  def read(index: 'tf.Tensor', fetched: 'tf.Tensor') -> dict[str, 'tf.Tensor']:
    del fetched
    return {image: tf.io.read_file(paths[image][index]) for image in paths}

  names = [files.names[i] for i in chosen]
  return records.Source(names, read, images=tuple(paths), labels=labels)


@dataclasses.dataclass(frozen=True)
class _Files:
  """The files of a source.

  Attributes:
    names: of the records.
    paths: of each record's images, by the image's name.
    labels: class of each record, -1 if unknown; None if no class is known.
  """

  names: list[str]
  paths: dict[str, list[str]]
  labels: list[int] | None = None


def _list_files(name: str) -> _Files:
  kind, _, rest = name.partition(':')
  if kind == 'list':
    paths, labels = listing.read_list(rest)
    known = [-1 if label is None else label for label in labels]
    has_labels = any(label is not None for label in labels)
    files = _Files(paths, {'image': paths}, known if has_labels else None)
  elif kind == 'pairs':
    source, comma, target = rest.partition(',')
    if not comma:
      raise ValueError(f'{name!r}: write pairs:/from/what,/to/what.')
    pairs = listing.pair_folders(source, target)
    paths = {
      'image': [_join(target, file) for _, file in pairs],
      'source': [_join(source, file) for file, _ in pairs],
    }
    files = _Files([file for _, file in pairs], paths)
  else:
    root = str(PHOTOS) if name == 'photos' else rest
    names = listing.list_folder(root)
    files = _Files(names, {'image': [_join(root, n) for n in names]})
  if len(files.names) < 2:
    raise ValueError(
      f'{name} has {len(files.names)} images, at any depth, ending in '
      f'{" ".join(listing.SUFFIXES)}. It takes at least two: one to train on, '
      'one to hold out.'
    )
  return files


def _join(folder: str, name: str) -> str:
  return os.path.join(os.path.expanduser(folder), name)


def _held_out(files: Sequence[str]) -> set[str]:
  """Chooses a tenth of the names, at least one, by their hashes."""
  count = min(max(1, int(len(files) * HELD_OUT_SHARE)), MAX_HELD_OUT)
  return set(
    heapq.nsmallest(
      count, files, key=lambda file: hashlib.sha256(file.encode()).digest()
    )
  )


def _check_tfds(name: str) -> None:
  folder = tfds_source.folder()
  if str(folder).startswith('gs:/') or (folder / name).is_dir():
    return
  manual = (
    '\nImageNet must be downloaded by hand: put ILSVRC2012_img_train.tar and '
    f'ILSVRC2012_img_val.tar\ninto {folder}/downloads/manual first.'
  )
  raise FileNotFoundError(
    f'The data set {name} is not in {folder} (set TFDS_DATA_DIR if it is '
    f'elsewhere).{manual if name == "imagenet2012" else ""}\nPrepare it with\n'
    f'  python -c "import tensorflow_datasets as tfds; '
    f"tfds.builder('{name}').download_and_prepare()\"\n"
    f'or train on something else:\n{HELP}'
  )
