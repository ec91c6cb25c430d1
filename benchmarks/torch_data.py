"""Our examples prepared by PyTorch's DataLoader, with Pillow and NumPy.

It is written as most users of PyTorch would write it: a map-style data set with
one image at a time, workers in processes, Pillow for decoding, cropping,
resizing, JPEG and brush strokes, and NumPy for the rest.
"""

import io
import math
from collections.abc import Generator

import numpy as np
import torch
from PIL import Image, ImageDraw

from palette_jax import masks

SIZE = 256
Pair = tuple[np.ndarray, np.ndarray]  # condition and mask


class Examples(torch.utils.data.Dataset):
  """Targets, conditions and masks of a task, as float32 tensors [c, h, w]."""

  def __init__(self, paths: list[str], task: str) -> None:
    self.paths = paths
    self.corrupt = {
      'unconditional': unconditional,
      'colorization': colorization,
      'inpainting': inpainting,
      'uncropping': uncropping,
      'jpeg': jpeg,
    }[task]

  def __len__(self) -> int:
    return len(self.paths)

  def __getitem__(self, index: int) -> list[torch.Tensor]:
    draw = np.random.default_rng()
    image = Image.open(self.paths[index]).convert('RGB')
    side = min(image.size)
    left = int(draw.integers(image.width - side + 1))
    top = int(draw.integers(image.height - side + 1))
    box = (left, top, left + side, top + side)
    image = image.resize((SIZE, SIZE), Image.Resampling.BOX, box=box)
    target = to_float(image)
    cond, mask = self.corrupt(draw, image, target)
    rows = (target, cond, mask)
    return [torch.from_numpy(row.transpose(2, 0, 1).copy()) for row in rows]


def to_float(image: Image.Image) -> np.ndarray:
  """Returns an image as [h, w, 3] in [-1, 1]."""
  return np.asarray(image, np.float32) / 127.5 - 1.0


def everywhere() -> np.ndarray:
  return np.ones([SIZE, SIZE, 1], np.float32)


def unconditional(
  draw: np.random.Generator, image: Image.Image, target: np.ndarray
) -> Pair:
  return np.zeros_like(target), everywhere()


def colorization(
  draw: np.random.Generator, image: Image.Image, target: np.ndarray
) -> Pair:
  grey = np.asarray(image.convert('L'), np.float32) / 127.5 - 1.0
  return np.repeat(grey[..., None], 3, axis=2), everywhere()


def jpeg(
  draw: np.random.Generator, image: Image.Image, target: np.ndarray
) -> Pair:
  factors = np.arange(5, 31)
  law = np.exp(-factors / 10)
  quality = int(draw.choice(factors, p=law / law.sum()))
  file = io.BytesIO()
  image.save(file, 'JPEG', quality=quality)
  return to_float(Image.open(file)), everywhere()


def fill(
  draw: np.random.Generator, target: np.ndarray, mask: np.ndarray
) -> Pair:
  """Fills the hole with noise."""
  noise = draw.standard_normal(target.shape, np.float32)
  return np.where(mask > 0.5, noise, target), mask


def inpainting(
  draw: np.random.Generator, image: Image.Image, target: np.ndarray
) -> Pair:
  shape = free_form if draw.random() < 0.6 else rectangles
  return fill(draw, target, shape(draw))


def uncropping(
  draw: np.random.Generator, image: Image.Image, target: np.ndarray
) -> Pair:
  mask = np.zeros([SIZE, SIZE, 1], np.float32)
  case, half = draw.integers(5), SIZE // 2
  if case == 4:
    mask[:] = 1
    kept = round(SIZE / math.sqrt(2))
    edge = (SIZE - kept) // 2
    mask[edge : edge + kept, edge : edge + kept] = 0
  else:
    start = half * (case % 2)
    side = slice(start, start + half)
    mask[(side, slice(None)) if case < 2 else (slice(None), side)] = 1
  return fill(draw, target, mask)


def free_form(draw: np.random.Generator) -> np.ndarray:
  """Draws brush strokes: lines as thick as the brush, with discs at corners."""
  mask = Image.new('L', (SIZE, SIZE), 0)
  pen = ImageDraw.Draw(mask)
  mean_step = math.hypot(SIZE, SIZE) / 8
  for _ in range(draw.integers(1, masks.MAX_STROKES + 1)):
    low = masks.MEAN_ANGLE - draw.uniform(0, masks.ANGLE_RANGE)
    high = masks.MEAN_ANGLE + draw.uniform(0, masks.ANGLE_RANGE)
    path = [tuple(draw.integers(0, SIZE, 2))]
    for i in range(draw.integers(masks.SEGMENTS[0], masks.SEGMENTS[1] + 1)):
      angle = draw.uniform(low, high)
      angle = 2 * math.pi - angle if i % 2 == 0 else angle
      step = np.clip(draw.normal(mean_step, mean_step / 2), 0, 2 * mean_step)
      x, y = path[-1]
      x = np.clip(x + step * math.cos(angle), 0, SIZE)
      y = np.clip(y + step * math.sin(angle), 0, SIZE)
      path.append((int(x), int(y)))
    width = int(draw.uniform(*masks.BRUSH_WIDTH))
    pen.line(path, fill=1, width=width)
    for x, y in path:
      ends = (x - width // 2, y - width // 2, x + width // 2, y + width // 2)
      pen.ellipse(ends, fill=1)
  return np.asarray(mask, np.float32)[..., None]


def rectangles(draw: np.random.Generator) -> np.ndarray:
  """Draws one to five rectangles until their area lies within the limits."""
  count = draw.integers(1, masks.MAX_RECTANGLES + 1)
  while True:
    mask = np.zeros([SIZE, SIZE, 1], np.float32)
    area = draw.uniform(*masks.RECTANGLES_AREA) * SIZE**2
    for share in draw.dirichlet(np.ones(count)):
      low, high = map(math.log, masks.ASPECT)
      aspect = math.exp(draw.uniform(low, high))
      tall = min(
        max(math.sqrt(area * share * aspect), area * share / SIZE), SIZE
      )
      wide = area * share / tall
      top, left = draw.uniform(0, SIZE - tall), draw.uniform(0, SIZE - wide)
      mask[round(top) : round(top + tall), round(left) : round(left + wide)] = 1
    if masks.RECTANGLES_AREA[0] <= mask.mean() <= masks.RECTANGLES_AREA[1]:
      return mask


def batches(
  paths: list[str], task: str, batch: int, workers: int
) -> Generator[list[torch.Tensor]]:
  """Yields batches that `workers` processes prepare, or this one if 0."""
  data = Examples(paths, task)
  sampler = torch.utils.data.RandomSampler(
    data, replacement=True, num_samples=1_000_000
  )
  yield from torch.utils.data.DataLoader(
    data, batch, sampler=sampler, num_workers=workers
  )
