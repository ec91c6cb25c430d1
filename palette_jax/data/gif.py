"""GIF files, reduced to a GIF of their first frame.

TensorFlow decodes all frames, for which a small file can demand gigabytes, and
paints transparent pixels black. A GIF is a sequence of blocks: this module
follows them to the end of the first frame, drops the others, and makes the
transparent colour white.
"""

from etils import epy

from palette_jax.data import header

with epy.lazy_imports():
  import tensorflow as tf

MAX_BLOCKS = 200_000  # of up to 255 bytes
EXTENSION, GRAPHIC_CONTROL, FRAME = 0x21, 0xF9, 0x2C


def read(encoded: 'tf.Tensor') -> tuple['tf.Tensor', ...]:
  """Returns the first frame as a GIF, height, width, and orientation 1.

  Raises:
    tf.errors.InvalidArgumentError: when run, if the first frame is incomplete
      or does not fill the image.
  """
  head = header.peek(encoded, 0, 13)
  width, height = (header.number(head[i : i + 2], True) for i in (6, 8))
  start = 13 + _table_size(head[10])
  end, frame, control = _first_frame(encoded, start)
  place = header.peek(encoded, frame + 1, 9)
  extent = [header.number(place[i : i + 2], True) for i in (0, 2, 4, 6)]
  fills = tf.reduce_all(tf.stack(extent) == tf.stack([0, 0, width, height]))
  encoded = header.require(
    encoded,
    (end > 0) & fills,
    'a GIF that is cut off, or whose first frame does not fill it: left, top, '
    'width, height',
    tf.stack(extent),
  )
  own_table = place[8] >= 128
  table = tf.where(own_table, frame + 10, 13)
  size = _table_size(tf.where(own_table, place[8], head[10]))
  single = tf.strings.substr(encoded, 0, end) + b';'
  single = tf.cond(
    control >= 0,
    lambda: _opaque(single, control, table, size),
    lambda: single,
  )
  return single, height, width, tf.constant(1)


def _table_size(flags: 'tf.Tensor') -> 'tf.Tensor':
  """Returns the bytes of a colour table, by the flags of a block."""
  return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)


def _first_frame(
  encoded: 'tf.Tensor', start: 'tf.Tensor'
) -> tuple['tf.Tensor', 'tf.Tensor', 'tf.Tensor']:
  """Follows the blocks to the end of the first frame.

  Returns:
    Positions of the frame's end, its start and its graphic control block; -1
    for an end or a control block that does not exist.
  """
  total = tf.strings.length(encoded)

  def follow(
    at: 'tf.Tensor',
    inside: 'tf.Tensor',
    frame: 'tf.Tensor',
    control: 'tf.Tensor',
  ) -> tuple['tf.Tensor', ...]:
    block = header.peek(encoded, at, 10)
    first = block[0]
    is_extension = ~inside & (first == EXTENSION)
    is_frame = ~inside & (first == FRAME)
    # Data are pieces, each after its length; a length of 0 ends them.
    length = tf.where(inside, 1 + first, 2)
    length = tf.where(is_frame, 11 + _table_size(block[9]), length)
    is_control = is_extension & (block[1] == GRAPHIC_CONTROL)
    known = inside | is_extension | is_frame
    return (
      tf.where(known & (at < total), at + length, -1),
      tf.where(inside, first > 0, True),
      tf.where(is_frame, at, frame),
      tf.where(is_control, at, control),
    )

  def unfinished(
    at: 'tf.Tensor',
    inside: 'tf.Tensor',
    frame: 'tf.Tensor',
    control: 'tf.Tensor',
  ) -> 'tf.Tensor':
    del control
    return (at >= 0) & (inside | (frame < 0))

  at, inside, frame, control = tf.while_loop(
    unfinished,
    follow,
    (start, tf.constant(False), tf.constant(-1), tf.constant(-1)),
    maximum_iterations=MAX_BLOCKS,
  )
  return tf.where(inside | (at > total), -1, at), frame, control


def _opaque(
  encoded: 'tf.Tensor',
  control: 'tf.Tensor',
  table: 'tf.Tensor',
  size: 'tf.Tensor',
) -> 'tf.Tensor':
  """Makes the transparent colour white, and clears the flag of transparency."""
  flags, index = tf.unstack(tf.gather(header.peek(encoded, control, 7), [3, 6]))
  byte = tf.constant([bytes([i]) for i in range(256)])

  def whiten() -> 'tf.Tensor':
    white = _replace(encoded, table + 3 * index, tf.constant(b'\xff\xff\xff'))
    return _replace(white, control + 3, byte[flags - 1])

  # Some files name a colour outside of the table: then none is transparent.
  transparent = (flags % 2 == 1) & (3 * index < size)
  return tf.cond(transparent, whiten, lambda: encoded)


def _replace(
  encoded: 'tf.Tensor', at: 'tf.Tensor', new: 'tf.Tensor'
) -> 'tf.Tensor':
  before = tf.strings.substr(encoded, 0, at)
  size = tf.strings.length(new)
  after = tf.strings.substr(encoded, at + size, tf.strings.length(encoded))
  return tf.strings.join([before, new, after])
