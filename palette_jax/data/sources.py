"""Where images come from: a name -> how many records, and bytes by index.

  photos          fifteen photos inside the package; three are held out
  folder:/path    every image below a folder; a tenth is held out, by name
  tfds:NAME       a prepared TensorFlow Datasets build, e.g. tfds:imagenet2012

A source has two splits that share no record: 'train' and 'held_out'.

Next: palette_jax/data/tfrecord.py
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence

from etils import epy

from palette_jax.data import tfrecord

with epy.lazy_imports():
  import tensorflow as tf

PHOTOS = pathlib.Path(__file__).parent / 'photos'
PHOTOS_HELD_OUT = (
  'chelsea.jpg',
  'china.jpg',
  'picosdeeuropa-by-aitzol-berasategi.jpg',
)
SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.webp')
HELD_OUT_SHARE, HELD_OUT_MOST = 0.1, 1000  # of a folder
HELP = """\
  --config=configs/NAME.py:tiny              the photos inside the package
  --config.data.source=folder:/path          your own images
  --config.data.source=tfds:NAME             a prepared TFDS data set"""


@dataclasses.dataclass(frozen=True)
class Source:
  """Records that can be read in any order.

  Attributes:
    names: of all records, for messages; their number is the source's length.
    read: int64 scalar -> encoded image, a TensorFlow graph function.
  """

  names: Sequence[str]
  read: Callable[['tf.Tensor'], 'tf.Tensor']

  def __len__(self) -> int:
    return len(self.names)

  def fingerprint(self) -> dict:
    """Number of records and sha256 of their names: is it the same list?"""
    digest = hashlib.sha256('\n'.join(self.names).encode())
    return {'records': len(self), 'sha256': digest.hexdigest()}


def check(name: str) -> None:
  """Looks whether a source is there, in milliseconds, without TensorFlow.

  Raises:
    ValueError: if the name is none of the above, or the folder is empty.
    FileNotFoundError: if a folder or data set is missing; says what to do.
  """
  kind, _, rest = name.partition(':')
  if kind == 'folder' and rest:
    _check_folder(pathlib.Path(rest).expanduser())
  elif kind == 'tfds' and rest:
    _check_tfds(rest)
  elif name != 'photos':
    raise ValueError(f'data.source={name!r} is not known. Give one of\n{HELP}')


def open_source(name: str, split: str) -> Source:
  """Opens a source by its name.

  Args:
    name: photos, folder:/path or tfds:NAME.
    split: 'train' or 'held_out'.

  Raises:
    ValueError, FileNotFoundError: as `check`.
  """
  check(name)
  kind, _, rest = name.partition(':')
  if kind == 'tfds':
    return _open_tfds(rest, split)
  if kind == 'folder':
    folder = pathlib.Path(rest).expanduser()
    files = _list_folder(folder)
    held_out = _held_out(files)
  else:
    folder, held_out = PHOTOS, set(PHOTOS_HELD_OUT)
    files = _list_folder(PHOTOS)
  chosen = [f for f in files if (f in held_out) == (split == 'held_out')]
  paths = tf.constant([str(folder / f) for f in chosen])
  return Source(chosen, lambda index: tf.io.read_file(paths[index]))


def _check_folder(folder: pathlib.Path) -> None:
  if not folder.is_dir():
    raise FileNotFoundError(f'There is no folder {folder}.')
  found = _list_folder(folder, most=2)
  if len(found) < 2:
    raise ValueError(
      f'{folder} has {len(found)} images, at any depth, ending in '
      f'{" ".join(SUFFIXES)}. It takes at least two: one to train on, one to '
      'look at.'
    )


def _list_folder(folder: pathlib.Path, most: int | None = None) -> list[str]:
  """Relative paths of all images below a folder, sorted; hidden ones not."""
  files = []
  for root, folders, names in os.walk(folder):
    folders[:] = [f for f in folders if not f.startswith('.')]
    for name in names:
      if name.lower().endswith(SUFFIXES) and not name.startswith('.'):
        path = pathlib.Path(root, name).relative_to(folder)
        files.append(path.as_posix())
    if most is not None and len(files) >= most:
      break
  return sorted(files)


def _held_out(files: Sequence[str]) -> set[str]:
  """A tenth of the names, at least one, chosen by their hash."""
  count = min(max(1, int(len(files) * HELD_OUT_SHARE)), HELD_OUT_MOST)
  ranked = sorted(files, key=lambda f: hashlib.sha256(f.encode()).digest())
  return set(ranked[:count])


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


def _open_tfds(name: str, split: str) -> Source:
  import tensorflow_datasets as tfds  # slow to import, seldom needed

  builder = tfds.builder(name, data_dir=os.environ.get('TFDS_DATA_DIR'))
  splits = builder.info.splits
  held_out = [s for s in ('validation', 'test') if s in splits]
  if 'train' not in splits or not held_out:
    raise ValueError(
      f'{name} has the splits {sorted(splits)}; it takes train, and '
      'validation or test.'
    )
  if 'image' not in builder.info.features:
    raise ValueError(f'{name} has no feature "image".')
  if builder.info.file_format.value != 'tfrecord':
    raise ValueError(
      f'{name} was prepared as {builder.info.file_format.value}; it takes '
      'the TFRecord format, which is the default of download_and_prepare.'
    )
  chosen = splits['train' if split == 'train' else held_out[0]]
  index = tfrecord.index([str(path) for path in chosen.filepaths])
  names = [f'{name}/{chosen.name}/{i}' for i in range(len(index.offsets))]
  feature = {'image': tf.io.FixedLenFeature([], tf.string)}

  def read(i):
    example = tfrecord.read(index, i)
    return tf.io.parse_single_example(example, feature)['image']

  return Source(names, read)
