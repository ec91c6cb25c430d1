"""Training as a whole, on networks that train within seconds."""

import contextlib
import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
from runs import same_bits, tiny

from palette_jax.data import pipeline, sources
from palette_jax.diffusion import objective, process
from palette_jax.training import (
  checkpoint,
  held_out,
  loop,
  monitor,
  records,
  run,
  trained_run,
)

pytestmark = pytest.mark.usefixtures('one_device')


@pytest.mark.eight_devices
def test_20_steps_are_10_steps_and_a_restart_and_10_steps(tmp_path):
  """Bit for bit: weights, average, optimizer, key, and every batch."""
  every = dict(checkpoint_every=5)
  whole = loop.train(tiny(steps=20, **every), str(tmp_path / 'whole'))
  loop.train(tiny(steps=10, **every), str(tmp_path / 'parts'))
  resumed = loop.train(tiny(steps=20, **every), str(tmp_path / 'parts'))
  assert int(resumed.step) == 20
  assert same_bits(whole, resumed)


def test_a_folder_with_broken_files_resumes_bit_equal(photo_folder, tmp_path):
  """One image in ten cannot be read."""
  source = f'folder:{photo_folder}'
  names = sources.open_source(source, 'train').names
  (photo_folder / names[3]).write_bytes(b'no image')
  whole = loop.train(tiny(source, steps=6), str(tmp_path / 'whole'))
  loop.train(tiny(source, steps=3), str(tmp_path / 'parts'))
  resumed = loop.train(tiny(source, steps=6), str(tmp_path / 'parts'))
  assert same_bits(whole, resumed)


def test_a_run_leaves_curves_pictures_config_and_a_readable_end(
  tmp_path, capsys
):
  config = tiny(steps=5)
  config.held_out.every = 2
  loop.train(config, str(tmp_path))
  out = capsys.readouterr().out
  assert str(tmp_path / 'samples/5.png') in out
  assert (tmp_path / 'samples/5.png').exists()
  blind = objective.Diffusion.blind_name
  for line in ('this model', 'untrained network', blind):
    assert line in out
  assert (
    json.loads((tmp_path / 'config.json').read_text())['train']['steps'] == 5
  )
  assert 'Total' in (tmp_path / 'parameters.txt').read_text()
  tags, pictures = set(), 0
  for file in tmp_path.glob('events*'):
    for event in tf.compat.v1.train.summary_iterator(str(file)):
      for value in event.summary.value:
        tags.add(value.tag)
        pictures += value.tag.startswith('held_out/') or value.tag == 'held_out'
  assert {
    'loss',
    'grad_norm',
    'learning_rate',
    'images_per_second',
    'held_out_loss',
  } <= tags
  assert any(tag.startswith('loss_by_gamma/') for tag in tags)
  assert pictures == 3  # after 2, 4 and 5 steps


def test_a_finished_run_changes_nothing(tmp_path, caplog):
  first = loop.train(tiny(), str(tmp_path))
  with caplog.at_level(logging.INFO):
    again = loop.train(tiny(), str(tmp_path))
  assert 'Nothing to do' in caplog.text
  assert same_bits(first, again)


def test_sample_and_evaluate_use_the_average_of_the_checkpoint(
  tmp_path, capsys, caplog
):
  loop.train(tiny(), str(tmp_path))
  end = capsys.readouterr().out
  picture = tmp_path / 'samples/4.png'
  before = picture.read_bytes()
  picture.unlink()
  trained_run.sample(tiny(), str(tmp_path))
  assert picture.read_bytes() == before
  trained_run.evaluate(tiny(), str(tmp_path))
  assert 'may have seen' not in caplog.text  # the same list
  again = capsys.readouterr().out
  losses = [line for line in end.splitlines() if 'this model' in line]
  assert losses and losses[0] in again


def test_a_sheet_that_a_kill_prevented_is_drawn_on_the_next_start(
  tmp_path, capsys
):
  loop.train(tiny(), str(tmp_path))
  picture = tmp_path / 'samples/4.png'
  before = picture.read_bytes()
  picture.unlink()
  capsys.readouterr()
  loop.train(tiny(), str(tmp_path))
  assert picture.read_bytes() == before
  assert str(picture) in capsys.readouterr().out


