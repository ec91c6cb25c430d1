"""Bytes of a file's header, looked at inside a TensorFlow graph.

A file may be cut off, or lie about its lengths: what is past its end reads as
zeros, and no chain of segments is followed for ever.
"""

from collections.abc import Callable

from etils import epy

with epy.lazy_imports():
  import tensorflow as tf

MOST_SEGMENTS = 1_000  # of a header; further on nobody looks
ORIENTATION = 0x0112  # EXIF's tag
SHORT = 3  # EXIF's type of it


def peek(
  encoded: 'tf.Tensor', at: 'tf.Tensor | int', count: 'tf.Tensor | int'
) -> 'tf.Tensor':
  """`count` bytes from a position on, int32 [count]."""
  # Below 0: a number from the file that has wrapped.
  total = tf.strings.length(encoded)
  at = tf.where((at < 0) | (at > total), total, at)
  found = tf.strings.substr(encoded, at, count)
  found = tf.cast(tf.io.decode_raw(found, tf.uint8), tf.int32)
  return tf.reshape(tf.pad(found, [[0, count - tf.size(found)]]), [count])


def equal(found: 'tf.Tensor', expected: bytes) -> 'tf.Tensor':
  """Whether these bytes are those."""
  return tf.reduce_all(found == tf.constant(list(expected)))


def number(
  found: 'tf.Tensor', little: 'bool | tf.Tensor' = False
) -> 'tf.Tensor':
  """An unsigned number of the last axis's bytes, int32 (wraps above 2^31)."""
  ascending = [8 * i for i in range(found.shape[-1])]
  shifts = tf.where(little, ascending, ascending[::-1])
  return tf.reduce_sum(tf.bitwise.left_shift(found, shifts), -1)


def insist(
  value: 'tf.Tensor', holds: 'tf.Tensor', message: str, found: 'tf.Tensor'
) -> 'tf.Tensor':
  """The same value, that cannot be had unless `holds`."""
  checked = tf.debugging.Assert(holds, [message, found], summarize=12)
  with tf.control_dependencies([checked] if checked is not None else []):
    return tf.identity(value)


def find(
  encoded: 'tf.Tensor',
  start: int,
  look: Callable[['tf.Tensor'], tuple['tf.Tensor', 'tf.Tensor']],
) -> 'tf.Tensor':
  """Follows a chain of segments to the first that is looked for.

  Args:
    encoded: the file.
    start: position of the first segment.
    look: 12 bytes of a segment -> whether this is it, and its whole length; 0
      or less ends the chain.

  Returns:
    int32, its position; -1 if there is none.
  """
  total = tf.strings.length(encoded)

  def follow(at, found):
    found, length = look(peek(encoded, at, 12))
    further = (length > 0) & (length < total - at)
    onward = tf.where(further, at + length, -1)
    return tf.where(found, at, onward), found

  at, found = tf.while_loop(
    lambda at, found: (at >= 0) & ~found,
    follow,
    (tf.constant(start), tf.constant(False)),
    maximum_iterations=MOST_SEGMENTS,
  )
  return tf.where(found, at, -1)


def jpeg_exif(encoded: 'tf.Tensor') -> 'tf.Tensor':
  """Where a JPEG's EXIF block starts, or -1."""

  def look(segment):
    is_segment = segment[0] == 0xFF
    is_filling = segment[1] == 0xFF
    is_data = (segment[1] == 0xDA) | (segment[1] == 0xD9)
    length = tf.where(is_filling, 1, 2 + number(segment[2:4]))
    found = (segment[1] == 0xE1) & equal(segment[4:10], b'Exif\0\0')
    return is_segment & found, tf.where(is_segment & ~is_data, length, 0)

  at = find(encoded, 2, look)
  return tf.where(at < 0, at, at + 10)


def png_chunk(encoded: 'tf.Tensor', name: bytes) -> 'tf.Tensor':
  """Where the content of a PNG's chunk before its pixels starts, or -1."""

  def look(chunk):
    length = tf.where(equal(chunk[4:8], b'IDAT'), 0, 12 + number(chunk[:4]))
    return equal(chunk[4:8], name), length

  at = find(encoded, 8, look)
  return tf.where(at < 0, at, at + 8)


def webp_exif(encoded: 'tf.Tensor') -> 'tf.Tensor':
  """Where a WebP's EXIF block starts, or -1."""

  def look(chunk):
    length = number(chunk[4:8], little=True)
    return equal(chunk[:4], b'EXIF'), 8 + length + length % 2

  at = find(encoded, 12, look)
  prefixed = equal(peek(encoded, at + 8, 6), b'Exif\0\0')
  return tf.where(at < 0, at, tf.where(prefixed, at + 14, at + 8))


def exif_orientation(encoded: 'tf.Tensor', at: 'tf.Tensor') -> 'tf.Tensor':
  """The orientation that the EXIF block at a position states.

  Args:
    encoded: the file.
    at: int32, the position; below 0 if there is no block.

  Returns:
    int32 in 1..8; 1, upright, if nothing else is stated.
  """

  def read():
    head = peek(encoded, at, 8)
    little = equal(head[:4], b'II*\0')
    table = at + number(head[4:8], little)
    count = number(peek(encoded, table, 2), little)
    count = tf.where(little | equal(head[:4], b'MM\0*'), count, 0)
    count = tf.clip_by_value(count, 0, MOST_SEGMENTS)
    entries = tf.reshape(peek(encoded, table + 2, 12 * count), [-1, 12])
    stated = number(entries[:, :2], little) == ORIENTATION
    stated &= number(entries[:, 2:4], little) == SHORT
    values = tf.boolean_mask(number(entries[:, 8:10], little), stated)
    value = tf.concat([values, [1]], 0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)

  return tf.cond(at < 0, lambda: tf.constant(1), read)
