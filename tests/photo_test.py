import io
import struct
import zlib

import hypothesis
import imagecodecs
import numpy as np
import photo_files
import pytest
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

from palette_jax import images
from palette_jax.photo import photo, profile, reader, writer

few = hypothesis.settings(
  max_examples=25,
  deadline=None,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


def noise(shape, dtype=np.uint8, seed=0):
  draw = np.random.default_rng(seed)
  return draw.integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def smooth(height=40, width=56, channels=3):
  coarse = Image.fromarray(noise([4, 5, 3])).resize((width, height))
  return np.asarray(coarse)[..., :channels]


def saved(path, levels, **options):
  plain = levels[..., 0] if levels.shape[-1] == 1 else levels
  Image.fromarray(plain).save(path, **options)
  return path


def wide_gamut():
  """An ICC profile like Adobe RGB: sRGB's with a red and green of its own."""
  found = bytearray(
    ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
  )
  count = struct.unpack('>I', found[128:132])[0]
  for i in range(count):
    name, at, _ = struct.unpack('>4sII', found[132 + 12 * i : 144 + 12 * i])
    values = {
      b'rXYZ': (0.6097, 0.3111, 0.0195),
      b'gXYZ': (0.2053, 0.6257, 0.0609),
      b'bXYZ': (0.1492, 0.0632, 0.7446),
    }.get(name)
    if values:
      fixed = [round(value * 65536) for value in values]
      found[at + 8 : at + 20] = struct.pack('>iii', *fixed)
  return bytes(found)


def gamma_grey(gamma):
  """A grey ICC profile of one power."""
  found = bytearray(
    ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
  )
  found[16:20] = b'GRAY'
  count = struct.unpack('>I', found[128:132])[0]
  for i in range(count):
    entry = slice(132 + 12 * i, 136 + 12 * i)
    if found[entry] == b'rTRC':
      found[entry] = b'kTRC'
      at = struct.unpack('>I', found[136 + 12 * i : 140 + 12 * i])[0]
      assert found[at : at + 4] == b'para'
      found[at + 8 : at + 16] = struct.pack('>HHi', 0, 0, int(gamma * 65536))
  return bytes(found)


def with_mask(height, width, seed=0):
  draw = np.random.default_rng(seed)
  return (draw.random([height, width, 1]) < 0.3).astype(np.float32)


@pytest.mark.parametrize('ending', ['png', 'webp', 'tif', 'bmp', 'gif', 'jpg'])
def test_a_photo_is_what_pillow_shows(tmp_path, ending):
  path = saved(tmp_path / f'a.{ending}', smooth())
  with Image.open(path) as image:
    expected = np.asarray(image.convert('RGB'))
  found = reader.read(path)
  assert np.array_equal(found.levels, expected)
  assert np.array_equal(images.to_u8(photo.rgb(found)), expected)
  assert found.alpha is None and not found.notes


@pytest.mark.parametrize('channels', [1, 3])
def test_a_jpeg_s_quality_is_the_encoder_s(tmp_path, channels):
  for quality in range(1, 101):
    path = tmp_path / f'{quality}.jpg'
    saved(path, noise([8, 8, channels]), quality=quality)
    assert reader.read(path).quality == quality
  for ending in ('png', 'webp', 'tif'):
    path = saved(tmp_path / f'other.{ending}', noise([8, 8, channels]))
    assert reader.read(path).quality is None


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('ending', ['jpg', 'png', 'tif'])
def test_a_turned_photo_stands_upright(tmp_path, orientation, ending):
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = orientation
  exif[ExifTags.Base.Make] = 'Palette'
  path = saved(tmp_path / f'a.{ending}', smooth(), exif=exif)
  with Image.open(path) as image:
    expected = np.asarray(ImageOps.exif_transpose(image))
  found = reader.read(path)
  assert np.array_equal(found.levels, expected)
  written, _ = writer.write(tmp_path / 'b.png', found)
  with Image.open(written) as image:
    assert ExifTags.Base.Orientation not in image.getexif()
    assert image.getexif()[ExifTags.Base.Make] == 'Palette'
  assert np.array_equal(reader.read(written).levels, expected)


@few
@hypothesis.given(
  channels=st.integers(1, 4),
  deep=st.booleans(),
  height=st.integers(1, 20),
  width=st.integers(1, 20),
  seed=st.integers(0, 99),
)
def test_known_pixels_are_the_same_in_the_file(
  tmp_path, channels, deep, height, width, seed
):
  dtype = np.uint16 if deep else np.uint8
  levels = noise([height, width, channels], dtype, seed)
  path = tmp_path / 'in.png'
  if deep:
    path.write_bytes(photo_files.deep_png(levels))
  else:
    saved(path, levels)
  found = reader.read(path)
  mask = with_mask(height, width, seed)
  image = np.random.default_rng(seed).uniform(-1.2, 1.2, [height, width, 3])
  made = photo.paint(found, image.astype(np.float32), mask)
  again = reader.read(writer.write(tmp_path / 'out.png', made)[0])
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
    wanted = np.clip((image + 1) / 2, 0, 1) * np.iinfo(dtype).max
    apart = np.abs(again.levels - wanted)[~known]
    assert np.all(apart <= 0.51)


@few
@hypothesis.given(
  shape=st.tuples(st.integers(1, 19), st.integers(1, 19), st.integers(1, 4)),
  interlaced=st.booleans(),
  seed=st.integers(0, 99),
)
def test_16_bits_are_read_and_written_to_the_last(
  tmp_path, shape, interlaced, seed
):
  levels = noise(shape, np.uint16, seed)
  encoded = photo_files.deep_png(levels, interlaced=interlaced)
  for content in (encoded, encoded[:-12]):  # with and without its last chunk
    found = reader.decode(content, 'a.png')
    assert np.array_equal(stored(found), levels)
  path, notes = writer.write(tmp_path / 'a.png', found)
  assert not notes
  again = imagecodecs.png_decode(path.read_bytes())
  assert np.array_equal(np.atleast_3d(again), levels)
  with Image.open(path) as image:  # Pillow agrees on the upper bytes
    if shape[2] == 4:
      assert np.array_equal(np.asarray(image), levels >> 8)


def stored(found):
  """Levels and alpha, as a file interleaves them."""
  if found.alpha is None:
    return found.levels
  return np.concatenate([found.levels, found.alpha], -1)


@pytest.mark.parametrize('order', '<>')
@pytest.mark.parametrize('channels', [1, 3])
def test_16_bit_tiff(tmp_path, order, channels):
  levels = noise([5, 7, channels], np.uint16)
  path = tmp_path / 'a.tif'
  path.write_bytes(
    photo_files.deep_tiff(levels, order, 2 if channels == 3 else 1)
  )
  assert np.array_equal(reader.read(path).levels, levels)


def test_tiffs_that_pillow_shows_wrongly_are_refused(tmp_path):
  path = tmp_path / 'a.tif'
  path.write_bytes(
    photo_files.deep_tiff(noise([5, 7, 3], np.uint16), '<', 2, planes=2)
  )
  with pytest.raises(ValueError, match='separate planes'):
    reader.read(path)
  for photometric, bits in [(0, 16), (1, 12)]:
    levels = noise([5, 8, 1], np.uint16)
    path.write_bytes(photo_files.deep_tiff(levels, '<', photometric, bits=bits))
    with pytest.raises(ValueError, match='save it as a PNG'):
      reader.read(path)


def test_16_bits_become_8_only_where_the_format_says_so(tmp_path):
  path = tmp_path / 'a.png'
  levels = noise([9, 9, 3], np.uint16)
  path.write_bytes(photo_files.deep_png(levels))
  found = reader.read(path)
  again, notes = writer.write(tmp_path / 'b.tif', found)
  assert np.array_equal(
    reader.read(again).levels, np.round(levels / 257).astype(np.uint8)
  )
  assert 'PNG keeps them' in ' '.join(notes)
  assert np.array_equal(
    images.to_u8(photo.rgb(found)), reader.read(again).levels
  )


def test_a_transparent_colour_of_16_bits(tmp_path):
  levels = np.full([2, 3, 3], 1000, np.uint16)
  levels[0, 0] = [1, 2, 300]
  key = struct.pack('>HHH', 1, 2, 300)
  path = tmp_path / 'a.png'
  path.write_bytes(photo_files.deep_png(levels, [(b'tRNS', key)]))
  alpha = reader.read(path).alpha
  assert alpha[0, 0, 0] == 0 and (alpha == 65535).sum() == 5


@pytest.mark.parametrize('deep', [False, True])
def test_a_profile_is_kept_and_the_model_sees_srgb(tmp_path, deep):
  icc = wide_gamut()
  levels = smooth()
  path = tmp_path / 'a.png'
  if deep:
    content = b'a\0\0' + zlib.compress(icc)
    stored = levels.astype(np.uint16) * 257
    path.write_bytes(photo_files.deep_png(stored, [(b'iCCP', content)]))
  else:
    stored = levels
    saved(path, levels, icc_profile=icc)
  found = reader.read(path)
  assert found.profile == icc and np.array_equal(found.levels, stored)
  seen = images.to_u8(photo.rgb(found)).astype(int)
  assert np.abs(seen - levels).max() > 10
  # Painted with what it shows already, nothing can be seen to change.
  made = photo.paint(found, photo.rgb(found), np.ones_like(seen[..., :1] * 1.0))
  again = reader.read(writer.write(tmp_path / 'b.png', made)[0])
  assert again.profile == icc and again.levels.dtype == stored.dtype
  in_gamut = ((seen > 2) & (seen < 253)).all(-1)
  assert in_gamut.mean() > 0.3
  apart = images.to_u8(photo.rgb(again)).astype(int) - seen
  assert np.abs(apart[in_gamut]).max() <= 3


def test_srgb_says_nothing_new(tmp_path):
  icc = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
  found = reader.read(saved(tmp_path / 'a.png', smooth(), icc_profile=icc))
  assert found.profile is None and not found.notes
  assert not profile.is_srgb(wide_gamut())


@pytest.mark.parametrize('icc', [b'damaged' * 30, wide_gamut()])
def test_a_profile_that_does_not_fit_is_said(tmp_path, icc):
  levels = smooth(channels=1)
  found = reader.read(saved(tmp_path / 'a.png', levels, icc_profile=icc))
  assert found.profile is None and 'taken to be sRGB' in found.notes[0]


def test_grey_stays_grey_but_in_colour(tmp_path):
  found = reader.read(saved(tmp_path / 'a.png', smooth(channels=1)))
  assert found.levels.shape == (40, 56, 1)
  image = np.full([40, 56, 3], [1.0, -1.0, -1.0], np.float32)
  made = photo.paint(found, image, np.ones([40, 56, 1], np.float32))
  assert np.all(made.levels == round(255 * 0.299)) and made.levels.shape[2] == 1
  coloured = photo.colour(found, image)
  written, _ = writer.write(tmp_path / 'b.png', coloured)
  assert np.all(reader.read(written).levels == [255, 0, 0])


@few
@hypothesis.given(
  deep=st.booleans(), channels=st.sampled_from([1, 3]), seed=st.integers(0, 99)
)
def test_luma_is_that_of_the_networks_grey(tmp_path, deep, channels, seed):
  dtype = np.uint16 if deep else np.uint8
  levels = noise([6, 7, channels], dtype, seed)
  path = tmp_path / 'a.png'
  if deep:
    path.write_bytes(photo_files.deep_png(levels))
  else:
    saved(path, levels)
  exact = levels / np.iinfo(dtype).max
  if channels == 3:
    exact = exact @ np.array([[0.299], [0.587], [0.114]])
  found = photo.luma(reader.read(path))
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, exact, atol=1e-4)


