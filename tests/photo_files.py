"""Pixels, ICC profiles and image files, some that Pillow cannot write."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt16
from PIL import Image, ImageCms

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels: grey, LA, RGB, RGBA
_ADAM7 = (  # row, column, steps of each pass
  (0, 0, 8, 8),
  (0, 4, 8, 8),
  (4, 0, 8, 4),
  (0, 2, 4, 4),
  (2, 0, 4, 2),
  (0, 1, 2, 2),
  (1, 0, 2, 1),
)


def noise(shape, dtype=np.uint8, seed=0):
  draw = np.random.default_rng(seed)
  return draw.integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def smooth(height=40, width=56, channels=3):
  coarse = Image.fromarray(noise([4, 5, 3])).resize((width, height))
  return np.asarray(coarse)[..., :channels]


def saved(path, levels, **options):
  plain = levels[..., 0] if levels.shape[-1] == 1 else levels
  Image.fromarray(plain).save(path, **options)
  return path


def wide_gamut():
  """An ICC profile like Adobe RGB: sRGB's with a red and green of its own."""
  content = bytearray(
    ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
  )
  count = struct.unpack('>I', content[128:132])[0]
  for i in range(count):
    name, at, _ = struct.unpack('>4sII', content[132 + 12 * i : 144 + 12 * i])
    values = {
      b'rXYZ': (0.6097, 0.3111, 0.0195),
      b'gXYZ': (0.2053, 0.6257, 0.0609),
      b'bXYZ': (0.1492, 0.0632, 0.7446),
    }.get(name)
    if values:
      fixed = [round(value * 65536) for value in values]
      content[at + 8 : at + 20] = struct.pack('>iii', *fixed)
  return bytes(content)


def gamma_grey(gamma):
  """A grey ICC profile of one power."""
  content = bytearray(
    ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
  )
  content[16:20] = b'GRAY'
  count = struct.unpack('>I', content[128:132])[0]
  for i in range(count):
    entry = slice(132 + 12 * i, 136 + 12 * i)
    if content[entry] == b'rTRC':
      content[entry] = b'kTRC'
      at = struct.unpack('>I', content[136 + 12 * i : 140 + 12 * i])[0]
      assert content[at : at + 4] == b'para'
      content[at + 8 : at + 16] = struct.pack('>HHi', 0, 0, int(gamma * 65536))
  return bytes(content)


def deep_png(
  levels: UInt16[np.ndarray, 'h w c'],
  chunks: Sequence[tuple[bytes, bytes]] = (),
  interlaced: bool = False,
) -> bytes:
  """Encodes a 16-bit PNG, its rows without filters."""
  height, width, channels = levels.shape
  header = struct.pack(
    '>IIBBBBB', width, height, 16, _COLOUR_TYPES[channels], 0, 0, interlaced
  )
  rows = b''
  for y, x, down, right in _ADAM7 if interlaced else ((0, 0, 1, 1),):
    part = levels[y::down, x::right]
    if part.size:
      rows += b''.join(b'\0' + row.astype('>u2').tobytes() for row in part)
  body = (b'IDAT', zlib.compress(rows))
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    struct.pack('>I', len(content))
    + name
    + content
    + struct.pack('>I', zlib.crc32(name + content))
    for name, content in [(b'IHDR', header), *chunks, body, (b'IEND', b'')]
  )


def deep_tiff(
  levels: UInt16[np.ndarray, 'h w c'],
  order: str,
  photometric: int,
  planes: int = 1,
  bits: int = 16,
) -> bytes:
  """Encodes a 16-bit TIFF in one strip, not compressed."""
  height, width, channels = levels.shape
  tags = [
    (256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, bits),
    (259, 3, 1, 1), (262, 3, 1, photometric), (273, 4, 1, None),
    (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, levels.nbytes),
    (284, 3, 1, planes),
  ]  # fmt: skip
  after = 8 + 2 + 12 * len(tags) + 4
  table = struct.pack(order + 'H', len(tags))
  for tag, kind, count, value in tags:
    value = after + 6 if tag == 273 else value
    value = after if tag == 258 and count > 1 else value
    form = 'HHIHxx' if kind == 3 and count == 1 else 'HHII'
    table += struct.pack(order + form, tag, kind, count, value)
  mark = b'II*\0' if order == '<' else b'MM\0*'
  head = mark + struct.pack(order + 'I', 8) + table
  head += struct.pack(order + 'I3H', 0, 16, 16, 16)
  return head + levels.astype(order + 'u2').tobytes()