def test_a_checkpoint_is_sampled_for_all_that_it_has_learned(
  photo_folder, tmp_path, caplog
):
  """On other photos, seeds, arithmetic; for each task that it has learned."""
  several, workdir = tiny(name='multitask', steps=1), str(tmp_path)
  loop.train(several, workdir)
  other = tiny(f'folder:{photo_folder}', name='inpaint')
  other.seed = 7
  other.model.dtype = 'bfloat16'
  other.objective.sample_schedule.num_steps = 2
  trained_run.sample(other, workdir)
  assert (tmp_path / 'samples/1.png').exists()
  assert 'may have seen' in caplog.text
  with pytest.raises(ValueError, match='multitask'):
    trained_run.sample(tiny(name='uncrop'), workdir)
  with pytest.raises(ValueError, match='objective.name'):
    trained_run.sample(tiny(name='regression'), workdir)
  several.model.head_channels = 16  # no weight shows it
  with pytest.raises(ValueError, match='model.head_channels'):
    trained_run.sample(several, workdir)


def test_without_a_checkpoint_nothing_is_sampled(tmp_path):
  for mode in (trained_run.sample, trained_run.evaluate):
    with pytest.raises(FileNotFoundError, match='Train first'):
      mode(tiny(), str(tmp_path))


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda c: c.model.update(channels=64), 'model.channels'),
    (lambda c: c.task.update(name='uncropping'), 'task.name'),
    (lambda c: c.data.update(min_crop=0.5), 'data.min_crop'),
    (
      lambda c: c.data.update(size=(16, 32)),
      r'\[16, 32\]',
    ),
    (
      lambda c: c.objective.train_schedule.update(num_steps=9),
      'objective.train_schedule.num_steps',
    ),
    (lambda c: c.objective.update(norm='l1'), 'objective.norm'),
    (lambda c: c.update(seed=1), 'seed = 0'),
    (lambda c: c.train.update(batch=16), 'train.batch'),
  ],
)
def test_a_checkpoint_of_another_run_is_refused(
  tmp_path_factory, change, message
):
  workdir = tmp_path_factory.getbasetemp() / 'refused'
  if not workdir.exists():
    loop.train(tiny(steps=1), str(workdir))
  other = tiny(steps=2)
  change(other)
  with pytest.raises(ValueError, match=message):
    loop.train(other, str(workdir))


def test_settings_outside_the_model_and_its_batches_may_change(
  photo_folder, tmp_path
):
  """Another folder with the same images, another rate, other samples."""
  workdir = str(tmp_path / 'run')
  loop.train(tiny(f'folder:{photo_folder}', steps=1), workdir)
  moved = photo_folder.rename(tmp_path / 'moved')
  config = tiny(f'folder:{moved}', steps=2)
  config.data.max_unreadable = 0.5
  config.optimizer.learning_rate = 1e-5
  config.objective.sample_schedule.num_steps = 2
  config.held_out.samples = 1
  assert int(loop.train(config, workdir).step) == 2


def test_other_images_are_named_on_resume_and_may_be_accepted(
  photo_folder, tmp_path, caplog
):
  source, workdir = f'folder:{photo_folder}', str(tmp_path)
  loop.train(tiny(source, steps=1), workdir)
  names = sources.open_source(source, 'train').names
  assert records.read(workdir) == names
  (photo_folder / names[2]).unlink()
  other = tiny(source, steps=2)
  with pytest.raises(ValueError, match=f"record 2 was '{names[2]}'"):
    loop.train(other, workdir)
  other.data.other_images = True
  with caplog.at_level(logging.WARNING):
    assert int(loop.train(other, workdir).step) == 2
  assert 'Going on' in caplog.text
  assert records.read(workdir) == names[:2] + names[3:]
  again = tiny(source, steps=2)
  loop.train(again, workdir)  # the new list is the run's own


