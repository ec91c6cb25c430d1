"""Can it be seen where tiles meet?

  python -m benchmarks.seams --weights=runs/multitask

Photos of the package, made small and spoilt by JPEG, are restored in tiles of
the size that the weights have learnt from, in four ways:

  apart       beside each other, each drawn for itself
  crossfaded  overlapping, each drawn for itself, the results blended
  eps         overlapping, drawn together: what the network says of the noise
              is blended in every step
  y_0         likewise, what it says of the clean image, clipped before (ours)

`seam` is how much larger the error's gradient is where one tile gives way to
the next than elsewhere (1: nothing is to be seen); `sharp` how strong the
picture's own gradient is there (less than 1: blurred). Both are of the middle
of overlaps, a column wide and eight, and of rows alike.
"""

import argparse
import functools
import io
import pathlib
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import palette_jax
from palette_jax import images, tasks
from palette_jax.diffusion import sampler
from palette_jax.restoration import canvas, tiles, weights

PHOTOS = pathlib.Path(palette_jax.__file__).parent / 'data/photos'
QUALITY = 10


class BlendsNoise(canvas.Painter):
  """Clips only what has been blended: that is as if eps were."""

  def __init__(self, denoise_fn, params):
    super().__init__(denoise_fn, params)
    unclipped = functools.partial(self._unclipped, denoise_fn)
    self._estimate = jax.jit(unclipped, static_argnames=['prediction'])

  @staticmethod
  def _unclipped(denoise_fn, params, y_t, cond, now, prediction):
    clean_fn = sampler.clean_fn_of(denoise_fn, prediction)
    return clean_fn(params, y_t, cond, jnp.full([len(y_t)], now['gamma']))

  def paint(self, *given):
    blend = canvas._blend
    clipped = lambda *parts: np.clip(blend(*parts), -1, 1)  # noqa: E731
    with mock.patch.object(canvas, '_blend', clipped):
      return super().paint(*given)


def spoilt(path: pathlib.Path, side: int) -> tuple[np.ndarray, np.ndarray]:
  """A photo's middle, [side side 3] in [-1, 1], and what JPEG left of it."""
  image = Image.open(path).convert('RGB')
  short = min(image.size)
  left, top = (image.width - short) // 2, (image.height - short) // 2
  box = (left, top, left + short, top + short)
  clean, encoded = image.resize((side, side), Image.BOX, box), io.BytesIO()
  clean.save(encoded, 'JPEG', quality=QUALITY)
  return tuple(
    images.from_u8(np.asarray(one)) for one in (clean, Image.open(encoded))
  )


def seams(plan: tiles.Layout) -> list[int]:
  """Pixels after which the next tile weighs more, of rows and columns alike."""
  pairs = zip(plan.tops[:-1], plan.tops[1:])
  return [(first + plan.tile[0] + second) // 2 - 1 for first, second in pairs]


def ratio(picture: np.ndarray, places: list[int], reach: int) -> float:
  """Mean absolute gradient at the seams, over that elsewhere."""
  found = []
  for turned in picture, picture.swapaxes(0, 1):
    gradient = np.abs(np.diff(turned, axis=0)).mean(axis=(1, 2))
    at = np.zeros(len(gradient), bool)
    for place in places:
      at[max(0, place - reach // 2) : place + (reach + 1) // 2] = True
    found.append(gradient[at].mean() / gradient[~at].mean())
  return float(np.mean(found))


def main() -> None:
  arguments = argparse.ArgumentParser(description=__doc__)
  arguments.add_argument('--weights', default='')
  arguments.add_argument('--photos', type=int, default=15)
  arguments.add_argument('--sampler', default='')
  arguments.add_argument('--steps', type=int, default=0)
  args = arguments.parse_args()
  found = weights.read(args.weights)
  objective = found.objective(found.choose(args.sampler, args.steps))
  tile = found.size[0]
  painter = canvas.Painter(found.denoise_fn, found.params)
  together = BlendsNoise(found.denoise_fn, found.params)
  side, rows = 4 * tile, {}
  prepare = tasks.get('jpeg').prepare
  for number, path in enumerate(sorted(PHOTOS.glob('*.jpg'))[: args.photos]):
    clean, photo = spoilt(path, side)
    cond, mask = prepare(photo)
    key = jax.random.key(number)
    for overlap in 0, tile // 8, tile // 4, tile // 2:
      plan = tiles.layout(side, side, tile, overlap, grid=8)
      parts = tiles.cut(cond, plan)
      keys = list(jax.random.split(key, len(parts)))
      one = tiles.Layout(tile, tile, (0,), (0,), (tile, tile), 0)
      drawn = painter.paint(objective, parts, mask[:tile, :tile], one, keys)
      made = {'crossfaded' if overlap else 'apart': tiles.blend(drawn, plan)}
      for name, way in (('eps', together), ('y_0', painter)):
        if overlap:
          made[name] = way.paint(objective, cond[None], mask, plan, [key])[0]
      for name, picture in made.items():
        error, at = picture - clean, seams(plan)
        figures = [ratio(error, at, 1), ratio(error, at, 8)]
        figures += [ratio(picture, at, 8) / ratio(clean, at, 8)]
        figures += [10 * np.log10(4 / np.mean(error**2))]
        rows.setdefault((overlap, name), []).append(figures)
  print(
    f'{len(rows[0, "apart"])} photos of {side}x{side}, tiles of {tile}, JPEG '
    f'quality {QUALITY}, {objective.passes()} passes'
  )
  print(f' overlap {"way":10}   seam  seam 8  sharp  PSNR')
  for (overlap, name), figures in rows.items():
    seam, wide, sharp, psnr = np.mean(figures, axis=0)
    line = f'{overlap:8} {name:10} {seam:6.3f} {wide:7.3f} {sharp:6.3f}'
    print(f'{line} {psnr:6.2f}', flush=True)


if __name__ == '__main__':
  main()
