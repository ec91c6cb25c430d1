"""Files that belong together, and their pixels."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from palette_jax import images
from palette_jax.evaluation import matching


def test_files_are_read_upright(tmp_path):
  """A camera's file that lies on its side, beside a model's that does not."""
  pixels = np.random.default_rng(0).integers(0, 256, [6, 4, 3], np.uint8)
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = 6
  lying = np.ascontiguousarray(np.rot90(pixels))
  Image.fromarray(lying).save(tmp_path / 'a.png', exif=exif)
  assert np.array_equal(matching.read(str(tmp_path / 'a.png')), pixels)
  matched = matching.match({'output': str(tmp_path)})
  assert matching.size(matched) == (6, 4)


def test_transparent_and_deep_files(tmp_path):
  clear = Image.new('RGBA', (4, 4), (10, 20, 30, 0))
  clear.save(tmp_path / 'clear.png')
  assert (matching.read(str(tmp_path / 'clear.png')) == 255).all()
  Image.fromarray(np.full([4, 4], 40_000, np.uint16)).save(
    tmp_path / 'deep.png'
  )
  with pytest.raises(ValueError, match='8 bits'):
    matching.read(str(tmp_path / 'deep.png'))
  (tmp_path / 'text.png').write_text('no image')
  with pytest.raises(ValueError, match='text.png'):
    matching.read(str(tmp_path / 'text.png'))
  images.write_png(tmp_path / 'u8.png', np.full([4, 4, 3], 7, np.uint8))
  assert (matching.read(str(tmp_path / 'u8.png')) == 7).all()
