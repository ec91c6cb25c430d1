"""Inputs that make.py gives to the original projects and parity_test.py to us.

Weights are drawn with seeds from their names, so that no file need hold them.
"""

import math
import pathlib
import zlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent

# Fields of our UNet, the `size` of the images and the order of the weights of
# attention. The first has the paper's geometry at an eighth of its width.
GUIDED_DIFFUSION = {
  'six_levels': dict(
    size=(64, 96),
    channels=32,
    channel_mult=(1, 1, 2, 2, 4, 4),
    num_res_blocks=2,
    attention_levels=(3, 4, 5),
    head_channels=16,
    resblock_updown=True,
  ),
  'five_levels': dict(
    size=(48, 80),
    channels=32,
    channel_mult=(1, 1, 2, 2, 2),
    num_res_blocks=1,
    attention_levels=(1, 3),
    head_channels=16,
    resblock_updown=False,
    new_attention_order=True,
  ),
  'no_attention': dict(
    size=(24, 16),
    channels=64,
    channel_mult=(1, 2),
    num_res_blocks=2,
    attention_levels=(),
    head_channels=8,
    resblock_updown=True,
  ),
}
JANSPIRY = {
  'port': dict(
    size=(32, 48),
    channels=32,
    channel_mult=(1, 2, 4),
    num_res_blocks=2,
    attention_levels=(1,),
    head_channels=32,
    resblock_updown=True,
    noise_level='gamma',
  ),
  'port_convolutions': dict(
    size=(16, 16),
    channels=32,
    channel_mult=(1, 2),
    num_res_blocks=1,
    attention_levels=(0, 1),
    head_channels=16,
    resblock_updown=False,
    noise_level='gamma',
  ),
}
# guided-diffusion's own use: 3 channels in, 6 out, whole time steps.
WARM_START = dict(
  size=(16, 16),
  channels=32,
  channel_mult=(1, 2),
  num_res_blocks=1,
  attention_levels=(1,),
  head_channels=64,
  resblock_updown=True,
  noise_level='time_step',
)
TIME_STEPS = (0, 1, 10, 250, 500, 998, 999)
# The port's own sampler with the network 'port_convolutions'.
SAMPLER = dict(start=1e-4, end=0.9, num_steps=30)


def fields_of(case: dict) -> dict:
  """Returns the fields of a case that belong to our UNet."""
  other = ('size', 'new_attention_order')
  return {name: value for name, value in case.items() if name not in other}


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
  """Returns weights other than zero that keep activations of order 1."""
  draw = np.random.RandomState(zlib.crc32(name.encode()))
  numbers = draw.standard_normal(shape).astype(np.float32)
  if len(shape) > 1:
    return numbers / np.float32(math.sqrt(math.prod(shape[1:])))
  return np.float32(0.1) * numbers + np.float32(name.endswith('weight'))


def images(name: str, size: tuple[int, int], count: int) -> np.ndarray:
  """Returns standard normal images, [count, h, w, 3]."""
  draw = np.random.RandomState(zlib.crc32(name.encode()))
  return draw.standard_normal([count, *size, 3]).astype(np.float32)


def gammas(count: int) -> np.ndarray:
  """Returns noise levels from near 0 to near 1."""
  return np.linspace(0.01, 0.98, count).astype(np.float32)


def hole(size: tuple[int, int]) -> np.ndarray:
  """Returns a mask, [1, h, w, 1], that is 1 in the left half."""
  mask = np.zeros([1, *size, 1], np.float32)
  mask[:, :, : size[1] // 2] = 1
  return mask


def tensors() -> dict[str, np.ndarray]:
  """Returns what tensors.pth holds: many types, views and an empty array."""
  draw = np.random.RandomState(0)
  return {
    'float': draw.standard_normal([2, 3]).astype(np.float32),
    'transposed': draw.standard_normal([3, 4]).astype(np.float32).T,
    'double': draw.standard_normal([3]),
    'half': draw.standard_normal([3]).astype(np.float16),
    'whole': np.arange(-3, 4),
    'small': np.arange(5, dtype=np.uint8),
    'truth': np.array([True, False]),
    'scalar': np.array(3.5, np.float32),
    'empty': np.zeros([0, 2], np.float32),
    'slice': np.arange(10, dtype=np.float32)[3:7],
  }
