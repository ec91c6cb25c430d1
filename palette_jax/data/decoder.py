"""From a file's bytes to its pixels: upright, in colour, on white.

TensorFlow decodes JPEG, PNG, GIF, BMP and WebP, but forgets what a camera's
orientation says, what lies behind transparent pixels and what a palette of a
BMP means, and allocates whatever a header asks for. So the header is read
first, in graph operations as everything here: too many pixels, and whatever
would be decoded wrongly, are refused before anything is decoded.
"""

import functools
import re
from typing import NamedTuple

from etils import epy

from palette_jax.data import gif, header

with epy.lazy_imports():
  import tensorflow as tf

MAX_PIXELS = 50_000_000  # a phone's 8160x6120; RAW cameras stay below 65M
FORMATS = 'JPEG', 'PNG', 'GIF', 'BMP', 'WebP'
JPEG = 0
ACCURATE = 'INTEGER_ACCURATE'  # the transform of other programs' decoders


class Header(NamedTuple):
  """What a file says of itself.

  Attributes:
    encoded: the file, or that part of it which is decoded.
    kind: int32, its place in FORMATS.
    size: int32 [2], height and width as they are stored.
    orientation: int32 in 1..8, EXIF's: 1 is upright, from 5 on height and
      width change places.
  """

  encoded: 'tf.Tensor'
  kind: 'tf.Tensor'
  size: 'tf.Tensor'
  orientation: 'tf.Tensor'

  def upright_size(self) -> 'tf.Tensor':
    """int32 [2], height and width as they are meant to be seen."""
    return tf.where(
      self.orientation > 4, tf.gather(self.size, [1, 0]), self.size
    )


def read_header(encoded: 'tf.Tensor', max_pixels: int = MAX_PIXELS) -> Header:
  """Reads what has to be known before decoding.

  Raises:
    tf.errors.InvalidArgumentError: when run, if the file is not one of
      FORMATS, is of a kind that TensorFlow decodes wrongly, or has more than
      `max_pixels`.
  """
  is_jpeg = tf.strings.substr(encoded, 0, 3) == b'\xff\xd8\xff'
  encoded, kind, height, width, orientation = tf.cond(
    is_jpeg,
    lambda: (encoded, tf.constant(JPEG), *_read_jpeg(encoded)[1:]),
    lambda: _read_other(encoded),
  )
  size = tf.stack([height, width])
  pixels = tf.reduce_prod(tf.cast(tf.maximum(size, 0), tf.int64))
  encoded = header.insist(
    encoded,
    (pixels > 0) & (pixels <= max_pixels),
    f'no pixels, or more than data.max_pixels = {max_pixels}: height, width',
    size,
  )
  return Header(encoded, kind, size, orientation)


def _apart(function):
  """Makes a graph function of its own, which costs nothing until it is called.

  All branches of a graph are made ready before its first step; those of the
  rarer formats took longer than everything else.
  """

  @functools.cache
  def graph():
    return tf.function(
      function,
      autograph=False,
      experimental_attributes={'_noinline': True, '_tf_data_function': True},
    )

  return functools.wraps(function)(lambda *args: graph()(*args))


@_apart
def _read_other(encoded):
  """As `_read_jpeg`, of the other formats, after the kind."""
  kind = _other_kind(encoded)
  readers = _read_jpeg, _read_png, gif.read, _read_bmp, _read_webp
  encoded, *facts = tf.switch_case(
    kind, [lambda read=read: read(encoded) for read in readers]
  )
  return encoded, kind, *facts


def _other_kind(encoded):
  starts = [b'\x89PNG\r\n\x1a\n', b'GIF8', b'BM']
  found = [tf.strings.substr(encoded, 0, len(s)) == s for s in starts]
  riff = tf.strings.regex_full_match(encoded, r'RIFF\C{4}WEBP\C*')
  kinds = tf.stack([False, *found, riff])
  return header.insist(
    tf.argmax(kinds, output_type=tf.int32),
    tf.reduce_any(kinds),
    f'neither {", ".join(FORMATS[:-1])} nor {FORMATS[-1]}: it starts with',
    header.peek(encoded, 0, 12),
  )


