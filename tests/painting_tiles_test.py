import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from pixels import masks

from palette_jax.photo.painting import tiles, windows

some = hypothesis.settings(max_examples=60, deadline=None)
sides = st.integers(1, 150)
overlaps = st.integers(0, 16)


@some
@hypothesis.given(
  height=sides, width=sides, overlap=overlaps, seed=st.integers(0, 9)
)
def test_cut_and_blend_change_nothing(height, width, overlap, seed):
  image = np.random.default_rng(seed).normal(size=[height, width, 3])
  image = image.astype(np.float32)
  plan = tiles.layout(height, width, 32, overlap, multiple=8)
  pieces = tiles.cut(image, plan)
  assert pieces.shape[1] % 8 == 0 and pieces.shape[2] % 8 == 0
  blended = tiles.blend(pieces, plan)
  assert blended.dtype == np.float32
  np.testing.assert_allclose(blended, image, atol=1e-6)


@some
@hypothesis.given(height=sides, width=sides, overlap=overlaps)
def test_tiles_cover_the_picture_and_overlap(height, width, overlap):
  plan = tiles.layout(height, width, 32, overlap, multiple=8)
  for starts, side, length in [
    (plan.tops, plan.tile[0], height),
    (plan.lefts, plan.tile[1], width),
  ]:
    assert starts[0] == 0 and starts[-1] + side >= length
    steps = np.diff(starts)
    assert np.all(steps > 0) and np.all(steps <= side - overlap)
    if length >= 32:
      assert side == 32 and starts[-1] + 32 == length
      # One tile fewer would not do.
      assert (len(starts) - 1) * (32 - overlap) + overlap < length
  alone = tiles.blend(
    np.ones([len(plan.tops) * len(plan.lefts), *plan.tile, 1]), plan
  )
  np.testing.assert_allclose(alone, 1, atol=1e-6)


@some
@hypothesis.given(height=st.integers(1, 32), width=st.integers(1, 32))
def test_a_small_picture_is_reflected(height, width):
  image = np.random.default_rng(0).normal(size=[height, width, 3])
  image = image.astype(np.float32)
  plan = tiles.layout(height, width, 32, 8, multiple=8)
  [tile] = tiles.cut(image, plan)
  pad = [(0, tile.shape[0] - height), (0, tile.shape[1] - width), (0, 0)]
  assert np.array_equal(tile, np.pad(image, pad, 'reflect'))
  assert tile.shape[0] - height < 8 and tile.shape[1] - width < 8
  assert np.array_equal(tiles.blend(tile[None], plan), image)


@pytest.mark.parametrize('size', [(97, 61), (64, 200), (33, 33)])
@pytest.mark.parametrize('overlap', [8, 16])
def test_there_is_no_seam(size, overlap):
  """Tiles that disagree by a constant each: steps stay small, everywhere."""
  plan = tiles.layout(*size, 32, overlap, multiple=8)
  count = len(plan.tops) * len(plan.lefts)
  y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
  field = np.sin(y / 40)[..., None] + np.cos(x / 30)[..., None]
  draw = np.random.default_rng(0)
  offsets = draw.uniform(-1, 1, [count, 1, 1, 1]).astype(np.float32)
  blended = tiles.blend(tiles.cut(field, plan) + offsets, plan)
  most = np.ptp(offsets)
  for axis in (0, 1):
    step = np.abs(np.diff(blended - field, axis=axis)).max()
    # The steepest ramp over the overlap: a raised cosine's is pi / 2 / overlap.
    assert step <= most * np.pi / 2 / overlap * 1.2
  # Never outside of what the tiles say.
  assert np.all(blended - field <= offsets.max() + 1e-5)
  assert np.all(blended - field >= offsets.min() - 1e-5)


