import zlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from photo_files import deep_png, gamma_grey, noise, saved, smooth, wide_gamut

from palette_jax import images
from palette_jax.photo import photo as photos
from palette_jax.photo import reader, writer

few = hypothesis.settings(
  max_examples=25,
  deadline=None,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


def with_mask(height, width, seed=0):
  draw = np.random.default_rng(seed)
  return (draw.random([height, width, 1]) < 0.3).astype(np.float32)


@few
@hypothesis.given(
  channels=st.integers(1, 4),
  deep=st.booleans(),
  height=st.integers(1, 20),
  width=st.integers(1, 20),
  seed=st.integers(0, 99),
)
def test_known_pixels_stay_the_same_in_the_file(
  tmp_path, channels, deep, height, width, seed
):
  dtype = np.uint16 if deep else np.uint8
  levels = noise([height, width, channels], dtype, seed)
  path = tmp_path / 'in.png'
  if deep:
    path.write_bytes(deep_png(levels))
  else:
    saved(path, levels)
  photo = reader.read(path)
  mask = with_mask(height, width, seed)
  image = np.random.default_rng(seed).uniform(-1.2, 1.2, [height, width, 3])
  painted = photos.paint(photo, image.astype(np.float32), mask)
  again = reader.read(writer.write(tmp_path / 'out.png', painted)[0])
  has_alpha = channels in (2, 4)
  stored = again.levels
  if has_alpha:
    stored = np.concatenate([stored, again.alpha], -1)
  assert stored.dtype == dtype and stored.shape == levels.shape
  known = mask[..., 0] == 0
  assert np.array_equal(stored[known], levels[known])
  if has_alpha:
    assert np.array_equal(again.alpha, levels[..., -1:])
  if channels >= 3:
    expected = np.clip((image + 1) / 2, 0, 1) * np.iinfo(dtype).max
    apart = np.abs(again.levels - expected)[~known]
    assert np.all(apart <= 0.51)


@pytest.mark.parametrize('deep', [False, True])
def test_a_profile_is_kept_and_the_network_sees_srgb(tmp_path, deep):
  icc = wide_gamut()
  levels = smooth()
  path = tmp_path / 'a.png'
  if deep:
    content = b'a\0\0' + zlib.compress(icc)
    stored = levels.astype(np.uint16) * 257
    path.write_bytes(deep_png(stored, [(b'iCCP', content)]))
  else:
    stored = levels
    saved(path, levels, icc_profile=icc)
  photo = reader.read(path)
  assert photo.profile == icc and np.array_equal(photo.levels, stored)
  seen = images.to_u8(photos.rgb(photo)).astype(int)
  assert np.abs(seen - levels).max() > 10
  # Painting with the colours that it has changes nothing visible.
  painted = photos.paint(
    photo, photos.rgb(photo), np.ones_like(seen[..., :1] * 1.0)
  )
  again = reader.read(writer.write(tmp_path / 'b.png', painted)[0])
  assert again.profile == icc and again.levels.dtype == stored.dtype
  in_gamut = ((seen > 2) & (seen < 253)).all(-1)
  assert in_gamut.mean() > 0.3
  apart = images.to_u8(photos.rgb(again)).astype(int) - seen
  assert np.abs(apart[in_gamut]).max() <= 3


def test_grey_stays_grey_unless_it_is_colorized(tmp_path):
  photo = reader.read(saved(tmp_path / 'a.png', smooth(channels=1)))
  assert photo.levels.shape == (40, 56, 1)
  image = np.full([40, 56, 3], [1.0, -1.0, -1.0], np.float32)
  painted = photos.paint(photo, image, np.ones([40, 56, 1], np.float32))
  assert painted.levels.shape[2] == 1
  assert np.all(painted.levels == round(255 * 0.299))
  coloured = photos.colour(photo, image)
  written, _ = writer.write(tmp_path / 'b.png', coloured)
  assert np.all(reader.read(written).levels == [255, 0, 0])


@few
@hypothesis.given(
  deep=st.booleans(), channels=st.sampled_from([1, 3]), seed=st.integers(0, 99)
)
def test_luma_is_the_grey_that_the_network_sees(tmp_path, deep, channels, seed):
  dtype = np.uint16 if deep else np.uint8
  levels = noise([6, 7, channels], dtype, seed)
  path = tmp_path / 'a.png'
  if deep:
    path.write_bytes(deep_png(levels))
  else:
    saved(path, levels)
  exact = levels / np.iinfo(dtype).max
  if channels == 3:
    exact = exact @ np.array([[0.299], [0.587], [0.114]])
  luma = photos.luma(reader.read(path))
  assert luma.dtype == np.float32
  np.testing.assert_allclose(luma, exact, atol=1e-4)


@pytest.mark.parametrize('deep', [False, True])
def test_a_grey_profile_is_applied(tmp_path, deep):
  icc = gamma_grey(1.0)  # linear light
  path = tmp_path / 'a.png'
  if deep:
    levels = np.linspace(0, 65535, 1000).astype(np.uint16)[None, :, None]
    content = b'a\0\0' + zlib.compress(icc)
    path.write_bytes(deep_png(levels, [(b'iCCP', content)]))
  else:
    levels = np.arange(256, dtype=np.uint8)[None, :, None]
    saved(path, levels, icc_profile=icc)
  photo = reader.read(path)
  assert photo.profile == icc and not photo.notes
  light = levels / np.iinfo(levels.dtype).max
  curve = np.where(
    light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
  )
  apart = np.abs(photos.luma(photo) - curve)
  assert apart[light > 0.01].max() < 1 / 255
  assert len(np.unique(photos.luma(photo))) > (700 if deep else 180)
  # Grey that the model paints is stored as light, too.
  image = np.full([*levels.shape[:2], 3], 0.0, np.float32)
  painted = photos.paint(photo, image, np.ones(levels.shape, np.float32))
  again = reader.read(writer.write(tmp_path / 'b.png', painted)[0])
  assert again.profile == icc and again.levels.dtype == levels.dtype
  np.testing.assert_allclose(photos.luma(again), 0.5, atol=0.01)
  coloured = photos.colour(photo, image)
  assert coloured.profile is None and coloured.levels.shape[-1] == 3


def test_transparency_is_kept_and_seen_as_white(tmp_path):
  rgba = noise([8, 9, 4])
  rgba[2, 3, 3] = 0
  photo = reader.read(saved(tmp_path / 'a.png', rgba))
  assert np.all(photos.rgb(photo)[2, 3] == 1)
  mask = np.zeros([8, 9, 1], np.float32)
  mask[2, 3] = 1
  painted = photos.paint(
    photo, np.zeros([8, 9, 3], np.float32), mask, opaque=True
  )
  assert painted.alpha[2, 3, 0] == 255
  painted.alpha[2, 3, 0] = 0
  assert np.array_equal(painted.alpha, rgba[..., 3:])


@few
@hypothesis.given(
  sides=st.tuples(*[st.integers(0, 9)] * 4).filter(any), alpha=st.booleans()
)
def test_a_wider_canvas_contains_the_photo(tmp_path, sides, alpha):
  levels = noise([5, 6, 4 if alpha else 3])
  photo = reader.read(saved(tmp_path / 'a.png', levels))
  left, right, top, bottom = sides
  wide, mask = photos.widen(photo, left, right, top, bottom)
  assert wide.levels.shape == (5 + top + bottom, 6 + left + right, 3)
  assert mask.sum() == mask.size - 30
  inner = (slice(top, top + 5), slice(left, left + 6))
  assert np.all(mask[inner] == 0)
  assert np.array_equal(wide.levels[inner], levels[..., :3])
  if alpha:
    assert np.array_equal(wide.alpha[inner], levels[..., 3:])
    assert np.all(wide.alpha[mask > 0] == 255)


def test_widening_by_nothing_is_an_error(tmp_path):
  photo = reader.read(saved(tmp_path / 'a.png', smooth()))
  with pytest.raises(ValueError, match='one side'):
    photos.widen(photo)
