"""How often a classifier is right about photos whose class is known.

  python -m benchmarks.classifier --folder=/path/to/photos
  python -m benchmarks.classifier --folder=... --network=resnet50-v1

The folder has labels.txt with lines 'file number', numbers being ImageNet's
classes, 0 to 999. Photos that are not 256x256 are first brought to a short side
of 256 and cropped, by Pillow. ImageNet's own photos are in no repository; of
photos that the network may have been trained on, the figure is no more than a
check that weights, layers and preparation fit each other.
"""

import math
import pathlib
import time

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
FOLDER = flags.DEFINE_string('folder', None, 'Photos, and labels.txt.')
NETWORK = flags.DEFINE_enum(
  'network', 'efficientnet-lite0', list(NETWORKS), 'Which.'
)
WEIGHTS = flags.DEFINE_string('weights', None, 'Its file, if not found.')
BATCH = flags.DEFINE_integer('batch', 10, 'Photos at a time.')


def read_labels(folder: pathlib.Path) -> dict[str, int]:
  """Classes by file name."""
  rows = (folder / 'labels.txt').read_text().split('\n')
  rows = [row.rsplit(maxsplit=1) for row in rows if row.strip()]
  return {name: int(number) for name, number in rows}


def read_photo(path: pathlib.Path) -> np.ndarray:
  """uint8 [256, 256, 3]."""
  with Image.open(path) as photo:
    photo = photo.convert('RGB')
  short = min(photo.size)
  if photo.size != (256, 256):
    size = [256 * side // short for side in photo.size]
    left, top = ((side - 256) // 2 for side in size)
    photo = photo.resize(size, Image.BICUBIC)
    photo = photo.crop((left, top, left + 256, top + 256))
  return np.asarray(photo)


def wilson(share: float, n: int) -> tuple[float, float]:
  """The 95% interval of a share (Wilson 1927)."""
  z = 1.959964
  middle = share + z * z / (2 * n)
  half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
  return tuple((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))


def main(argv):
  del argv
  folder = pathlib.Path(FOLDER.value)
  labels = read_labels(folder)
  network = NETWORKS[NETWORK.value](path=WEIGHTS.value)
  options = sharding.compiler_options()
  classify = jax.jit(network.apply, compiler_options=options)
  params = jax.device_put(network.params)

  names, right, began = list(labels), 0, time.perf_counter()
  for start in range(0, len(names), BATCH.value):
    batch = names[start : start + BATCH.value]
    photos = np.stack([read_photo(folder / name) for name in batch])
    said = classify(params, photos)['logits'].argmax(axis=-1)
    right += int((np.asarray(said) == [labels[name] for name in batch]).sum())
  took = time.perf_counter() - began

  n = len(names)
  low, high = wilson(right / n, n)
  print(f'{network.name}, sha256 {network.weights}')
  print(network.preparation)
  print(
    f'top-1 {100 * right / n:.1f}% of {n} photos '
    f'(95%: {100 * low:.1f} to {100 * high:.1f}), {right} right, '
    f'{n / took:.1f} photos/s with compilation'
  )


if __name__ == '__main__':
  flags.mark_flag_as_required('folder')
  app.run(main)
