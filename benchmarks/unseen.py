"""Compares weights with answers without a model, on photos not trained on.

  palette export runs/multitask multitask.safetensors --half
  python -m benchmarks.unseen --weights=multitask.safetensors \
    --photos=PHOTOS --out=unseen

Each of the four tasks is done as its command does it, on the middle square of N
photos at the size that the weights were trained on: grey copies; free-form
holes of 20-30%; a missing right quarter; JPEGs of quality 10. The results are
LPIPS and PSNR of the model's answers and of the trivial ones
(palette_jax/evaluation/baselines.py), with the 95% interval of their paired
difference. A task is good if the whole interval of LPIPS favours the model, and
experimental otherwise.

  --ship=palette_jax/weights/multitask.safetensors

then writes the weights to that file with the names of the experimental tasks,
whose commands say so before they run. --sampler and --steps, to be selected on
other photos, are written, too, and become the defaults of its commands. An
interrupted run can be continued.
"""

import argparse
import io
import json
import pathlib
import time
from typing import Any, TypedDict

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


class Drawing(TypedDict, total=False):
  """Options of sampling; by default, those of the weights."""

  sampler: str
  steps: int


def choose_photos(folder: pathlib.Path, count: int) -> list[pathlib.Path]:
  """Chooses photos below a folder, evenly by name.

  Raises:
    SystemExit: if there are fewer than `count`.
  """
  paths = sorted(folder.rglob('*.[jp][pn]*g'))
  if len(paths) < count:
    raise SystemExit(f'{folder} has {len(paths)} photos, not {count}.')
  return [paths[i * len(paths) // count] for i in range(count)]


def spoil(
  task: str, photo: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray | None]:
  """Returns a degraded photo in uint8 and its hole in bool, or None."""
  if task == 'colorization':
    return np.asarray(Image.fromarray(photo).convert('L').convert('RGB')), None
  if task == 'jpeg':
    file = io.BytesIO()
    Image.fromarray(photo).save(file, 'JPEG', quality=QUALITY)
    return np.asarray(Image.open(file)), None
  if task == 'inpainting':
    height, width = photo.shape[:2]
    hole = np.asarray(holes.free_form('20-30%', name, height, width))
    mask = hole[..., 0] > 0.5
  else:
    mask = np.zeros(photo.shape[:2], bool)
    mask[:, -(photo.shape[1] // 4) :] = True
  return np.where(mask[..., None], np.uint8(127), photo), mask


def answer(
  model: palette_jax.Model,
  task: str,
  given: np.ndarray,
  mask: np.ndarray | None,
  seed: int,
  drawing: Drawing | None = None,
) -> np.ndarray:
  """Returns the square as the task's command paints it."""
  options = drawing or Drawing()
  if task == 'colorization':
    (result,) = model.colorize(given, seed=seed, **options)
  elif task == 'jpeg':
    (result,) = model.restore_jpeg(given, seed=seed, **options)
  elif task == 'inpainting':
    white = np.where(_present(mask), np.uint8(255), np.uint8(0))
    (result,) = model.inpaint(given, white, seed=seed, **options)
  else:
    left = int((~_present(mask)).all(axis=0).sum())
    right = given.shape[1] - left
    (result,) = model.uncrop(given[:, :left], right=right, seed=seed, **options)
  return np.asarray(result.image)


def _present(mask: np.ndarray | None) -> np.ndarray:
  assert mask is not None, 'this task has a hole'
  return mask


def draw(
  model: palette_jax.Model,
  task: str,
  photos: list[pathlib.Path],
  folder: pathlib.Path,
  row: str = ROW,
  drawing: Drawing | None = None,
) -> float | None:
  """Writes originals, inputs, holes and the model's answers.

  Each photo has its own seed. With one noise for all, chance could tint all
  photos alike, which an interval over photos would not reflect.

  Returns:
    The median seconds per photo, None if all answers exist already.
  """
  seconds = []
  for seed, path in enumerate(photos):
    if (folder / row / f'{path.stem}.png').exists():  # written last
      continue
    photo = np.asarray(seams.middle(path, model.size[0]))
    given, mask = spoil(task, photo, path.stem)
    start = time.perf_counter()
    painted = answer(model, task, given, mask, seed, drawing)
    seconds.append(time.perf_counter() - start)
    files_by_kind = dict(originals=photo, inputs=given)
    if mask is not None:
      files_by_kind['holes'] = np.repeat(
        mask[..., None], 3, axis=-1
      ) * np.uint8(255)
    for kind, pixels in (files_by_kind | {row: painted}).items():
      (folder / kind).mkdir(parents=True, exist_ok=True)
      images.write_png(folder / kind / f'{path.stem}.png', pixels)
  return float(np.median(seconds)) if seconds else None


def subject(
  task: str, folder: pathlib.Path, rows: list[str]
) -> matching.Comparison:
  """Returns the rows that `draw` has written and, last, the trivial answer."""
  originals, inputs = str(folder / 'originals'), str(folder / 'inputs')
  masks = str(folder / 'holes') if (folder / 'holes').exists() else None
  plain = baselines.write(task, inputs, masks, folder / 'trivial')
  answers = {row: [str(folder / row)] for row in rows}
  return matching.Comparison(
    answers | {baselines.label(task): [plain]}, originals, inputs, masks
  )


def judge(task: str, folder: pathlib.Path) -> dict[str, Any]:
  """Returns the figures, the trivial answers' less the model's, the verdict."""
  results = protocol.judge(subject(task, folder, [ROW]), metrics=METRICS)
  less = results.differences[baselines.label(task)]
  low = less['lpips_alex'].low
  return dict(
    trivial=baselines.label(task),
    good=bool(low is not None and low > 0),
    rows={
      row: {metric: results.rows[row][metric]._asdict() for metric in METRICS}
      for row in (ROW, baselines.label(task))
    },
    trivial_less_model={
      metric: estimate._asdict() for metric, estimate in less.items()
    },
  )


def line(task: str, results: dict[str, Any]) -> str:
  """Returns a task's verdict in words."""
  own = results['rows'][ROW]['lpips_alex']['value']
  less = results['trivial_less_model']['lpips_alex']
  verdict = 'good' if results['good'] else 'experimental'
  seconds = results['seconds']
  speed = (
    'nothing was drawn' if seconds is None else f'{seconds:.1f} s per photo'
  )
  return (
    f'{task:13} LPIPS {own:.3f}; {results["trivial"]} {less["value"]:+.3f} '
    f'[{less["low"]:+.3f}, {less["high"]:+.3f}]: {verdict}; {speed}'
  )


def ship(
  source: str, path: str, experimental: list[str], drawing: Drawing
) -> None:
  """Writes weights to a file that names the experimental tasks."""
  tensors, config = tensor_file.read(source)
  config |= dict(experimental=experimental)
  if drawing:
    chosen = dict(name=drawing['sampler'], steps=drawing['steps'])
    # As the commands do for few steps (Weights.choose).
    chosen |= dict(variance='posterior')
    objective = config['objective']
    objective['sampler'] = objective.get('sampler', {}) | chosen
  with files.replacing(path) as partial:
    tensor_file.write(partial, 'safetensors', tensors, config)


def main() -> None:
  """Samples, evaluates, prints and writes."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--weights', default='', help="default: the package's")
  parser.add_argument(
    '--photos', type=pathlib.Path, required=True, help='folder'
  )
  parser.add_argument('--count', type=int, default=100, help='photos')
  parser.add_argument('--out', type=pathlib.Path, required=True, help='folder')
  parser.add_argument('--sampler', default='', help="default: the weights' own")
  parser.add_argument(
    '--steps', type=int, default=0, help="default: the weights' own number"
  )
  parser.add_argument('--ship', default='', help='file to write')
  args = parser.parse_args()
  if args.count < intervals.LEAST:
    parser.error(f'An interval needs at least {intervals.LEAST} photos.')
  if args.ship and pathlib.Path(args.weights).suffix != '.safetensors':
    parser.error('--ship needs --weights=FILE.safetensors from palette export.')
  if bool(args.sampler) != bool(args.steps):
    parser.error('--sampler and --steps go together.')
  photos = choose_photos(args.photos, args.count)
  model = palette_jax.load(args.weights)
  tasks = {}
  drawing = Drawing()
  if args.sampler:
    drawing = Drawing(sampler=args.sampler, steps=args.steps)
  for task in model.tasks:
    seconds = draw(model, task, photos, args.out / task, drawing=drawing)
    tasks[task] = judge(task, args.out / task) | dict(seconds=seconds)
    print(line(task, tasks[task]), flush=True)
  report = dict(
    photos=args.count,
    side=model.size[0],
    weights=model.checkpoint,
    tasks=tasks,
    **drawing,
  )
  (args.out / 'unseen.json').write_text(json.dumps(report, indent=1) + '\n')
  if args.ship:
    experimental = [task for task in tasks if not tasks[task]['good']]
    ship(args.weights, args.ship, experimental, drawing)
    print(args.ship, 'experimental:', ', '.join(experimental) or 'nothing')


if __name__ == '__main__':
  main()
