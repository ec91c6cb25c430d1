"""A new file in tasks/ is a new task everywhere, with no other change."""

import importlib
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from runs import micro

import palette_jax
from palette_jax import cli, images, settings, tasks
from palette_jax.data import sheet
from palette_jax.evaluation import baselines, cases
from palette_jax.training import loop

SHARPEN = '''
"""Sharpening: a blurred photo becomes sharp."""

import tensorflow as tf

from palette_jax import givens

VERB = 'sharpen'
SETTINGS = {f'{n}': {'width': n} for n in (3, 5)}
CASES = ('3',)
BASELINE_LABEL = 'Negative'


def blur(image, width):
  mean = tf.nn.avg_pool2d(tf.cast(image, tf.float32)[None], width, 1, 'SAME')[0]
  return tf.cast(tf.round(mean), tf.uint8)


def corrupt(record, seed, width=3):
  target = record['image']
  cond = blur(target, width)
  return target, cond, givens.DEGRADED * tf.ones_like(target[..., :1])


def draws(seed, width=3):
  return {'width': tf.constant(width)}


def baseline(image_u8, mask):
  return 255 - image_u8
'''
MEND = '''
"""Mending: a square in the corner is filled."""

import numpy as np

from palette_jax.tasks import inpainting

VERB = 'mend'
HAS_HOLE = True


def corner(name, height, width):
  mask = np.zeros([height, width, 1], np.float32)
  mask[: height // 2, : width // 2] = 1
  return mask


HOLES = {'corner': corner}
CASES = ('corner',)

baseline = inpainting.baseline


def corrupt(record, seed):
  height, width, _ = record['image'].shape
  return inpainting.cut(record['image'], corner('', height, width))
'''


@pytest.fixture(autouse=True)
def new_tasks(tmp_path, monkeypatch):
  folder = tmp_path / 'more_tasks'
  folder.mkdir()
  (folder / 'sharpening.py').write_text(SHARPEN)
  (folder / 'mending.py').write_text(MEND)
  monkeypatch.setattr(tasks, '__path__', [*tasks.__path__, str(folder)])
  importlib.invalidate_caches()
  yield
  for name in ('sharpening', 'mending'):
    sys.modules.pop(f'palette_jax.tasks.{name}', None)
    vars(tasks).pop(name, None)


def micro_config(name):
  config = micro(settings.load(f'{name}:tiny').unlock(), 'photos')
  config.train.update(steps=1, checkpoint_every=1)
  return config


def test_it_has_a_config_and_is_trained_and_applied_to_photos(tmp_path):
  """From its config to files on the command line, with its own weights."""
  workdir = str(tmp_path / 'run')
  config = micro_config('sharpening')
  assert config.task.to_dict() == {'name': 'sharpening', 'width': 3}
  loop.train(config, workdir)
  model = palette_jax.load(workdir)
  assert model.tasks == ('sharpening',)
  rng = np.random.default_rng(0)
  photo = rng.integers(0, 256, [20, 36, 3], np.uint8)
  Image.fromarray(photo).save(tmp_path / 'in.png')
  (result,) = model.sharpen(tmp_path / 'in.png', steps=2)
  words = ['sharpen', tmp_path / 'in.png', tmp_path / 'out.png']
  words += ['--checkpoint', workdir, '--steps', '2']
  cli.main(list(map(str, words)))
  with Image.open(tmp_path / 'out.png') as written:
    assert np.array_equal(written, result.image)
  assert np.asarray(result.image).shape == photo.shape


def test_a_hole_of_its_own_has_a_command_with_a_mask(capsys):
  with pytest.raises(SystemExit) as end:
    cli.main(['mend', '--help'])
  assert not end.value.code and '--mask' in capsys.readouterr().out
  with pytest.raises(SystemExit):
    cli.main(['sharpen', 'a.png', 'b.png', '--mask', 'm.png'])


def test_it_is_inspected(tmp_path):
  out = tmp_path / 'sheet.png'
  words = ['--config=sharpening:tiny', '--config.task.width=5', '--rows=2']
  cli.main(['inspect', *words, str(out), '--records=1'])
  assert out.exists() and out.with_suffix('.txt').exists()
  config = settings.load('sharpening:tiny,size=16')
  (row,) = sheet.examples(config, 1)
  assert row.draws == {'width': 3} and row.mask.all()


def test_it_has_evaluation_cases():
  (case,) = cases.of_config({'name': 'sharpening', 'width': 5}, ())
  assert case.name == 'sharpening:3' and case.name in cases.names()
  draw = np.random.default_rng(0)
  image = tf.constant(draw.integers(0, 256, [8, 8, 3], np.uint8))
  seed = tf.constant([0, 0])
  _, stated, _ = case.corrupt({'image': image}, seed)
  _, other, _ = cases.get('sharpening:5').corrupt({'image': image}, seed)
  assert not np.array_equal(stated, other)
  with pytest.raises(ValueError, match='sharpening:5'):
    cases.get('sharpening:4')
  (case,) = cases.of_config({'name': 'mending'}, ())
  assert case.hole is not None and case.hole('a', 8, 8).sum() == 16
  # An unconditional model fills its hole by imputation.
  cases.of_config({'name': 'unconditional'}, ['mending:corner'])


def test_it_has_a_baseline(tmp_path):
  image = np.full([8, 8, 3], 7, np.uint8)
  hole = np.full([8, 8, 3], 0, np.uint8)
  hole[:4, :4] = 255
  images.write_png(tmp_path / 'inputs/a.png', image)
  images.write_png(tmp_path / 'holes/a.png', hole)
  inputs, holes = str(tmp_path / 'inputs'), str(tmp_path / 'holes')
  assert baselines.label('sharpening:3') == 'Negative'
  for case, folder, level in ('sharpening:3', None, 248), ('mending', holes, 7):
    out = baselines.write(case, inputs, folder, tmp_path / case)
    with Image.open(f'{out}/a.png') as answer:
      assert np.all(np.asarray(answer) == level)
