"""Crops and resizing: from the pixels of a photo to the clean image.

As in ColTran and Palette (appendix B): a random square of the largest possible
side, resized by area means and rounded to 8 bits; for evaluation, the square in
the centre. Other shapes are cropped and resized in the same way.
"""

from etils import epy

with epy.lazy_imports():
  import tensorflow as tf


def box(
  full: 'tf.Tensor',
  size: tuple[int, int],
  seed: 'tf.Tensor | None',
  min_crop: float = 1.0,
) -> 'tf.Tensor':
  """Returns the box of a crop: int32 [4], top, left, height and width.

  Args:
    full: int32 [2], height and width of the image.
    size: (height, width) with the aspect ratio of the crop.
    seed: int32[2] of a random position; None for the centre.
    min_crop: with a seed, the side is random between this share of the largest
      possible side and that side.
  """
  full = tf.cast(full, tf.float32)
  shape = tf.constant(size, tf.float32)
  largest = tf.reduce_min(full / shape)
  draws = tf.constant([1.0, 0.5, 0.5])
  if seed is not None:
    draws = tf.random.stateless_uniform([3], seed)
    draws *= tf.constant([1.0 - min_crop, 1.0, 1.0])
    draws += tf.constant([min_crop, 0.0, 0.0])
  extent = tf.round(largest * draws[0] * shape)
  extent = tf.clip_by_value(extent, 1.0, full)
  # With + 1, the last position is as likely as the others.
  spare = full - extent
  start = tf.minimum(tf.floor(draws[1:] * (spare + 1.0)), spare)
  return tf.cast(tf.concat([start, extent], 0), tf.int32)


def whole_size(full: 'tf.Tensor', size: tuple[int, int]) -> 'tf.Tensor':
  """Returns the size of an image whose largest crop is of `size`.

  Args:
    full: int32 [2], height and width of the image as it is.
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
  """Resizes an image and rounds it to 8 bits.

  Since photos are files of 8 bits, the network learns from images like those
  that it is used for.

  Args:
    image: uint8 [H, W, 3].
    size: (height, width), two numbers or int32 [2].

  Returns:
    uint8 [height, width, 3].
  """

  def take_means() -> 'tf.Tensor':  # of the area of each new pixel
    return tf.image.resize(image, size, 'area')

  def interpolate() -> 'tf.Tensor':
    return tf.image.resize(image, size, 'bilinear', antialias=True)

  shrinks = tf.reduce_all(tf.shape(image)[:2] >= size)
  levels = tf.cond(shrinks, take_means, interpolate)
  return tf.cast(tf.round(levels), tf.uint8)
