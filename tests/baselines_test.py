"""Answers without a model."""

import numpy as np
import pytest

from palette_jax import images, tasks
from palette_jax.evaluation import baselines
from palette_jax.tasks import inpainting, uncropping


def _blob(rng, height, width):
  """A hole that touches no edge."""
  mask = np.zeros([height, width], bool)
  mask[3:-4, 5:-3] = rng.random([height - 7, width - 8]) < 0.7
  return mask


def test_diffusion_continues_a_ramp():
  """Linear functions solve Laplace's equation, whatever the hole's shape."""
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:24, :31]
  ramp = np.stack([4 * y + 3 * x, 200 - 2 * x - y, 100 + 0 * x], -1)
  ramp = ramp.astype(np.uint8)
  mask = _blob(rng, 24, 31)
  broken = np.where(mask[..., None], np.uint8(7), ramp)
  np.testing.assert_array_equal(inpainting.baseline(broken, mask), ramp)


def test_diffusion_stays_within_what_is_known_and_keeps_it():
  rng = np.random.default_rng(1)
  image = rng.integers(40, 200, [20, 20, 3], dtype=np.uint8)
  mask = rng.random([20, 20]) < 0.5
  result = inpainting.baseline(image, mask)
  np.testing.assert_array_equal(result[~mask], image[~mask])
  known = image[~mask]
  assert (result >= known.min(0)).all() and (result <= known.max(0)).all()


def test_replication_repeats_the_last_known_column():
  rng = np.random.default_rng(2)
  image = rng.integers(0, 255, [6, 10, 3], dtype=np.uint8)
  mask = np.zeros([6, 10], bool)
  mask[:, 5:] = True
  result = uncropping.baseline(image, mask)
  np.testing.assert_array_equal(result[:, :5], image[:, :5])
  np.testing.assert_array_equal(result[:, 5:], image[:, 4:5].repeat(5, axis=1))


@pytest.mark.parametrize('task', tasks.for_photos(), ids=lambda t: t.name)
def test_baselines_are_files_beside_the_inputs_and_written_once(task, tmp_path):
  rng = np.random.default_rng(3)
  inputs = rng.integers(0, 255, [3, 8, 8, 3], dtype=np.uint8)
  hole = np.zeros([8, 8, 3], np.uint8)
  hole[2:6, 2:6] = 255
  for i, image in enumerate(inputs):
    images.write_png(tmp_path / f'inputs/a/{i}.png', image)
    images.write_png(tmp_path / f'holes/a/{i}.png', hole)
  out = tmp_path / 'out'
  folders = str(tmp_path / 'inputs'), str(tmp_path / 'holes')
  if not task.has_hole:
    assert baselines.write(task.name, folders[0], None, out) == folders[0]
    return
  assert baselines.write(task.name, *folders, out) == str(out)
  files = sorted(out.rglob('*.png'))
  assert [file.stem for file in files] == ['0', '1', '2']
  before = [file.stat().st_mtime_ns for file in files]
  baselines.write(task.name, *folders, out)
  assert [file.stat().st_mtime_ns for file in files] == before
