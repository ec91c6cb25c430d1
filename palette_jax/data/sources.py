"""Where images come from: a name -> how many records, and bytes by index.

  photos                    fifteen photos inside the package; three held out
  folder:/path              every image below a folder; a tenth is held out
  list:/path.txt            the images of a list; a tenth is held out
  pairs:/source,/target     partners of the same name: the task is `paired`
  tfds:NAME                 a prepared TensorFlow Datasets build
  0.5*NAME + 0.5*NAME       a mixture, exact over every 1,000 examples

A source has two splits that share no record: 'train' and 'held_out'. Paths may
be gs://, too. What is held out of files is chosen by the names' hashes. What is
only judged can be had whole: 'all' is every file, and of a data set what its
makers held out.
"""

import dataclasses
import hashlib
import heapq
import os
import pathlib
import re
from collections.abc import Callable, Sequence

import numpy as np
from etils import epy

from palette_jax.data import listing, order, tfds_builds

with epy.lazy_imports():
  import tensorflow as tf

PHOTOS = pathlib.Path(__file__).parent / 'photos'
PHOTOS_HELD_OUT = (
  'chelsea.jpg',
  'china.jpg',
  'picosdeeuropa-by-aitzol-berasategi.jpg',
)
HELD_OUT_SHARE, HELD_OUT_MOST = 0.1, 1000  # of files
PART = re.compile(r'\s*([0-9.]+)\s*\*\s*(\w.*?)\s*')  # of a mixture
HELP = """\
  --config=configs/NAME.py:tiny              the photos inside the package
  --config.data.source=folder:/path          your own images, at any depth
  --config.data.source=list:/path.txt        one path a line
  --config.data.source=pairs:/from,/to       partners, with the task `paired`
  --config.data.source=tfds:NAME             a prepared TFDS data set
  --config.data.source='0.5*tfds:NAME + 0.5*folder:/path'   a mixture"""


@dataclasses.dataclass(frozen=True)
class Source:
  """Records that can be read in any order.

  Attributes:
    names: of all records, for messages; their number is the source's length.
    read: (int64 scalar, string scalar) -> encoded images by name; a graph
      function of the index and what `fetch` gave for it.
    fetch: int64 [b] -> b records, where only Python can read them; None where
      `read` needs no help.
    images: names of a record's images: 'image', and of pairs 'source', too.
    labels: class of each record, -1 if unknown; None if no record has one.
    catalogue: () -> file names and labels of all records, where these are
      inside the records, and finding them takes a look at all.
    lengths: how many records each part of a mixture has.
    places: of order.PERIOD, those of each part.
  """

  names: Sequence[str]
  read: Callable[['tf.Tensor', 'tf.Tensor'], dict[str, 'tf.Tensor']]
  fetch: Callable[[np.ndarray], list[bytes]] | None = None
  images: tuple[str, ...] = ('image',)
  labels: np.ndarray | None = None
  catalogue: Callable[[], tuple[list[str], np.ndarray | None]] | None = None
  lengths: tuple[int, ...] = ()
  places: tuple[int, ...] = (order.PERIOD,)

  def __post_init__(self):
    object.__setattr__(self, 'lengths', self.lengths or (len(self.names),))

  def __len__(self) -> int:
    return len(self.names)

  def fingerprint(self) -> dict:
    """Is it the same list? Number of records, sha256 of names, and shares."""
    digest = hashlib.sha256('\n'.join(self.names).encode())
    same = {'records': len(self), 'sha256': digest.hexdigest()}
    if len(self.images) > 1:
      same |= {'images': list(self.images)}
    if len(self.places) > 1:
      same |= {'lengths': list(self.lengths), 'places': list(self.places)}
    return same


def check(name: str) -> None:
  """Looks whether a source is there, without TensorFlow.

  Raises:
    ValueError: if the name is none of the above, or there are no images.
    FileNotFoundError: if a folder or data set is missing; says what to do.
  """
  for _, part in parts(name):
    kind, _, rest = part.partition(':')
    if kind == 'tfds' and rest:
      _check_tfds(rest)
    elif kind in ('folder', 'list', 'pairs') and rest or part == 'photos':
      _files(part)
    else:
      raise ValueError(
        f'data.source={part!r} is not known. Give one of\n{HELP}'
      )


def parts(name: str) -> list[tuple[float, str]]:
  """A mixture's weights and names; of anything else 1 and its name.

  Raises:
    ValueError: if the weights cannot be had.
  """
  found = [PART.fullmatch(part) for part in name.split(' + ')]
  if not all(found):
    return [(1.0, name)]
  mixed = [(float(part[1]), part[2]) for part in found]
  order.places([weight for weight, _ in mixed])
  return mixed


