"""Methods: the ways in which a photo is painted.

  colorize   paints a small copy of the photo; the photo keeps its own luma
  restore    paints all of the photo, in tiles aligned with JPEG's blocks
  fill       paints holes with their surroundings, as sharply as possible
  uncrop     paints beyond the edges, in regions that are half known
  panorama   paints to the left and right, again and again

Each returns one photo for each sample of the painting.
"""

import math

import numpy as np
from jaxtyping import Float

from palette_jax.photo import photo as photos
from palette_jax.photo.painting import growth, luminance, region, view, windows

_LEAST_KNOWN = 4  # width in pixels of what the network sees of a photo
_JPEG_GRID = 16  # pixels: blocks of 8, of which two share their colour

Photos = list[photos.Photo]


def colorize(painting: region.Painting, photo: photos.Photo) -> Photos:
  """Returns the photo in colour: RGB of its depth, sRGB."""
  height, width, _ = photo.levels.shape
  size = luminance.small_size(height, width, painting.tile, painting.multiple)
  images = _copies(luminance.resize(photos.rgb(photo), *size), painting)
  everywhere = region.whole(np.ones([*size, 1], np.float32))
  region.paint_all([everywhere], painting, images)
  luma = photos.luma(photo)
  return [
    photos.colour(photo, luminance.add_colour(luma, image)) for image in images
  ]


def restore(painting: region.Painting, photo: photos.Photo) -> Photos:
  """Returns the photo, all of it repainted."""
  image = photos.rgb(photo)
  everywhere = np.ones([*image.shape[:2], 1], np.float32)
  images = _copies(image, painting)
  grid = math.gcd(_JPEG_GRID, painting.tile, painting.multiple)
  all_of_it = region.enclosing(everywhere, painting, grid=grid)
  region.paint_all([all_of_it], painting, images)
  return [photos.paint(photo, painted, everywhere) for painted in images]


def fill(
  painting: region.Painting,
  photo: photos.Photo,
  mask: Float[np.ndarray, 'h w 1'],
) -> Photos:
  """Returns the photo with its holes filled; everything else is unchanged."""
  image = photos.rgb(photo)
  views, copies, regions = [], [], []
  for window in windows.covering(mask, painting.tile):
    sharpest = view.sharpest(mask, window, painting.tile, painting.multiple)
    small, holes = view.shrink(sharpest, image, mask)
    views.append(sharpest)
    copies.append(_copies(small, painting))
    regions.append(region.enclosing(holes, painting))
  passes = sum(region.count_passes(r, painting) for r in regions)
  painting.counter.expect(passes)
  for number, images in enumerate(copies):
    region.paint(regions[number], painting, images, number)
  results = []
  for i in range(len(painting.keys)):
    filled = image.copy()
    for scaled, images in zip(views, copies):
      place = scaled.window.slices
      large = view.enlarge(scaled, images[i])
      filled[place] = np.where(mask[place] > 0.5, large, filled[place])
    results.append(photos.paint(photo, filled, mask, opaque=True))
  return results


def uncrop(
  painting: region.Painting, photo: photos.Photo, sides: dict[str, int]
) -> Photos:
  """Returns the photo, unchanged, on a larger canvas that is filled.

  It keeps its resolution if the network can see all that is missing at once.
  Otherwise it is shrunk until it can, or until the photo has the size of the
  network's images.

  Args:
    painting: the network, the sampler and the samples' keys.
    photo: the known part.
    sides: pixels to add: left, right, top, bottom.

  Raises:
    ValueError: if there is nothing to add, or too much.
  """
  _check_pixels(photo, sides)
  wide, mask = photos.widen(photo, **sides)
  shorter = min(photo.levels.shape[:2])
  reach = painting.tile / 2 / max(sides.values())
  scale = min(1.0, max(reach, painting.tile / shorter))
  whole = view.at_scale(windows.Window(0, 0, *mask.shape[:2]), scale)
  small, holes = view.shrink(whole, photos.rgb(wide), mask)
  known = growth.known_part(holes)
  regions = [region.enclosing(holes, painting)]
  if regions[0].largest_share > view.LARGEST_SHARE:
    size = holes.shape[:2]
    counts = growth.count_pieces(known, *size, painting.tile // 2)
    rectangles = growth.stages(known, *size, counts)
    regions = growth.plan_regions(painting, known, rectangles, *size)
  images = _copies(small, painting)
  region.paint_all(regions, painting, images)
  return [
    photos.paint(wide, view.enlarge(whole, image), mask, opaque=True)
    for image in images
  ]


def panorama(
  painting: region.Painting,
  photo: photos.Photo,
  left: int,
  right: int,
  loop: bool,
) -> Photos:
  """Returns the photo, continued to the left and right by half its height.

  Args:
    painting: the network, the sampler and the samples' keys.
    photo: the known part, which stays unchanged.
    left: number of pieces on this side.
    right: number of pieces on this side.
    loop: whether the last piece closes a ring.

  Raises:
    ValueError: if there is nothing to add, or too much.
  """
  if min(left, right) < 0 or not left + right:
    raise ValueError(
      f'left={left}, right={right}: a panorama needs at least one piece on one '
      'side; a piece is half as wide as the photo is high.'
    )
  step = max(1, round(photo.levels.shape[0] / 2))
  sides = dict(left=left * step, right=right * step)
  _check_pixels(photo, sides)
  wide, mask = photos.widen(photo, **sides)
  height, width, _ = photo.levels.shape
  scale = min(1.0, max(painting.tile / height, _LEAST_KNOWN / width))
  whole = view.at_scale(windows.Window(0, 0, *mask.shape[:2]), scale)
  small, holes = view.shrink(whole, photos.rgb(wide), mask)
  counts = dict(left=left, right=right)
  images = _copies(small, painting)
  growth.grow(painting, images, growth.known_part(holes), counts, loop)
  return [
    photos.paint(wide, view.enlarge(whole, image, loop), mask, opaque=True)
    for image in images
  ]


def _check_pixels(photo: photos.Photo, sides: dict[str, int]) -> None:
  height, width, _ = photo.levels.shape
  height += sides.get('top', 0) + sides.get('bottom', 0)
  width += sides.get('left', 0) + sides.get('right', 0)
  if height * width > photos.MOST_PIXELS:
    raise ValueError(
      f'The result would have {height * width / 1e6:.0f} million pixels '
      f'({width} x {height}); the limit is {photos.MOST_PIXELS / 1e6:g} '
      'million.'
    )


def _copies(
  image: Float[np.ndarray, 'h w 3'], painting: region.Painting
) -> Float[np.ndarray, 's h w 3']:
  return np.repeat(image[None], len(painting.keys), axis=0)
