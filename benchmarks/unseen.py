"""Do weights do more for photos they never saw than what takes no model?

  python -m benchmarks.unseen --weights=runs/multitask --photos=PHOTOS \
    --out=unseen

Each of the four tasks as its command does it, on N photos that are squares of
256 pixels (larger ones are cut and made small): grey copies; holes of 20-30%,
free-form; the right quarter, which is missing; JPEGs of quality 10. LPIPS and
PSNR of the model's answers and of the trivial ones (palette_jax/evaluation/
trivial.py), with the 95% interval of their paired difference. A task is good if
the whole interval of LPIPS is on the model's side, otherwise experimental.

  --ship=palette_jax/weights/multitask.safetensors

then writes the weights as a file that names the experimental ones: their
commands say so before they run. A stopped run goes on.
"""

import argparse
import functools
import io
import json
import pathlib
import time
from typing import NamedTuple

import numpy as np
from PIL import Image

import palette_jax
from benchmarks import seams
from palette_jax import images
from palette_jax.evaluation import (
  holes,
  intervals,
  observations,
  protocol,
  trivial,
)
from palette_jax.interop import names, tensor_file, weights

SIDE, QUALITY = 256, 10
METRICS = 'lpips_alex', 'psnr'
ROW = 'Palette'


class Question(NamedTuple):
  """A photo with something missing.

  Attributes:
    given: uint8, what everybody is given; for uncropping, what is left.
    mask: bool [h w], where something is missing of the square; None for all.
    trivial: uint8 [h w 3], the answer without a model.
  """

  given: np.ndarray
  mask: np.ndarray | None
  trivial: np.ndarray


def colorization(photo, name):
  """The grey copy, as the task's own training makes it."""
  del name
  grey = np.asarray(Image.fromarray(photo).convert('L').convert('RGB'))
  return Question(grey, None, grey)


def inpainting(photo, name):
  """Brush strokes; the grey in them is not looked at."""
  drawn = np.asarray(holes.free_form_of(name, '20-30%', SIDE, SIDE))
  mask = drawn[..., 0] > 0.5
  given = np.where(mask[..., None], np.uint8(127), photo)
  return Question(given, mask, trivial.diffused(given, mask))


def uncropping(photo, name):
  """Three quarters of the photo."""
  del name
  mask = np.zeros(photo.shape[:2], bool)
  mask[:, -SIDE // 4 :] = True
  return Question(photo[:, : -SIDE // 4], mask, trivial.replicated(photo, mask))


def jpeg(photo, name):
  """As a camera of little memory would keep it."""
  del name
  file = io.BytesIO()
  Image.fromarray(photo).save(file, 'JPEG', quality=QUALITY)
  given = np.asarray(Image.open(file))
  return Question(given, None, given)


ASKED = {
  'colorization': (colorization, 'colorization'),
  'inpainting': (inpainting, 'inpainting:20-30%'),
  'uncropping': (uncropping, 'uncropping'),
  'jpeg': (jpeg, f'jpeg:{QUALITY}'),
}


def answer(model: palette_jax.Model, task: str, asked: Question) -> np.ndarray:
  """The square, as the task's command fills it."""
  ways = {
    'colorization': model.colorize,
    'inpainting': functools.partial(model.inpaint, mask=images_of(asked.mask)),
    'uncropping': functools.partial(model.uncrop, right=SIDE // 4),
    'jpeg': model.restore_jpeg,
  }
  (made,) = ways[task](asked.given)
  return np.asarray(made.image)


def images_of(mask: np.ndarray | None) -> np.ndarray | None:
  """White where something is missing."""
  return None if mask is None else np.where(mask, np.uint8(255), np.uint8(0))


def draw(model, task, photos, out) -> float:
  """Everybody's answers as files; seconds a photo of the model's."""
  ask, _ = ASKED[task]
  seconds = []
  for path in photos:
    files = {
      kind: out / task / kind / f'{path.stem}.png'
      for kind in ('originals', 'trivial', ROW)
    }
    if files[ROW].exists():  # written last
      continue
    photo = np.asarray(seams.middle(path, SIDE))
    asked = ask(photo, path.stem)
    start = time.perf_counter()
    found = answer(model, task, asked)
    seconds.append(time.perf_counter() - start)
    shown = dict(originals=photo, trivial=asked.trivial) | {ROW: found}
    for kind, pixels in shown.items():
      files[kind].parent.mkdir(parents=True, exist_ok=True)
      images.write_png(files[kind], pixels)
  return float(np.median(seconds)) if seconds else float('nan')


def judge(task: str, out: pathlib.Path) -> protocol.Results:
  """The model's answers, then the trivial ones less them."""
  folder = out / task
  rows = {
    ROW: [str(folder / ROW)],
    trivial.NAMES[task]: [str(folder / 'trivial')],
  }
  subject = observations.Subject(rows, str(folder / 'originals'))
  return protocol.judge(subject, wanted=METRICS)


def main() -> None:
  """Draws, judges, prints, writes."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--weights', default='')
  parser.add_argument('--photos', type=pathlib.Path, required=True)
  parser.add_argument('--count', type=int, default=100)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  parser.add_argument('--ship', default='')
  args = parser.parse_args()
  if args.count < intervals.LEAST:
    parser.error(f'An interval takes {intervals.LEAST} photos.')
  found = sorted(args.photos.rglob('*.[jp][pn]*g'))
  if len(found) < args.count:
    parser.error(f'{args.photos} has {len(found)} photos, not {args.count}.')
  photos = [found[i * len(found) // args.count] for i in range(args.count)]
  model = palette_jax.load(args.weights)
  kept = dict(photos=args.count, side=SIDE, weights=model.checkpoint, tasks={})
  for task in model.tasks:
    took = draw(model, task, photos, args.out)
    results = judge(task, args.out)
    other = results.differences[trivial.NAMES[task]]
    good = other['lpips_alex'].low > 0
    kept['tasks'][task] = dict(
      seconds=took,
      good=bool(good),
      rows={
        row: {metric: one[metric]._asdict() for metric in METRICS}
        for row, one in results.rows.items()
        if row in (ROW, trivial.NAMES[task])
      },
      trivial_less_model={m: other[m]._asdict() for m in METRICS},
    )
    low, high = other['lpips_alex'].low, other['lpips_alex'].high
    print(
      f'{task:13} LPIPS {results.rows[ROW]["lpips_alex"].value:.3f}, '
      f'{trivial.NAMES[task]} {other["lpips_alex"].value:+.3f} '
      f'[{low:+.3f}, {high:+.3f}]: {"good" if good else "experimental"}, '
      f'{took:.1f} s a photo',
      flush=True,
    )
  file = args.out / 'unseen.json'
  file.write_text(json.dumps(kept, indent=1) + '\n')
  if args.ship:
    ship(args.weights, args.ship, kept)


def ship(source: str, path: str, kept: dict) -> None:
  """Writes the weights, and which tasks are experimental."""
  found = weights.read(source)
  config = found.config | {
    'experimental': [t for t, one in kept['tasks'].items() if not one['good']]
  }
  tensors = names.to_theirs(found.params, found.network)
  tensor_file.write(path, 'safetensors', tensors, config)
  print(path, config['experimental'] or 'nothing is experimental')


if __name__ == '__main__':
  main()
