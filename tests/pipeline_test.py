"""The batch of step k is a pure function of (seed, k)."""

import itertools

import jax
import numpy as np
import pytest
from PIL import Image

from palette_jax import givens, tasks
from palette_jax.data import pipeline, sources


def pipeline_of(
  source='photos', split='train', task='inpainting', size=(16, 24), **kw
):
  return pipeline.Pipeline(
    source=sources.open_source(source, split),
    corrupt=tasks.corruption(task),
    size=size,
    seed=kw.pop('seed', 0),
    **kw,
  )


def equal(a, b):
  return all(
    np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b))
  )


def test_a_stream_from_step_k_is_the_tail_of_the_stream_from_0():
  whole = list(itertools.islice(pipeline_of().train(batch=5), 8))
  for k in (1, 3, 6):  # within an epoch of 12, across its end, after it
    tail = itertools.islice(pipeline_of().train(batch=5, start=k), 2)
    assert all(equal(a, b) for a, b in zip(whole[k:], tail))


def test_hosts_share_the_batch_of_one_host():
  alone = list(itertools.islice(pipeline_of().train(batch=8), 3))
  for hosts in (2, 4):
    parts = [
      itertools.islice(pipeline_of().train(8, host=h, hosts=hosts), 3)
      for h in range(hosts)
    ]
    for one, *several in zip(alone, *parts):
      joined = jax.tree.map(lambda *x: np.concatenate(x), *several)
      assert equal(one, joined)


def test_the_same_record_looks_different_in_every_epoch():
  data = pipeline_of(min_crop=0.5)
  rows = {}
  for batch in itertools.islice(data.train(batch=12), 3):
    for record, image in zip(batch.record, batch.examples.target):
      rows.setdefault(int(record), set()).add(image.tobytes())
  assert all(len(versions) == 3 for versions in rows.values())


def test_seeds_differ():
  one, other = (
    next(pipeline_of(seed=0).train(12)),
    next(pipeline_of(seed=257).train(12)),
  )
  assert not np.array_equal(one.record, other.record)


def test_held_out_examples_are_fixed_and_come_in_order():
  data = pipeline_of(split='held_out')
  first, again = data.held_out(8), data.held_out(8)
  assert equal(first, again)
  assert first.record.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
  target, given = first.examples.target, first.examples.given
  assert np.array_equal(target[0], target[3])
  assert not np.array_equal(given[0], given[3])


@pytest.fixture
def broken_folder(photo_folder):
  """Two of the training images are broken: one cut off, one a text."""
  source = sources.open_source(f'folder:{photo_folder}', 'train')
  jpeg = next(n for n in source.names if n.lower().endswith(('jpg', 'jpeg')))
  other = next(n for n in source.names if n.endswith('png'))
  path = photo_folder / jpeg
  path.write_bytes(path.read_bytes()[:80])
  (photo_folder / other).write_text('this is no image')
  return photo_folder, {jpeg, other}


def test_an_unreadable_record_keeps_its_place_and_weighs_nothing(broken_folder):
  folder, broken = broken_folder
  data = pipeline_of(f'folder:{folder}', min_crop=0.5)
  for batch in itertools.islice(data.train(batch=11), 3):
    names = {data.source.names[r] for r in batch.record[~batch.readable]}
    assert names == broken
    bad = ~batch.readable
    assert not batch.examples.given[bad].any()
    assert np.ptp(batch.examples.target[bad]) == 0
    assert batch.examples.given[batch.readable].any((1, 2, 3)).all()


def test_a_broken_record_changes_no_other(photo_folder):
  before = next(pipeline_of(f'folder:{photo_folder}').train(11))
  name = pipeline_of(f'folder:{photo_folder}').source.names[0]
  (photo_folder / name).write_bytes(b'')
  after = next(pipeline_of(f'folder:{photo_folder}').train(11))
  assert np.array_equal(before.record, after.record)
  kept = before.record != 0
  assert np.array_equal(after.readable, kept)
  for a, b in zip(before.examples, after.examples):
    assert np.array_equal(a[kept], b[kept])


def test_a_stream_with_broken_files_resumes_bit_equal(broken_folder):
  folder, _ = broken_folder
  whole = list(itertools.islice(pipeline_of(f'folder:{folder}').train(4), 6))
  tail = itertools.islice(pipeline_of(f'folder:{folder}').train(4, start=3), 3)
  assert all(equal(a, b) for a, b in zip(whole[3:], tail))


def test_small_and_odd_images_are_read(tmp_path):
  for i, size in enumerate([(1, 1), (3, 50), (50, 3), (16, 24)]):
    Image.new('RGB', size, (i * 40, 0, 200)).save(tmp_path / f'{i}.png')
  batch = next(pipeline_of(f'folder:{tmp_path}').train(3))
  assert batch.readable.all()
  # Each is of one colour, and so is its crop.
  target = batch.examples.target
  assert np.ptp(target, axis=(1, 2)).max() == 0


def test_pairs_are_cropped_alike(tmp_path):
  """A photo and its negative, in other formats and sizes of the same shape."""
  draw = np.random.default_rng(0)
  for i in range(6):
    coarse = draw.integers(0, 256, [5, 7, 3], np.uint8)
    image = Image.fromarray(coarse).resize((96, 64), Image.BICUBIC)
    for folder, picture in (
      ('from', Image.eval(image, lambda level: 255 - level)),
      ('to', image),
      ('small', image.resize((48, 32), Image.BOX)),
    ):
      (tmp_path / folder).mkdir(exist_ok=True)
      picture.save(tmp_path / folder / f'{i}.png')
  pairs = f'pairs:{tmp_path}/from,{tmp_path}/to'
  examples = next(
    pipeline_of(pairs, task='paired', min_crop=0.5).train(5)
  ).examples
  assert (examples.given == givens.DEGRADED).all()
  sums = examples.cond.astype(int) + examples.target
  assert sums.min() >= 254 and sums.max() <= 256
  smaller = f'pairs:{tmp_path}/small,{tmp_path}/to'
  target, cond, _ = next(pipeline_of(smaller, task='paired').train(5)).examples
  assert np.abs(cond.astype(int) - target).mean() < 4
  # Any other task learns from the targets alone.
  target, _, _ = next(pipeline_of(pairs, task='jpeg').train(5)).examples
  assert np.array_equal(
    target,
    next(
      pipeline_of(f'folder:{tmp_path}/to', task='jpeg').train(5)
    ).examples.target,
  )


def test_pairs_of_different_shapes_are_unreadable(tmp_path):
  for folder, size in (('from', (60, 40)), ('to', (40, 60))):
    (tmp_path / folder).mkdir()
    for i in range(4):
      Image.new('RGB', size).save(tmp_path / folder / f'{i}.png')
  pairs = pipeline_of(f'pairs:{tmp_path}/from,{tmp_path}/to', task='paired')
  assert not next(pairs.train(3)).readable.any()


def test_paired_needs_pairs():
  with pytest.raises(ValueError, match='data.source=pairs:/from/what'):
    next(pipeline_of(task='paired').train(2))
