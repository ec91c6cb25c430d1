"""Measures how visible the seams between tiles are.

  python -m benchmarks.seams
  python -m benchmarks.seams --weights=runs/jpeg

Images are restored in tiles in four ways:

  apart       tiles side by side, each sampled by itself
  crossfaded  overlapping tiles, each sampled by itself, the results blended
  eps         overlapping tiles sampled together: each step blends the
              predicted noise
  y_0         the same, but each step blends the predicted clean image, clipped
              before (ours)

Without --weights, the images are Gaussian with the power spectrum of photos,
the condition is the means of 8x8 pixels, and the network is the exact posterior
mean given one tile. With --weights, the images are the package's photos, shrunk
and degraded by JPEG.

`seam` is the ratio of the error's gradient where one tile gives way to the next
to that elsewhere between blocks of JPEG (1: invisible), one pixel wide;
`seam 8` is the same eight pixels wide. `sharp` is the ratio of the gradient of
the result there to that of the truth (below 1: blurred). All are averaged over
rows and columns.
"""

import argparse
import functools
import io
import pathlib
from collections.abc import Iterable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from PIL import Image

import palette_jax
from palette_jax import arrays, images
from palette_jax.diffusion import objective as objectives
from palette_jax.diffusion import sampler, sampler_config
from palette_jax.diffusion import schedule as schedules
from palette_jax.photo.painting import painter, tiles
from palette_jax.weights import trained

PHOTOS = pathlib.Path(palette_jax.__file__).parent / 'data/photos'
QUALITY, BLOCK = 10, 8


class BlendsNoise(painter.Painter):
  """Clips after blending instead of before, which amounts to blending eps."""

  def __init__(
    self, denoise_fn: arrays.DenoiseFn, params: arrays.Params
  ) -> None:
    super().__init__(denoise_fn, params)
    unclipped = functools.partial(self._unclipped, denoise_fn)
    self._estimate = jax.jit(unclipped, static_argnames=['prediction'])

  @staticmethod
  def _unclipped(
    denoise_fn: arrays.DenoiseFn,
    params: arrays.Params,
    y_t: Float[Array, 'b h w 3'],
    cond: Float[Array, 'b h w 3'],
    now: sampler.Coefficients,
    prediction: str,
  ) -> Float[Array, 'b h w 3']:
    clean_fn = sampler.make_clean_fn(denoise_fn, prediction)
    return clean_fn(params, y_t, cond, jnp.full([len(y_t)], now['gamma']))

  def paint(self, *args: Any, **kwargs: Any) -> Float[np.ndarray, 's h w 3']:
    blend = painter._blend

    def clipped(*parts: Any) -> np.ndarray:
      return np.clip(blend(*parts), -1, 1)

    with mock.patch.object(painter, '_blend', clipped):
      return super().paint(*args, **kwargs)


def middle(path: pathlib.Path, side: int) -> Image.Image:
  """Returns the largest square in a photo's middle, resized to `side`."""
  image = Image.open(path).convert('RGB')
  short = min(image.size)
  left, top = (image.width - short) // 2, (image.height - short) // 2
  box = (left, top, left + short, top + short)
  return image.resize((side, side), Image.Resampling.BOX, box)


