"""What is kept of prepared images."""

import itertools
import logging

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from palette_jax import tasks
from palette_jax.data import cache, crop, pipeline, records, sources

SIZE = (16, 24)


def open_cache(folder, source, size=SIZE):
  return cache.Cache(str(folder), source, size)


def make(source, kept=None, task='inpainting'):
  corrupt = tasks.corruption(task)
  return pipeline.Pipeline(source, corrupt, SIZE, seed=0, cache=kept)


@pytest.fixture
def source(photo_folder):
  return sources.open_source(f'folder:{photo_folder}', 'train')


def flat(batches):
  return [np.concatenate([x.ravel() for x in b.examples]) for b in batches]


def test_what_is_kept_gives_the_batches_that_making_it_gave(source, tmp_path):
  """Epochs from files, epochs from the disk, in this process and the next."""
  first = make(source, open_cache(tmp_path, source))
  made = flat(itertools.islice(first.train(11), 3))
  (pixels,) = tmp_path.glob('*/pixels')
  size = pixels.stat().st_size
  assert size > 11 * 16 * 24 * 3
  # A source that cannot be read: all that comes now comes from what was kept.
  blind = records.Source(source.names, lambda *_: {'image': tf.constant('')})
  again = make(blind, open_cache(tmp_path, source))
  batches = list(itertools.islice(again.train(11), 3))
  assert all(batch.readable.all() for batch in batches)
  assert np.array_equal(made, flat(batches))
  assert pixels.stat().st_size == size


def test_every_epoch_crops_elsewhere(tmp_path):
  """As without: the whole photo is kept, its short side just large enough."""
  folder = tmp_path / 'wide'
  folder.mkdir()
  ramp = np.tile(np.arange(240, dtype=np.uint8), (16, 1))
  for i in range(3):
    Image.fromarray(ramp).resize((480, 32)).save(folder / f'{i}.png')
  source = sources.open_source(f'folder:{folder}', 'train')
  kept = make(source, open_cache(tmp_path / 'cache', source))
  starts = {
    float(row[0, 0, 0])
    for batch in itertools.islice(kept.train(2), 20)
    for row in batch.examples.target
  }
  assert len(starts) > 15
  assert max(starts) - min(starts) > 1.2  # from one end to the other


def test_what_is_kept_is_small_enough_for_one_crop_and_no_smaller():
  for full in [(375, 500), (500, 375), (16, 24), (3, 900), (7, 5)]:
    kept = crop.whole_size(tf.constant(full), SIZE).numpy()
    assert np.all(kept >= SIZE) and np.any(kept == SIZE)
    box = crop.box(tf.constant(kept), SIZE, tf.constant([1, 2]))
    assert tuple(box.numpy()[2:]) == SIZE
    if np.all(np.array(full) >= SIZE):
      ratio = (kept[0] / kept[1]) / (full[0] / full[1])
      assert abs(ratio - 1) < 0.04


def test_very_long_photos_are_made_anew_each_time(tmp_path):
  folder = tmp_path / 'long'
  folder.mkdir()
  for i in range(3):
    Image.new('RGB', (4000, 4), (9, 9, 9 * i)).save(folder / f'{i}.png')
  source = sources.open_source(f'folder:{folder}', 'train')
  data = make(source, open_cache(tmp_path / 'cache', source))
  batches = itertools.islice(data.train(2), 3)
  assert all(batch.readable.all() for batch in batches)
  (pixels,) = tmp_path.glob('cache/*/pixels')
  assert pixels.stat().st_size == 0


def test_flipped_and_missing_bytes_are_noticed(source, tmp_path, caplog):
  kept = open_cache(tmp_path, source)
  images = [np.full([16, 30, 3], i, np.uint8) for i in range(3)]
  for i, image in enumerate(images):
    kept.put(i, image)
    assert kept.get(i)[8:] == image.tobytes()
  (pixels,) = tmp_path.glob('*/pixels')
  broken = bytearray(pixels.read_bytes())
  broken[16 * 30 * 3 + 5] ^= 1
  pixels.write_bytes(broken[:-1])
  again = open_cache(tmp_path, source)
  with caplog.at_level(logging.WARNING):
    assert again.get(0)[8:] == images[0].tobytes()
    assert again.get(1) == b'' and again.get(2) == b''
  assert 'record 1' in caplog.text
  again.put(1, images[1])
  assert open_cache(tmp_path, source).get(1)[8:] == images[1].tobytes()


def test_two_openings_share_one_file(source, tmp_path):
  one, other = open_cache(tmp_path, source), open_cache(tmp_path, source)
  for i in range(10):
    (one, other)[i % 2].put(i, np.full([16, 24 + i, 3], i, np.uint8))
  for i in range(10):
    for kept in (one, other):
      assert kept.get(i)[8:] == bytes([i]) * (16 * (24 + i) * 3)


def test_another_list_or_size_has_a_cache_of_its_own(source, tmp_path):
  open_cache(tmp_path, source).put(0, np.zeros([16, 24, 3], np.uint8))
  assert open_cache(tmp_path, source, (32, 32)).get(0) == b''
  held_out = records.Source(source.names[:-1], source.read)
  assert open_cache(tmp_path, held_out).get(0) == b''


def test_a_full_disk_ends_the_keeping_and_nothing_else(
  source, tmp_path, caplog, monkeypatch
):
  kept = open_cache(tmp_path, source)

  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(cache.os, 'write', full)
  image = np.zeros([16, 24, 3], np.uint8)
  with caplog.at_level(logging.WARNING):
    assert kept.put(0, image) is image and kept.put(1, image) is image
  assert caplog.text.count('No space left') == 1
  assert kept.get(0) == b''


def test_what_cannot_be(source, tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(ValueError, match='data.cache='):
    open_cache(tmp_path / 'file', source)
  with pytest.raises(ValueError, match='data.min_crop=0.5'):
    pipeline.Pipeline(
      source,
      tasks.corruption('jpeg'),
      SIZE,
      seed=0,
      min_crop=0.5,
      cache=open_cache(tmp_path, source),
    )


def test_pairs_are_kept_both(tmp_path):
  draw = np.random.default_rng(0)
  for folder in ('from', 'to'):
    (tmp_path / folder).mkdir()
    for i in range(4):
      pixels = draw.integers(0, 256, [20, 40, 3], np.uint8)
      Image.fromarray(pixels).save(tmp_path / folder / f'{i}.png')
  pairs = f'pairs:{tmp_path}/from,{tmp_path}/to'
  source = sources.open_source(pairs, 'train')
  kept = make(source, open_cache(tmp_path / 'cache', source), 'paired')
  first, _, later = flat(itertools.islice(kept.train(3), 3))
  assert all(kept.cache.get(i) for i in range(6))
  fresh = make(source, open_cache(tmp_path / 'other', source), 'paired')
  assert np.array_equal(first, flat(itertools.islice(fresh.train(3), 1))[0])
  tail = flat(itertools.islice(fresh.train(3, start=2), 1))
  assert np.array_equal(later, tail[0])