def decode(file: Header, box: 'tf.Tensor | None' = None) -> 'tf.Tensor':
  """The pixels of a file.

  Args:
    file: of `read_header`.
    box: int32 [4], top, left, height and width of the part that is wanted of
      the upright image; None for the whole.

  Returns:
    uint8 [h, w, 3]. Sixteen bits are cut to the upper eight.

  Raises:
    tf.errors.InvalidArgumentError: when run, if the file is broken.
  """
  if box is None:
    box = tf.concat([[0, 0], file.upright_size()], 0)

  def part():  # JPEG decodes no more than it has to
    # At a crop's edge, colour of half the width lacks its neighbour.
    top, left, height, width = tf.unstack(box)
    margin = tf.minimum(left, 2)
    right = tf.minimum(left + width + 2, file.size[1])
    wider = tf.stack([top, left - margin, height, right - left + margin])
    image = tf.image.decode_and_crop_jpeg(
      file.encoded, wider, channels=3, dct_method=ACCURATE
    )
    return image[:, margin : margin + width]

  def whole():
    image = _decode_upright(file.encoded, file.kind, file.orientation)
    return tf.slice(image, [box[0], box[1], 0], [box[2], box[3], 3])

  plain = (file.kind == JPEG) & (file.orientation == 1)
  return tf.ensure_shape(tf.cond(plain, part, whole), [None, None, 3])


def reason(error: Exception) -> str:
  """What TensorFlow says in one line, without where in the graph."""
  text = error.message
  in_graph = r'assertion failed: \[(.*?)\] \[(.*?)\]'
  eager = r"Summarized data: b'(.*)'\n(.*)"
  refused = re.search(f'{in_graph}|{eager}', text)
  if refused:
    message, found = filter(None, refused.groups())
    return f'{message} [{found.replace(",", "")}]'
  if text.startswith('Graph execution error:'):
    # Lines of code come first, or a list of errors; what was wrong, after them.
    places = r'(?m:^  File .*\n+)|<stack traces unavailable>\n|\(0\) \w+: +'
    text = re.split(places, text)[-1]
  text = re.split(r'\s*(?:\[\[\{|\[Op:|\n)', text)[0]
  return text.split('}} ')[-1].strip()


@_apart
def _decode_upright(encoded, kind, orientation):
  image = tf.switch_case(
    kind,
    [
      lambda: tf.io.decode_jpeg(encoded, 3, dct_method=ACCURATE),
      lambda: _decode_png(encoded),
      lambda: _decode(encoded, 3),
      lambda: _decode(encoded, 3),
      lambda: _decode(encoded, 0),
    ],
  )
  return turn(on_white(image), orientation)


def _decode(encoded, channels):
  return tf.io.decode_image(encoded, channels, expand_animations=False)


