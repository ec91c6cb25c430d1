"""The holes of the evaluation: place, size, and permanence."""

import numpy as np
import pytest

from palette_jax import holes


def test_the_centre_is_a_quarter_of_the_image():
  """Rows and columns 64 to 191 of 256."""
  hole = np.argwhere(holes.centre(256, 256)[..., 0])
  assert hole.min() == 64 and hole.max() == 191 and len(hole) == 128 * 128
  for height, width in [(64, 64), (48, 80), (30, 34)]:
    mask = holes.centre(height, width)
    assert mask.sum() == (height // 2) * (width // 2)
    assert np.array_equal(mask[::-1, ::-1], mask) or height % 4 or width % 4


def test_the_right_half_is_half():
  for height, width in [(256, 256), (48, 80)]:
    mask = holes.right_half(height, width)
    assert mask.mean() == 0.5 and mask[:, width // 2 :].all()


@pytest.mark.parametrize('share', holes.BINS)
def test_evaluation_masks_fill_their_bin_and_belong_to_the_name(share):
  low, high = holes.BINS[share]
  names = [f'ILSVRC2012_val_{i:08}.JPEG' for i in range(12)]
  masks = np.stack([holes.free_form(share, name, 64, 64) for name in names])
  area = masks.mean((1, 2, 3))
  assert np.all((low <= area) & (area < high))
  assert len(np.unique(area)) > 6
  again = holes.free_form(share, names[3], 64, 64)
  assert np.array_equal(again, masks[3])


def test_evaluation_masks_have_not_changed():
  """Pins the area of a mask, so that results of years stay comparable.

  A few pixels on the edge may be rounded differently by other machines.
  """
  mask = holes.free_form('20-30%', 'ILSVRC2012_val_00000001.JPEG', 256, 256)
  assert abs(int(np.asarray(mask).sum()) - 13_338) < 14


def test_the_published_masks_are_read(tmp_path):
  draw = np.random.default_rng(0)
  masks = draw.integers(0, 2, [3, 256, 256]).astype(np.uint8)
  packed = {f'{share} freeform': np.packbits(masks) for share in holes.BINS}
  np.savez(tmp_path / 'masks.npz', **packed)
  rows = holes.read_released(str(tmp_path / 'masks.npz'), '30-40%')
  assert rows.shape == (3, 8192)
  for row, mask in zip(rows, masks):
    assert np.array_equal(holes.unpack_released(row)[..., 0], mask)


def test_other_files_are_not_taken_for_the_published_masks(tmp_path):
  with pytest.raises(FileNotFoundError):
    holes.read_released(str(tmp_path / 'none.npz'), '10-20%')
  np.savez(tmp_path / 'a.npz', other=np.ones(3))
  with pytest.raises(ValueError, match="'10-20% freeform'"):
    holes.read_released(str(tmp_path / 'a.npz'), '10-20%')
  np.savez(tmp_path / 'b.npz', **{'10-20% freeform': np.ones(9, np.uint8)})
  with pytest.raises(ValueError, match=r'uint8 \(9,\)'):
    holes.read_released(str(tmp_path / 'b.npz'), '10-20%')
  (tmp_path / 'c.npz').write_bytes(b'PK\x03\x04 and no more')
  with pytest.raises(ValueError, match='c.npz'):
    holes.read_released(str(tmp_path / 'c.npz'), '10-20%')
