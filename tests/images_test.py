import numpy as np
from PIL import Image

from palette_jax import images


def test_every_8_bit_level_survives_the_way_to_float_and_back():
  levels = np.arange(256, dtype=np.uint8)
  assert images.from_u8(levels)[[0, 255]].tolist() == [-1.0, 1.0]
  assert np.array_equal(images.to_u8(images.from_u8(levels)), levels)


def test_to_u8_clips_and_rounds_to_nearest():
  values = np.array([-3.0, -1.0, 0.0, 1.0, 3.0], np.float32)
  assert images.to_u8(values).tolist() == [0, 0, 128, 255, 255]
  below, above = 100.4 / 127.5 - 1, 100.6 / 127.5 - 1
  assert images.to_u8(np.array([below, above])).tolist() == [100, 101]


def test_grid_puts_rows_below_each_other_on_white():
  rows = np.stack([np.full([3, 4, 5, 3], -1.0), np.zeros([3, 4, 5, 3])])
  sheet = images.grid(rows, gap=2)
  assert sheet.shape == (4 + 2 + 4, 3 * 5 + 2 * 2, 3)
  assert np.all(sheet[:4, :5] == -1) and np.all(sheet[6:, 14:] == 0)
  assert np.all(sheet[4:6] == 1) and np.all(sheet[:, 5:7] == 1)


def test_write_png_makes_folders_and_leaves_nothing_else(tmp_path):
  image = np.random.default_rng(0).uniform(-1, 1, [4, 6, 3])
  path = images.write_png(tmp_path / 'a/b/c.png', image)
  with Image.open(path) as written:
    assert np.array_equal(np.asarray(written), images.to_u8(image))
  assert [p.name for p in path.parent.iterdir()] == ['c.png']
