"""Every task's work on a photo: the pixels it paints, and who sees them.

In place of a network, a pen that keeps what it was given and paints one colour.
"""

import types

import jax
import numpy as np
import pytest
from pixels import levels

from palette_jax import images
from palette_jax.diffusion import objective as objectives
from palette_jax.photo import photo as photos
from palette_jax.photo import reader
from palette_jax.photo.painting import growth, methods, region, tiles, view
from palette_jax.tasks import get as task_of

TILE = 32


class Pen:
  """Paints one colour, and keeps what it was given."""

  batch = 1

  def __init__(self, colour=0.5):
    self.colour, self.calls = np.float32(colour), []

  def passes(self, objective, mask, plan, samples):
    return 1

  def paint(self, objective, cond, mask, plan, keys, tick):
    self.calls.append(
      types.SimpleNamespace(cond=cond, mask=mask, plan=plan, keys=keys)
    )
    tick()
    return np.full_like(cond, self.colour)


def drawing_of(pen, task='inpainting', samples=1):
  key = jax.random.key(0)
  return region.Painting(
    painter=pen,
    objective=objectives.Regression(),
    tile=TILE,
    multiple=8,
    prepare=task_of(task).prepare,
    keys=[jax.random.fold_in(key, i) for i in range(samples)],
    counter=region.PassCounter(),
  )


def photo_of(height, width, seed=0):
  return reader.read(levels(height, width, seed=seed))


def test_colour_that_a_photo_has_is_not_looked_at():
  photo, pen = photo_of(60, 80), Pen()
  assert np.ptp(photo.levels, axis=-1).max() > 50
  methods.colorize(drawing_of(pen, 'colorization'), photo)
  assert np.ptp(pen.calls[0].cond, axis=-1).max() < 1e-5
  assert np.ptp(pen.calls[0].cond) > 0.2


def test_each_hole_and_each_piece_has_chance_of_its_own():
  photo, mask = photo_of(200, 300), np.zeros([200, 300, 1], np.float32)
  mask[10:20, 10:20] = mask[150:160, 250:260] = 1
  pen = Pen()
  methods.fill(drawing_of(pen, samples=2), photo, mask)
  methods.uncrop(drawing_of(pen, samples=2), photo_of(32, 32), dict(right=64))
  assert len(pen.calls) == 2 * 2 + 4 * 2
  for several in pen.calls[:4], pen.calls[4:]:
    drawn = [str(jax.random.key_data(call.keys[0])) for call in several]
    assert len(set(drawn)) == len(drawn)
    # And what is told of the hole is noise, each time another.
    holes = [call.cond[0][call.mask[..., 0] > 0.5][:32] for call in several]
    assert all(np.abs(holes[0] - other).max() > 0.1 for other in holes[1:])


@pytest.mark.parametrize('size', [(100, 150), (33, 47), (20, 90)])
def test_tiles_lie_as_the_blocks_of_jpeg_do(size):
  """Two blocks of 8 share their colour, unless the network's steps are less."""
  photo, pen = photo_of(*size), Pen()
  methods.restore(drawing_of(pen, 'jpeg'), photo)
  (call,) = pen.calls
  assert not any(start % 8 for start in (*call.plan.tops, *call.plan.lefts))
  seen = call.cond[0][: size[0], : size[1]]
  np.testing.assert_allclose(seen, photos.rgb(photo), atol=1e-6)


@pytest.mark.parametrize(
  'sides',
  [
    dict(left=70),
    dict(right=70),
    dict(top=70),
    dict(bottom=5),
    dict(left=40, right=9, top=33, bottom=50),
  ],
)
@pytest.mark.parametrize('size', [(32, 32), (24, 30), (64, 20)])
def test_a_photo_grows_by_pieces_of_which_half_is_known(size, sides):
  """All that is new is painted, and nothing else."""
  sides = dict(left=0, right=0, top=0, bottom=0) | sides
  photo, pen = photo_of(*size), Pen(0.5)
  (output,) = methods.uncrop(drawing_of(pen), photo, sides)
  for call in pen.calls:
    share = tiles.cut(call.mask, call.plan).mean(axis=(1, 2, 3)).max()
    assert share <= view.LARGEST_SHARE
  _, mask = photos.widen(photo, **sides)
  new = mask[..., 0] > 0.5
  assert np.all(output.levels[new] == images.to_u8(np.float32([[[0.5]]])))
  top, left = sides['top'], sides['left']
  kept = output.levels[top:, left:][: size[0], : size[1]]
  assert np.array_equal(kept, photo.levels)


def test_a_panorama_s_colours_are_kept_and_nothing_jumps_at_the_seam():
  """A pen whose colour is none of the photo's."""
  photo, pen = photo_of(32, 32), Pen([0.9, -0.9, 0.9])
  (output,) = methods.panorama(drawing_of(pen), photo, 2, 2, loop=False)
  result = photos.rgb(output)
  bounds = growth.photo_bounds(photos.rgb(photo), 16)
  moved = np.abs(result - pen.colour).mean(axis=(0, 2))
  # By distance from the photo: piece by piece, from the seam on.
  for away in moved[64:], moved[:32][::-1]:
    for one in away[:16], away[16:]:
      assert one[0] < 0.1 * one[-1] and np.all(np.diff(one) > -1e-3)
  for far in result[:, :8], result[:, -8:]:
    mean = growth._moments(far)[0]
    assert np.abs(mean - np.clip(mean, bounds.low[0], bounds.high[0])).max() < (
      0.05
    )
