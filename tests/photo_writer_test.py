import numpy as np
import pytest
from photo_files import deep_png, noise, saved, smooth, wide_gamut
from PIL import ExifTags, Image, PngImagePlugin

from palette_jax import images
from palette_jax.photo import photo as photos
from palette_jax.photo import reader, writer


def test_16_bits_become_8_only_where_the_format_has_no_more(tmp_path):
  path = tmp_path / 'a.png'
  levels = noise([9, 9, 3], np.uint16)
  path.write_bytes(deep_png(levels))
  photo = reader.read(path)
  again, notes = writer.write(tmp_path / 'b.tif', photo)
  assert np.array_equal(
    reader.read(again).levels, np.round(levels / 257).astype(np.uint8)
  )
  assert 'PNG keeps them' in ' '.join(notes)
  assert np.array_equal(
    images.to_u8(photos.rgb(photo)), reader.read(again).levels
  )


def test_the_photo_itself_is_not_overwritten(tmp_path):
  path = saved(tmp_path / 'a.png', smooth())
  photo = reader.read(path)
  before = path.read_bytes()
  (tmp_path / 'link.png').symlink_to(path)
  for name in ('a.png', '../' + tmp_path.name + '/a.png', 'link.png'):
    with pytest.raises(ValueError, match='photo itself'):
      writer.write(tmp_path / name, photo)
  assert path.read_bytes() == before
  changed = photo._replace(levels=255 - photo.levels)
  writer.write(path, changed, replace=True)
  assert np.array_equal(reader.read(path).levels, changed.levels)
  assert sorted(p.name for p in tmp_path.iterdir()) == ['a.png', 'link.png']


def test_a_format_reports_what_it_cannot_hold(tmp_path):
  rgba = noise([20, 30, 4])
  photo = reader.read(saved(tmp_path / 'a.png', rgba))
  path, notes = writer.write(tmp_path / 'new' / 'b.jpg', photo, {'k': 'v'})
  message = ' '.join(notes)
  assert 'quality 95' in message and 'white' in message and 'recipe' in message
  with Image.open(path) as image:
    assert image.layer[0][1:3] == (1, 1)  # 4:4:4
    assert image.mode == 'RGB'
  for ending in ('webp', 'tif', 'png'):
    path, notes = writer.write(tmp_path / f'b.{ending}', photo)
    again = reader.read(path)
    assert not notes and np.array_equal(again.levels, rgba[..., :3])
    assert np.array_equal(again.alpha, rgba[..., 3:])
  assert writer.write(tmp_path / 'plain', photo)[0].name == 'plain.png'
  with pytest.raises(ValueError, match='PNG keeps'):
    writer.write(tmp_path / 'b.gif', photo)
  wide = photo._replace(levels=np.zeros([1, 70_000, 3], np.uint8), alpha=None)
  for ending in ('jpg', 'webp'):
    with pytest.raises(ValueError, match='Write a PNG'):
      writer.write(tmp_path / f'wide.{ending}', wide)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_a_png_carries_text_exif_and_resolution(tmp_path, dtype):
  exif = Image.Exif()
  exif[ExifTags.Base.Artist] = 'somebody'
  exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
  path = saved(
    tmp_path / 'a.jpg', smooth(), exif=exif, dpi=(300, 300)
  )  # fmt: skip
  photo = reader.read(path)
  photo = photo._replace(levels=photo.levels.astype(dtype))
  written, _ = writer.write(
    tmp_path / 'b.png', photo, {'palette': 'é {"a": 1}'}
  )
  with Image.open(written) as image:
    assert image.text == {'palette': 'é {"a": 1}'}
    assert image.getexif()[ExifTags.Base.Artist] == 'somebody'
    folder = image.getexif().get_ifd(ExifTags.IFD.Exif)
    assert folder[ExifTags.Base.ISOSpeedRatings] == 200
    assert np.allclose(image.info['dpi'], 300, atol=0.1)
  assert PngImagePlugin.MAX_TEXT_CHUNK > 100_000  # what a recipe may take


@pytest.mark.parametrize('ending', ['jpg', 'webp', 'tif', 'png'])
def test_all_formats_carry_profile_and_exif(tmp_path, ending):
  exif = Image.Exif()
  exif[ExifTags.Base.Artist] = 'somebody'
  exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
  exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = 'N'
  icc = wide_gamut()
  path = saved(tmp_path / 'a.jpg', smooth(), exif=exif, icc_profile=icc)
  written, _ = writer.write(tmp_path / f'b.{ending}', reader.read(path))
  with Image.open(written) as image:
    assert image.info['icc_profile'] == icc
    photo = image.getexif()
    assert photo[ExifTags.Base.Artist] == 'somebody'
    inner = photo.get_ifd(ExifTags.IFD.Exif)
    assert inner[ExifTags.Base.ISOSpeedRatings] == 200
    place = photo.get_ifd(ExifTags.IFD.GPSInfo)
    assert place[ExifTags.GPS.GPSLatitudeRef] == 'N'
