"""The same examples by PyTorch's DataLoader, with PIL and NumPy.

What most people would write, and what users of PyTorch have now: one image at a
time in a map-style data set, workers as processes, PIL for decoding, cropping,
resizing, JPEG and brush strokes, NumPy for the rest.
"""

import io
import math

import numpy as np
import torch
from PIL import Image, ImageDraw

from palette_jax import masks

SIZE = 256


class Examples(torch.utils.data.Dataset):
  """target, cond, mask of a task, as float32 tensors [c, h, w]."""

  def __init__(self, paths: list[str], task: str):
    self.paths = paths
    self.corrupt = {
      'unconditional': unconditional,
      'colorization': colorization,
      'inpainting': inpainting,
      'uncropping': uncropping,
      'jpeg': jpeg,
    }[task]

  def __len__(self):
    return len(self.paths)

  def __getitem__(self, i):
    draw = np.random.default_rng()
    image = Image.open(self.paths[i]).convert('RGB')
    side = min(image.size)
    left = draw.integers(image.width - side + 1)
    top = draw.integers(image.height - side + 1)
    box = (left, top, left + side, top + side)
    image = image.resize((SIZE, SIZE), Image.Resampling.BOX, box=box)
    target = to_float(image)
    cond, mask = self.corrupt(draw, image, target)
    rows = (target, cond, mask)
    return [torch.from_numpy(row.transpose(2, 0, 1).copy()) for row in rows]


def to_float(image):
  """[h, w, 3] in [-1, 1]."""
  return np.asarray(image, np.float32) / 127.5 - 1.0


def everywhere():
  return np.ones([SIZE, SIZE, 1], np.float32)


def unconditional(draw, image, target):
  return np.zeros_like(target), everywhere()


def colorization(draw, image, target):
  grey = np.asarray(image.convert('L'), np.float32) / 127.5 - 1.0
  return np.repeat(grey[..., None], 3, axis=2), everywhere()


def jpeg(draw, image, target):
  factors = np.arange(5, 31)
  law = np.exp(-factors / 10)
  quality = int(draw.choice(factors, p=law / law.sum()))
  file = io.BytesIO()
  image.save(file, 'JPEG', quality=quality)
  return to_float(Image.open(file)), everywhere()


def fill(draw, target, mask):
  noise = draw.standard_normal(target.shape, np.float32)
  return np.where(mask > 0.5, noise, target), mask


def inpainting(draw, image, target):
  shape = free_form if draw.random() < 0.6 else rectangles
  return fill(draw, target, shape(draw))


def uncropping(draw, image, target):
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


def free_form(draw):
  """Brush strokes: a line as thick as the brush, a disc at every corner."""
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


def rectangles(draw):
  """One to five, drawn again until they cover what they should."""
  count = draw.integers(1, masks.MAX_RECTANGLES + 1)
  while True:
    mask = np.zeros([SIZE, SIZE, 1], np.float32)
    area = draw.uniform(*masks.RECTANGLES_AREA) * SIZE**2
    for share in draw.dirichlet(np.ones(count)):
      aspect = math.exp(draw.uniform(*map(math.log, masks.ASPECT)))
      tall = min(
        max(math.sqrt(area * share * aspect), area * share / SIZE), SIZE
      )
      wide = area * share / tall
      top, left = draw.uniform(0, SIZE - tall), draw.uniform(0, SIZE - wide)
      mask[round(top) : round(top + tall), round(left) : round(left + wide)] = 1
    if masks.RECTANGLES_AREA[0] <= mask.mean() <= masks.RECTANGLES_AREA[1]:
      return mask


def batches(paths, task, batch, workers):
  """Endless batches; made by `workers` processes, or in this one if 0."""
  data = Examples(paths, task)
  sampler = torch.utils.data.RandomSampler(
    data, replacement=True, num_samples=1_000_000
  )
  yield from torch.utils.data.DataLoader(
    data, batch, sampler=sampler, num_workers=workers
  )