@pytest.mark.parametrize('deep', [False, True])
def test_a_grey_profile_is_followed(tmp_path, deep):
  icc = gamma_grey(1.0)  # linear light
  path = tmp_path / 'a.png'
  if deep:
    levels = np.linspace(0, 65535, 1000).astype(np.uint16)[None, :, None]
    content = b'a\0\0' + zlib.compress(icc)
    path.write_bytes(photo_files.deep_png(levels, [(b'iCCP', content)]))
  else:
    levels = np.arange(256, dtype=np.uint8)[None, :, None]
    saved(path, levels, icc_profile=icc)
  found = reader.read(path)
  assert found.profile == icc and not found.notes
  light = levels / np.iinfo(levels.dtype).max
  curve = np.where(
    light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
  )
  apart = np.abs(photo.luma(found) - curve)
  assert apart[light > 0.01].max() < 1 / 255
  assert len(np.unique(photo.luma(found))) > (700 if deep else 180)
  # Grey that the model paints is stored as light, too.
  image = np.full([*levels.shape[:2], 3], 0.0, np.float32)
  made = photo.paint(found, image, np.ones(levels.shape, np.float32))
  again = reader.read(writer.write(tmp_path / 'b.png', made)[0])
  assert again.profile == icc and again.levels.dtype == levels.dtype
  np.testing.assert_allclose(photo.luma(again), 0.5, atol=0.01)
  coloured = photo.colour(found, image)
  assert coloured.profile is None and coloured.levels.shape[-1] == 3


