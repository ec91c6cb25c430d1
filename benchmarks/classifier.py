"""Measures the accuracy of a classifier on labelled photos.

  python -m benchmarks.classifier --folder=/path/to/photos
  python -m benchmarks.classifier --folder=... --network=resnet50-v1

The folder holds labels.txt, whose lines are 'file number' with the number of an
ImageNet class, 0 to 999. Pillow first resizes and crops photos that are not
256x256 to that size. ImageNet's own photos are in no repository. On photos that
the network may have been trained on, the accuracy only checks that weights,
layers and preparation fit each other.
"""

import math
import pathlib
import time
from collections.abc import Sequence

import jax
import numpy as np
from absl import app, flags
from PIL import Image

from palette_jax import sharding
from palette_jax.evaluation.networks import efficientnet, resnet

NETWORKS = {
  'efficientnet-lite0': efficientnet.load,
  'resnet50-v1': resnet.load,
  'resnet50-v1-resize': lambda path: resnet.load('resize', path),
}
FOLDER = flags.DEFINE_string(
  'folder', None, 'Folder of photos and labels.txt.', required=True
)
NETWORK = flags.DEFINE_enum(
  'network', 'efficientnet-lite0', list(NETWORKS), 'The classifier.'
)
WEIGHTS = flags.DEFINE_string(
  'weights', None, 'File of its weights; found by default.'
)
BATCH = flags.DEFINE_integer('batch', 10, 'Photos in a batch.')


def read_labels(folder: pathlib.Path) -> dict[str, int]:
  """Returns the classes by file name."""
  rows = (folder / 'labels.txt').read_text().split('\n')
  rows = [row.rsplit(maxsplit=1) for row in rows if row.strip()]
  return {name: int(number) for name, number in rows}


def read_photo(path: pathlib.Path) -> np.ndarray:
  """Returns a photo as uint8 [256, 256, 3]."""
  with Image.open(path) as photo:
    photo = photo.convert('RGB')
  short = min(photo.size)
  if photo.size != (256, 256):
    width, height = (256 * side // short for side in photo.size)
    left, top = (width - 256) // 2, (height - 256) // 2
    photo = photo.resize((width, height), Image.Resampling.BICUBIC)
    photo = photo.crop((left, top, left + 256, top + 256))
  return np.asarray(photo)


def wilson(share: float, n: int) -> tuple[float, float]:
  """Returns the 95% interval of a share (Wilson 1927)."""
  z = 1.959964
  middle = share + z * z / (2 * n)
  half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
  scale = 1 + z * z / n
  return (middle - half) / scale, (middle + half) / scale


def main(argv: Sequence[str]) -> None:
  del argv
  folder = pathlib.Path(FOLDER.value)
  labels = read_labels(folder)
  network = NETWORKS[NETWORK.value](path=WEIGHTS.value)
  options = sharding.compiler_options()
  classify = jax.jit(network.apply, compiler_options=options)
  params = jax.device_put(network.params)

  names, right, start_time = list(labels), 0, time.perf_counter()
  for start in range(0, len(names), BATCH.value):
    batch = names[start : start + BATCH.value]
    photos = np.stack([read_photo(folder / name) for name in batch])
    classes = classify(params, photos)['logits'].argmax(axis=-1)
    right += int(
      (np.asarray(classes) == [labels[name] for name in batch]).sum()
    )
  seconds = time.perf_counter() - start_time

  n = len(names)
  low, high = wilson(right / n, n)
  print(f'{network.name}, sha256 {network.weights}')
  print(network.preparation)
  print(
    f'top-1 {100 * right / n:.1f}% of {n} photos '
    f'(95%: {100 * low:.1f} to {100 * high:.1f}), {right} right, '
    f'{n / seconds:.1f} photos/s with compilation'
  )


if __name__ == '__main__':
  app.run(main)