def with_jpeg(path: pathlib.Path, side: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns a photo's middle before and after JPEG, [side side 3]."""
  clean, encoded = middle(path, side), io.BytesIO()
  clean.save(encoded, 'JPEG', quality=QUALITY)
  degraded = Image.open(encoded)
  return (
    images.from_u8(np.asarray(clean)),
    images.from_u8(np.asarray(degraded)),
  )


class Exact:
  """Gaussian images and the exact posterior mean of a tile of one."""

  def __init__(self, tile: int, side: int, deviation: float = 0.2) -> None:
    """Sets up a spectrum that falls as 1/f^2, over a torus around the image."""
    self.side, around = side, 4 * side
    frequency = np.fft.fftfreq(around) * around
    power = 1 / (4 + frequency[:, None] ** 2 + frequency**2)
    self.amplitude = np.sqrt(power / power.mean()) * deviation
    law = np.fft.ifft2(self.amplitude**2).real
    y, x = (places.ravel() for places in np.mgrid[:tile, :tile])
    covariance = law[y[:, None] - y, x[:, None] - x]
    blocks = (y // BLOCK) * (tile // BLOCK) + x // BLOCK
    means = (blocks == np.arange(blocks.max() + 1)[:, None]) / BLOCK**2
    gain = covariance @ means.T @ np.linalg.inv(means @ covariance @ means.T)
    left = covariance - gain @ means @ covariance
    values, vectors = np.linalg.eigh((left + left.T) / 2)
    exact = dict(gain=gain @ means, vectors=vectors, values=values.clip(0))
    self.params = {k: jnp.asarray(v, jnp.float32) for k, v in exact.items()}

  def picture(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws an image, [side side 3], and returns it with its means."""
    noise = np.random.default_rng(seed).normal(size=[3, *self.amplitude.shape])
    sample = np.fft.ifft2(np.fft.fft2(noise) * self.amplitude).real
    clean = np.moveaxis(sample[:, : self.side, : self.side], 0, -1)
    count = self.side // BLOCK
    means = clean.reshape(count, BLOCK, count, BLOCK, 3).mean(axis=(1, 3))
    known = means.repeat(BLOCK, 0).repeat(BLOCK, 1)
    return clean.astype(np.float32), known.astype(np.float32)

  @staticmethod
  def clean_fn(
    params: arrays.Params,
    y_t: Float[Array, 'b h w 3'],
    cond: Float[Array, 'b h w 3'],
    gamma: Float[Array, ' b'],
  ) -> Float[Array, 'b h w 3']:
    """Returns E[y_0 | y_t, the means]."""
    level, flat = gamma[:, None, None], [len(y_t), -1, 3]
    mean = jnp.einsum('pq,bqc->bpc', params['gain'], cond.reshape(flat))
    surprise = y_t.reshape(flat) - jnp.sqrt(level) * mean
    parts = jnp.einsum('pq,bpc->bqc', params['vectors'], surprise)
    values = params['values'][None, :, None]
    parts *= jnp.sqrt(level) * values / (level * values + 1 - level)
    y_0 = mean + jnp.einsum('pq,bqc->bpc', params['vectors'], parts)
    return y_0.reshape(y_t.shape)


def seams(plan: tiles.Layout) -> list[int]:
  """Returns the pixels, on either axis, after which the next tile prevails."""
  pairs = zip(plan.tops[:-1], plan.tops[1:])
  return [(first + plan.tile[0] + second) // 2 - 1 for first, second in pairs]


def ratio(picture: np.ndarray, places: list[int], reach: int) -> float:
  """Returns the mean absolute gradient at the seams relative to other places.

  These are equally far from the edges of blocks, where JPEG's own errors jump.
  """
  ratios = []
  for turned in picture, picture.swapaxes(0, 1):
    gradient = np.abs(np.diff(turned, axis=0)).mean(axis=(1, 2))
    at = np.zeros(len(gradient), bool)
    for place in places:
      at[max(0, place - reach // 2) : place + (reach + 1) // 2] = True
    in_block = np.arange(len(gradient)) % BLOCK
    alike = np.isin(in_block, in_block[at]) & ~at
    ratios.append(gradient[at].mean() / gradient[alike].mean())
  return float(np.mean(ratios))


def objective_of(choice: sampler_config.SamplerConfig) -> objectives.Diffusion:
  """Returns the paper's schedules for a network that predicts y_0."""
  train = schedules.linear(1e-6, 0.01, 2000)
  levels = choice.schedule(schedules.linear(1e-4, 0.09, 1000), train)
  return objectives.Diffusion(
    train, levels, prediction='y_0', sampler_config=choice
  )


def compare(
  denoise_fn: arrays.DenoiseFn,
  params: arrays.Params,
  objective: objectives.Objective,
  tile: int,
  pictures: Iterable[tuple[np.ndarray, np.ndarray]],
) -> dict[tuple[int, str], np.ndarray]:
  """Returns mean seam, seam 8, sharp and PSNR by overlap and method."""
  ours = painter.Painter(denoise_fn, params)
  noise = BlendsNoise(denoise_fn, params)
  single, rows = tiles.whole(tile, tile), {}
  for number, (clean, cond) in enumerate(pictures):
    key, mask = jax.random.key(number), np.ones_like(cond[..., :1])
    for overlap in 0, tile // 4, tile // 2:
      plan = tiles.layout(*cond.shape[:2], tile, overlap, 8, grid=BLOCK)
      parts, results = tiles.cut(cond, plan), {}
      keys = list(jax.random.split(key, len(parts)))
      samples = ours.paint(objective, parts, mask[:tile, :tile], single, keys)
      name = 'crossfaded' if overlap else 'apart'
      results[name] = tiles.blend(samples, plan)
      for name, method in (('eps', noise), ('y_0', ours)):
        if overlap:
          results[name] = method.paint(
            objective, cond[None], mask, plan, [key]
          )[0]
      for name, picture in results.items():
        error, at = picture - clean, seams(plan)
        figures = [ratio(error, at, 1), ratio(error, at, 8)]
        figures += [ratio(picture, at, 8) / ratio(clean, at, 8)]
        figures += [10 * np.log10(4 / np.mean(error**2))]
        rows.setdefault((overlap, name), []).append(figures)
  return {name: np.mean(figures, axis=0) for name, figures in rows.items()}


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument(
    '--weights', default='', help='default: the exact network'
  )
  parser.add_argument('--pictures', type=int, default=15, help='images')
  parser.add_argument(
    '--sampler', default='', help="default: the weights', or dpm_solver"
  )
  parser.add_argument(
    '--steps', type=int, default=0, help="default: the weights', or 20"
  )
  args = parser.parse_args()
  if args.weights:
    weights = trained.load(args.weights)
    objective = weights.objective(weights.choose(args.sampler, args.steps))
    tile, params = weights.size[0], weights.params
    network = weights.denoise_fn
    paths = sorted(PHOTOS.glob('*.jpg'))[: args.pictures]
    pictures = (with_jpeg(path, 4 * tile) for path in paths)
  else:
    tile = 32
    exact = Exact(tile, side=4 * tile)
    network, params = exact.clean_fn, exact.params
    choice = sampler_config.SamplerConfig(
      args.sampler or 'dpm_solver', args.steps or 20
    )
    objective = objective_of(choice)
    pictures = (exact.picture(seed) for seed in range(args.pictures))
  rows = compare(network, params, objective, tile, pictures)
  print(
    f'tiles of {tile} on {4 * tile}x{4 * tile}, {objective.passes()} passes'
  )
  print(f'overlap  {"way":10}   seam  seam 8   sharp   PSNR')
  for (overlap, name), (seam, wide, sharp, psnr) in rows.items():
    line = f'{overlap:7}  {name:10} {seam:6.3f} {wide:7.3f} {sharp:7.3f}'
    print(f'{line} {psnr:6.2f}')


if __name__ == '__main__':
  main()