def test_transparency_is_kept_and_not_shown(tmp_path):
  rgba = noise([8, 9, 4])
  rgba[2, 3, 3] = 0
  found = reader.read(saved(tmp_path / 'a.png', rgba))
  assert np.all(photo.rgb(found)[2, 3] == 1)
  mask = np.zeros([8, 9, 1], np.float32)
  mask[2, 3] = 1
  made = photo.paint(found, np.zeros([8, 9, 3], np.float32), mask, opaque=True)
  assert made.alpha[2, 3, 0] == 255
  made.alpha[2, 3, 0] = 0
  assert np.array_equal(made.alpha, rgba[..., 3:])


def test_palettes_keep_their_transparency(tmp_path):
  image = Image.new('P', (4, 2))
  image.putpalette([255, 0, 0, 0, 255, 0])
  image.putpixel((1, 0), 1)
  image.save(tmp_path / 'a.png', transparency=1)
  found = reader.read(tmp_path / 'a.png')
  assert found.alpha[0, 1, 0] == 0 and found.alpha.sum() == 7 * 255
  assert found.levels[1, 1].tolist() == [255, 0, 0]


def test_cmyk_becomes_srgb_and_says_so(tmp_path):
  Image.new('CMYK', (5, 4), (0, 255, 255, 0)).save(tmp_path / 'a.tif')
  found = reader.read(tmp_path / 'a.tif')
  assert found.levels[0, 0].tolist() == [255, 0, 0]
  assert 'CMYK' in found.notes[0]


