import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image, ImageFont

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


def pictures(count, size=(20, 30)):
  draw = np.random.default_rng(0)
  return list(draw.integers(0, 256, [count, *size, 3], np.uint8))


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(
  count=st.integers(1, 9), height=st.integers(1, 70), width=st.integers(1, 70)
)
def test_a_sheet_has_every_image_once(count, height, width):
  several = pictures(count, (height, width))
  page = images.sheet(several, [f'seed {i}' for i in range(count)])
  views = np.lib.stride_tricks.sliding_window_view(page, (height, width, 3))
  step = height + images.PLAIN.margin + images.PLAIN.line + images.PLAIN.gap
  rows = range(0, page.shape[0] - height + 1, step)
  columns = range(0, page.shape[1] - width + 1, width + images.PLAIN.gap)
  cells = [views[y, x, 0] for y in rows for x in columns]
  for cell, picture in zip(cells, several):
    assert np.array_equal(cell, picture)
  assert len(cells) - count < len(list(columns))  # at most one row is not full


def test_large_images_are_reduced_and_small_ones_enlarged_in_whole_steps():
  style = images.SheetStyle(largest=90)
  page = images.sheet(pictures(1, (300, 900)), ['seed 0'], style=style)
  assert page.shape == (30 + style.margin + style.line, 90, 3)
  assert page[30:].min() < 128  # there is writing below
  style = images.SheetStyle(smallest=70)
  (picture,) = pictures(1, (20, 30))
  page = images.sheet([picture], [''], style=style)
  assert np.array_equal(page[:40:2, :60:2], picture)
  assert page.shape[1] == 70


def test_a_long_caption_is_cut_or_takes_more_lines():
  short = images.sheet(pictures(1, (9, 40)), ['seed'])
  long = images.sheet(pictures(1, (9, 40)), ['seed ' * 40])
  assert short.shape == long.shape and np.all(long[9:, -2:] == 255)
  wraps = images.SheetStyle(wraps=True)
  longer = images.sheet(pictures(1, (9, 40)), ['seed ' * 40], style=wraps)
  assert len(longer) == len(short) + 39 * wraps.line


def test_captions_fit_their_column():
  width, style = 120, images.SheetStyle(wraps=True)
  font = ImageFont.load_default(style.letters)
  for text in (
    'a/very/long/folder/and/a/name/in/it/without/any/blank/0123456789.jpg',
    'task inpainting, strokes 3, segments 11 11 11',
    '\u732b\u306e\u5199\u771f ' * 9,
  ):
    lines = style.lines(text, width)
    assert len(lines) > 1 or lines[0].startswith('...')
    assert all(font.getlength(line) <= width for line in lines)
  assert style.lines('x/0123.jpg', width) == ['x/0123.jpg']
  (shortened,) = style.lines('0' * 50 + 'end.jpg', width)
  assert shortened.endswith('0end.jpg')


@pytest.mark.parametrize(
  ('several', 'captions'),
  [
    ([], []),
    (pictures(1) + pictures(1, (5, 5)), ['a', 'b']),
    (pictures(2), ['a']),
  ],
)
def test_a_sheet_takes_images_of_one_size_with_a_caption_each(
  several, captions
):
  with pytest.raises(ValueError):
    images.sheet(several, captions)


def test_write_png_makes_folders_and_leaves_nothing_else(tmp_path):
  image = np.random.default_rng(0).uniform(-1, 1, [4, 6, 3])
  path = images.write_png(tmp_path / 'a/b/c.png', image)
  with Image.open(path) as written:
    assert np.array_equal(np.asarray(written), images.to_u8(image))
  assert [p.name for p in path.parent.iterdir()] == ['c.png']
