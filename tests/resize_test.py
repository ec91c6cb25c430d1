"""Resizing: each dialect is that of the program it is named after."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from palette_jax.evaluation.networks import resize

# Up, down, both, by odd factors, and not at all.
SIZES = [
  ((40, 56), (47, 65)),
  ((64, 48), (23, 17)),
  ((31, 70), (60, 29)),
  ((9, 7), (9, 7)),
  ((1, 3), (5, 8)),
]
DIALECTS = [
  resize.tf1_bilinear,
  resize.torch_bilinear,
  resize.torch_bicubic,
  resize.pil_bilinear,
  resize.pil_bicubic,
]


def noise(height, width):
  """Whatever a dialect does differently, noise shows it."""
  draw = np.random.default_rng(height * 100 + width)
  return draw.integers(0, 256, [2, height, width, 3], np.uint8)


def resized(images, size, dialect):
  return np.asarray(resize.apply(jnp.asarray(images), *size, dialect))


@pytest.mark.parametrize(('size', 'out'), SIZES)
def test_tf1_is_tensorflow_1_s(size, out):
  import tensorflow as tf

  images = noise(*size)
  expected = tf.compat.v1.image.resize_bilinear(
    images, out, align_corners=False, half_pixel_centers=False
  )
  result = resized(images, out, resize.tf1_bilinear)
  assert np.abs(result - expected.numpy()).max() < 2e-4  # of 255


@pytest.mark.parametrize(('size', 'out'), SIZES)
@pytest.mark.parametrize('name', ['bilinear', 'bicubic'])
def test_pil_is_pillow_s_of_floats(size, out, name):
  images = noise(*size)
  filters = dict(bilinear=Image.BILINEAR, bicubic=Image.BICUBIC)
  expected = np.zeros([2, *out, 3], np.float32)
  for image, channel in np.ndindex(2, 3):
    plane = Image.fromarray(images[image, :, :, channel].astype(np.float32))
    plane = plane.resize(out[::-1], filters[name])
    expected[image, :, :, channel] = np.asarray(plane)
  result = resized(images, out, getattr(resize, f'pil_{name}'))
  assert np.abs(result - expected).max() < 2e-4


@pytest.mark.slow
@pytest.mark.parametrize(('size', 'out'), SIZES)
@pytest.mark.parametrize('name', ['bilinear', 'bicubic'])
def test_torch_is_pytorch_s(size, out, name):
  torch = pytest.importorskip('torch')
  images = noise(*size)
  tensor = torch.tensor(images.transpose(0, 3, 1, 2)).float()
  expected = torch.nn.functional.interpolate(
    tensor, size=out, mode=name, align_corners=False
  )
  result = resized(images, out, getattr(resize, f'torch_{name}'))
  assert np.abs(result - expected.permute(0, 2, 3, 1).numpy()).max() < 5e-4


def test_the_torch_dialect_is_jax_s_without_antialias():
  """Independent, and there where PyTorch is not."""
  images = noise(40, 56).astype(np.float32)
  for out in (47, 65), (23, 17):
    expected = jax.image.resize(
      images, [2, *out, 3], 'bilinear', antialias=False, precision='highest'
    )
    result = resized(images, out, resize.torch_bilinear)
    assert np.abs(result - expected).max() < 1e-3


@pytest.mark.parametrize('dialect', DIALECTS)
def test_an_even_image_stays_and_one_of_this_size_too(dialect):
  for size, out in SIZES:
    even = np.full([2, *size, 3], 77, np.uint8)
    assert np.abs(resized(even, out, dialect) - 77).max() < 1e-4
    images = noise(*size)
    assert np.abs(resized(images, size, dialect) - images).max() < 1e-4


def test_the_dialects_differ_by_more_than_noise_of_rounding():
  """At 256 -> 299 by much, which is why every figure names its own."""
  images = noise(256, 256)
  three = resize.tf1_bilinear, resize.torch_bilinear, resize.pil_bicubic
  a, b, c = (resized(images, (299, 299), dialect) for dialect in three)
  assert min(np.abs(a - b).max(), np.abs(b - c).max()) > 10
  assert c.max() > 256 and c.min() < -1  # a cubic overshoots


def test_the_middle_is_cropped_as_classifiers_are_tested():
  images = noise(256, 256)
  cropped = resize.centre_224(jnp.asarray(images), resize.pil_bilinear)
  assert np.array_equal(cropped, images[:, 16:240, 16:240])
  ramp = np.broadcast_to(
    np.arange(250, dtype=np.uint8)[None, None, :, None], [1, 128, 250, 3]
  )
  cropped = resize.centre_224(jnp.asarray(ramp), resize.pil_bilinear)
  assert cropped.shape == (1, 224, 224, 3)
  # A pixel of 500 is half of one of 250: its middle, 249.5, is at 124.5.
  assert abs(cropped[..., 111:113, :].mean() - 124.5) < 1e-3