def test_the_first_of_several_pictures(tmp_path):
  frames = [Image.new('RGB', (4, 4), name) for name in ('red', 'blue')]
  frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
  found = reader.read(tmp_path / 'a.gif')
  assert found.levels[0, 0].tolist() == [255, 0, 0] and '2' in found.notes[0]


@pytest.mark.parametrize('ending', ['png', 'jpg', 'tif', 'webp', 'gif', 'bmp'])
def test_a_file_that_is_cut_off_is_named(tmp_path, ending):
  path = saved(tmp_path / f'a.{ending}', smooth())
  whole = path.read_bytes()
  for share in (0.5, 0.9):
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=f'a.{ending} cannot be read'):
      reader.read(path)


@few
@hypothesis.given(data=st.data())
def test_damage_is_a_photo_or_one_sentence(tmp_path, data):
  ending = data.draw(st.sampled_from(['png', 'jpg', 'tif', 'gif', 'webp']))
  path = saved(tmp_path / f'a.{ending}', smooth())
  damaged = bytearray(path.read_bytes())
  for _ in range(data.draw(st.integers(1, 5))):
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
  path.write_bytes(damaged)
  try:
    found = reader.read(path)
  except ValueError as error:
    assert 'cannot be read' in str(error)
  else:
    assert photo.rgb(found).shape == (*found.levels.shape[:2], 3)


def test_refusals_say_what_to_do(tmp_path):
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
  with pytest.raises(ValueError, match='8 or 16 bits'):
    reader.read(tmp_path / 'f.tif')


def test_too_many_pixels_are_refused_unread(tmp_path):
  path = saved(tmp_path / 'a.png', smooth())
  with pytest.raises(ValueError, match='56 x 40.*smaller'):
    reader.read(path, most_pixels=2239)
  reader.read(path, most_pixels=2240)
  # A header that promises 60,000 x 60,000.
  header = struct.pack('>IIBBBBB', 60_000, 60_000, 8, 2, 0, 0, 0)
  crc = struct.pack('>I', zlib.crc32(b'IHDR' + header))
  content = path.read_bytes()
  path.write_bytes(content[:16] + header + crc + content[33:])
  with pytest.raises(ValueError, match='more pixels than any camera'):
    reader.read(path)


def test_the_photo_itself_is_not_overwritten(tmp_path):
  path = saved(tmp_path / 'a.png', smooth())
  found = reader.read(path)
  before = path.read_bytes()
  (tmp_path / 'link.png').symlink_to(path)
  for name in ('a.png', '../' + tmp_path.name + '/a.png', 'link.png'):
    with pytest.raises(ValueError, match='photo itself'):
      writer.write(tmp_path / name, found)
  assert path.read_bytes() == before
  changed = found._replace(levels=255 - found.levels)
  writer.write(path, changed, replace=True)
  assert np.array_equal(reader.read(path).levels, changed.levels)
  assert sorted(p.name for p in tmp_path.iterdir()) == ['a.png', 'link.png']


