"""Do weights do more for photos they never saw than what takes no model?

  palette export runs/multitask multitask.safetensors --half
  python -m benchmarks.unseen --weights=multitask.safetensors \
    --photos=PHOTOS --out=unseen

Each of the four tasks as its command does it, on N photos, the square in the
middle of each made as small as what the weights have learnt from: grey copies;
holes of 20-30%, free-form; the right quarter, which is missing; JPEGs of
quality 10. LPIPS and PSNR of the model's answers and of the trivial ones
(palette_jax/evaluation/baselines.py), with the 95% interval of their paired
difference. A task is good if the whole interval of LPIPS is on the model's
side, otherwise experimental.

  --ship=palette_jax/weights/multitask.safetensors

then writes that file again, and the experimental ones by name into it: their
commands say so before they run. --sampler and --steps, chosen on other photos,
are written into it, too, and are what its commands take. A stopped run goes on.
"""

import argparse
import io
import json
import pathlib
import time

import numpy as np
from PIL import Image

import palette_jax
from benchmarks import seams
from palette_jax import files, holes, images
from palette_jax.evaluation import baselines, intervals, matching, protocol
from palette_jax.weights import tensor_file

QUALITY = 10
METRICS = 'lpips_alex', 'psnr'
ROW = 'Palette'


