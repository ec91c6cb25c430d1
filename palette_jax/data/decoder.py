"""A decoder of image files: upright, in colour, on white.

TensorFlow decodes JPEG, PNG, GIF, BMP and WebP, but ignores the camera's
orientation, transparency and the palette of a BMP, and allocates as much memory
as a header demands. Therefore the header is read first, in graph operations
like everything here: files with too many pixels, and those that TensorFlow
would decode wrongly, are refused before anything is decoded.
"""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from etils import epy

from palette_jax.data import gif, header

with epy.lazy_imports():
  import tensorflow as tf

MAX_PIXELS = 50_000_000  # a phone's 8160x6120; RAW cameras stay below 65M
FORMATS = 'JPEG', 'PNG', 'GIF', 'BMP', 'WebP'
JPEG = 0
ACCURATE = 'INTEGER_ACCURATE'  # the transform that other decoders use

_Result = TypeVar('_Result')


class Header(NamedTuple):
  """The header of a file.

  Attributes:
    encoded: the file, or the part of it to decode.
    kind: int32, index into FORMATS.
    size: int32 [2], height and width as stored.
    orientation: int32 in 1..8 as in EXIF: 1 is upright; from 5 on, height and
      width are exchanged.
  """

  encoded: 'tf.Tensor'
  kind: 'tf.Tensor'
  size: 'tf.Tensor'
  orientation: 'tf.Tensor'

  def upright_size(self) -> 'tf.Tensor':
    """Returns height and width of the upright image, int32 [2]."""
    return tf.where(
      self.orientation > 4, tf.gather(self.size, [1, 0]), self.size
    )


def read_header(encoded: 'tf.Tensor', max_pixels: int = MAX_PIXELS) -> Header:
  """Reads the header of a file.

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
  encoded = header.require(
    encoded,
    (pixels > 0) & (pixels <= max_pixels),
    f'no pixels, or more than data.max_pixels = {max_pixels}: height, width',
    size,
  )
  return Header(encoded, kind, size, orientation)


def _separate(function: Callable[..., _Result]) -> Callable[..., _Result]:
  """Makes a separate graph function, which costs nothing until it is called.

  Otherwise TensorFlow prepares all branches of a graph before its first step,
  and those of the rarer formats took longer than everything else.
  """

  @functools.cache
  def graph() -> Callable:
    return tf.function(
      function,
      autograph=False,
      experimental_attributes={'_noinline': True, '_tf_data_function': True},
    )

  return functools.wraps(function)(lambda *args: graph()(*args))


@_separate
def _read_other(encoded: 'tf.Tensor') -> tuple['tf.Tensor', ...]:
  """Reads the header of any format; see `_read_jpeg`, with the kind second."""
  kind = _other_kind(encoded)
  readers = _read_jpeg, _read_png, gif.read, _read_bmp, _read_webp
  encoded, *fields = tf.switch_case(
    kind, [lambda read=read: read(encoded) for read in readers]
  )
  return encoded, kind, *fields


def _other_kind(encoded: 'tf.Tensor') -> 'tf.Tensor':
  starts = [b'\x89PNG\r\n\x1a\n', b'GIF8', b'BM']
  matches = [tf.strings.substr(encoded, 0, len(s)) == s for s in starts]
  riff = tf.strings.regex_full_match(encoded, r'RIFF\C{4}WEBP\C*')
  kinds = tf.stack([False, *matches, riff])
  return header.require(
    tf.argmax(kinds, output_type=tf.int32),
    tf.reduce_any(kinds),
    f'neither {", ".join(FORMATS[:-1])} nor {FORMATS[-1]}: it starts with',
    header.peek(encoded, 0, 12),
  )


def decode(file: Header, box: 'tf.Tensor | None' = None) -> 'tf.Tensor':
  """Decodes a file.

  Args:
    file: from `read_header`.
    box: int32 [4], top, left, height and width of a part of the upright image;
      None for the whole.

  Returns:
    uint8 [h, w, 3]. Of sixteen bits, the upper eight remain.

  Raises:
    tf.errors.InvalidArgumentError: when run, if the file is broken.
  """
  if box is None:
    box = tf.concat([[0, 0], file.upright_size()], 0)

  def decode_part() -> 'tf.Tensor':  # JPEG decodes only what it must.
    # Subsampled colour at the edge of a crop depends on its neighbours.
    top, left, height, width = tf.unstack(box)
    margin = tf.minimum(left, 2)
    right = tf.minimum(left + width + 2, file.size[1])
    wider = tf.stack([top, left - margin, height, right - left + margin])
    image = tf.image.decode_and_crop_jpeg(
      file.encoded, wider, channels=3, dct_method=ACCURATE
    )
    return image[:, margin : margin + width]

  def decode_whole() -> 'tf.Tensor':
    image = _decode_upright(file.encoded, file.kind, file.orientation)
    return tf.slice(image, [box[0], box[1], 0], [box[2], box[3], 3])

  plain = (file.kind == JPEG) & (file.orientation == 1)
  return tf.ensure_shape(
    tf.cond(plain, decode_part, decode_whole), [None, None, 3]
  )


def reason(error: 'tf.errors.OpError') -> str:
  """Returns TensorFlow's message in one line, without places in the graph."""
  text = error.message
  in_graph = r'assertion failed: \[(.*?)\] \[(.*?)\]'
  eager = r"Summarized data: b'(.*)'\n(.*)"
  refused = re.search(f'{in_graph}|{eager}', text)
  if refused:
    message, actual = filter(None, refused.groups())
    return f'{message} [{actual.replace(",", "")}]'
  if text.startswith('Graph execution error:'):
    # Lines of code or a list of errors precede the reason.
    places = r'(?m:^  File .*\n+)|<stack traces unavailable>\n|\(0\) \w+: +'
    text = re.split(places, text)[-1]
  text = re.split(r'\s*(?:\[\[\{|\[Op:|\n)', text)[0]
  return text.split('}} ')[-1].strip()


