"""Writes a sheet of results of three photos that the weights never saw.

  python -m tools.three_photos --out=three_photos.jpg [--weights=PATH]

Each task has a row of inputs, results and originals. The weights are those
inside the package unless others are named. The photos are those that every
recipe holds out, degraded as in benchmarks/unseen.py, but larger: the weights
inside the package restore them in tiles.
"""

import argparse
import io
import pathlib

import numpy as np
from jaxtyping import UInt8
from PIL import Image

import palette_jax
from benchmarks import seams, unseen
from palette_jax import files
from palette_jax.data import sources

SIDE = 256  # pixels


def rows(
  model: palette_jax.Model, side: int
) -> list[UInt8[np.ndarray, 'h w 3']]:
  """Returns a row for each task: input, result and original of each photo."""
  photos = {
    name: np.asarray(seams.middle(sources.PHOTOS / name, side))
    for name in sources.PHOTOS_HELD_OUT
  }
  lines = []
  for task in model.tasks:
    line = []
    for seed, (name, photo) in enumerate(photos.items()):
      given, mask = unseen.spoil(task, photo, name)
      result = unseen.answer(model, task, given, mask, seed)
      line += [given, result, photo]
    lines.append(np.concatenate(line, axis=1))
    print(f'{task}: {len(photos)} photos')
  return lines


def main() -> None:
  """Writes the sheet."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--out', type=pathlib.Path, required=True)
  parser.add_argument('--weights', default='')
  args = parser.parse_args()
  model = palette_jax.load(args.weights)
  image = Image.fromarray(np.concatenate(rows(model, SIDE)))
  Image.init()
  encoded = io.BytesIO()
  image.save(encoded, Image.EXTENSION[args.out.suffix.lower()], quality=92)
  files.write(args.out, encoded.getvalue())
  print(f'input | result | original, a row a task: {args.out}')


if __name__ == '__main__':
  main()
