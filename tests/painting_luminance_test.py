import hypothesis
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import strategies as st

from palette_jax import images
from palette_jax.photo import photo, reader
from palette_jax.photo.painting import luminance
from palette_jax.tasks import colorization

some = hypothesis.settings(max_examples=40, deadline=None)
sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))


def random_pair(size, small, seed):
  draw = np.random.default_rng(seed)
  luma = draw.integers(0, 256, [*size, 1]).astype(np.float32) / 255
  coloured = draw.uniform(-1, 1, [*small, 3]).astype(np.float32)
  return luma, coloured


@some
@hypothesis.given(size=sizes, small=sizes, seed=st.integers(0, 99))
def test_grey_of_the_result_is_the_photo(size, small, seed):
  """Whatever colours come: to half a level, as three rounded bytes allow."""
  luma, coloured = random_pair(size, small, seed)
  merged = luminance.add_colour(luma, coloured)
  assert merged.dtype == np.float32 and np.abs(merged).max() <= 1 + 1e-5
  levels = images.to_u8(merged)
  grey = levels @ np.array([0.299, 0.587, 0.114])
  assert np.abs(grey - luma[..., 0] * 255).max() <= 0.5 + 0.05
  # And before rounding, exactly.
  exact = (merged.astype(np.float64) + 1) / 2 @ images.LUMA / sum(images.LUMA)
  np.testing.assert_allclose(exact, luma[..., 0], atol=2e-6)


@some
@hypothesis.given(size=sizes, small=sizes, data=st.data())
def test_a_flat_area_has_the_models_colour(size, small, data):
  colour = data.draw(st.tuples(*[st.integers(0, 255)] * 3))
  colour = np.array(colour, np.uint8)
  coloured = np.broadcast_to(images.from_u8(colour), [*small, 3])
  luma = np.full([*size, 1], (colour / 255) @ images.LUMA / sum(images.LUMA))
  merged = luminance.add_colour(luma.astype(np.float32), coloured)
  apart = images.to_u8(merged).astype(int) - colour
  assert np.abs(apart).max() <= 1


@some
@hypothesis.given(size=sizes, small=sizes, seed=st.integers(0, 99))
def test_a_grey_model_leaves_a_grey_photo(size, small, seed):
  luma, coloured = random_pair(size, small, seed)
  merged = luminance.add_colour(luma, coloured[..., :1].repeat(3, -1))
  np.testing.assert_allclose(merged, 2 * luma.repeat(3, -1) - 1, atol=1e-5)


def test_outside_of_the_gamut_the_hue_stays():
  """A saturated red on a nearly white photo: pale, and still that red."""
  coloured = np.broadcast_to(np.array([1, -1, -1], np.float32), [8, 8, 3])
  luma = np.full([64, 64, 1], 0.95, np.float32)
  levels = (luminance.add_colour(luma, coloured)[32, 32] + 1) / 2
  assert levels[0] == pytest.approx(1, abs=1e-5)
  differences = levels - 0.95
  expected = np.array([1, 0, 0]) - 0.299
  np.testing.assert_allclose(
    differences / differences[0], expected / expected[0], atol=1e-3
  )


def test_a_colour_ends_where_its_thing_does():
  """A border between red and green, off the small picture's pixels."""
  photo_rgb = np.zeros([128, 128, 3], np.float32)
  photo_rgb[:, :61], photo_rgb[:, 61:] = [0.6, -0.6, -0.6], [-0.6, 0.9, -0.6]
  levels = (photo_rgb + 1) / 2
  luma = (levels @ np.array(images.LUMA) / sum(images.LUMA))[..., None]
  small = luminance.resize(photo_rgb, 16, 16)
  merged = luminance.add_colour(luma.astype(np.float32), small)
  wrong = np.abs(merged - photo_rgb).max(-1)[64]
  plain = np.abs(np.repeat(small[8], 8, axis=0) - photo_rgb[64]).max(-1)
  assert wrong.mean() < 0.5 * plain.mean()
  assert np.all(wrong[[40, 90]] < 0.02)


def test_strips_meet_without_a_seam(monkeypatch):
  luma, coloured = random_pair((300, 50), (32, 32), 0)
  whole = luminance.add_colour(luma, coloured)
  monkeypatch.setattr(luminance, '_ROWS', 7)
  np.testing.assert_allclose(
    luminance.add_colour(luma, coloured), whole, atol=1e-5
  )


@pytest.mark.parametrize('name', ['astronaut', 'coffee', 'rocket'])
def test_photos_come_back_from_their_own_small_colours(name, monkeypatch):
  source = reader.read(ROOT / f'palette_jax/data/photos/{name}.jpg')
  rgb, luma = photo.rgb(source), photo.luma(source)
  height, width = luminance.small_size(*rgb.shape[:2], 128)
  small = luminance.resize(rgb, height, width)
  merged = luminance.add_colour(luma, small)
  decibel = lambda image: -10 * np.log10(np.mean((image - rgb) ** 2) / 4)  # noqa: E731
  assert decibel(merged) > 36
  with monkeypatch.context() as patched:
    patched.setattr(luminance, '_slope', lambda guide, values: values * 0)
    assert decibel(merged) > decibel(luminance.add_colour(luma, small)) + 0.3
  # The network was given what it is asked to keep.
  cond, _ = colorization.prepare(rgb)
  grey, _ = colorization.prepare(images.from_u8(images.to_u8(merged)))
  assert np.abs(images.to_u8(cond) - images.to_u8(grey).astype(int)).max() <= 1


@some
@hypothesis.given(height=st.integers(1, 9000), width=st.integers(1, 9000))
def test_small_sizes_are_multiples_and_keep_the_shape(height, width):
  small = luminance.small_size(height, width, 256)
  assert all(side % 32 == 0 and side >= 32 for side in small)
  for side, length, opposite in (
    (small[0], height, width), (small[1], width, height)
  ):  # fmt: skip
    exact = 256 * np.sqrt(length / opposite)
    assert abs(side - exact) <= 16 or side == 32
  assert luminance.small_size(256, 256, 256) == (256, 256)
