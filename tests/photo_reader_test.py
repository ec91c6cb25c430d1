import io
import struct
import subprocess
import sys
import zlib

import hypothesis
import imagecodecs
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import strategies as st
from photo_files import deep_png, deep_tiff, noise, saved, smooth, wide_gamut
from PIL import ExifTags, Image, ImageCms, ImageOps

from palette_jax import images
from palette_jax.photo import photo as photos
from palette_jax.photo import profile, reader, writer

few = hypothesis.settings(
  max_examples=25,
  deadline=None,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize('ending', ['png', 'webp', 'tif', 'bmp', 'gif', 'jpg'])
def test_a_photo_has_the_pixels_that_pillow_shows(tmp_path, ending):
  path = saved(tmp_path / f'a.{ending}', smooth())
  with Image.open(path) as image:
    expected = np.asarray(image.convert('RGB'))
  photo = reader.read(path)
  assert np.array_equal(photo.levels, expected)
  assert np.array_equal(images.to_u8(photos.rgb(photo)), expected)
  assert photo.alpha is None and not photo.notes


@pytest.mark.parametrize('channels', [1, 3])
def test_the_quality_of_a_jpeg_is_that_of_its_encoder(tmp_path, channels):
  for quality in range(1, 101):
    path = tmp_path / f'{quality}.jpg'
    saved(path, noise([8, 8, channels]), quality=quality)
    assert reader.read(path).quality == quality
  for ending in ('png', 'webp', 'tif'):
    path = saved(tmp_path / f'other.{ending}', noise([8, 8, channels]))
    assert reader.read(path).quality is None


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('ending', ['jpg', 'png', 'tif'])
def test_a_turned_photo_becomes_upright(tmp_path, orientation, ending):
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = orientation
  exif[ExifTags.Base.Make] = 'Palette'
  path = saved(tmp_path / f'a.{ending}', smooth(), exif=exif)
  with Image.open(path) as image:
    expected = np.asarray(ImageOps.exif_transpose(image))
  photo = reader.read(path)
  assert np.array_equal(photo.levels, expected)
  written, _ = writer.write(tmp_path / 'b.png', photo)
  with Image.open(written) as image:
    assert ExifTags.Base.Orientation not in image.getexif()
    assert image.getexif()[ExifTags.Base.Make] == 'Palette'
  assert np.array_equal(reader.read(written).levels, expected)


@few
@hypothesis.given(
  shape=st.tuples(st.integers(1, 19), st.integers(1, 19), st.integers(1, 4)),
  interlaced=st.booleans(),
  seed=st.integers(0, 99),
)
def test_all_16_bits_are_read_and_written(tmp_path, shape, interlaced, seed):
  levels = noise(shape, np.uint16, seed)
  encoded = deep_png(levels, interlaced=interlaced)
  for content in (encoded, encoded[:-12]):  # with and without its last chunk
    photo = reader.decode(content, 'a.png')
    assert np.array_equal(stored(photo), levels)
  path, notes = writer.write(tmp_path / 'a.png', photo)
  assert not notes
  again = imagecodecs.png_decode(path.read_bytes())
  assert np.array_equal(np.atleast_3d(again), levels)
  with Image.open(path) as image:  # Pillow agrees on the upper bytes
    if shape[2] == 4:
      assert np.array_equal(np.asarray(image), levels >> 8)


def stored(photo):
  """Levels and alpha, as a file interleaves them."""
  if photo.alpha is None:
    return photo.levels
  return np.concatenate([photo.levels, photo.alpha], -1)


@pytest.mark.parametrize('order', '<>')
@pytest.mark.parametrize('channels', [1, 3])
def test_16_bit_tiffs_are_read(tmp_path, order, channels):
  levels = noise([5, 7, channels], np.uint16)
  path = tmp_path / 'a.tif'
  path.write_bytes(deep_tiff(levels, order, 2 if channels == 3 else 1))
  assert np.array_equal(reader.read(path).levels, levels)


def test_tiffs_with_planes_negatives_or_12_bits_are_refused(tmp_path):
  path = tmp_path / 'a.tif'
  path.write_bytes(deep_tiff(noise([5, 7, 3], np.uint16), '<', 2, planes=2))
  with pytest.raises(ValueError, match='separate planes'):
    reader.read(path)
  for photometric, bits in [(0, 16), (1, 12)]:
    levels = noise([5, 8, 1], np.uint16)
    path.write_bytes(deep_tiff(levels, '<', photometric, bits=bits))
    with pytest.raises(ValueError, match='as a PNG'):
      reader.read(path)


def test_a_transparent_colour_of_16_bits_becomes_alpha(tmp_path):
  levels = np.full([2, 3, 3], 1000, np.uint16)
  levels[0, 0] = [1, 2, 300]
  key = struct.pack('>HHH', 1, 2, 300)
  path = tmp_path / 'a.png'
  path.write_bytes(deep_png(levels, [(b'tRNS', key)]))
  alpha = reader.read(path).alpha
  assert alpha[0, 0, 0] == 0 and (alpha == 65535).sum() == 5


def test_the_profile_of_srgb_is_dropped(tmp_path):
  icc = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
  photo = reader.read(saved(tmp_path / 'a.png', smooth(), icc_profile=icc))
  assert photo.profile is None and not photo.notes
  assert not profile.is_srgb(wide_gamut())


@pytest.mark.parametrize('icc', [b'damaged' * 30, wide_gamut()])
def test_a_profile_that_does_not_fit_is_dropped_with_a_note(tmp_path, icc):
  levels = smooth(channels=1)
  photo = reader.read(saved(tmp_path / 'a.png', levels, icc_profile=icc))
  assert photo.profile is None and 'taken to be sRGB' in photo.notes[0]


def test_palettes_keep_their_transparency(tmp_path):
  image = Image.new('P', (4, 2))
  image.putpalette([255, 0, 0, 0, 255, 0])
  image.putpixel((1, 0), 1)
  image.save(tmp_path / 'a.png', transparency=1)
  photo = reader.read(tmp_path / 'a.png')
  assert photo.alpha[0, 1, 0] == 0 and photo.alpha.sum() == 7 * 255
  assert photo.levels[1, 1].tolist() == [255, 0, 0]


def test_cmyk_becomes_srgb_with_a_note(tmp_path):
  Image.new('CMYK', (5, 4), (0, 255, 255, 0)).save(tmp_path / 'a.tif')
  photo = reader.read(tmp_path / 'a.tif')
  assert photo.levels[0, 0].tolist() == [255, 0, 0]
  assert 'CMYK' in photo.notes[0]


def test_the_first_of_several_frames_is_used(tmp_path):
  frames = [Image.new('RGB', (4, 4), name) for name in ('red', 'blue')]
  frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
  photo = reader.read(tmp_path / 'a.gif')
  assert photo.levels[0, 0].tolist() == [255, 0, 0] and '2' in photo.notes[0]


@pytest.mark.parametrize('ending', ['png', 'jpg', 'tif', 'webp', 'gif', 'bmp'])
def test_a_truncated_file_is_named(tmp_path, ending):
  path = saved(tmp_path / f'a.{ending}', smooth())
  whole = path.read_bytes()
  for share in (0.5, 0.9):
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=f'a.{ending}'):
      reader.read(path)


