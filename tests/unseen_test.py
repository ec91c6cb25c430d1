"""Weights beside answers that take no model, on photos they never saw."""

import json
import pathlib
import re
import sys
from types import SimpleNamespace

import fake_model
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import palette_jax
from benchmarks import photo_steps, unseen
from palette_jax.evaluation import networks as nets
from palette_jax.evaluation import protocol
from palette_jax.weights import exporter, trained

COUNT, SIDE = 20, 32
DRAWING = dict(sampler='ancestral', steps=5)


class Oracle:
  """Answers with the very photos, in their order.

  But it uncrops by noise, and JPEGs are half of the time as far on the other
  side: no better than they are, by the interval.
  """

  tasks, checkpoint, size = trained.known_tasks(), 'ab' * 32, (SIDE, SIDE)

  def __init__(self, photos):
    self.left = {task: list(photos) for task in self.tasks}

  def _answer(self, task, seed):
    assert seed == COUNT - len(self.left[task])  # each photo has its own
    return [SimpleNamespace(image=self.left[task].pop(0))]

  def colorize(self, given, seed, **drawing):
    assert drawing == DRAWING
    assert given.shape == (SIDE, SIDE, 3) and not np.ptp(given, axis=-1).any()
    return self._answer('colorization', seed)

  def restore_jpeg(self, given, seed, **drawing):
    assert drawing == DRAWING
    odd = len(self.left['jpeg']) % 2
    (output,) = self._answer('jpeg', seed)
    assert not np.array_equal(given, output.image)
    beyond = np.clip(2 * given.astype(int) - output.image, 0, 255)
    return [SimpleNamespace(image=beyond.astype(np.uint8))] if odd else [output]

  def inpaint(self, given, mask, seed, **drawing):
    assert drawing == DRAWING
    assert 0.2 <= (mask == 255).mean() < 0.3
    assert np.all(given[mask > 0] == 127)  # nothing is given away
    return self._answer('inpainting', seed)

  def uncrop(self, given, right, seed, **drawing):
    assert drawing == DRAWING
    known = self.left['uncropping'][0][:, : -SIDE // 4]
    assert np.array_equal(given, known) and right == SIDE // 4
    self._answer('uncropping', seed)
    noise = np.random.default_rng(0).integers(0, 256, [SIDE, SIDE, 3], np.uint8)
    return [SimpleNamespace(image=noise)]


@pytest.fixture
def photos(tmp_path, monkeypatch):
  """Twenty, and in place of LPIPS the mean difference."""

  def apart(params, a_u8, b_u8):
    difference = jnp.abs(a_u8.astype(jnp.float32) - b_u8.astype(jnp.float32))
    return params * jnp.mean(difference, axis=(1, 2, 3)) / 255

  stand_in = nets.Network('lpips-alex', 'a' * 64, '', jnp.float32(1), apart)
  monkeypatch.setattr(
    protocol, 'loaders', lambda dialect: {'lpips_alex': lambda: stand_in}
  )
  draw = np.random.default_rng(1)
  coarse = draw.integers(0, 256, [COUNT, 4, 4, 3], np.uint8)
  result = []
  (tmp_path / 'photos').mkdir()
  for i, small in enumerate(coarse):
    photo = Image.fromarray(small).resize(
      (SIDE, SIDE), Image.Resampling.BICUBIC
    )
    photo.save(tmp_path / 'photos' / f'{i:02}.png')
    result.append(np.asarray(photo))
  return result


def test_what_is_no_better_than_no_model_is_shipped_as_experimental(
  photos, tmp_path, monkeypatch, capsys
):
  whole = str(tmp_path / 'whole.safetensors')
  fake_model.write(whole, fake_model.weights_of())
  file = str(tmp_path / 'made.safetensors')
  exporter.write(whole, file, 'safetensors', half=True)
  model = Oracle(photos)
  monkeypatch.setattr(palette_jax, 'load', lambda source: model)
  shipped = str(tmp_path / 'shipped.safetensors')
  words = [
    'unseen',
    '--photos',
    str(tmp_path / 'photos'),
    '--count',
    str(COUNT),
  ]
  words += ['--weights', file, '--ship', shipped]
  words += ['--sampler', 'ancestral', '--steps', '5']
  monkeypatch.setattr(sys, 'argv', [*words, '--out', str(tmp_path / 'out')])
  for _ in range(2):  # the second time nothing is left to be drawn
    unseen.main()
    assert not any(model.left.values())
    result = json.loads((tmp_path / 'out/unseen.json').read_text())
    assert {t: one['good'] for t, one in result['tasks'].items()} == {
      'colorization': True,
      'inpainting': True,
      'uncropping': False,
      'jpeg': False,
    }
    read = trained.load(shipped)
    assert read.experimental == ('uncropping', 'jpeg')
    assert read.sha256 == trained.load(file).sha256
    assert trained.load(file).choose()['name'] == 'dpm_solver'
    chosen = read.choose()  # what was judged is what the commands do
    assert (chosen['name'], chosen['steps']) == ('ancestral', 5)
    assert chosen['variance'] == 'posterior'
    size = pathlib.Path(shipped).stat().st_size
    assert size < 0.55 * pathlib.Path(whole).stat().st_size  # as it was made
    assert (
      result['tasks']['jpeg']['trivial_less_model']['lpips_alex']['high'] > 0
    )
  assert 'nothing was drawn' in capsys.readouterr().out
  for one in result['tasks'].values():
    less = one['trivial_less_model']['lpips_alex']
    own, other = (
      one['rows'][row]['lpips_alex']['value']
      for row in (unseen.ROW, one['trivial'])
    )
    assert less['value'] == pytest.approx(other - own, abs=1e-6)
    assert own == 0 or not one['good']


class Hurried(Oracle):
  """Answers JPEGs with the photos and an error, larger in 5 steps of DDIM."""

  def restore_jpeg(self, given, seed, sampler, steps):
    (output,) = self._answer('jpeg', seed)
    odd = len(self.left['jpeg']) % 2
    hurried = 20 if sampler == 'ddim' else 2
    levels = {1000: 2 + odd, 10: 3 - odd, 5: hurried}[steps]
    self.left['jpeg'] = self.left['jpeg'] or list(self.again)
    flipped = np.where(output.image < 128, levels, -levels)
    return [SimpleNamespace(image=(output.image + flipped).astype(np.uint8))]


def test_the_fewest_steps_that_are_within_noise_of_all_are_told(
  photos, tmp_path, monkeypatch, capsys
):
  model = Hurried(photos)
  model.again = list(photos)
  monkeypatch.setattr(palette_jax, 'load', lambda source: model)
  monkeypatch.setattr(photo_steps, 'METRICS', ('lpips_alex',))
  words = ['photo_steps', '--photos', str(tmp_path / 'photos')]
  words += ['--out', str(tmp_path / 'out')]
  words += ['--tasks', 'jpeg', '--steps', '1000', '10', 'ddim:5']
  monkeypatch.setattr(sys, 'argv', words)
  photo_steps.main()
  report = capsys.readouterr().out
  [row_10] = re.findall(r'^\| 10 \| (.*) \|$', report, re.M)
  [row_5] = re.findall(r'^\| ddim:5 \| (.*) \|$', report, re.M)
  assert row_10.startswith('**') and not row_5.startswith('**')
  assert '| The JPEG |' in report
  result = json.loads((tmp_path / 'out/jpeg.json').read_text())
  less = result['less_first']['ddim:5']['lpips_alex']
  assert less['value'] == pytest.approx(17.5 / 255, abs=1e-4)
  monkeypatch.setattr(model, 'left', {})  # nothing is drawn again
  photo_steps.main()
  assert report == capsys.readouterr().out
