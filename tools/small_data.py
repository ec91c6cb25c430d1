"""The images of the small experiments (docs/results.md), in two folders.

  python -m tools.small_data --cifar=cifar10.tar.gz --photos=PHOTOS
  python -m tools.small_data --probe
  python -m tools.small_data --free=PHOTOS

data/cifar10: CIFAR-10 as files, train/CLASS/NAME and test/CLASS/NAME as the
archive (or folder) has them, and test.txt, the first 200 of each test class by
name with its number. data/tiles: squares of large photos made small, whose own
JPEG artefacts are then gone: train and test are of different photos. --probe:
data/cifar10/probe.npz, a classifier fitted to the first 1,000 training images
of each class, and its accuracy on test.txt. data/free-64/train, data/free-128/
train: larger squares, of the photos that the weights inside the package have
learnt from (docs/model_card.md).
"""

import argparse
import hashlib
import pathlib
import shutil
import tarfile
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from palette_jax.evaluation import features, intervals, matching
from palette_jax.evaluation.networks import efficientnet, probe

PER_CLASS = 200
FITTED_PER_CLASS = 1_000
REDUCTION = 2  # at least: a file's 8x8 blocks are then of 4 pixels, or fewer
TEST_SHARE = 5  # one photo in so many is tested on


class Squares(NamedTuple):
  """What is cut out of each photo.

  Attributes:
    size: of a square, pixels.
    train: how many of a photo that is trained on.
    test: likewise; 0 if all are trained on.
  """

  size: int
  train: int
  test: int


TILES = Squares(32, 100, 20)
FREE = Squares(64, 200, 0), Squares(128, 120, 0)


def unpack(source: pathlib.Path, folder: pathlib.Path) -> None:
  """Copies train/ and test/, and lists what is judged.

  Raises:
    ValueError: if there are no such folders, or too few images in one.
  """
  if source.is_dir():
    for split in ('train', 'test'):
      shutil.copytree(source / split, folder / split, dirs_exist_ok=True)
  else:
    with tarfile.open(source) as archive:
      archive.extractall(folder, filter='data')
  classes = sorted(p for p in folder.glob('test/*') if p.is_dir())
  if not classes or not (folder / 'train').is_dir():
    raise ValueError(f'{source} has no train/CLASS/NAME and test/CLASS/NAME.')
  lines = []
  for label, one in enumerate(classes):
    files = sorted(one.iterdir())[:PER_CLASS]
    if len(files) < PER_CLASS:
      raise ValueError(f'{one} has {len(files)} images, not {PER_CLASS}.')
    lines += [f'test/{one.name}/{file.name} {label}' for file in files]
  (folder / 'test.txt').write_text('\n'.join(lines) + '\n')


def cut(source: pathlib.Path, folder: pathlib.Path, squares: Squares) -> None:
  """Cuts each photo into squares of random size and place; seeded by its name.

  Raises:
    ValueError: if there are no photos in the folder.
  """
  photos = sorted(p for p in source.iterdir() if p.is_file())
  if not photos:
    raise ValueError(f'{source} has no photos.')
  for i, path in enumerate(photos):
    is_test = squares.test and i % TEST_SHARE == TEST_SHARE - 1
    out = folder / ('test' if is_test else 'train') / path.stem
    out.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(path.name.encode()).digest()
    rng = np.random.default_rng(list(digest[:8]))
    with Image.open(path) as opened:
      photo = ImageOps.exif_transpose(opened).convert('RGB')
    short = min(photo.size)
    least = min(squares.size * REDUCTION, short)
    for tile in range(squares.test if is_test else squares.train):
      side = int(rng.integers(least, short, endpoint=True))
      left = int(rng.integers(photo.width - side, endpoint=True))
      top = int(rng.integers(photo.height - side, endpoint=True))
      box = left, top, left + side, top + side
      side = squares.size
      small = photo.resize((side, side), Image.Resampling.BOX, box)
      small.save(out / f'{tile:03}.png')


def fit_probe(folder: pathlib.Path) -> None:
  """Fits it to training images, and says what it is worth on the test's."""
  paths, labels = [], []
  for label, one in enumerate(sorted((folder / 'train').iterdir())):
    own = sorted(one.iterdir())[:FITTED_PER_CLASS]
    paths += own
    labels += [label] * len(own)
  found = probe.fit(_features(paths), np.array(labels))
  found.save(folder / 'probe.npz')
  listed = [line.split() for line in (folder / 'test.txt').open()]
  said = found.classify(_features([folder / name for name, _ in listed]))
  right = said == np.array([int(label) for _, label in listed])
  share = intervals.share(right)
  print(
    f'{folder / "probe.npz"}: fitted to {len(paths):,} images; right on '
    f'{share.value:.1%} [{share.low:.1%}, {share.high:.1%}] of {len(right):,}.'
  )


def _features(paths, batch=50):
  network = efficientnet.load()
  look = features.Extractor(
    lambda params, images: dict(
      features=network.apply(params, images['original'])['features']
    ),
    network.params,
    batch,
  )
  matched = matching.Matched([], {'original': [str(path) for path in paths]})
  batches = matching.batches(matched, look.batch, np.arange(len(paths)))
  parts = [found for _, found in look.over(batches, len(paths), 'features')]
  return np.concatenate([part['features'] for part in parts])


def main() -> None:
  """Makes both folders."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--cifar', type=pathlib.Path)
  parser.add_argument('--photos', type=pathlib.Path)
  parser.add_argument('--free', type=pathlib.Path)
  parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('data'))
  parser.add_argument('--probe', action='store_true')
  args = parser.parse_args()
  if args.cifar:
    unpack(args.cifar, args.out / 'cifar10')
  if args.photos:
    cut(args.photos, args.out / 'tiles', TILES)
  if args.free:
    for squares in FREE:
      cut(args.free, args.out / f'free-{squares.size}', squares)
  if args.probe:
    fit_probe(args.out / 'cifar10')


if __name__ == '__main__':
  main()