def open_source(name: str, split: str) -> Source:
  """Opens a source by its name.

  Args:
    name: as above.
    split: 'train', 'held_out' or 'all'.

  Raises:
    ValueError, FileNotFoundError: as `check`.
  """
  check(name)
  mixed = [(weight, _open(part, split)) for weight, part in parts(name)]
  return mix(mixed) if len(mixed) > 1 else mixed[0][1]


def mix(mixed: Sequence[tuple[float, Source]]) -> Source:
  """One source of several, their records numbered one after the other.

  Raises:
    ValueError: if pairs are mixed with single images.
  """
  weights, sources = zip(*mixed)
  if len({source.images for source in sources}) > 1:
    raise ValueError('A mixture is of pairs, or of single images, not of both.')
  first = np.cumsum([0, *map(len, sources)])

  def read(index, fetched):
    part = tf.searchsorted(first[1:], index[None], side='right')[0]
    readers = [
      lambda s=s, f=f: s.read(index - f, fetched)
      for s, f in zip(sources, first)
    ]
    return tf.switch_case(part, readers)

  def fetch(index):
    """Asks each part for its own; those that need no help get nothing."""
    found = np.full(len(index), b'', object)
    for source, begin, end in zip(sources, first, first[1:]):
      own = (begin <= index) & (index < end)
      if source.fetch and own.any():
        found[own] = source.fetch(index[own] - begin)
    return found.tolist()

  return Source(
    names=[f'{i}:{n}' for i, s in enumerate(sources) for n in s.names],
    read=read,
    fetch=fetch if any(s.fetch for s in sources) else None,
    images=sources[0].images,
    lengths=tuple(map(len, sources)),
    places=tuple(order.places(weights)),
  )


def _open(name: str, split: str) -> Source:
  kind, _, rest = name.partition(':')
  if kind == 'tfds':
    return Source(**tfds_builds.open_build(rest, split))
  files = _files(name)
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

  def read(index, fetched):
    del fetched
    return {image: tf.io.read_file(paths[image][index]) for image in paths}

  return Source(
    [files.names[i] for i in chosen], read, images=tuple(paths), labels=labels
  )


@dataclasses.dataclass(frozen=True)
class _Files:
  """Of files: names, paths by image ('image', 'source'), labels."""

  names: list[str]
  paths: dict[str, list[str]]
  labels: list[int] | None = None


def _files(name: str) -> _Files:
  kind, _, rest = name.partition(':')
  if kind == 'list':
    paths, labels = listing.text(rest)
    found = _Files(
      paths,
      {'image': paths},
      [-1 if label is None else label for label in labels]
      if any(label is not None for label in labels)
      else None,
    )
  elif kind == 'pairs':
    source, comma, target = rest.partition(',')
    if not comma:
      raise ValueError(f'{name!r}: write pairs:/from/what,/to/what.')
    both = listing.pairs(source, target)
    found = _Files(
      [mine for _, mine in both],
      {
        'image': [_join(target, mine) for _, mine in both],
        'source': [_join(source, partner) for partner, _ in both],
      },
    )
  else:
    root = str(PHOTOS) if name == 'photos' else rest
    names = listing.folder(root)
    found = _Files(names, {'image': [_join(root, n) for n in names]})
  if len(found.names) < 2:
    raise ValueError(
      f'{name} has {len(found.names)} images, at any depth, ending in '
      f'{" ".join(listing.SUFFIXES)}. It takes at least two: one to train on, '
      'one to look at.'
    )
  return found


def _join(folder: str, name: str) -> str:
  return os.path.join(os.path.expanduser(folder), name)


def _held_out(files: Sequence[str]) -> set[str]:
  """A tenth of the names, at least one, chosen by their hash."""
  count = min(max(1, int(len(files) * HELD_OUT_SHARE)), HELD_OUT_MOST)
  digest = lambda file: hashlib.sha256(file.encode()).digest()  # noqa: E731
  return set(heapq.nsmallest(count, files, key=digest))


def _tfds_folder() -> pathlib.Path:
  default = pathlib.Path('~', 'tensorflow_datasets')
  return pathlib.Path(os.environ.get('TFDS_DATA_DIR', default)).expanduser()


def _check_tfds(name: str) -> None:
  folder = _tfds_folder()
  if str(folder).startswith('gs:/') or (folder / name).is_dir():
    return
  manual = (
    '\nImageNet must be fetched by hand: put ILSVRC2012_img_train.tar and '
    f'ILSVRC2012_img_val.tar\ninto {folder}/downloads/manual first.'
  )
  raise FileNotFoundError(
    f'The data set {name} is not in {folder} (set TFDS_DATA_DIR if it is '
    f'elsewhere).{manual if name == "imagenet2012" else ""}\nPrepare it with\n'
    f'  python -c "import tensorflow_datasets as tfds; '
    f"tfds.builder('{name}').download_and_prepare()\"\n"
    f'or train on something else:\n{HELP}'
  )