def test_noise_of_its_own_in_each_tile_leaves_no_edge():
  """Border rows jump no more than others do."""
  plan = tiles.layout(80, 400, 32, 16, multiple=8)
  count = len(plan.tops) * len(plan.lefts)
  draw = np.random.default_rng(1)
  y = np.mgrid[:80, :400][0].astype(np.float32)[..., None] / 80
  noisy = tiles.cut(y, plan) + draw.normal(size=[count, 32, 32, 1]) * 0.1
  blended = tiles.blend(noisy, plan)
  jumps = np.diff(blended[..., 0] - y[..., 0], axis=0).std(axis=1)
  # Two independent values differ by sqrt(2) of their deviation at most.
  assert jumps.max() <= 0.1 * np.sqrt(2) * 1.15
  borders = [top for top in plan.tops[1:]] + [
    top + 31 for top in plan.tops[:-1]
  ]
  at = jumps[[border - 1 for border in borders]]
  assert at.max() <= jumps.max() and at.mean() <= np.median(jumps) * 1.3


def test_tiles_are_taken_as_they_are_where_they_lie_alone():
  plan = tiles.layout(32, 80, 32, 8, multiple=8)
  pieces = np.random.default_rng(0).normal(size=[3, 32, 32, 2])
  blended = tiles.blend(pieces, plan)
  assert plan.lefts == (0, 24, 48)
  for piece, left in zip(pieces, plan.lefts):
    first, last = 8 if left else 0, 24 if left < 48 else 32
    alone = slice(left + first, left + last)
    assert np.array_equal(blended[:, alone], piece[:, first:last])


def test_inside_a_compiled_sampler_it_is_the_same():
  plan = tiles.layout(45, 70, 32, 8, multiple=8)
  image = np.random.default_rng(0).normal(size=[45, 70, 3]).astype(np.float32)
  traced = jax.jit(lambda x: tiles.blend(jnp.sin(tiles.cut(x, plan)), plan))
  np.testing.assert_allclose(
    traced(image), tiles.blend(np.sin(tiles.cut(image, plan)), plan), atol=1e-5
  )


def test_numbers_that_make_no_sense():
  with pytest.raises(ValueError, match='no tiles'):
    tiles.layout(0, 5, 32, 8)
  with pytest.raises(ValueError, match='multiples of 32'):
    tiles.layout(50, 50, 40, 8)
  with pytest.raises(ValueError, match='0 to 16'):
    tiles.layout(50, 50, 32, 17)


@some
@hypothesis.given(mask=masks(), tile=st.sampled_from([8, 32]))
def test_each_hole_is_whole_in_one_window(mask, tile):
  height, width, _ = mask.shape
  times = np.zeros(mask.shape)
  for window in windows.covering(mask, tile):
    assert window.top >= 0 and window.top + window.height <= height
    assert window.left >= 0 and window.left + window.width <= width
    side = max(window.height, window.width)
    assert window.height in (side, height) and window.width in (side, width)
    assert window.height >= min(tile, height)
    y, x = np.nonzero(mask[window.slices][..., 0])
    extent = max(np.ptp(y), np.ptp(x)) + 1
    # No larger than it need be,
    assert side <= max(tile, np.ceil(extent * 5 / 3))
    times[window.slices] += 1
  assert np.all(times[mask > 0] == 1)


def test_holes_far_apart_have_small_windows_of_their_own():
  mask = np.zeros([4000, 6000, 1], np.float32)
  mask[100:150, 100:200] = 1
  mask[110:150, 220:230] = 1  # close by
  mask[3000:3900, 3000:3100] = 1  # long
  mask[3990:, 5990:] = 1  # in a corner
  result = windows.covering(mask, 256)
  assert [(w.height, w.width) for w in result] == [
    (256,) * 2,
    (1500,) * 2,
    (256,) * 2,
  ]
  # The middle one would reach beyond the bottom.
  assert result[0] == (0, 37, 256, 256)
  assert result[1:] == [(2500, 2300, 1500, 1500), (3744, 5744, 256, 256)]
  assert windows.covering(np.zeros([9, 9, 1], np.float32), 32) == []
