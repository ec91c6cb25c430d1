"""Samples of a run, as files."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from PIL import Image
from runs import load, micro

from palette_jax import sharding
from palette_jax.evaluation import samples
from palette_jax.training import run as runs


@pytest.fixture
def request_of(photo_folder, monkeypatch):
  """A config, its run and random weights, on two devices."""
  mesh = sharding.make_mesh(devices=jax.devices()[:2])
  monkeypatch.setattr(sharding, 'make_mesh', lambda fsdp: mesh)

  def build(name='inpaint', **evaluation):
    config = micro(load(name), f'folder:{photo_folder}')
    config.evaluation.update(
      source=f'folder:{photo_folder}', batch=8, **evaluation
    )
    run = runs.build(config)
    params = run.learner.create_state().params
    return config, run, params

  return build


def files(folder):
  return {
    str(file.relative_to(folder)): file.read_bytes()
    for file in pathlib.Path(folder).glob('**/*.png')
  }


def test_a_stopped_evaluation_ends_with_the_same_pixels(request_of, tmp_path):
  """12 images in batches of 8; incomplete batches are drawn again."""
  config, run, params = request_of(cases=('inpainting:centre',), samples=2)
  (request,) = samples.requests(config, run, 3, str(tmp_path))
  samples.draw(request, run, params)
  whole = files(request.folder)
  assert len(whole) == 12 * 5  # originals, inputs, holes, two samples
  for lost in ('outputs-2/b/11.png', 'outputs-2/b/09.png', 'outputs/b/09.png'):
    (request.folder / lost).unlink()
  first = pathlib.Path(request.folder, 'outputs/a/00.png')
  kept = first.stat().st_mtime_ns
  samples.draw(request, run, params)
  assert files(request.folder) == whole
  assert first.stat().st_mtime_ns == kept


def test_known_pixels_of_the_files_are_the_original_s(request_of, tmp_path):
  config, run, params = request_of(cases=('inpainting:20-30%',))
  (request,) = samples.requests(config, run, 0, str(tmp_path))
  samples.draw(request, run, params)
  for name in request.selection.names:
    original, output, hole, shown = (
      np.asarray(Image.open(request.folder / kind / f'{name}.png'))
      for kind in ('originals', 'outputs', 'holes', 'inputs')
    )
    known = hole == 0
    assert (
      np.array_equal(output[known], original[known]) and (hole == 255).any()
    )
    assert (shown[~known] == 128).all()
    assert not np.array_equal(output, original)


def test_a_folder_has_one_request(request_of, tmp_path):
  config, run, params = request_of(cases=('inpainting:centre',))
  (request,) = samples.requests(config, run, 3, str(tmp_path))
  samples.draw(request, run, params)
  with config.unlocked():
    config.objective.sample_schedule.num_steps = 5
  (other,) = samples.requests(config, run, 3, str(tmp_path))
  with pytest.raises(ValueError, match='sample_schedule'):
    samples.draw(other, run, params)
  assert json.loads((request.folder / 'request.json').read_text())['step'] == 3
  shutil.rmtree(request.folder)
  samples.draw(other, run, params)


def test_an_unreadable_image_is_named(request_of, photo_folder, tmp_path):
  config, run, params = request_of(cases=('inpainting:centre',))
  (photo_folder / 'a/06.jpg').write_bytes(b'no image')
  (request,) = samples.requests(config, run, 0, str(tmp_path))
  with pytest.raises(ValueError, match='a/06.jpg'):
    samples.draw(request, run, params)
