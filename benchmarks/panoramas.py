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
import pathlib
from unittest import mock

import numpy as np
from PIL import Image

import palette_jax
from palette_jax.restoration import growth, model

PHOTOS = pathlib.Path(palette_jax.__file__).parent / 'data/photos'
PIECES = 8


def squares(side: int) -> list[np.ndarray]:
  """The middle of each photo, uint8 [side side 3]."""
  found = []
  for path in sorted(PHOTOS.glob('*.jpg')):
    image = Image.open(path).convert('RGB')
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    box = (left, top, left + short, top + short)
    found.append(np.asarray(image.resize((side, side), Image.BOX, box)))
  return found


def moments(levels: np.ndarray) -> np.ndarray:
  """[3]: mean luma, its deviation, root mean square of colour; in levels."""
  luma = levels @ np.array([0.2989, 0.587, 0.114])
  colour = levels - luma[..., None]
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
  photos = squares(side)[: args.photos]
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
