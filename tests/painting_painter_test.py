"""Tiles in a sampler's loop: nothing of them may be seen in the result."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from pixels import masks

from benchmarks import seams
from palette_jax.diffusion import objective as objectives
from palette_jax.diffusion import sampler_config
from palette_jax.diffusion import schedule as schedules
from palette_jax.photo.painting import growth, painter, tiles, view, windows

TRAIN = schedules.linear(1e-6, 0.01, 2000)
PAPER = schedules.linear(1e-4, 0.09, 1000)
some = hypothesis.settings(max_examples=40, deadline=None)


def diffusion(name, steps=5, prediction='eps'):
  choice = sampler_config.SamplerConfig(
    name, steps, eta=0.5, jump=2, resamplings=2
  )
  levels = choice.schedule(PAPER, TRAIN)
  return objectives.Diffusion(
    TRAIN, levels, prediction=prediction, sampler_config=choice
  )


OBJECTIVES = {name: diffusion(name) for name in sampler_config.NAMES} | {
  'v': diffusion('ddim', prediction='v'),
  'regression': objectives.Regression(),
}


def by_pixel(params, y_t, cond, gamma):
  """Looks at no neighbour: any tiles must do as well as none."""
  return jnp.tanh(params * y_t + 0.5 * cond + gamma[:, None, None, None])


def by_neighbour(params, y_t, cond, gamma):
  """Knows where its tile ends."""
  return by_pixel(params, y_t, jnp.roll(cond, 3, axis=(1, 2)), gamma)


def given(height, width, samples=1, seed=0):
  draw = np.random.default_rng(seed)
  cond = draw.uniform(-1, 1, [samples, height, width, 3]).astype(np.float32)
  mask = (draw.random([height, width, 1]) < 0.6).astype(np.float32)
  return cond, mask


def keys_of(samples, seed=0):
  key = jax.random.key(seed)
  return [jax.random.fold_in(key, i) for i in range(samples)]


PARAMS = jnp.float32(0.7)


@pytest.mark.parametrize('name', OBJECTIVES)
def test_one_tile_is_the_sampler_itself(name):
  """The same key, the same picture: two loops, one mathematics."""
  objective, (cond, mask) = OBJECTIVES[name], given(8, 12, 2)
  ours = painter.Painter(by_neighbour, PARAMS, batch=2)
  result = ours.paint(objective, cond, mask, tiles.whole(8, 12), keys_of(2))
  restore = jax.jit(functools.partial(objective.restore, by_neighbour))
  for i, key in enumerate(keys_of(2)):
    expected = restore(PARAMS, cond[i : i + 1], mask[None], key)[0]
    np.testing.assert_allclose(result[i], expected, atol=2e-5)
    known = np.broadcast_to(mask < 0.5, cond[i].shape)
    assert np.array_equal(result[i][known], cond[i][known])


@pytest.mark.parametrize('name', OBJECTIVES)
@pytest.mark.parametrize('size', [(16, 16), (41, 23), (8, 64)])
def test_a_network_that_sees_no_neighbour_paints_the_same_in_any_tiles(
  name, size
):
  objective, (cond, mask) = OBJECTIVES[name], given(*size)
  ours = painter.Painter(by_pixel, PARAMS)
  plan = tiles.layout(*size, 8, 3, multiple=4)
  result = ours.paint(objective, cond, mask, plan, keys_of(1))
  expected = ours.paint(objective, cond, mask, tiles.whole(*size), keys_of(1))
  np.testing.assert_allclose(result, expected, atol=2e-5)


def test_neither_batch_nor_company_changes_a_sample():
  objective, (cond, mask) = OBJECTIVES['ancestral'], given(20, 30, 3)
  plan = tiles.layout(20, 30, 8, 3, multiple=4)
  expected = None
  for batch in 1, 4, 100:
    ours = painter.Painter(by_neighbour, PARAMS, batch)
    result = ours.paint(objective, cond, mask, plan, keys_of(3))
    expected = result if expected is None else expected
    np.testing.assert_allclose(result, expected, atol=2e-5)
  for i, key in enumerate(keys_of(3)):
    alone = ours.paint(objective, cond[i : i + 1], mask, plan, [key])
    np.testing.assert_allclose(alone[0], expected[i], atol=2e-5)
  assert np.abs(expected[0] - expected[1])[mask[..., 0] > 0.5].max() > 0.1


def test_only_tiles_with_something_to_paint_are_looked_at():
  objective, (cond, mask) = diffusion('ddim', 3), given(40, 40)
  mask = np.zeros_like(mask)
  mask[30:34, 30:34] = 1
  plan = tiles.layout(40, 40, 8, 0, multiple=4)
  ours, ticks = painter.Painter(by_neighbour, PARAMS, batch=1), []
  result = ours.paint(
    objective, cond, mask, plan, keys_of(1), lambda: ticks.append(1)
  )
  assert len(ticks) == ours.passes(objective, mask, plan, 1) == 3 * 4
  every = painter.Painter(by_neighbour, PARAMS)
  expected = every.paint(objective, cond, mask, plan, keys_of(1))
  assert np.array_equal(result, expected)
  nothing = np.zeros_like(mask)
  assert np.array_equal(
    every.paint(objective, cond, nothing, plan, keys_of(1)), cond
  )


def test_known_pixels_stay_and_painted_ones_are_in_range():
  for name, objective in OBJECTIVES.items():
    cond, mask = given(12, 20, seed=3)
    ours = painter.Painter(by_neighbour, PARAMS * 9)
    plan = tiles.layout(12, 20, 8, 4, multiple=4)
    result = ours.paint(objective, cond, mask, plan, keys_of(1))[0]
    known = np.broadcast_to(mask < 0.5, result.shape)
    assert np.array_equal(result[known], cond[0][known]), name
    assert np.abs(result).max() <= 1, name


def test_no_seam_is_to_be_seen_and_nothing_is_blurred():
  """An exact network that sees one tile, on pictures whose law is known."""
  exact = seams.Exact(16, side=64)
  objective = seams.objective_of(sampler_config.SamplerConfig('dpm_solver', 12))
  result = seams.compare(
    exact.clean_fn, exact.params, objective, 16, map(exact.picture, range(4))
  )
  apart, crossfaded = result[0, 'apart'], result[8, 'crossfaded']
  assert apart[0] > 1.2  # the measure sees seams,
  assert crossfaded[2] < 0.9  # and blur
  for overlap in 4, 8:
    seam, wide, sharp, _ = result[overlap, 'y_0']
    assert 0.9 < seam < 1.1 and 0.95 < wide < 1.05 and 0.93 < sharp < 1.07
    # Whatever is blended: the step is linear, but for the clip.
    difference = result[overlap, 'y_0'] - result[overlap, 'eps']
    assert np.abs(difference).max() < 0.02


@some
@hypothesis.given(
  length=st.integers(1, 40), grid=st.sampled_from([1, 2, 8, 16]), data=st.data()
)
def test_tiles_on_a_grid_overlap_as_they_should(length, grid, data):
  length *= grid
  overlap = data.draw(st.integers(0, 16))
  plan = tiles.layout(length, length, 32, overlap, multiple=16, grid=grid)
  assert all(top % grid == 0 for top in plan.tops)
  assert plan.tops[0] == 0
  assert plan.tops[-1] + plan.tile[0] >= length
  gaps = np.diff(plan.tops)
  assert np.all(gaps <= 32 - overlap) and np.all(gaps > 0)


def test_tiles_that_cannot_end_on_the_grid_are_refused():
  with pytest.raises(ValueError, match='multiple of 16'):
    tiles.layout(70, 64, 32, 8, multiple=16, grid=16)


# How large a hole is seen.


def shows_nothing_if_smaller(look, mask):
  """At the next scale that is tried after those that give this look."""
  scales = [
    max(view._SCALE_STEP**i, 16 / max(look.window.height, look.window.width))
    for i in range(20)
  ]
  looks = [view.at_scale(look.window, scale) for scale in scales]
  last = max(i for i, other in enumerate(looks) if other == look)
  smaller = looks[min(last + 1, len(looks) - 1)]
  return view.shrink(smaller, np.repeat(mask, 3, -1), mask)[1].all()


@some
@hypothesis.given(
  length=st.integers(17, 60), width=st.integers(2, 9), known=st.integers(1, 3)
)
@hypothesis.example(length=36, width=7, known=1)
def test_something_known_is_always_seen(length, width, known):
  """A narrow photo that is made small may be all hole."""
  mask = np.ones([length, width, 1], np.float32)
  mask[:, -min(known, width - 1) :] = 0
  for hole in mask, mask.swapaxes(0, 1):
    (window,) = windows.covering(hole, 16)
    look = view.sharpest(hole, window, 16, 2)
    _, small = view.shrink(look, np.repeat(hole, 3, -1), hole)
    assert not small.all()


@some
@hypothesis.given(mask=masks())
def test_no_tile_is_asked_for_more_than_half_or_it_is_all_there_is(mask):
  for window in windows.covering(mask, 16):
    look = view.sharpest(mask, window, 16, 8)
    _, small = view.shrink(look, np.repeat(mask, 3, -1), mask)
    assert small.shape[:2] == (look.height, look.width)
    plan = view.tile_layout(look.height, look.width, 16, 8)
    share = tiles.cut(small, plan).mean(axis=(1, 2, 3)).max()
    enough = share <= view.LARGEST_SHARE or max(look.height, look.width) <= 16
    assert enough or shows_nothing_if_smaller(look, mask)
    ratio = look.height / window.height, look.width / window.width
    assert max(ratio) <= 1


@some
@hypothesis.given(mask=masks())
def test_a_hole_is_seen_with_half_a_tile_around_it(mask):
  window = view.surroundings(mask, 16)
  for axis in 0, 1:
    length, start, side = mask.shape[axis], window[axis], window[2 + axis]
    places = np.nonzero(mask)[axis]
    before, after = places.min() - start, start + side - 1 - places.max()
    assert side == min(length, max(16, np.ptp(places) + 1 + 8))
    assert min(before, after) >= 0
    assert abs(before - after) <= 1 or start in (0, length - side)


def test_thin_holes_are_seen_as_they_are():
  mask = np.zeros([200, 200, 1], np.float32)
  mask[50:54, 10:190] = 1
  (window,) = windows.covering(mask, 32)
  assert view.sharpest(mask, window, 32, 8).is_whole
  mask[20:180, 20:180] = 1
  (window,) = windows.covering(mask, 32)
  assert not view.sharpest(mask, window, 32, 8).is_whole


@some
@hypothesis.given(mask=masks(), seed=st.integers(0, 99))
def test_nothing_of_what_was_in_the_hole_is_seen(mask, seed):
  draw = np.random.default_rng(seed)
  image = draw.uniform(-1, 1, [*mask.shape[:2], 3]).astype(np.float32)
  other = np.where(mask > 0.5, np.float32(1), image)
  window = windows.Window(0, 0, *mask.shape[:2])
  for scale in 1.0, 0.7, 0.3:
    look = view.at_scale(window, scale)
    result, small = view.shrink(look, image, mask)
    again, _ = view.shrink(look, other, mask)
    known = np.broadcast_to(small < 0.5, result.shape)
    np.testing.assert_allclose(result[known], again[known], atol=1e-5)
    # Whatever a hole's pixel falls into is hole.
    places = np.argwhere(mask[..., 0]) + 0.5
    y, x = (places * small.shape[:2] / mask.shape[:2]).astype(int).T
    assert np.all(small[y, x] == 1)
    large = view.enlarge(look, np.clip(result, -1, 1))
    assert large.shape == image.shape


def test_a_smooth_picture_comes_back_from_a_smaller_one():
  y, x = np.mgrid[-1:1:64j, -1:1:96j].astype(np.float32)
  image = np.stack([y, x, y * x], -1) * np.float32(0.9)
  mask = np.zeros([64, 96, 1], np.float32)
  look = view.at_scale(windows.Window(0, 0, 64, 96), 0.5)
  small, _ = view.shrink(look, image, mask)
  back = view.enlarge(look, small)
  assert np.abs(back - image)[4:-4, 4:-4].max() < 0.01


def test_an_enlarged_ring_has_no_ends():
  draw = np.random.default_rng(0)
  small = draw.uniform(-1, 1, [8, 24, 3]).astype(np.float32)
  look = view.View(windows.Window(0, 0, 24, 72), 8, 24)
  whole = view.enlarge(look, small, ring=True)
  turned = view.enlarge(look, np.roll(small, 5, axis=1), ring=True)
  np.testing.assert_allclose(np.roll(whole, 15, axis=1), turned, atol=1e-5)
  cut = view.enlarge(look, small, ring=False)
  assert np.abs(cut - whole)[:, 0].max() > 0.01


# How a picture grows.


@some
@hypothesis.given(
  height=st.integers(1, 50), width=st.integers(1, 50), data=st.data()
)
def test_stages_fill_the_picture_each_beside_what_is_known(height, width, data):
  side = st.integers(0, 90)
  left, right, top, bottom = (data.draw(side) for _ in range(4))
  known = windows.Window(top, left, height, width)
  whole = top + height + bottom, left + width + right
  counts = growth.count_pieces(known, *whole, reach=16)
  filled = np.zeros(whole, int)
  filled[known.slices] = 1
  before = known
  for rectangle in growth.stages(known, *whole, counts):
    new = np.zeros(whole, bool)
    new[rectangle.slices] = True
    new[before.slices] = False
    assert filled[before.slices].all() and not filled[new].any()
    extent = np.flatnonzero(new.any(0)), np.flatnonzero(new.any(1))
    # A strip as long as the picture is, and no wider than half an image, or
    # than what is known.
    is_sideways = rectangle.width > before.width
    reach = min(16, width if is_sideways else height)
    assert np.ptp(extent[0 if is_sideways else 1]) + 1 <= reach
    filled[new] = 1
    before = rectangle
  assert filled.all()


def test_sides_take_turns():
  known = windows.Window(0, 20, 10, 10)
  result = growth.stages(known, 10, 50, dict(left=2, right=2))
  assert [(one.left, one.left + one.width) for one in result] == [
    (20, 40),
    (10, 40),
    (10, 50),
    (0, 50),
  ]
