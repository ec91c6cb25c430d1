import io

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageDraw, ImageFilter

from palette_jax import images
from palette_jax.photo import hole, reader

SIZE = (60, 80)  # height, width


def read_hole(path, *size, invert=False):
  return hole.from_mask(reader.read(path), str(path), *size, invert)


def disc():
  y, x = np.mgrid[: SIZE[0], : SIZE[1]]
  return (y - 25) ** 2 + (x - 30) ** 2 < 18**2


def written(tmp_path, levels, name='mask.png', **options):
  path = tmp_path / name
  Image.fromarray(levels).save(path, **options)
  return path


def grey(inside, background=0, foreground=255):
  return np.where(inside, foreground, background).astype(np.uint8)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('background, foreground', [(0, 255), (0, 1), (10, 90)])
def test_white_is_painted(tmp_path, channels, background, foreground):
  levels = grey(disc(), background, foreground)
  levels = np.repeat(levels[..., None], channels, -1).squeeze()
  detected = read_hole(written(tmp_path, levels), *SIZE)
  assert detected.mask.dtype == np.float32
  assert np.array_equal(detected.mask[..., 0], disc())
  assert (
    'white is painted' in detected.description
    and '\n' not in detected.description
  )
  assert (
    f'{disc().mean():.1%}' in detected.description
    and '--invert' not in detected.description
  )


def test_black_is_painted_if_inverted(tmp_path):
  path = written(tmp_path, grey(~disc()))
  detected = read_hole(path, *SIZE)
  assert (
    'more than half' in detected.description
    and '--invert' in detected.description
  )
  detected = read_hole(path, *SIZE, invert=True)
  assert np.array_equal(detected.mask[..., 0], disc())
  assert 'inverted' in detected.description


@pytest.mark.parametrize('quality', [30, 75, 95])
def test_jpeg_masks_have_soft_edges(tmp_path, quality):
  path = written(tmp_path, grey(disc()), 'mask.jpg', quality=quality)
  detected = read_hole(path, *SIZE)
  assert (detected.mask[..., 0] != disc()).mean() < 0.005
  assert 'soft' in detected.description
  assert set(np.unique(detected.mask)) == {0, 1}


def test_feathered_brushes_are_masks_and_photos_are_not(tmp_path):
  blurred = Image.fromarray(grey(disc())).filter(ImageFilter.GaussianBlur(3))
  detected = read_hole(written(tmp_path, np.asarray(blurred)), *SIZE)
  assert (detected.mask[..., 0] != disc()).mean() < 0.02
  ramp = np.linspace(0, 255, SIZE[1])[None].repeat(SIZE[0], 0)
  with pytest.raises(ValueError, match='black nor white'):
    read_hole(written(tmp_path, ramp.astype(np.uint8)), *SIZE)


def test_a_brush_on_transparent_ground_is_painted(tmp_path):
  for colour in [(255, 255, 255), (0, 0, 0), (230, 20, 20)]:
    levels = np.zeros([*SIZE, 4], np.uint8)
    levels[disc()] = (*colour, 255)
    detected = read_hole(written(tmp_path, levels), *SIZE)
    assert np.array_equal(detected.mask[..., 0], disc())
    assert 'brush' in detected.description


def test_transparency_that_hides_nothing_does_not_matter(tmp_path):
  levels = np.repeat(grey(disc())[..., None], 4, -1)
  for alpha in (255, 100):
    levels[..., 3] = alpha
    levels[:3, :3, 3] += 0 if alpha == 255 else 20
    detected = read_hole(written(tmp_path, levels), *SIZE)
    assert np.array_equal(detected.mask[..., 0], disc())
    assert 'white' in detected.description


def test_an_erased_part_is_painted(tmp_path):
  draw = np.random.default_rng(0)
  levels = draw.integers(0, 256, [*SIZE, 4], np.uint8)
  levels[..., 3] = grey(~disc())
  path = written(tmp_path, levels)
  for detected in (
    read_hole(path, *SIZE),
    hole.from_transparency(reader.read(path)),
  ):
    assert np.array_equal(detected.mask[..., 0], disc())
    assert 'transparent part' in detected.description
  detected = hole.from_transparency(reader.read(path), invert=True)
  assert np.array_equal(detected.mask[..., 0], ~disc())


