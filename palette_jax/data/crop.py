"""From a photo's pixels to the clean image: a crop, made small.

As ColTran and Palette train (Palette, appendix B): a random square of the
largest side, resized with antialias by area means, rounded to 8 bits; for
evaluation, the square in the middle. Other shapes are cropped and resized in
the same way.
"""

from etils import epy

with epy.lazy_imports():
  import tensorflow as tf


def crop_box(
  full: 'tf.Tensor',
  size: tuple[int, int],
  seed: 'tf.Tensor | None',
  min_crop: float = 1.0,
) -> 'tf.Tensor':
  """The largest part of the wanted shape.

  Args:
    full: int32 [2], height and width of the image.
    size: (height, width), whose ratio the part has.
    seed: int32[2] of a random position, or None for the middle.
    min_crop: with a seed, the part's side is random between this share of the
      largest and the largest.

  Returns:
    int32 [4]: top, left, height and width of the part.
  """
  full = tf.cast(full, tf.float32)
  wanted = tf.constant(size, tf.float32)
  largest = tf.reduce_min(full / wanted)
  draws = tf.constant([1.0, 0.5, 0.5])
  if seed is not None:
    draws = tf.random.stateless_uniform([3], seed)
    draws *= tf.constant([1.0 - min_crop, 1.0, 1.0])
    draws += tf.constant([min_crop, 0.0, 0.0])
  extent = tf.round(largest * draws[0] * wanted)
  extent = tf.clip_by_value(extent, 1.0, full)
  # The + 1 makes the last position as likely as the others.
  spare = full - extent
  start = tf.minimum(tf.floor(draws[1:] * (spare + 1.0)), spare)
  return tf.cast(tf.concat([start, extent], 0), tf.int32)


def kept_size(full: 'tf.Tensor', size: tuple[int, int]) -> 'tf.Tensor':
  """What the whole image is made to, for its largest crop to be of `size`.

  Args:
    full: int32 [2], height and width of the image.
    size: (height, width) of the crop.

  Returns:
    int32 [2], at least `size`.
  """
  full = tf.cast(full, tf.float32)
  scale = tf.reduce_min(full / tf.constant(size, tf.float32))
  return tf.maximum(tf.cast(tf.round(full / scale), tf.int32), size)


def resize(
  image: 'tf.Tensor', size: 'tuple[int, int] | tf.Tensor'
) -> 'tf.Tensor':
  """Resizes onto the 8-bit grid: what a file's pixels could be.

  Rounding to 8 bits makes what is learnt from equal to what is met later: a
  user's photo is a file, too.

  Args:
    image: uint8 [H, W, 3].
    size: (height, width), numbers or int32 [2].

  Returns:
    uint8 [height, width, 3].
  """

  def by_area():  # each pixel is the mean of what lies under it
    return tf.image.resize(image, size, 'area')

  def between():
    return tf.image.resize(image, size, 'bilinear', antialias=True)

  shrinks = tf.reduce_all(tf.shape(image)[:2] >= size)
  levels = tf.cond(shrinks, by_area, between)
  return tf.cast(tf.round(levels), tf.uint8)
