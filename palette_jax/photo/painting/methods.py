"""What is done to a photo, task by task.

  colour    a small copy of all of it is coloured; its own luma stays
  fill      what is around each hole, as sharp as the network can
  grow      beyond the edges, in pieces that see half of an image
  clean     all of it, in tiles that lie as JPEG's blocks do

Each returns a photo for each key of the drawing.
"""

import math

import numpy as np
from jaxtyping import Float

from palette_jax.photo import photo as photos
from palette_jax.photo.painting import luminance, region, view, windows
from palette_jax.photo.painting import panorama as growth

_LEAST_KNOWN = 4  # pixels that the network sees of the photo, across
_JPEG_GRID = 16  # pixels: blocks of 8, two of which share their colour


def colour(drawing: region.Drawing, photo: photos.Photo) -> list[photos.Photo]:
  """The photo in colour: RGB of its depth, sRGB."""
  height, width, _ = photo.levels.shape
  size = luminance.small_size(height, width, drawing.tile, drawing.multiple)
  small = luminance.resize(photos.rgb(photo), *size)
  pictures = _copies(small, drawing)
  everything = np.ones([*size, 1], np.float32)
  _paint(drawing, pictures, [region.whole(everything, drawing)])
  luma = photos.luma(photo)
  return [
    photos.colour(photo, luminance.merge(luma, made)) for made in pictures
  ]


def clean(drawing: region.Drawing, photo: photos.Photo) -> list[photos.Photo]:
  """The photo without what JPEG has done to it."""
  image = photos.rgb(photo)
  everything = np.ones([*image.shape[:2], 1], np.float32)
  pictures = _copies(image, drawing)
  grid = math.gcd(_JPEG_GRID, drawing.tile, drawing.multiple)
  _paint(drawing, pictures, [region.of(everything, drawing, grid=grid)])
  return [photos.paint(photo, made, everything) for made in pictures]


def fill(
  drawing: region.Drawing,
  photo: photos.Photo,
  mask: Float[np.ndarray, 'h w 1'],
) -> list[photos.Photo]:
  """The photo with its holes filled; all else as it is."""
  image = photos.rgb(photo)
  looks, smalls, todo = [], [], []
  for window in windows.around(mask, drawing.tile):
    look = view.of(mask, window, drawing.tile, drawing.multiple)
    small, holes = view.seen(look, image, mask)
    looks.append(look)
    smalls.append(_copies(small, drawing))
    todo.append(region.of(holes, drawing))
  drawing.counter.expect(sum(region.passes(one, drawing) for one in todo))
  for number, (pictures, one) in enumerate(zip(smalls, todo)):
    region.paint(one, drawing, pictures, number)
  made = []
  for i in range(len(drawing.keys)):
    filled = image.copy()
    for look, pictures in zip(looks, smalls):
      place = look.window.slices
      large = view.enlarged(look, pictures[i])
      filled[place] = np.where(mask[place] > 0.5, large, filled[place])
    made.append(photos.paint(photo, filled, mask, opaque=True))
  return made


def uncrop(
  drawing: region.Drawing, photo: photos.Photo, sides: dict[str, int]
) -> list[photos.Photo]:
  """The photo on a larger canvas, which is filled; it stays as it is.

  At its own resolution, if the network sees what is missing in one look; else
  it is made smaller until it does, or has the size of what the network knows.

  Args:
    drawing: what it is painted with.
    photo: the known part.
    sides: pixels to be added: left, right, top, bottom.

  Raises:
    ValueError: if there is nothing to add, or too much.
  """
  _check_pixels(photo, sides)
  wide, mask = photos.widen(photo, **sides)
  shorter = min(photo.levels.shape[:2])
  reach = drawing.tile / 2 / max(sides.values())
  scale = min(1.0, max(reach, drawing.tile / shorter))
  look = view.at_scale(windows.Window(0, 0, *mask.shape[:2]), scale)
  small, holes = view.seen(look, photos.rgb(wide), mask)
  known = growth.known_part(holes)
  todo = [region.of(holes, drawing)]
  if todo[0].most > view.MOST:
    size = holes.shape[:2]
    counts = growth.counts_of(known, *size, drawing.tile // 2)
    rectangles = growth.stages(known, *size, counts)
    todo = growth.plan(drawing, known, rectangles, *size)
  pictures = _copies(small, drawing)
  _paint(drawing, pictures, todo)
  return [
    photos.paint(wide, view.enlarged(look, made), mask, opaque=True)
    for made in pictures
  ]


def panorama(
  drawing: region.Drawing,
  photo: photos.Photo,
  left: int,
  right: int,
  loop: bool,
) -> list[photos.Photo]:
  """A photo that goes on to the left and right by halves of its height.

  Args:
    drawing: what it is painted with.
    photo: stays as it is.
    left: pieces on this side.
    right: likewise.
    loop: whether the last piece closes a ring.

  Raises:
    ValueError: if there is nothing to add, or too much.
  """
  if min(left, right) < 0 or not left + right:
    raise ValueError(
      f'A panorama of {left} pieces to the left and {right} to the right: give '
      'at least one side a number; a piece is half as wide as the photo is '
      'high.'
    )
  step = max(1, round(photo.levels.shape[0] / 2))
  sides = dict(left=left * step, right=right * step)
  _check_pixels(photo, sides)
  wide, mask = photos.widen(photo, **sides)
  height, width, _ = photo.levels.shape
  scale = min(1.0, max(drawing.tile / height, _LEAST_KNOWN / width))
  look = view.at_scale(windows.Window(0, 0, *mask.shape[:2]), scale)
  small, holes = view.seen(look, photos.rgb(wide), mask)
  size, known = holes.shape[:2], growth.known_part(holes)
  rectangles = growth.stages(known, *size, dict(left=left, right=right))
  todo = growth.plan(drawing, known, rectangles, *size)
  shift = 0
  if loop:
    ends = (known, *rectangles)[-2:]
    todo[-1], shift = growth.closing(drawing, *ends, *size)
  pictures = _copies(small, drawing)
  drawing.counter.expect(sum(region.passes(one, drawing) for one in todo))
  photo_bounds = growth.bounds_of(small[known.slices], known.height // 2)
  before = known
  for number, (one, now) in enumerate(zip(todo, rectangles)):
    if one is todo[-1] and loop:
      rolled = np.roll(pictures, shift, axis=2)
      region.paint(one, drawing, rolled, number)
      pictures = np.roll(rolled, -shift, axis=2)
      break
    region.paint(one, drawing, pictures, number)
    growth.steady_all(pictures, before, now, photo_bounds)
    before = now
  return [
    photos.paint(wide, view.enlarged(look, made, loop), mask, opaque=True)
    for made in pictures
  ]


def _check_pixels(photo, sides):
  height, width, _ = photo.levels.shape
  height += sides.get('top', 0) + sides.get('bottom', 0)
  width += sides.get('left', 0) + sides.get('right', 0)
  if height * width > photos.MOST_PIXELS:
    raise ValueError(
      f'It would have {height * width / 1e6:.0f} million pixels ({width} x '
      f'{height}); at most {photos.MOST_PIXELS / 1e6:g} million are made.'
    )


def _copies(small, drawing):
  return np.repeat(small[None], len(drawing.keys), axis=0)


def _paint(drawing, pictures, todo):
  """Pieces one after another, each seeing those before it."""
  drawing.counter.expect(sum(region.passes(one, drawing) for one in todo))
  for number, one in enumerate(todo):
    region.paint(one, drawing, pictures, number)
