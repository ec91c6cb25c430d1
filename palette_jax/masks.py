"""Masks of training: 1 where the network paints, 0 at known pixels.

The distributions of Palette, section 5.2 and appendix B, in stateless
TensorFlow graph operations: a seed determines a mask of any size. Lengths that
the literature gives for 256x256 scale with the image. palette_jax/holes.py has
the masks of the evaluation.
"""

import math
from collections.abc import Callable, Sequence

from etils import epy

with epy.lazy_imports():
  import tensorflow as tf

# Brush strokes: Algorithm 1 of Yu et al. 2019 (free-form inpainting), with the
# constants of its official generator, from which Palette takes its masks.
MAX_STROKES = 3
SEGMENTS = (4, 11)  # of a stroke, both ends included
BRUSH_WIDTH = (12, 40)  # pixels at 256x256
MEAN_ANGLE = 2 * math.pi / 5
ANGLE_RANGE = 2 * math.pi / 15

MAX_RECTANGLES = 5
RECTANGLES_AREA = (0.10, 0.40)  # of the image, all rectangles together
ASPECT = (0.5, 2.0)  # height over width; the paper does not state it

SIDES = ('left', 'right', 'top', 'bottom', 'border')  # of uncropping


def _split(seed: 'tf.Tensor', num: int) -> list['tf.Tensor']:
  return tf.unstack(tf.random.experimental.stateless_split(seed, num))


def _uniform(
  seed: 'tf.Tensor',
  shape: Sequence[int],
  low: int | float,
  high: int | float,
  dtype: 'tf.DType | None' = None,
) -> 'tf.Tensor':
  dtype = dtype or tf.float32
  return tf.random.stateless_uniform(shape, seed, low, high, dtype)


