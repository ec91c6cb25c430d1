"""The cache of prepared images."""

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


def pipeline_of(source, cached=None, task='inpainting'):
  corrupt = tasks.corruption(task)
  return pipeline.Pipeline(source, corrupt, SIZE, seed=0, cache=cached)


@pytest.fixture
def source(photo_folder):
  return sources.open_source(f'folder:{photo_folder}', 'train')


def flat(batches):
  return [np.concatenate([x.ravel() for x in b.examples]) for b in batches]


def test_cached_images_give_the_batches_of_the_files(source, tmp_path):
  """Epochs from files, epochs from the disk, in this process and the next."""
  first = pipeline_of(source, open_cache(tmp_path, source))
  expected = flat(itertools.islice(first.train(11), 3))
  (pixels,) = tmp_path.glob('*/pixels')
  size = pixels.stat().st_size
  assert size > 11 * 16 * 24 * 3
  # A source that cannot be read: all images come from the cache.
  blind = records.Source(source.names, lambda *_: {'image': tf.constant('')})
  again = pipeline_of(blind, open_cache(tmp_path, source))
  batches = list(itertools.islice(again.train(11), 3))
  assert all(batch.readable.all() for batch in batches)
  assert np.array_equal(expected, flat(batches))
  assert pixels.stat().st_size == size


def test_every_epoch_crops_differently(tmp_path):
  """The cache keeps whole photos, whose short side is just large enough."""
  folder = tmp_path / 'wide'
  folder.mkdir()
  ramp = np.tile(np.arange(240, dtype=np.uint8), (16, 1))
  for i in range(3):
    Image.fromarray(ramp).resize((480, 32)).save(folder / f'{i}.png')
  source = sources.open_source(f'folder:{folder}', 'train')
  cached = pipeline_of(source, open_cache(tmp_path / 'cache', source))
  starts = {
    float(row[0, 0, 0])
    for batch in itertools.islice(cached.train(2), 20)
    for row in batch.examples.target
  }
  assert len(starts) > 15
  assert max(starts) - min(starts) > 1.2  # from one end to the other


def test_cached_images_are_just_large_enough_for_a_crop():
  for full in [(375, 500), (500, 375), (16, 24), (3, 900), (7, 5)]:
    cached = crop.whole_size(tf.constant(full), SIZE).numpy()
    assert np.all(cached >= SIZE) and np.any(cached == SIZE)
    box = crop.box(tf.constant(cached), SIZE, tf.constant([1, 2]))
    assert tuple(box.numpy()[2:]) == SIZE
    if np.all(np.array(full) >= SIZE):
      ratio = (cached[0] / cached[1]) / (full[0] / full[1])
      assert abs(ratio - 1) < 0.04


def test_very_long_photos_are_not_cached(tmp_path):
  folder = tmp_path / 'long'
  folder.mkdir()
  for i in range(3):
    Image.new('RGB', (4000, 4), (9, 9, 9 * i)).save(folder / f'{i}.png')
  source = sources.open_source(f'folder:{folder}', 'train')
  data = pipeline_of(source, open_cache(tmp_path / 'cache', source))
  batches = itertools.islice(data.train(2), 3)
  assert all(batch.readable.all() for batch in batches)
  (pixels,) = tmp_path.glob('cache/*/pixels')
  assert pixels.stat().st_size == 0


def test_flipped_and_missing_bytes_are_noticed(source, tmp_path, caplog):
  cached = open_cache(tmp_path, source)
  images = [np.full([16, 30, 3], i, np.uint8) for i in range(3)]
  for i, image in enumerate(images):
    cached.put(i, image)
    assert cached.get(i)[8:] == image.tobytes()
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
    for cached in (one, other):
      assert cached.get(i)[8:] == bytes([i]) * (16 * (24 + i) * 3)


def test_another_list_or_size_has_a_cache_of_its_own(source, tmp_path):
  open_cache(tmp_path, source).put(0, np.zeros([16, 24, 3], np.uint8))
  assert open_cache(tmp_path, source, (32, 32)).get(0) == b''
  held_out = records.Source(source.names[:-1], source.read)
  assert open_cache(tmp_path, held_out).get(0) == b''


def test_a_full_disk_ends_caching_and_nothing_else(
  source, tmp_path, caplog, monkeypatch
):
  cached = open_cache(tmp_path, source)

  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(cache.os, 'write', full)
  image = np.zeros([16, 24, 3], np.uint8)
  with caplog.at_level(logging.WARNING):
    assert cached.put(0, image) is image and cached.put(1, image) is image
  assert caplog.text.count('No space left') == 1
  assert cached.get(0) == b''


def test_impossible_caches_are_refused(source, tmp_path):
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


def test_both_images_of_a_pair_are_cached(tmp_path):
  draw = np.random.default_rng(0)
  for folder in ('from', 'to'):
    (tmp_path / folder).mkdir()
    for i in range(4):
      pixels = draw.integers(0, 256, [20, 40, 3], np.uint8)
      Image.fromarray(pixels).save(tmp_path / folder / f'{i}.png')
  pairs = f'pairs:{tmp_path}/from,{tmp_path}/to'
  source = sources.open_source(pairs, 'train')
  cached = pipeline_of(source, open_cache(tmp_path / 'cache', source), 'paired')
  first, _, later = flat(itertools.islice(cached.train(3), 3))
  assert all(cached.cache.get(i) for i in range(6))
  fresh = pipeline_of(source, open_cache(tmp_path / 'other', source), 'paired')
  assert np.array_equal(first, flat(itertools.islice(fresh.train(3), 1))[0])
  tail = flat(itertools.islice(fresh.train(3, start=2), 1))
  assert np.array_equal(later, tail[0])