def test_a_photo_without_transparency_says_what_to_do(tmp_path):
  path = written(tmp_path, np.zeros([4, 4, 3], np.uint8))
  with pytest.raises(ValueError, match='--mask'):
    hole.from_transparency(reader.read(path))
  path = written(tmp_path, np.full([4, 4, 4], 255, np.uint8))
  with pytest.raises(ValueError, match='paints nothing'):
    hole.from_transparency(reader.read(path))


@pytest.mark.parametrize('level', [0, 3, 255, 250])
@pytest.mark.parametrize('ending', ['png', 'jpg'])
def test_masks_that_paint_nothing_or_everything(tmp_path, level, ending):
  draw = np.random.default_rng(0)
  levels = np.full(SIZE, level) + draw.integers(-2, 3, SIZE)
  levels = np.clip(levels, 0, 255).astype(np.uint8)
  path = written(tmp_path, levels, f'mask.{ending}')
  what = 'nothing' if level < 128 else 'everything'
  with pytest.raises(ValueError, match=f'paints {what}'):
    read_hole(path, *SIZE)
  other = 'everything' if level < 128 else 'nothing'
  with pytest.raises(ValueError, match=f'paints {other}'):
    read_hole(path, *SIZE, invert=True)


@hypothesis.settings(
  max_examples=40,
  deadline=None,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
  height=st.integers(40, 200),
  width=st.integers(40, 200),
  scale=st.floats(0.2, 3),
  rounding=st.sampled_from([np.floor, np.ceil, np.round]),
)
def test_a_mask_of_the_same_shape_is_resized(
  tmp_path, height, width, scale, rounding
):
  sides = [max(8, int(rounding(scale * x))) for x in (height, width)]
  y, x = np.mgrid[: sides[0], : sides[1]]
  inside = (y < sides[0] / 2) & (x < sides[1] / 2)
  detected = read_hole(written(tmp_path, grey(inside)), height, width)
  y, x = np.mgrid[:height, :width]
  expected = (y < height / 2) & (x < width / 2)
  border = 1 + 2 / min(scale, 1)
  near = (abs(y - height / 2) < border) | (abs(x - width / 2) < border)
  assert detected.mask.shape == (height, width, 1)
  assert np.array_equal(detected.mask[~near][:, 0], expected[~near])
  if (height, width) != tuple(sides):
    assert f'resized to {width} x {height}' in detected.description


def test_a_mask_of_another_shape_is_refused(tmp_path):
  levels = grey(disc())
  path = written(tmp_path, levels[:50])
  with pytest.raises(ValueError, match='80 x 50'):
    read_hole(path, *SIZE)
  with pytest.raises(ValueError, match='on its side'):
    read_hole(written(tmp_path, levels.T.copy()), *SIZE)
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = 5  # the mask has been turned, and says so
  path = written(tmp_path, levels.T.copy(), exif=exif)
  assert np.array_equal(read_hole(path, *SIZE).mask[..., 0], disc())


def test_errors_name_the_file(tmp_path):
  with pytest.raises(FileNotFoundError, match='none.png'):
    read_hole(tmp_path / 'none.png', *SIZE)
  (tmp_path / 'a.png').write_bytes(b'no image')
  with pytest.raises(ValueError, match='a.png'):
    read_hole(tmp_path / 'a.png', *SIZE)


def test_a_mask_drawn_by_hand_in_sixteen_bits_or_a_palette(tmp_path):
  levels = grey(disc()).astype(np.uint16) * 257
  detected = read_hole(written(tmp_path, levels), *SIZE)
  assert np.array_equal(detected.mask[..., 0], disc())
  page = Image.new('1', SIZE[::-1])
  ImageDraw.Draw(page).rectangle([5, 5, 14, 24], fill=1)
  buffer = io.BytesIO()
  page.convert('P').save(buffer, 'GIF')
  (tmp_path / 'mask.gif').write_bytes(buffer.getvalue())
  assert read_hole(tmp_path / 'mask.gif', *SIZE).mask.sum() == 200


def test_an_overlay_shows_the_hole_in_magenta_and_nothing_else():
  draw = np.random.default_rng(0)
  levels = draw.integers(0, 256, [*SIZE, 3], np.uint8)
  mask = disc()[..., None].astype(np.float32)
  shown = hole.overlay(images.from_u8(levels), mask)
  assert np.array_equal(shown[~disc()], levels[~disc()])
  red, green, blue = np.moveaxis(shown[disc()].astype(int), -1, 0)
  assert np.all(red > green + 50) and np.all(red == blue)
