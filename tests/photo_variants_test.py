import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import strategies as st

from palette_jax.photo import variants

some = hypothesis.settings(max_examples=30, deadline=None)


def pictures(count, size=(20, 30), seed=0):
  draw = np.random.default_rng(seed)
  return list(draw.integers(0, 256, [count, *size, 3], np.uint8))


@some
@hypothesis.given(
  count=st.integers(1, 9), height=st.integers(1, 70), width=st.integers(1, 70)
)
def test_a_sheet_has_every_picture_once(count, height, width):
  several = pictures(count, (height, width))
  page = variants.sheet(several, [f'seed {i}' for i in range(count)])
  views = np.lib.stride_tricks.sliding_window_view(page, (height, width, 3))
  step = height + 28
  rows = range(0, page.shape[0] - height + 1, step)
  columns = range(0, page.shape[1] - width + 1, width + 4)
  found = [views[y, x, 0] for y in rows for x in columns]
  for i, picture in enumerate(several):
    assert np.array_equal(found[i], picture)
  assert len(found) - count < len(list(columns))  # at most one row is not full


def test_large_pictures_become_small_and_keep_their_shape():
  page = variants.sheet(pictures(1, (300, 900)), ['seed 0'], cell=90)
  assert page.shape == (30 + 24, 90, 3)
  assert page[30:].min() < 128  # there is writing below


def test_a_long_caption_is_shortened():
  short = variants.sheet(pictures(1, (9, 40)), ['seed'])
  long = variants.sheet(pictures(1, (9, 40)), ['seed ' * 40])
  assert short.shape == long.shape and np.all(long[9:, -2:] == 255)


def test_sheets_of_nothing_or_of_several_sizes():
  with pytest.raises(ValueError, match='one size'):
    variants.sheet([], [])
  with pytest.raises(ValueError, match='one size'):
    variants.sheet(pictures(1) + pictures(1, (5, 5)), ['a', 'b'])
  with pytest.raises(ValueError, match='caption'):
    variants.sheet(pictures(2), ['a'])


@some
@hypothesis.given(count=st.integers(2, 6), seed=st.integers(0, 99))
def test_the_spread_is_numpys_standard_deviation(count, seed):
  several = pictures(count, seed=seed)
  expected = np.sqrt(np.var(several, axis=0).mean(-1, keepdims=True))
  np.testing.assert_allclose(variants.spread(several), expected, atol=1e-3)
  assert np.all(variants.spread(several[:1] * count) == 0)


def test_the_spread_shows_where_pictures_differ():
  first, second = pictures(1)[0], pictures(1)[0]
  second[3:5, 6:9] ^= 64
  spread = variants.spread([first, second])
  assert np.all(spread[3:5, 6:9] == 32) and np.count_nonzero(spread) == 6
  heat = variants.heat(spread, 32.0)
  assert heat[0, 0].tolist() == [0, 0, 0]
  assert heat[4, 7].tolist() == [252, 252, 190]
  ramp = np.linspace(0, 1, 99, dtype=np.float32)[None, :, None]
  luma = variants.heat(ramp, 1.0)[0] @ np.array([0.299, 0.587, 0.114])
  assert np.all(np.diff(luma) > 0)  # readable in grey
  assert np.all(variants.heat(spread * 0, 0.0) == 0)


@some
@hypothesis.given(count=st.integers(2, 6), seed=st.integers(0, 99))
def test_the_most_different_pair(count, seed):
  several = pictures(count, seed=seed)
  pair = variants.most_different(several)
  distance = np.array(
    [
      [np.sqrt(np.mean((a.astype(float) - b) ** 2)) for b in several]
      for a in several
    ]
  )
  assert pair.first < pair.second
  assert pair.distance == pytest.approx(distance.max(), rel=1e-5)
  assert distance[pair.first, pair.second] == distance.max()


def test_equal_pictures_are_the_first_two():
  assert variants.most_different(pictures(1) * 4) == (0, 1, 0.0)
  for function in (variants.most_different, variants.spread):
    with pytest.raises(ValueError, match='two or more'):
      function(pictures(1))


def test_own_photos_need_no_tensorflow():
  """Nor do photos need JAX, before a model is asked for."""
  code = """
import pkgutil, sys
from palette_jax import photo
names = [m.name for m in pkgutil.iter_modules(photo.__path__)]
import importlib
for name in ('photo', 'hole', 'writer', 'recipe', 'painting.tiles', 'variants'):
  importlib.import_module(f'palette_jax.photo.{name}')
assert not {'jax', 'flax'} & set(sys.modules)
assert 'model' in names
for name in names:
  importlib.import_module(f'palette_jax.photo.{name}')
assert 'tensorflow' not in sys.modules
"""
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)
