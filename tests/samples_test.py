"""What is judged, what is done to it, and what a run makes of it, as files."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from runs import load, micro

from palette_jax import givens, images, sharding
from palette_jax.data import records, sources
from palette_jax.evaluation import cases, samples, selection
from palette_jax.training import run as runs


def source_of(names, labels=None):
  return records.Source(names, read=lambda i, _: {}, labels=labels)


def test_the_first_5_by_name_whatever_the_folder():
  names = [f'/val/n{9 - i % 3}/ILSVRC2012_val_{i:08}.JPEG' for i in range(12)]
  source = source_of(names[::-1])
  selected = selection.select(source, 'first:5')
  assert [source.names[i] for i in selected.records] == names[:5]
  flat = [name.split('/')[-1] for name in names]
  assert [flat[::-1][i] for i in selected.records] == flat[:5]
  with pytest.raises(ValueError, match='12 images'):
    selection.select(source, 'first:13')


def test_a_published_list_is_found_by_file_names(tmp_path):
  """ctest10k's form: /class/file label; the source may lie flat."""
  rows = [f'/n{i % 3}/val_{i}.JPEG {i % 3}' for i in (7, 2, 5)]
  (tmp_path / 'ctest.txt').write_text('\n'.join(rows))
  source = source_of([f'val_{i}.png' for i in range(9)])
  selected = selection.select(source, f'list:{tmp_path}/ctest.txt')
  assert selected.records.tolist() == [7, 2, 5]
  assert selected.names == ['val_7', 'val_2', 'val_5']
  assert selected.labels.tolist() == [1, 2, 2]
  with pytest.raises(ValueError, match='2 of 3 images.*first is val_7'):
    selection.select(
      source_of(['a/val_2.png', 'a/x.png']), f'list:{tmp_path}/ctest.txt'
    )


def test_so_many_of_each_class():
  labels = np.array([0, 1, 0, 1, 1, 0])
  source = source_of([f'{i}.png' for i in (5, 4, 3, 2, 1, 0)], labels)
  selected = selection.select(source, 'per_class:2')
  assert selected.names == ['0', '3', '1', '2']
  assert selected.labels.tolist() == [0, 0, 1, 1]
  with pytest.raises(ValueError, match='class 0 has 3'):
    selection.select(source, 'per_class:4')
  with pytest.raises(ValueError, match='needs classes'):
    selection.select(source_of(['a.png', 'b.png']), 'per_class:1')


def test_categories_are_folders(tmp_path):
  (tmp_path / 'scenery.txt').write_text('airfield\n/b/beach\n')
  names = ['a/airfield/1.jpg', 'b/beach/1.jpg', 'c/beach/2.jpg', 'a/x/3.jpg']
  selected = selection.select(
    source_of(names), f'categories:{tmp_path}/scenery.txt'
  )
  assert selected.names == ['a/airfield/1', 'b/beach/1']
  (tmp_path / 'scenery.txt').write_text('field')
  with pytest.raises(ValueError, match='category field'):
    selection.select(source_of(names), f'categories:{tmp_path}/scenery.txt')


def test_folders_of_imagenet_are_classes():
  names = [f'n{i:08}/{k}_{i}.JPEG' for i in range(1000) for k in 'ab']
  selected = selection.select(source_of(names), '')
  assert selected.labels.tolist() == [i for i in range(1000) for _ in 'ab']
  assert selection.select(source_of(names[:1998]), '').labels is None


def test_names_that_are_the_same_without_endings_are_refused():
  with pytest.raises(ValueError, match=r'a/1\.png and a/1\.jpg'):
    selection.select(source_of(['a/1.png', 'a/1.jpg', 'b/1.png']), '')
  with pytest.raises(ValueError, match='write first:N'):
    selection.select(source_of(['a.png', 'b.png']), 'frist:3')


def test_each_task_is_judged_at_the_paper_s_cases():
  found = {
    name: [case.name for case in cases.of_config({'name': name}, ())]
    for name in ('colorization', 'inpainting', 'uncropping', 'jpeg')
  }
  assert found == {
    'colorization': ['colorization'],
    'inpainting': ['inpainting:20-30%', 'inpainting:centre'],
    'uncropping': ['uncropping:right'],
    'jpeg': ['jpeg:5', 'jpeg:10', 'jpeg:20'],
  }
  multi = {'name': 'multitask', 'tasks': ('colorization', 'jpeg')}
  assert len(cases.of_config(multi, ())) == 4
  with pytest.raises(ValueError, match='no task of this model'):
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


@pytest.fixture
def asked(photo_folder, monkeypatch):
  """A config, its run and weights of nobody, on two devices."""
  mesh = sharding.make_mesh(devices=jax.devices()[:2])
  monkeypatch.setattr(sharding, 'make_mesh', lambda fsdp: mesh)

  def ask(name='inpaint', **evaluation):
    config = micro(load(name), f'folder:{photo_folder}')
    config.evaluation.update(
      source=f'folder:{photo_folder}', batch=8, **evaluation
    )
    run = runs.build(config)
    params = run.learner.create_state().params
    return config, run, params

  return ask


def files(folder):
  return {
    str(file.relative_to(folder)): file.read_bytes()
    for file in pathlib.Path(folder).glob('**/*.png')
  }


def test_a_stopped_evaluation_ends_with_the_same_pixels(asked, tmp_path):
  """12 images in batches of 8; a batch that is not whole is drawn again."""
  config, run, params = asked(cases=('inpainting:centre',), samples=2)
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


def test_known_pixels_of_the_files_are_the_original_s(asked, tmp_path):
  config, run, params = asked(cases=('inpainting:20-30%',))
  (request,) = samples.requests(config, run, 0, str(tmp_path))
  samples.draw(request, run, params)
  for name in request.selection.names:
    original, made, hole, given = (
      np.asarray(Image.open(request.folder / kind / f'{name}.png'))
      for kind in ('originals', 'outputs', 'holes', 'inputs')
    )
    known = hole == 0
    assert np.array_equal(made[known], original[known]) and (hole == 255).any()
    assert (given[~known] == 128).all()
    assert not np.array_equal(made, original)


def test_a_folder_has_one_request(asked, tmp_path):
  config, run, params = asked(cases=('inpainting:centre',))
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


def test_an_unreadable_image_is_named(asked, photo_folder, tmp_path):
  config, run, params = asked(cases=('inpainting:centre',))
  (photo_folder / 'a/06.jpg').write_bytes(b'no image')
  (request,) = samples.requests(config, run, 0, str(tmp_path))
  with pytest.raises(ValueError, match='a/06.jpg cannot be read'):
    samples.draw(request, run, params)


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
