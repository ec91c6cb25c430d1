"""Evaluation cases."""

import numpy as np
import pytest
import tensorflow as tf

from palette_jax import givens, images
from palette_jax.data import sources
from palette_jax.evaluation import cases


def test_each_task_is_judged_at_the_paper_s_cases():
  names = {
    name: [case.name for case in cases.of_config({'name': name}, ())]
    for name in ('colorization', 'inpainting', 'uncropping', 'jpeg')
  }
  assert names == {
    'colorization': ['colorization'],
    'inpainting': ['inpainting:20-30%', 'inpainting:centre'],
    'uncropping': ['uncropping:right'],
    'jpeg': ['jpeg:5', 'jpeg:10', 'jpeg:20'],
  }
  multi = {'name': 'multitask', 'tasks': ('colorization', 'jpeg')}
  assert len(cases.of_config(multi, ())) == 4
  with pytest.raises(ValueError, match='inpainting:centre'):
    cases.of_config(multi, ['inpainting:centre'])
  for name in ('inpainting', 'inpainting:middle', 'jpeg', 'jpeg:0', 'jpeg:x'):
    with pytest.raises(ValueError, match=name):
      cases.get(name)
  for name in ('colorization:grey', 'no_such_task', 'multitask'):
    with pytest.raises(ValueError):
      cases.get(name)


def test_a_stated_quality_is_the_one_that_is_used():
  """Lower is worse, and no seed changes it."""
  photo = tf.io.read_file(str(sources.PHOTOS / 'china.jpg'))
  record = {'image': tf.io.decode_jpeg(photo)[:64, :64]}
  errors = []
  for quality in (5, 10, 20):
    case = cases.get(f'jpeg:{quality}')
    both = [case.corrupt(record, tf.constant([s, s]))[1] for s in (1, 2)]
    assert np.array_equal(*both)
    off = tf.cast(both[0], tf.float32) - tf.cast(record['image'], tf.float32)
    errors.append(float(tf.reduce_mean(off**2)))
  assert errors == sorted(errors, reverse=True) and errors[-1] > 0


def test_holes_belong_to_names_and_change_nothing_else():
  target = np.random.default_rng(0).integers(0, 256, [64, 64, 3], np.uint8)
  case = cases.get('inpainting:20-30%')
  holes = [case.hole(name, 64, 64) for name in ('a', 'a', 'b')]
  assert np.array_equal(holes[0], holes[1])
  assert not np.array_equal(holes[0], holes[2])
  cond, given = cases.with_hole(target, holes[0])
  assert set(np.unique(given)) == {givens.TRUTH, givens.NOISE}
  assert np.array_equal(cond, target) and given.dtype == np.uint8
  assert images.to_u8(images.from_u8(target)).tobytes() == target.tobytes()
