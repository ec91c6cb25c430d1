"""Do a panorama's colours run away, and does `growth.steady` hold them?

  python -m benchmarks.panoramas --weights=runs/multitask

The photos in the package, their middle square as large as what the weights have
learnt from, grow to the right by 8 halves of an image, with and without. Of
each piece: brightness against the photo's (in levels of 255), and how much
luma and colour vary against the photo's, as a factor; the median over photos,
and the worst.
"""

import argparse
import contextlib
from unittest import mock

import numpy as np

import palette_jax
from benchmarks import seams
from palette_jax import images
from palette_jax.photo import model
from palette_jax.photo.painting import growth

PIECES = 8


def moments(levels: np.ndarray) -> np.ndarray:
  """[3]: mean luma, its deviation, root mean square of colour; in levels."""
  luma = images.luma(levels)
  colour = levels - luma
  return np.array([luma.mean(), luma.std(), np.sqrt((colour**2).mean())])


@contextlib.contextmanager
def let_go():
  """Without drift control."""
  with mock.patch.object(growth, 'steady_all', lambda *args: None):
    yield


def main() -> None:
  arguments = argparse.ArgumentParser(description=__doc__)
  arguments.add_argument('--weights', default='')
  arguments.add_argument('--photos', type=int, default=15)
  arguments.add_argument('--steps', type=int, default=0)
  args = arguments.parse_args()
  painter: model.Model = palette_jax.load(args.weights)
  side = round(np.sqrt(np.prod(painter.size)))
  paths = sorted(seams.PHOTOS.glob('*.jpg'))[: args.photos]
  photos = [np.asarray(seams.middle(path, side)) for path in paths]
  for name, control in (
    ('let go', let_go),
    ('steady', contextlib.nullcontext),
  ):
    found = []
    for seed, photo in enumerate(photos):
      with control():
        (made,) = painter.panorama(
          photo, right=PIECES, steps=args.steps, seed=seed
        )
      levels = made.photo.levels.astype(float)
      step = side // 2
      pieces = [levels[:, side + i * step :][:, :step] for i in range(PIECES)]
      mean, luma, colour = np.transpose([moments(one) for one in pieces])
      before = moments(photo.astype(float))
      found.append(
        [np.abs(mean - before[0]), luma / before[1], colour / before[2]]
      )
    found = np.array(found)
    print(f'{name}: pieces 1 to {PIECES} of {len(photos)} photos')
    for i, what in enumerate(('brightness off by', 'luma varies', 'colour')):
      middle = np.median(found[:, i], axis=0)
      worst = found[:, i].max(axis=0)
      print(f'  {what:18}', *(f'{x:7.2f}' for x in middle))
      print(f'  {"worst":18}', *(f'{x:7.2f}' for x in worst), flush=True)


if __name__ == '__main__':
  main()