def free_form(seed: 'tf.Tensor', height: int, width: int) -> 'tf.Tensor':
  """Draws one to three thick zigzag brush strokes.

  Args:
    seed: int32[2].
    height: of the image, pixels.
    width: of the image, pixels.

  Returns:
    float32 [height, width, 1] of zeros and ones.
  """
  starts, ends, radii = _strokes(seed, height, width)
  left, right = _spans(starts, ends, radii[:, None], height)
  first = tf.clip_by_value(tf.math.ceil(left), 0.0, float(width))
  after = tf.clip_by_value(tf.floor(right) + 1.0, first, float(width))
  # With +1 where a span starts and -1 after its end, the running sum counts the
  # spans over each pixel. The last column is for spans that end with a row.
  # Four rows share an integer, a byte each (there are fewer than 128 spans).
  row = tf.range(height)
  unit = tf.bitwise.left_shift(tf.ones_like(row), 8 * (row % 4))
  places = tf.cast([first, after], tf.int32) + row // 4 * (width + 1)
  changes = tf.broadcast_to(tf.stack([unit, -unit])[:, None], tf.shape(places))
  shape = [-(-height // 4), width + 1]
  changes = tf.math.unsorted_segment_sum(changes, places, math.prod(shape))
  over = tf.cumsum(tf.reshape(changes, shape), axis=1)
  over = tf.transpose(tf.bitcast(over, tf.uint8), [0, 2, 1])
  over = tf.reshape(over, [-1, width + 1])[:height, :width]
  return tf.cast(over > 0, tf.float32)[..., None]


def _spans(
  starts: 'tf.Tensor', ends: 'tf.Tensor', radii: 'tf.Tensor', height: int
) -> tuple['tf.Tensor', 'tf.Tensor']:
  """Returns the span of thick segments in each row.

  A segment is convex: it has one span in a row.

  Args:
    starts: [n, 2], x and y.
    ends: [n, 2].
    radii: [n, 1].
    height: of the image.

  Returns:
    left and right, [n, height]; left > right where it misses the row.
  """
  x, y = starts[:, :1], starts[:, 1:]
  rows = tf.range(height, dtype=tf.float32)[None, :]
  length = tf.norm(ends - starts, axis=1, keepdims=True)
  unit = tf.where(length > 0.0, (ends - starts) / length, [[1.0, 0.0]])
  # Never 0: the quotients become very large, which gives the result of the
  # exact case. The radius has a margin for rows at just that distance.
  dx, dy = (tf.where(tf.abs(d) < 1e-7, 1e-7, d) for d in tf.split(unit, 2, 1))
  reach = radii + 1e-3

  def disc(x: 'tf.Tensor', y: 'tf.Tensor') -> tuple['tf.Tensor', 'tf.Tensor']:
    squared = radii**2 - (rows - y) ** 2
    half = tf.where(squared < 0.0, -math.inf, tf.sqrt(tf.abs(squared)))
    return x - half, x + half

  def between(
    p: 'tf.Tensor', q: 'tf.Tensor'
  ) -> tuple['tf.Tensor', 'tf.Tensor']:
    return x + tf.minimum(p, q), x + tf.maximum(p, q)

  # The body: within the radius of the line, and between its ends.
  below = rows - y
  beside = between((below * dx - reach) / dy, (below * dx + reach) / dy)
  within = between(-below * dy / dx, (length - below * dy) / dx)
  left = tf.maximum(beside[0], within[0])
  right = tf.minimum(beside[1], within[1])
  missed = left > right
  left = tf.where(missed, math.inf, left)
  right = tf.where(missed, -math.inf, right)
  caps = disc(x, y), disc(ends[:, :1], ends[:, 1:])
  left = tf.minimum(left, tf.minimum(caps[0][0], caps[1][0]))
  right = tf.maximum(right, tf.maximum(caps[0][1], caps[1][1]))
  return left, right


def stroke_segments(seed: 'tf.Tensor') -> 'tf.Tensor':
  """Returns the number of segments of each stroke of `free_form`.

  Args:
    seed: int32[2], that of `free_form`.

  Returns:
    int32 [MAX_STROKES]; 0 for a stroke that is not drawn.
  """
  seed_count, seed_segments = _split(seed, 8)[:2]
  count = _uniform(seed_count, [], 1, MAX_STROKES + 1, tf.int32)
  fewest, most = SEGMENTS
  segments = _uniform(seed_segments, [MAX_STROKES], fewest, most + 1, tf.int32)
  return tf.where(tf.range(MAX_STROKES) < count, segments, 0)


def _strokes(
  seed: 'tf.Tensor', height: int, width: int
) -> tuple['tf.Tensor', 'tf.Tensor', 'tf.Tensor']:
  """Draws strokes as segments: starts [n, 2] (x, y), ends [n, 2], radii [n]."""
  segments = stroke_segments(seed)
  seeds = _split(seed, 8)  # The first two are those of the segments.
  strokes, most = MAX_STROKES, SEGMENTS[1]
  extent = tf.constant([width, height], tf.float32)
  low = MEAN_ANGLE - _uniform(seeds[2], [strokes, 1], 0.0, ANGLE_RANGE)
  high = MEAN_ANGLE + _uniform(seeds[3], [strokes, 1], 0.0, ANGLE_RANGE)
  angle = low + (high - low) * _uniform(seeds[4], [strokes, most], 0.0, 1.0)
  even = tf.range(most) % 2 == 0
  angle = tf.where(even, 2 * math.pi - angle, angle)

  mean_step = math.hypot(height, width) / 8
  step = tf.random.stateless_normal([strokes, most], seeds[5])
  step = tf.clip_by_value(mean_step + mean_step / 2 * step, 0, 2 * mean_step)
  move = step[..., None] * tf.stack([tf.cos(angle), tf.sin(angle)], axis=-1)
  path = [tf.floor(extent * _uniform(seeds[6], [strokes, 2], 0.0, 1.0))]
  for i in range(most):
    moved = tf.clip_by_value(path[-1] + move[:, i], 0.0, extent)
    path.append(tf.floor(moved))
  path = tf.stack(path, axis=1)  # [strokes, most + 1, 2]

  scale = math.sqrt(height * width) / 256
  brush = _uniform(seeds[7], [strokes], *BRUSH_WIDTH, tf.int32)
  radius = tf.cast(brush, tf.float32) * (scale / 2)
  radius = tf.repeat(radius[:, None], most, axis=1)
  exists = tf.range(most)[None, :] < segments[:, None]
  return path[:, :-1][exists], path[:, 1:][exists], radius[exists]


def rectangles(seed: 'tf.Tensor', height: int, width: int) -> 'tf.Tensor':
  """Draws one to five rectangles that together cover 10% to 40% of the image.

  The number is uniform in 1..5; positions and shapes are drawn again until the
  area of the union is within these bounds.

  Args:
    seed: int32[2].
    height: of the image, pixels.
    width: of the image, pixels.

  Returns:
    float32 [height, width, 1] of zeros and ones.
  """
  count = rectangle_count(seed)
  _, seed_shapes = _split(seed, 2)  # The first is that of the count.
  low, high = RECTANGLES_AREA
  return draw_until(
    lambda seed: _rectangles(seed, count, height, width),
    lambda area: (low <= area) & (area <= high),
    seed_shapes,
  )


def rectangle_count(seed: 'tf.Tensor') -> 'tf.Tensor':
  """Returns the number of rectangles for a seed: int32 in 1..5."""
  seed_count, _ = _split(seed, 2)
  return _uniform(seed_count, [], 1, MAX_RECTANGLES + 1, tf.int32)


def draw_until(
  draw: Callable[['tf.Tensor'], 'tf.Tensor'],
  accepts: Callable[['tf.Tensor'], 'tf.Tensor'],
  seed: 'tf.Tensor',
) -> 'tf.Tensor':
  """Draws masks until the painted share is accepted.

  Args:
    draw: int32[2] seed -> mask.
    accepts: mean of a mask -> whether it is accepted.
    seed: int32[2], of all attempts.
  """

  def attempt(i: 'tf.Tensor | int') -> 'tf.Tensor':
    return draw(tf.random.experimental.stateless_fold_in(seed, i))

  _, mask = tf.while_loop(
    lambda i, mask: ~accepts(tf.reduce_mean(mask)),
    lambda i, mask: (i + 1, attempt(i + 1)),
    (tf.constant(0), attempt(0)),
  )
  return mask


def _rectangles(
  seed: 'tf.Tensor', count: 'tf.Tensor', height: int, width: int
) -> 'tf.Tensor':
  """Draws the union of `count` rectangles, [height, width, 1]."""
  seeds = _split(seed, 5)
  most = MAX_RECTANGLES
  area = height * width * _uniform(seeds[0], [], *RECTANGLES_AREA)
  # Normalized exponentials are uniform over all divisions of the area.
  share = -tf.math.log(_uniform(seeds[1], [most], 1e-6, 1.0))
  share *= tf.cast(tf.range(most) < count, tf.float32)
  share /= tf.reduce_sum(share)
  log_aspect = _uniform(seeds[2], [most], *(math.log(a) for a in ASPECT))
  tall = tf.sqrt(area * share * tf.exp(log_aspect))
  tall = tf.clip_by_value(tall, area * share / width, float(height))
  wide = tf.math.divide_no_nan(area * share, tall)
  top = (height - tall) * _uniform(seeds[3], [most], 0.0, 1.0)
  left = (width - wide) * _uniform(seeds[4], [most], 0.0, 1.0)

  def covers(start: 'tf.Tensor', extent: 'tf.Tensor', size: int) -> 'tf.Tensor':
    middle = tf.range(size, dtype=tf.float32)[None, :] + 0.5
    inside = (start[:, None] <= middle) & (middle < (start + extent)[:, None])
    return tf.cast(inside, tf.float32)

  rows, columns = covers(top, tall, height), covers(left, wide, width)
  covering = tf.matmul(rows, columns, transpose_a=True)
  return tf.cast(covering > 0.5, tf.float32)[..., None]


def uncropping(seed: 'tf.Tensor', height: int, width: int) -> 'tf.Tensor':
  """Masks half of the image: a side, or a border along all four sides.

  The five cases, SIDES, are equally likely (Palette says "uniformly").

  Args:
    seed: int32[2].
    height: of the image, pixels.
    width: of the image, pixels.

  Returns:
    float32 [height, width, 1] of zeros and ones.
  """
  y = tf.range(height)[:, None]
  x = tf.range(width)[None, :]
  kept_height = round(height / math.sqrt(2))
  kept_width = round(height * width / 2 / kept_height)
  top, left = (height - kept_height) // 2, (width - kept_width) // 2
  kept_y = (top <= y) & (y < top + kept_height)
  kept_x = (left <= x) & (x < left + kept_width)
  whole = tf.ones([height, width], tf.bool)
  sides = [
    whole & (x < width // 2),
    whole & (x >= width - width // 2),
    whole & (y < height // 2),
    whole & (y >= height - height // 2),
    whole & ~(kept_y & kept_x),
  ]
  return tf.cast(tf.stack(sides)[side(seed)], tf.float32)[..., None]


def side(seed: 'tf.Tensor') -> 'tf.Tensor':
  """Returns the index into SIDES for a seed of `uncropping`: int32 in 0..4."""
  return _uniform(seed, [], 0, len(SIDES), tf.int32)