@few
@hypothesis.given(data=st.data())
def test_a_damaged_file_is_a_photo_or_a_value_error(tmp_path, data):
  ending = data.draw(st.sampled_from(['png', 'jpg', 'tif', 'gif', 'webp']))
  path = saved(tmp_path / f'a.{ending}', smooth())
  damaged = bytearray(path.read_bytes())
  for _ in range(data.draw(st.integers(1, 5))):
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
  path.write_bytes(damaged)
  try:
    photo = reader.read(path)
  except ValueError as error:
    assert 'cannot be read' in str(error)
  else:
    assert photos.rgb(photo).shape == (*photo.levels.shape[:2], 3)


def test_files_that_are_no_photos_are_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match='no photo'):
    reader.read(tmp_path / 'none.png')
  with pytest.raises(ValueError, match='is a folder'):
    reader.read(tmp_path)
  for content, reason in [
    (b'', 'empty'),
    (b'hello', 'JPEG, PNG, WebP'),
    (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 5\n', 'JPEG, PNG, WebP'),
    (b'\0\0\0\x18ftypheic\0\0\0\0mif1', 'HEIC'),
  ]:
    (tmp_path / 'a').write_bytes(content)
    with pytest.raises(ValueError, match=reason):
      reader.read(tmp_path / 'a')
  Image.new('F', (3, 3)).save(tmp_path / 'f.tif')
  with pytest.raises(ValueError, match='16 bits'):
    reader.read(tmp_path / 'f.tif')


def test_too_many_pixels_are_refused_without_decoding(tmp_path):
  path = saved(tmp_path / 'a.png', smooth())
  with pytest.raises(photos.TooLarge, match='56 x 40'):
    reader.decode(path.read_bytes(), 'a.png', most_pixels=2239)
  reader.decode(path.read_bytes(), 'a.png', most_pixels=2240)
  # A header that promises 60,000 x 60,000.
  header = struct.pack('>IIBBBBB', 60_000, 60_000, 8, 2, 0, 0, 0)
  crc = struct.pack('>I', zlib.crc32(b'IHDR' + header))
  content = path.read_bytes()
  path.write_bytes(content[:16] + header + crc + content[33:])
  with pytest.raises(photos.TooLarge, match='a.png'):
    reader.read(path)


def test_thumbnails_of_the_old_photo_are_dropped(tmp_path):
  exif = Image.Exif()
  exif[ExifTags.Base.Make] = 'Palette'
  thumbnail = io.BytesIO()
  Image.fromarray(smooth(8, 8)).save(thumbnail, 'JPEG')
  exif.get_ifd(ExifTags.IFD.IFD1)[513] = thumbnail.getvalue()
  photo = reader.read(saved(tmp_path / 'a.jpg', smooth(), exif=exif))
  assert b'Palette' in photo.exif and b'\xff\xd8\xff' not in photo.exif


def test_own_photos_need_neither_tensorflow_nor_at_first_jax():
  code = """
import importlib, pkgutil, sys
from palette_jax import photo
names = {module.name for module in pkgutil.iter_modules(photo.__path__)}
assert 'model' in names
for name in sorted(names - {'model', 'painting'}) + ['painting.tiles']:
  importlib.import_module(f'palette_jax.photo.{name}')
assert not {'jax', 'flax'} & set(sys.modules)
importlib.import_module('palette_jax.photo.model')
assert 'tensorflow' not in sys.modules
"""
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)