@_separate
def _decode_upright(
  encoded: 'tf.Tensor', kind: 'tf.Tensor', orientation: 'tf.Tensor'
) -> 'tf.Tensor':
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


def _decode(encoded: 'tf.Tensor', channels: int) -> 'tf.Tensor':
  return tf.io.decode_image(encoded, channels, expand_animations=False)


def on_white(image: 'tf.Tensor') -> 'tf.Tensor':
  """Converts grey or colour, with alpha or without, to uint8 [h, w, 3]."""
  channels = tf.shape(image)[-1]
  grey, alpha = channels < 3, channels % 2 == 0

  def composite() -> 'tf.Tensor':
    # 255 * 255 + 127 fits into 16 bits, which take half of float32's memory.
    opacity = tf.cast(image[..., -1:], tf.uint16)
    absent = (255 - tf.cast(image[..., :-1], tf.uint16)) * opacity
    return 255 - tf.cast((absent + 127) // 255, tf.uint8)

  image = tf.cond(alpha, composite, lambda: image)
  return tf.cond(grey, lambda: tf.repeat(image, 3, axis=-1), lambda: image)


def turn(image: 'tf.Tensor', orientation: 'tf.Tensor') -> 'tf.Tensor':
  """Turns an image upright; from orientation 5 on, that swaps its sides."""
  across = tf.cond(
    orientation > 4, lambda: tf.transpose(image, [1, 0, 2]), lambda: image
  )
  # For orientations 1 to 8: is the image upside down, is it mirrored?
  upside_down = tf.constant([0, 0, 1, 1, 0, 0, 1, 1])[orientation - 1]
  mirrored = tf.constant([0, 1, 1, 0, 0, 1, 1, 0])[orientation - 1]
  axes = tf.where(tf.stack([upside_down, mirrored]) > 0)[:, 0]
  return tf.reverse(across, axes)


def _read_jpeg(encoded: 'tf.Tensor') -> tuple['tf.Tensor', ...]:
  """Returns the file, its height, width and orientation."""
  shape = tf.image.extract_jpeg_shape(encoded)
  # Most files have no EXIF. Parsing all segments takes a third of the time of
  # decoding, searching for the name a tenth. By its standard, and in the files
  # of all known writers, only JFIF's segment precedes EXIF: none follows where
  # a table comes next.
  starts = header.peek(encoded, 2, 20)
  jfif = header.is_equal(starts[:4], b'\xff\xe0\x00\x10')
  plain = jfif & header.is_equal(starts[18:], b'\xff\xdb')
  mentioned = tf.cond(
    plain,
    lambda: tf.constant(False),
    lambda: tf.strings.regex_full_match(encoded, r'\C*Exif\x00\x00\C*'),
  )
  orientation = tf.cond(
    mentioned, lambda: _jpeg_orientation(encoded), lambda: tf.constant(1)
  )
  return encoded, shape[0], shape[1], orientation


@_separate
def _jpeg_orientation(encoded: 'tf.Tensor') -> 'tf.Tensor':
  return header.exif_orientation(encoded, header.jpeg_exif(encoded))


def _read_png(encoded: 'tf.Tensor') -> tuple['tf.Tensor', ...]:
  head = header.peek(encoded, 16, 10)
  few_bits, colour_type = head[8] < 8, head[9]
  keyed = header.png_chunk(encoded, b'tRNS') >= 0
  encoded = header.require(
    encoded,
    ~(few_bits & (colour_type == 0) & keyed),
    'a PNG of less than 8 bits with a transparent grey; save it again in 8 '
    'bits: bits',
    head[8],
  )
  exif = header.png_chunk(encoded, b'eXIf')
  orientation = header.exif_orientation(encoded, exif)
  height, width = header.number(head[4:8]), header.number(head[:4])
  return encoded, height, width, orientation


def _decode_png(encoded: 'tf.Tensor') -> 'tf.Tensor':
  """Decodes a PNG, with alpha if it has any or one transparent colour."""
  colour_type = header.peek(encoded, 25, 1)[0]
  # TensorFlow applies a transparent colour (tRNS) only to 4 channels.
  keyed = header.png_chunk(encoded, b'tRNS') >= 0
  single = keyed & ((colour_type == 0) | (colour_type == 2))
  return tf.cond(
    single, lambda: _decode(encoded, 4), lambda: _decode(encoded, 0)
  )


def _read_bmp(encoded: 'tf.Tensor') -> tuple['tf.Tensor', ...]:
  head = header.peek(encoded, 0, 54)
  bits = header.number(head[28:30], little=True)
  palette = header.peek(encoded, 54, 1024)
  greys = tf.reshape(tf.range(256)[:, None] * tf.constant([1, 1, 1, 0]), [-1])
  true_colour = (bits == 24) | (bits == 32)
  grey = (bits == 8) & tf.reduce_all(palette == greys)
  old = header.number(head[14:18], little=True) < 40
  compressed = header.number(head[30:34], little=True) != 0
  encoded = header.require(
    encoded,
    (true_colour | grey) & ~compressed & ~old,
    'a BMP with a palette, or compressed, which TensorFlow decodes wrongly; '
    'save it as PNG: bits',
    bits,
  )
  # A negative height means rows from the top down.
  height = tf.abs(tf.bitcast(header.number(head[22:26], little=True), tf.int32))
  return (
    encoded,
    height,
    header.number(head[18:22], little=True),
    tf.constant(1),
  )


def _read_webp(encoded: 'tf.Tensor') -> tuple['tf.Tensor', ...]:
  """Reads one of three headers: lossy, lossless, extended."""
  head = header.peek(encoded, 12, 18)
  lossy = header.number(head[14:16], True), header.number(head[16:18], True)
  bits = header.number(head[9:13], little=True)
  lossless = bits % 2**14 + 1, bits // 2**14 % 2**14 + 1
  canvas = (
    header.number(head[12:15], True) + 1,
    header.number(head[15:18], True) + 1,
  )
  is_extended = header.is_equal(head[:4], b'VP8X')
  is_lossless = header.is_equal(head[:4], b'VP8L')
  width, height = (
    tf.where(is_extended, c, tf.where(is_lossless, b, a % 2**14))
    for a, b, c in zip(lossy, lossless, canvas)
  )
  # TensorFlow 2.21 writes past its memory when it decodes an animated WebP.
  encoded = header.require(
    encoded,
    ~(is_extended & (head[8] // 2 % 2 == 1)),
    'an animated WebP, which crashes TensorFlow; save one frame: flags',
    head[8],
  )
  orientation = header.exif_orientation(encoded, header.webp_exif(encoded))
  return encoded, height, width, orientation
