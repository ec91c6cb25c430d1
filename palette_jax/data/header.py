"""Headers of image files, parsed in TensorFlow graph operations.

A file may be cut off or state wrong lengths: bytes past its end read as zeros,
and only a limited number of segments is followed.
"""

from collections.abc import Callable

from etils import epy

with epy.lazy_imports():
  import tensorflow as tf

MAX_SEGMENTS = 1_000  # of a header that are followed
ORIENTATION = 0x0112  # EXIF's tag
SHORT = 3  # EXIF's type of it


def peek(
  encoded: 'tf.Tensor', at: 'tf.Tensor | int', count: 'tf.Tensor | int'
) -> 'tf.Tensor':
  """Returns `count` bytes from a position on, int32 [count]."""
  # A position below 0 is a number of the file that has wrapped.
  total = tf.strings.length(encoded)
  at = tf.where((at < 0) | (at > total), total, at)
  part = tf.strings.substr(encoded, at, count)
  values = tf.cast(tf.io.decode_raw(part, tf.uint8), tf.int32)
  return tf.reshape(tf.pad(values, [[0, count - tf.size(values)]]), [count])


def is_equal(values: 'tf.Tensor', expected: bytes) -> 'tf.Tensor':
  """Compares the values of bytes with expected ones."""
  return tf.reduce_all(values == tf.constant(list(expected)))


def number(
  values: 'tf.Tensor', little: 'bool | tf.Tensor' = False
) -> 'tf.Tensor':
  """Joins the bytes of the last axis into an unsigned number.

  It is an int32, which wraps above 2^31.

  Args:
    values: of the bytes.
    little: whether the least significant byte comes first.
  """
  ascending = [8 * i for i in range(values.shape[-1])]
  shifts = tf.where(little, ascending, ascending[::-1])
  return tf.reduce_sum(tf.bitwise.left_shift(values, shifts), -1)


def require(
  value: 'tf.Tensor', holds: 'tf.Tensor', message: str, actual: 'tf.Tensor'
) -> 'tf.Tensor':
  """Returns a value if a condition holds.

  Raises:
    tf.errors.InvalidArgumentError: when run, with the message and the actual
      numbers, if the condition does not hold.
  """
  checked = tf.debugging.Assert(holds, [message, actual], summarize=12)
  with tf.control_dependencies([checked] if checked is not None else []):
    return tf.identity(value)


def find_segment(
  encoded: 'tf.Tensor',
  start: int,
  examine: Callable[['tf.Tensor'], tuple['tf.Tensor', 'tf.Tensor']],
) -> 'tf.Tensor':
  """Follows a chain of segments to the first that matches.

  Args:
    encoded: the file.
    start: position of the first segment.
    examine: first 12 bytes of a segment -> whether it matches, and its length
      in all; 0 or less ends the chain.

  Returns:
    int32, the position of the match; -1 if there is none.
  """
  total = tf.strings.length(encoded)

  def follow(
    at: 'tf.Tensor', matches: 'tf.Tensor'
  ) -> tuple['tf.Tensor', 'tf.Tensor']:
    matches, length = examine(peek(encoded, at, 12))
    has_next = (length > 0) & (length < total - at)
    following = tf.where(has_next, at + length, -1)
    return tf.where(matches, at, following), matches

  at, matches = tf.while_loop(
    lambda at, matches: (at >= 0) & ~matches,
    follow,
    (tf.constant(start), tf.constant(False)),
    maximum_iterations=MAX_SEGMENTS,
  )
  return tf.where(matches, at, -1)


def jpeg_exif(encoded: 'tf.Tensor') -> 'tf.Tensor':
  """Returns the position of a JPEG's EXIF block, or -1."""

  def examine(segment: 'tf.Tensor') -> tuple['tf.Tensor', 'tf.Tensor']:
    is_segment = segment[0] == 0xFF
    is_filling = segment[1] == 0xFF
    is_data = (segment[1] == 0xDA) | (segment[1] == 0xD9)
    length = tf.where(is_filling, 1, 2 + number(segment[2:4]))
    is_exif = (segment[1] == 0xE1) & is_equal(segment[4:10], b'Exif\0\0')
    return is_segment & is_exif, tf.where(is_segment & ~is_data, length, 0)

  at = find_segment(encoded, 2, examine)
  return tf.where(at < 0, at, at + 10)


def png_chunk(encoded: 'tf.Tensor', name: bytes) -> 'tf.Tensor':
  """Returns the position of the content of a chunk before the pixels, or -1."""

  def examine(chunk: 'tf.Tensor') -> tuple['tf.Tensor', 'tf.Tensor']:
    length = tf.where(is_equal(chunk[4:8], b'IDAT'), 0, 12 + number(chunk[:4]))
    return is_equal(chunk[4:8], name), length

  at = find_segment(encoded, 8, examine)
  return tf.where(at < 0, at, at + 8)


def webp_exif(encoded: 'tf.Tensor') -> 'tf.Tensor':
  """Returns the position of a WebP's EXIF block, or -1."""

  def examine(chunk: 'tf.Tensor') -> tuple['tf.Tensor', 'tf.Tensor']:
    length = number(chunk[4:8], little=True)
    return is_equal(chunk[:4], b'EXIF'), 8 + length + length % 2

  at = find_segment(encoded, 12, examine)
  prefixed = is_equal(peek(encoded, at + 8, 6), b'Exif\0\0')
  return tf.where(at < 0, at, tf.where(prefixed, at + 14, at + 8))


def exif_orientation(encoded: 'tf.Tensor', at: 'tf.Tensor') -> 'tf.Tensor':
  """Returns the orientation in an EXIF block: int32 in 1..8.

  Args:
    encoded: the file.
    at: int32, the position of the block; below 0 if there is none, for which
      the orientation is 1, upright, as for a block without orientation.
  """

  def read() -> 'tf.Tensor':
    head = peek(encoded, at, 8)
    little = is_equal(head[:4], b'II*\0')
    table = at + number(head[4:8], little)
    count = number(peek(encoded, table, 2), little)
    count = tf.where(little | is_equal(head[:4], b'MM\0*'), count, 0)
    count = tf.clip_by_value(count, 0, MAX_SEGMENTS)
    entries = tf.reshape(peek(encoded, table + 2, 12 * count), [-1, 12])
    stated = number(entries[:, :2], little) == ORIENTATION
    stated &= number(entries[:, 2:4], little) == SHORT
    values = tf.boolean_mask(number(entries[:, 8:10], little), stated)
    value = tf.concat([values, [1]], 0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)

  return tf.cond(at < 0, lambda: tf.constant(1), read)