def test_with_a_cache_a_run_goes_on_as_without_stopping(tmp_path):
  config = tiny(steps=4)
  config.data.cache = str(tmp_path / 'kept')
  whole = loop.train(config, str(tmp_path / 'whole'))
  config.train.steps = 2
  loop.train(config, str(tmp_path / 'parts'))
  config.train.steps = 4
  resumed = loop.train(config, str(tmp_path / 'parts'))
  assert same_bits(whole, resumed)
  with pytest.raises(ValueError, match='data.cache'):
    loop.train(tiny(steps=6), str(tmp_path / 'parts'))


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(
  tmp_path, monkeypatch
):
  """The third batch makes a NaN: step 3 is named, step 2 is kept."""
  train, complete = pipeline.Pipeline.train, process.complete
  poison = 99  # given

  def poisoned_train(self, *args):
    for i, batch in enumerate(train(self, *args)):
      if i == 2:
        examples = jax.tree.map(np.copy, batch.examples)
        examples.given[0] = poison
        batch = batch._replace(examples=examples)
      yield batch

  def poisoned_complete(examples, key):
    batch = complete(examples, key)
    bad = examples.given == poison
    return batch._replace(target=jnp.where(bad, jnp.nan, batch.target))

  # In all three runs, so that they are one program, to the bit.
  monkeypatch.setattr(process, 'complete', poisoned_complete)
  with monkeypatch.context() as patch:
    patch.setattr(pipeline.Pipeline, 'train', poisoned_train)
    with pytest.raises(FloatingPointError, match='loss is nan') as error:
      loop.train(tiny(steps=8), str(tmp_path))
    assert error.value.step == 3
  with contextlib.closing(checkpoint.Checkpoints(str(tmp_path))) as kept:
    assert kept.latest() == 2
  resumed = loop.train(tiny(steps=8), str(tmp_path))
  whole = loop.train(tiny(steps=8), str(tmp_path / 'whole'))
  assert same_bits(resumed, whole)


def test_after_200_steps_the_average_beats_the_initial_network(tmp_path):
  config = tiny(name='colorize', steps=200, checkpoint_every=1000)
  trained = loop.train(config, str(tmp_path))
  built = run.build(config)
  photos = held_out.HeldOut(built)
  fresh = built.learner.create_state()
  assert photos.loss(trained.ema_params) < 0.8 * photos.loss(fresh.params)


def test_unreadable_records_are_named_once_and_limited(caplog):
  def batch(readable):
    return pipeline.HostBatch(None, np.arange(4), np.array(readable))

  names = ['a.jpg', 'b.jpg', 'c.jpg', 'd.jpg']
  count = monitor.Unreadable(names, limit=0.3)
  for _ in range(30):
    count.add(batch([True, True, False, True]))
  assert caplog.text.count('c.jpg') == 1
  with pytest.raises(ValueError, match='b.jpg, c'):
    for _ in range(30):
      count.add(batch([True, False, False, True]))


def test_an_unreadable_held_out_photo_is_refused(photo_folder):
  source = f'folder:{photo_folder}'
  (name,) = sources.open_source(source, 'held_out').names
  (photo_folder / name).write_bytes(b'')
  config = tiny(source)
  with pytest.raises(ValueError, match=name):
    held_out.HeldOut(run.build(config))


@pytest.mark.eight_devices
def test_any_number_of_images_is_restored_on_all_devices():
  """Three on eight devices, by padding."""
  config = tiny()
  built = run.build(config)
  photos = held_out.HeldOut(built)
  params = built.learner.create_state().params
  cond = np.zeros([3, 16, 16, 3], np.float32)
  cond[:, :8] = 0.25
  mask = np.ones([3, 16, 16, 1], np.float32)
  mask[:, :8] = 0
  samples = photos.restore(params, cond, mask, 0)
  assert samples.shape == cond.shape
  assert np.all(samples[:, :8] == 0.25) and np.all(np.abs(samples) <= 1)


def test_means_weigh_noise_levels_by_their_counts():
  rows = [
    dict(loss=1.0, grad_norm=2.0, errors=np.eye(5)[0], counts=np.eye(5)[0]),
    dict(loss=3.0, grad_norm=4.0, errors=np.eye(5)[0], counts=3 * np.eye(5)[0]),
  ]
  means = monitor.means(rows)
  assert means == {'loss': 2.0, 'grad_norm': 3.0, 'loss_by_gamma/0.0-0.01': 0.5}
