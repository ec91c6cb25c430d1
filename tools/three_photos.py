"""What weights make of three photos that they never saw, on one sheet.

  python -m tools.three_photos --out=three_photos.png [--weights=PATH]

For each of the four tasks: what is given, what the weights make of it (those
inside the package, if no others are named), the original. The photos are those
that every recipe holds out, spoilt as in benchmarks/unseen.py, but larger: the
weights inside the package work on them in tiles.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image

import palette_jax
from benchmarks import seams, unseen
from palette_jax.data import sources

SIDE = 256  # pixels


def rows(model: palette_jax.Model, side: int) -> list[np.ndarray]:
  """A row a task: given, made and original of each photo; uint8."""
  folder = pathlib.Path(palette_jax.__file__).parent / 'data/photos'
  photos = {
    name: np.asarray(seams.middle(folder / name, side))
    for name in sources.PHOTOS_HELD_OUT
  }
  found = []
  for task in model.tasks:
    row = []
    for seed, (name, photo) in enumerate(photos.items()):
      given, mask = unseen.spoil(task, photo, name)
      made = unseen.answer(model, task, given, mask, seed=seed)
      row += [given, made, photo]
    found.append(np.concatenate(row, axis=1))
    print(f'{task}: {len(photos)} photos')
  return found


def main() -> None:
  """Writes the sheet."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--out', type=pathlib.Path, required=True)
  parser.add_argument('--weights', default='')
  args = parser.parse_args()
  model = palette_jax.load(args.weights)
  args.out.parent.mkdir(parents=True, exist_ok=True)
  sheet = np.concatenate(rows(model, SIDE))
  Image.fromarray(sheet).save(args.out, quality=92)  # of a JPEG
  print(f'given | made | original, a row a task: {args.out}')


if __name__ == '__main__':
  main()
