import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from palette_jax import images
from palette_jax.photo import outputs, overview

some = hypothesis.settings(max_examples=30, deadline=None)


def pictures(count, size=(20, 30), seed=0):
  draw = np.random.default_rng(seed)
  return list(draw.integers(0, 256, [count, *size, 3], np.uint8))


@some
@hypothesis.given(count=st.integers(2, 6), seed=st.integers(0, 99))
def test_the_spread_is_numpys_standard_deviation(count, seed):
  several = pictures(count, seed=seed)
  expected = np.sqrt(np.var(several, axis=0).mean(-1, keepdims=True))
  np.testing.assert_allclose(overview.spread(several), expected, atol=1e-3)
  assert np.all(overview.spread(several[:1] * count) == 0)


def test_the_spread_shows_where_pictures_differ():
  first, second = pictures(1)[0], pictures(1)[0]
  second[3:5, 6:9] ^= 64
  spread = overview.spread([first, second])
  assert np.all(spread[3:5, 6:9] == 32) and np.count_nonzero(spread) == 6
  heat = overview.heat(spread, 32.0)
  assert heat[0, 0].tolist() == [0, 0, 0]
  assert heat[4, 7].tolist() == [252, 252, 190]
  ramp = np.linspace(0, 1, 99, dtype=np.float32)[None, :, None]
  luma = overview.heat(ramp, 1.0)[0] @ np.array([0.299, 0.587, 0.114])
  assert np.all(np.diff(luma) > 0)  # readable in grey
  assert np.all(overview.heat(spread * 0, 0.0) == 0)


@some
@hypothesis.given(count=st.integers(2, 6), seed=st.integers(0, 99))
def test_the_most_different_pair(count, seed):
  several = pictures(count, seed=seed)
  pair = overview.most_different(several)
  distance = np.array(
    [
      [np.sqrt(np.mean((a.astype(float) - b) ** 2)) for b in several]
      for a in several
    ]
  )
  assert pair.first < pair.second
  assert pair.distance == pytest.approx(distance.max(), rel=1e-5)
  assert distance[pair.first, pair.second] == distance.max()


def test_of_equal_pictures_the_first_two_are_the_pair():
  assert overview.most_different(pictures(1) * 4) == (0, 1, 0.0)
  for function in (overview.most_different, overview.spread):
    with pytest.raises(ValueError):
      function(pictures(1))


def test_sheet_spread_and_pair_show_what_they_describe(tmp_path):
  draw = np.random.default_rng(0)
  first, condition = draw.integers(60, 190, [2, 20, 30, 3], np.uint8)
  second, third = first + np.uint8(2), first + np.uint8(2)
  second[5:9, 5:9] += 20
  third[5:9, 5:9] -= 20
  several = [first, second, third]
  names = outputs.names(tmp_path / 'new.png', 3)
  description = overview.write(names, several, condition)
  assert '2 and 3' in description
  spread = overview.spread(several)
  most = float(spread.max())
  assert most > 16 and f'{most:.0f}' in description
  heat = overview.heat(spread, most)
  pair = images.sheet([second, third], ['sample 2', 'sample 3'])
  captions = ['given', *(f'sample {i}' for i in (1, 2, 3))]
  captions.append(f'spread: 0 to {most:.0f} levels')
  sheet = images.sheet([condition, *several, heat], captions)
  for path, expected in zip(names.all[-3:], [heat, pair, sheet]):
    assert np.array_equal(np.asarray(Image.open(path)), expected)
    assert outputs.is_ours(path)


def test_a_small_spread_is_not_shown_at_full_brightness(tmp_path):
  first = np.full([20, 30, 3], 100, np.uint8)
  names = outputs.names(tmp_path / 'new.png', 2)
  overview.write(names, [first, first + np.uint8(2)])
  assert np.asarray(Image.open(names.spread)).max() < 40


def test_the_sheet_is_written_last(tmp_path, monkeypatch):
  """If it exists, all files do."""
  written, write = [], outputs.write

  def keep(path, *args):
    written.append(path)
    write(path, *args)

  monkeypatch.setattr(outputs, 'write', keep)
  names = outputs.names(tmp_path / 'new.png', 2)
  overview.write(names, [np.zeros([9, 9, 3], np.uint8)] * 2)
  assert written == names.all[-3:] and written[-1] == names.sheet
