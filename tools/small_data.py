"""Writes the images of the small experiments (docs/results.md).

  python -m tools.small_data --cifar=cifar10.tar.gz --photos=PHOTOS
  python -m tools.small_data --probe
  python -m tools.small_data --free=PHOTOS

--cifar     data/cifar10: train/CLASS/NAME and test/CLASS/NAME as the archive or
            folder has them, and test.txt, a list with class numbers of the
            first 200 of each test class by name
--photos    data/tiles: squares of large photos, reduced so that their own JPEG
            artefacts vanish; train and test come from different photos
--probe     data/cifar10/probe.npz: a classifier fitted to the first 1,000
            training images of each class; prints its accuracy on test.txt
--free      data/free-64/train, data/free-128/train: larger squares, of the
            photos that the weights inside the package learned from
            (docs/model_card.md)
"""

import argparse
import hashlib
import pathlib
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float
from PIL import Image, ImageOps

from palette_jax import arrays, files
from palette_jax.evaluation import features, intervals, matching
from palette_jax.evaluation.networks import efficientnet, probe

PER_CLASS = 200
FITTED_PER_CLASS = 1_000
REDUCTION = 2  # at least: a file's 8x8 blocks then have 4 pixels or fewer
TEST_SHARE = 5  # every fifth photo is for testing


class Squares(NamedTuple):
  """The squares that are cut out of each photo.

  Attributes:
    size: side in pixels.
    train: squares of a photo for training.
    test: squares of a photo for testing; 0 if all photos are for training.
  """

  size: int
  train: int
  test: int


TILES = Squares(32, 100, 20)
FREE = Squares(64, 200, 0), Squares(128, 120, 0)


def unpack(source: pathlib.Path, folder: pathlib.Path) -> None:
  """Copies train/ and test/, and lists the images that are judged.

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
  for label, of_class in enumerate(classes):
    paths = sorted(of_class.iterdir())[:PER_CLASS]
    if len(paths) < PER_CLASS:
      raise ValueError(f'{of_class} has {len(paths)} images, not {PER_CLASS}.')
    lines += [f'test/{of_class.name}/{path.name} {label}' for path in paths]
  files.write(folder / 'test.txt', ('\n'.join(lines) + '\n').encode())


def cut(source: pathlib.Path, folder: pathlib.Path, squares: Squares) -> None:
  """Cuts each photo into random squares, with a seed made from its name.

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
  """Fits the probe to training images, and prints its accuracy."""
  paths, labels = [], []
  for label, of_class in enumerate(sorted((folder / 'train').iterdir())):
    fitted = sorted(of_class.iterdir())[:FITTED_PER_CLASS]
    paths += fitted
    labels += [label] * len(fitted)
  classifier = probe.fit(_features(paths), np.array(labels))
  classifier.save(folder / 'probe.npz')
  listed = [line.split() for line in (folder / 'test.txt').open()]
  tested = _features([folder / name for name, _ in listed])
  right = classifier.classify(tested) == np.array(
    [int(label) for _, label in listed]
  )
  share = intervals.share(right)
  print(
    f'{folder / "probe.npz"}: fitted to {len(paths):,} images; right on '
    f'{share.value:.1%} [{share.low:.1%}, {share.high:.1%}] of {len(right):,}.'
  )


def _features(
  paths: Sequence[pathlib.Path], batch: int = 50
) -> Float[np.ndarray, 'n d']:
  network = efficientnet.load()

  def measure(
    params: arrays.Params, images: Mapping[str, Array]
  ) -> dict[str, Array]:
    return dict(features=network.apply(params, images['original'])['features'])

  extract = features.Extractor(measure, network.params, batch)
  matched = matching.Matched([], {'original': [str(path) for path in paths]})
  batches = matching.batches(matched, extract.batch, np.arange(len(paths)))
  parts = [
    values['features']
    for _, values in extract.over(batches, len(paths), 'features')
  ]
  return np.concatenate(parts)


def main() -> None:
  """Writes the images that the options name."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
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