def some(folder: pathlib.Path, count: int) -> list[pathlib.Path]:
  """So many of the photos below a folder, evenly by name.

  Raises:
    SystemExit: if there are fewer.
  """
  found = sorted(folder.rglob('*.[jp][pn]*g'))
  if len(found) < count:
    raise SystemExit(f'{folder} has {len(found)} photos, not {count}.')
  return [found[i * len(found) // count] for i in range(count)]


def spoil(
  task: str, photo: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray | None]:
  """What everybody is given, uint8, and where something is missing: bool."""
  if task == 'colorization':
    return np.asarray(Image.fromarray(photo).convert('L').convert('RGB')), None
  if task == 'jpeg':
    file = io.BytesIO()
    Image.fromarray(photo).save(file, 'JPEG', quality=QUALITY)
    return np.asarray(Image.open(file)), None
  if task == 'inpainting':
    drawn = np.asarray(holes.free_form('20-30%', name, *photo.shape[:2]))
    mask = drawn[..., 0] > 0.5
  else:
    mask = np.zeros(photo.shape[:2], bool)
    mask[:, -(photo.shape[1] // 4) :] = True
  return np.where(mask[..., None], np.uint8(127), photo), mask


def answer(
  model: palette_jax.Model,
  task: str,
  given: np.ndarray,
  mask: np.ndarray | None,
  **drawing,
) -> np.ndarray:
  """The square, as the task's command fills it."""
  if task == 'colorization':
    (made,) = model.colorize(given, **drawing)
  elif task == 'jpeg':
    (made,) = model.restore_jpeg(given, **drawing)
  elif task == 'inpainting':
    white = np.where(mask, np.uint8(255), np.uint8(0))
    (made,) = model.inpaint(given, white, **drawing)
  else:
    left = int((~mask).all(axis=0).sum())
    right = given.shape[1] - left
    (made,) = model.uncrop(given[:, :left], right=right, **drawing)
  return np.asarray(made.image)


def draw(
  model: palette_jax.Model,
  task: str,
  photos: list[pathlib.Path],
  folder: pathlib.Path,
  row: str = ROW,
  **drawing,
) -> float | None:
  """Writes originals, inputs, holes, the model's answers; seconds of each.

  Each photo has its own seed. One noise for all would tint them alike, by
  chance, and an interval over photos would not know of it.
  """
  seconds = []
  for seed, path in enumerate(photos):
    if (folder / row / f'{path.stem}.png').exists():  # written last
      continue
    photo = np.asarray(seams.middle(path, model.size[0]))
    given, mask = spoil(task, photo, path.stem)
    start = time.perf_counter()
    found = answer(model, task, given, mask, seed=seed, **drawing)
    seconds.append(time.perf_counter() - start)
    shown = dict(originals=photo, inputs=given)
    if mask is not None:
      shown['holes'] = np.repeat(mask[..., None], 3, axis=-1) * np.uint8(255)
    for kind, pixels in (shown | {row: found}).items():
      (folder / kind).mkdir(parents=True, exist_ok=True)
      images.write_png(folder / kind / f'{path.stem}.png', pixels)
  return float(np.median(seconds)) if seconds else None


def subject(
  task: str, folder: pathlib.Path, rows: list[str]
) -> matching.Comparison:
  """What `draw` has written of the rows, and below them the trivial answer."""
  given = {
    kind: str(folder / kind) if (folder / kind).exists() else None
    for kind in ('originals', 'inputs', 'holes')
  }
  plain = baselines.write(
    task, given['inputs'], given['holes'], folder / 'trivial'
  )
  drawn = {row: [str(folder / row)] for row in rows}
  return matching.Comparison(drawn | {baselines.label(task): [plain]}, **given)


def judge(task: str, folder: pathlib.Path) -> dict:
  """The model's figures, the trivial answers' less them, and the verdict."""
  found = protocol.judge(subject(task, folder, [ROW]), metrics=METRICS)
  less = found.differences[baselines.label(task)]
  return dict(
    trivial=baselines.label(task),
    good=bool(less['lpips_alex'].low > 0),
    rows={
      row: {metric: found.rows[row][metric]._asdict() for metric in METRICS}
      for row in (ROW, baselines.label(task))
    },
    trivial_less_model={
      metric: estimate._asdict() for metric, estimate in less.items()
    },
  )


def line(task: str, found: dict) -> str:
  """A task's verdict in words."""
  own = found['rows'][ROW]['lpips_alex']['value']
  less = found['trivial_less_model']['lpips_alex']
  verdict = 'good' if found['good'] else 'experimental'
  took = found['seconds']
  took = 'nothing was drawn' if took is None else f'{took:.1f} s a photo'
  return (
    f'{task:13} LPIPS {own:.3f}; {found["trivial"]} {less["value"]:+.3f} '
    f'[{less["low"]:+.3f}, {less["high"]:+.3f}]: {verdict}; {took}'
  )


def ship(
  source: str, path: str, experimental: list[str], drawing: dict
) -> None:
  """Writes a file of weights again, that says what they are not good at."""
  tensors, config = tensor_file.read(source)
  config |= dict(experimental=experimental)
  if drawing:
    chosen = dict(name=drawing['sampler'], steps=drawing['steps'])
    # As the commands do in few steps (Weights.choose).
    chosen |= dict(variance='posterior')
    objective = config['objective']
    objective['sampler'] = objective.get('sampler', {}) | chosen
  with files.replacing(path) as partial:
    tensor_file.write(partial, 'safetensors', tensors, config)


def main() -> None:
  """Draws, judges, prints, writes."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--weights', default='')
  parser.add_argument('--photos', type=pathlib.Path, required=True)
  parser.add_argument('--count', type=int, default=100)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  parser.add_argument('--sampler', default='')
  parser.add_argument('--steps', type=int, default=0)
  parser.add_argument('--ship', default='')
  args = parser.parse_args()
  if args.count < intervals.LEAST:
    parser.error(f'An interval takes {intervals.LEAST} photos.')
  if args.ship and pathlib.Path(args.weights).suffix != '.safetensors':
    parser.error('--ship takes --weights=FILE.safetensors, by palette export.')
  if bool(args.sampler) != bool(args.steps):
    parser.error('--sampler and --steps go together.')
  photos = some(args.photos, args.count)
  model = palette_jax.load(args.weights)
  tasks = {}
  drawing = {}
  if args.sampler:
    drawing = dict(sampler=args.sampler, steps=args.steps)
  for task in model.tasks:
    seconds = draw(model, task, photos, args.out / task, **drawing)
    tasks[task] = judge(task, args.out / task) | dict(seconds=seconds)
    print(line(task, tasks[task]), flush=True)
  kept = dict(photos=args.count, side=model.size[0])
  kept |= dict(weights=model.checkpoint, tasks=tasks)
  kept |= drawing
  (args.out / 'unseen.json').write_text(json.dumps(kept, indent=1) + '\n')
  if args.ship:
    bad = [task for task, one in tasks.items() if not one['good']]
    ship(args.weights, args.ship, bad, drawing)
    print(args.ship, 'experimental:', ', '.join(bad) or 'nothing')


if __name__ == '__main__':
  main()
