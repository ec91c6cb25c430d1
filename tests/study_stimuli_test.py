"""The part of an image that raters see."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from palette_jax import images
from palette_jax.evaluation import matching
from palette_jax.study import stimuli


def test_an_image_is_its_pixels_and_nothing_else(tmp_path):
  pixels = np.random.default_rng(0).integers(0, 256, [20, 30, 3], np.uint8)
  exif = Image.Exif()
  exif[0x010F] = 'Camera Maker'
  path = tmp_path / 'photo.jpg'
  Image.fromarray(pixels).save(
    path, exif=exif, icc_profile=b'profile', dpi=(300, 300), comment=b'words'
  )
  file = images.png(matching.read(str(path)))
  assert re.findall(rb'IHDR|IDAT|IEND|[a-z][A-Z]{2}[a-zA-Z]', file[:60])
  chunks, place = [], 8
  while place < len(file):
    length = int.from_bytes(file[place : place + 4], 'big')
    chunks.append(file[place + 4 : place + 8])
    place += 12 + length
  assert set(chunks) == {b'IHDR', b'IDAT', b'IEND'}
  with Image.open(path) as before, Image.open(io.BytesIO(file)) as after:
    np.testing.assert_array_equal(before, after)
  # Of another format, but of the same pixels: the same file.
  again = tmp_path / 'output.png'
  Image.fromarray(matching.read(str(path))).save(again)
  assert images.png(matching.read(str(again))) == file


@pytest.mark.parametrize('level', [0, 90, 255])
def test_a_mosaic_shows_even_in_an_empty_photo(level):
  flat = np.full([50, 70, 3], level, np.uint8)
  fake = stimuli.mosaic(flat)
  assert fake.shape == flat.shape and fake.dtype == np.uint8
  assert fake.std() > 15


def test_a_mosaic_keeps_colours_but_no_detail():
  draw = np.random.default_rng(0)
  photo = draw.integers(0, 256, [64, 64, 3], np.uint8)
  photo[..., 0] = photo[..., 0] // 2
  fake = stimuli.mosaic(photo).astype(float)
  assert abs(fake.mean((0, 1)) - photo.mean((0, 1))).max() < 6
  assert abs(fake[0:5, 0:5] - fake[0, 0]).max() == 0
