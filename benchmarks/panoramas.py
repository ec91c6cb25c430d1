"""Measures the drift of a panorama's colours with and without drift control.

  python -m benchmarks.panoramas --weights=runs/multitask

The middle squares of the package's photos, at the size that the weights were
trained on, grow to the right by 8 halves of an image, with `growth.steady_all`
and without. For each region that is painted in one go, the table has the median
over photos and the worst of: the difference of its brightness from the photo's
(in levels of 255), and the variation of its luma and of its colour as multiples
of the photo's.
"""

import argparse
import contextlib
from collections.abc import Generator
from unittest import mock

import numpy as np

import palette_jax
from benchmarks import seams
from palette_jax import images
from palette_jax.photo import model
from palette_jax.photo.painting import growth

REGIONS = 8


def moments(levels: np.ndarray) -> np.ndarray:
  """Returns the mean and deviation of luma and the RMS of colour, in levels."""
  luma = images.luma(levels)
  colour = levels - luma
  return np.array([luma.mean(), luma.std(), np.sqrt((colour**2).mean())])


@contextlib.contextmanager
def without_control() -> Generator[None]:
  """Switches drift control off."""
  with mock.patch.object(growth, 'steady_all', lambda *args: None):
    yield


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--weights', default='', help="default: the package's")
  parser.add_argument('--photos', type=int, default=15)
  parser.add_argument(
    '--steps', type=int, default=0, help="default: the weights' own number"
  )
  args = parser.parse_args()
  painter: model.Model = palette_jax.load(args.weights)
  side = round(np.sqrt(np.prod(painter.size)))
  paths = sorted(seams.PHOTOS.glob('*.jpg'))[: args.photos]
  photos = [np.asarray(seams.middle(path, side)) for path in paths]
  for name, control in (
    ('let go', without_control),
    ('steady', contextlib.nullcontext),
  ):
    moments_by_photo = []
    for seed, photo in enumerate(photos):
      with control():
        (result,) = painter.panorama(
          photo, right=REGIONS, steps=args.steps, seed=seed
        )
      levels = result.photo.levels.astype(float)
      step = side // 2
      starts = [side + i * step for i in range(REGIONS)]
      regions = [levels[:, start : start + step] for start in starts]
      mean, luma, colour = np.transpose([moments(x) for x in regions])
      before = moments(photo.astype(float))
      moments_by_photo.append(
        [np.abs(mean - before[0]), luma / before[1], colour / before[2]]
      )
    changes = np.array(moments_by_photo)
    print(f'{name}: regions 1 to {REGIONS} of {len(photos)} photos')
    for i, label in enumerate(('brightness off by', 'luma varies', 'colour')):
      middle = np.median(changes[:, i], axis=0)
      worst = changes[:, i].max(axis=0)
      print(f'  {label:18}', *(f'{x:7.2f}' for x in middle))
      print(f'  {"worst":18}', *(f'{x:7.2f}' for x in worst), flush=True)


if __name__ == '__main__':
  main()