def on_white(image: 'tf.Tensor') -> 'tf.Tensor':
  """uint8 [h, w, c], grey or colour, with alpha or without -> [h, w, 3]."""
  channels = tf.shape(image)[-1]
  grey, alpha = channels < 3, channels % 2 == 0

  def composite():
    # 255 * 255 + 127 fits into 16 bits, which take half of float32's memory.
    opacity = tf.cast(image[..., -1:], tf.uint16)
    absent = (255 - tf.cast(image[..., :-1], tf.uint16)) * opacity
    return 255 - tf.cast((absent + 127) // 255, tf.uint8)

  image = tf.cond(alpha, composite, lambda: image)
  return tf.cond(grey, lambda: tf.repeat(image, 3, axis=-1), lambda: image)


def turn(image: 'tf.Tensor', orientation: 'tf.Tensor') -> 'tf.Tensor':
  """Puts an image upright: [h, w, 3], or [w, h, 3] from orientation 5 on."""
  across = tf.cond(
    orientation > 4, lambda: tf.transpose(image, [1, 0, 2]), lambda: image
  )
  # Of orientation 1 to 8: does the last row come first, the last column?
  upside_down = tf.constant([0, 0, 1, 1, 0, 0, 1, 1])[orientation - 1]
  mirrored = tf.constant([0, 1, 1, 0, 0, 1, 1, 0])[orientation - 1]
  axes = tf.where(tf.stack([upside_down, mirrored]) > 0)[:, 0]
  return tf.reverse(across, axes)


def _read_jpeg(encoded):
  shape = tf.image.extract_jpeg_shape(encoded)
  # Most have no EXIF. Looking for it properly costs a third of decoding, for
  # its name a tenth. EXIF stands before all but JFIF's segment, by its standard
  # and by all writers that are known: none follows where a table comes next.
  starts = header.peek(encoded, 2, 20)
  jfif = header.equal(starts[:4], b'\xff\xe0\x00\x10')
  plain = jfif & header.equal(starts[18:], b'\xff\xdb')
  mentioned = tf.cond(
    plain,
    lambda: tf.constant(False),
    lambda: tf.strings.regex_full_match(encoded, r'\C*Exif\x00\x00\C*'),
  )
  orientation = tf.cond(
    mentioned, lambda: _jpeg_orientation(encoded), lambda: tf.constant(1)
  )
  return encoded, shape[0], shape[1], orientation


@_apart
def _jpeg_orientation(encoded):
  return header.exif_orientation(encoded, header.jpeg_exif(encoded))


def _read_png(encoded):
  head = header.peek(encoded, 16, 10)
  few_bits, colour_type = head[8] < 8, head[9]
  keyed = header.png_chunk(encoded, b'tRNS') >= 0
  encoded = header.insist(
    encoded,
    ~(few_bits & (colour_type == 0) & keyed),
    'a PNG of less than 8 bits in which one grey is transparent; save it anew '
    'in 8 bits: bits',
    head[8],
  )
  exif = header.png_chunk(encoded, b'eXIf')
  orientation = header.exif_orientation(encoded, exif)
  height, width = header.number(head[4:8]), header.number(head[:4])
  return encoded, height, width, orientation


def _decode_png(encoded):
  """With alpha where there is any, be it one transparent colour."""
  colour_type = header.peek(encoded, 25, 1)[0]
  # TensorFlow finds a transparent colour (tRNS) only if it is asked for alpha.
  keyed = header.png_chunk(encoded, b'tRNS') >= 0
  single = keyed & ((colour_type == 0) | (colour_type == 2))
  return tf.cond(
    single, lambda: _decode(encoded, 4), lambda: _decode(encoded, 0)
  )


def _read_bmp(encoded):
  head = header.peek(encoded, 0, 54)
  bits = header.number(head[28:30], little=True)
  palette = header.peek(encoded, 54, 1024)
  greys = tf.reshape(tf.range(256)[:, None] * tf.constant([1, 1, 1, 0]), [-1])
  true_colour = (bits == 24) | (bits == 32)
  grey = (bits == 8) & tf.reduce_all(palette == greys)
  old = header.number(head[14:18], little=True) < 40
  compressed = header.number(head[30:34], little=True) != 0
  encoded = header.insist(
    encoded,
    (true_colour | grey) & ~compressed & ~old,
    'a BMP with a palette, or compressed, which TensorFlow decodes wrongly; '
    'save it as PNG: bits',
    bits,
  )
  # A negative height: from the top down.
  height = tf.abs(tf.bitcast(header.number(head[22:26], little=True), tf.int32))
  return (
    encoded,
    height,
    header.number(head[18:22], little=True),
    tf.constant(1),
  )


def _read_webp(encoded):
  """Lossy, lossless or extended: three headers."""
  head = header.peek(encoded, 12, 18)
  lossy = header.number(head[14:16], True), header.number(head[16:18], True)
  bits = header.number(head[9:13], little=True)
  lossless = bits % 2**14 + 1, bits // 2**14 % 2**14 + 1
  canvas = (
    header.number(head[12:15], True) + 1,
    header.number(head[15:18], True) + 1,
  )
  is_extended = header.equal(head[:4], b'VP8X')
  is_lossless = header.equal(head[:4], b'VP8L')
  width, height = (
    tf.where(is_extended, c, tf.where(is_lossless, b, a % 2**14))
    for a, b, c in zip(lossy, lossless, canvas)
  )
  # TensorFlow 2.21 writes past its memory when it decodes one (it was tried).
  encoded = header.insist(
    encoded,
    ~(is_extended & (head[8] // 2 % 2 == 1)),
    'an animated WebP, which crashes TensorFlow; save one frame: flags',
    head[8],
  )
  orientation = header.exif_orientation(encoded, header.webp_exif(encoded))
  return encoded, height, width, orientation