def test_formats_say_what_they_cannot_hold(tmp_path):
  rgba = noise([20, 30, 4])
  found = reader.read(saved(tmp_path / 'a.png', rgba))
  path, notes = writer.write(tmp_path / 'new' / 'b.jpg', found, {'k': 'v'})
  said = ' '.join(notes)
  assert 'quality 95' in said and 'white' in said and 'recipe' in said
  with Image.open(path) as image:
    assert image.layer[0][1:3] == (1, 1)  # 4:4:4
    assert image.mode == 'RGB'
  for ending in ('webp', 'tif', 'png'):
    path, notes = writer.write(tmp_path / f'b.{ending}', found)
    again = reader.read(path)
    assert not notes and np.array_equal(again.levels, rgba[..., :3])
    assert np.array_equal(again.alpha, rgba[..., 3:])
  assert writer.write(tmp_path / 'plain', found)[0].name == 'plain.png'
  with pytest.raises(ValueError, match='PNG keeps everything'):
    writer.write(tmp_path / 'b.gif', found)
  wide = found._replace(levels=np.zeros([1, 70_000, 3], np.uint8), alpha=None)
  for ending in ('jpg', 'webp'):
    with pytest.raises(ValueError, match='Write a PNG'):
      writer.write(tmp_path / f'wide.{ending}', wide)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_a_png_carries_all_that_belongs_to_it(tmp_path, dtype):
  exif = Image.Exif()
  exif[ExifTags.Base.Artist] = 'somebody'
  exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
  path = saved(
    tmp_path / 'a.jpg', smooth(), exif=exif, dpi=(300, 300)
  )  # fmt: skip
  found = reader.read(path)
  found = found._replace(levels=found.levels.astype(dtype))
  written, _ = writer.write(
    tmp_path / 'b.png', found, {'palette': 'é {"a": 1}'}
  )
  with Image.open(written) as image:
    assert image.text == {'palette': 'é {"a": 1}'}
    assert image.getexif()[ExifTags.Base.Artist] == 'somebody'
    folder = image.getexif().get_ifd(ExifTags.IFD.Exif)
    assert folder[ExifTags.Base.ISOSpeedRatings] == 200
    assert np.allclose(image.info['dpi'], 300, atol=0.1)
  assert PngImagePlugin.MAX_TEXT_CHUNK > 100_000  # what a recipe may take


@pytest.mark.parametrize('ending', ['jpg', 'webp', 'tif', 'png'])
def test_other_formats_carry_profile_and_exif(tmp_path, ending):
  exif = Image.Exif()
  exif[ExifTags.Base.Artist] = 'somebody'
  exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
  exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = 'N'
  icc = wide_gamut()
  path = saved(tmp_path / 'a.jpg', smooth(), exif=exif, icc_profile=icc)
  written, _ = writer.write(tmp_path / f'b.{ending}', reader.read(path))
  with Image.open(written) as image:
    assert image.info['icc_profile'] == icc
    found = image.getexif()
    assert found[ExifTags.Base.Artist] == 'somebody'
    inner = found.get_ifd(ExifTags.IFD.Exif)
    assert inner[ExifTags.Base.ISOSpeedRatings] == 200
    place = found.get_ifd(ExifTags.IFD.GPSInfo)
    assert place[ExifTags.GPS.GPSLatitudeRef] == 'N'


def test_thumbnails_do_not_show_the_old_picture(tmp_path):
  exif = Image.Exif()
  exif[ExifTags.Base.Make] = 'Palette'
  thumbnail = io.BytesIO()
  Image.fromarray(smooth(8, 8)).save(thumbnail, 'JPEG')
  exif.get_ifd(ExifTags.IFD.IFD1)[513] = thumbnail.getvalue()
  found = reader.read(saved(tmp_path / 'a.jpg', smooth(), exif=exif))
  assert b'Palette' in found.exif and b'\xff\xd8\xff' not in found.exif


@few
@hypothesis.given(
  sides=st.tuples(*[st.integers(0, 9)] * 4).filter(any), alpha=st.booleans()
)
def test_a_wider_canvas_has_the_photo_in_it(tmp_path, sides, alpha):
  levels = noise([5, 6, 4 if alpha else 3])
  found = reader.read(saved(tmp_path / 'a.png', levels))
  left, right, top, bottom = sides
  wide, mask = photo.widen(found, left, right, top, bottom)
  assert wide.levels.shape == (5 + top + bottom, 6 + left + right, 3)
  assert mask.sum() == mask.size - 30
  inner = (slice(top, top + 5), slice(left, left + 6))
  assert np.all(mask[inner] == 0)
  assert np.array_equal(wide.levels[inner], levels[..., :3])
  if alpha:
    assert np.array_equal(wide.alpha[inner], levels[..., 3:])
    assert np.all(wide.alpha[mask > 0] == 255)


def test_nothing_to_widen_is_an_error(tmp_path):
  found = reader.read(saved(tmp_path / 'a.png', smooth()))
  with pytest.raises(ValueError, match='at least one side'):
    photo.widen(found)
