"""The draws that tasks report can be seen in their examples."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

from palette_jax import images, masks, tasks

SIZE = (128, 128)


def photo():
  coarse = np.random.default_rng(0).integers(0, 256, [8, 8, 3], np.uint8)
  smooth = Image.fromarray(coarse).resize(SIZE[::-1], Image.BICUBIC)
  return images.from_u8(np.asarray(smooth))


def examples(name, count, **options):
  """(draws, cond, mask) of `count` seeds, from one graph."""
  image = tf.constant(images.to_u8(photo()))
  record = {'image': image, 'source': tf.reverse(image, [0])}

  def example(i):
    seed = tf.stack([tf.cast(i, tf.int32), 3])
    _, cond, given = tasks.corruption(name, **options)(record, seed)
    return tasks.draws(name, **options)(seed), cond, given[..., 0] > 0

  example = tf.autograph.experimental.do_not_convert(example)
  dataset = tf.data.Dataset.range(count).map(example, tf.data.AUTOTUNE)
  return list(dataset.as_numpy_iterator())


def pieces(mask):
  return ndimage.label(mask, np.ones([3, 3]))[1]


@pytest.mark.parametrize('name', tasks.names())
def test_what_is_drawn_takes_the_options_of_corrupt(name):
  """And says the same eagerly."""
  for draws, _, _ in examples(name, 3):
    assert all(np.ndim(value) <= 1 for value in draws.values())
  last = tasks.draws(name)(tf.constant([2, 3]))
  assert list(last) == list(draws)
  for key, value in last.items():
    assert np.array_equal(value.numpy(), draws[key])


def test_a_task_without_chance_draws_nothing():
  assert tasks.draws('colorization')(tf.constant([0, 0])) == {}


def test_the_stated_jpeg_quality_makes_the_condition_again():
  levels = tf.constant(images.to_u8(photo()))
  seen = set()
  for draws, cond, _ in examples('jpeg', 12, quality=(5, 90)):
    for more in -1, 0, 1:
      file = tf.io.encode_jpeg(levels, quality=int(draws['quality']) + more)
      again = tf.io.decode_jpeg(file, dct_method='INTEGER_ACCURATE')
      assert np.array_equal(again, cond) == (more == 0)
    seen.add(int(draws['quality']))
  assert len(seen) > 4


def test_the_stated_side_is_the_masked_one():
  seen = set()
  for draws, _, mask in examples('uncropping', 40):
    edges = dict(
      left=mask[:, 0], right=mask[:, -1], top=mask[0], bottom=mask[-1]
    )
    masked = [side for side, edge in edges.items() if edge.all()]
    stated = draws['side'].decode()
    assert masked == (list(edges) if stated == 'border' else [stated])
    seen.add(stated)
  assert seen == set(masks.SIDES)


def test_the_stated_rectangles_can_be_counted_where_they_do_not_touch():
  seen = {count: set() for count in range(1, masks.MAX_RECTANGLES + 1)}
  for draws, _, mask in examples('inpainting', 200, free_form_share=0.0):
    assert draws['strokes'] == 0 and not draws['segments'].any()
    seen[int(draws['rectangles'])].add(pieces(mask))
  for count, counted in seen.items():
    assert max(counted) == count


def test_the_stated_strokes_can_be_counted_where_they_do_not_touch():
  seen, totals, coverage = {1: set(), 2: set(), 3: set()}, [], []
  fewest, most = masks.SEGMENTS
  for draws, _, mask in examples('inpainting', 200, free_form_share=1.0):
    assert draws['rectangles'] == 0
    count, segments = int(draws['strokes']), draws['segments']
    assert np.all(segments[:count] >= fewest) and segments.max() <= most
    assert not segments[count:].any()
    seen[count].add(pieces(mask))
    totals.append(segments.sum())
    coverage.append(mask.mean())
  for count, counted in seen.items():
    assert max(counted) == count
  # 0.1 where the segments of another seed are stated.
  assert np.corrcoef(totals, coverage)[0, 1] > 0.4


def test_inpainting_reports_strokes_or_rectangles():
  """Of rectangles no row differs from more than ten others; strokes wind."""
  winding = {False: [], True: []}
  for draws, _, mask in examples('inpainting', 60):
    rows = len({row.tobytes() for row in mask})
    strokes = bool(draws['strokes'] > 0)
    assert strokes == (draws['rectangles'] == 0)
    winding[strokes].append(rows > 2 * masks.MAX_RECTANGLES + 1)
  assert not any(winding[False]) and np.mean(winding[True]) > 0.85


def test_the_stated_task_of_several_is_the_one_in_the_example():
  chosen = ('colorization', 'inpainting', 'jpeg', 'uncropping')
  levels = tf.constant(images.to_u8(photo()))
  seen = set()
  for draws, cond, mask in examples('multitask', 60, tasks=chosen):
    task = draws['task'].decode()
    grey = np.array_equal(cond[..., 0], cond[..., 1]) and mask.all()
    assert grey == (task == 'colorization')
    assert (not mask.all()) == (task in ('inpainting', 'uncropping'))
    assert (draws['side'] != b'') == (task == 'uncropping')
    assert (draws['quality'] > 0) == (task == 'jpeg')
    holes = draws['strokes'] + draws['rectangles']
    assert (holes > 0) == (task == 'inpainting')
    if task == 'jpeg':
      file = tf.io.encode_jpeg(levels, quality=int(draws['quality']))
      again = tf.io.decode_jpeg(file, dct_method='INTEGER_ACCURATE')
      assert np.array_equal(again, cond)
    if task == 'uncropping':
      assert abs(mask.mean() - 0.5) < 0.01
    seen.add(task)
  assert seen == set(chosen)


def test_the_stated_factor_is_the_option():
  blurred = []
  for factor in 2, 4:
    ((draws, cond, _),) = examples('superresolution', 1, factor=factor)
    assert draws == {'factor': factor}
    blurred.append(np.abs(images.from_u8(cond) - photo()).mean())
  assert blurred[0] < blurred[1]
