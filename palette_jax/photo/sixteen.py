"""Sixteen bits a channel, of which Pillow shows the upper eight.

Its decoders unpack either byte order, so a second look in the wrong order
shows the lower eight. It writes them in grey only; a PNG is a few chunks.
"""

import io
import struct
import sys
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

_OTHER_ORDER = {
  'B': 'L',
  'L': 'B',
  'N': 'B' if sys.byteorder == 'little' else 'L',
}
_PNG_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels: grey, LA, RGB, RGBA
_SEPARATE_PLANES = 2
_WHITE_IS_0 = 0


def is_deep(image: Image.Image) -> bool:
  """Whether the file that was opened holds 16 bits a channel.

  Raises:
    ValueError: if it does in a way that Pillow decodes wrongly.
  """
  if image.mode.startswith('I;16'):
    if image.format == 'TIFF' and (
      image.tag_v2.get(258) != (16,) or image.tag_v2.get(262) == _WHITE_IS_0
    ):
      raise ValueError(
        'its grey has 12 bits, or is stored as a negative; save it as a PNG'
      )
    return True
  if image.format == 'PNG':
    return bool(image.tile) and '16B' in str(image.tile[0].args)
  if image.format == 'TIFF' and 16 in (image.tag_v2.get(258) or ()):
    if image.tag_v2.get(284) == _SEPARATE_PLANES:
      raise ValueError(
        'its 16-bit channels lie in separate planes; save it interleaved, or '
        'as a PNG'
      )
    return image.mode in ('RGB', 'RGBA') and all(
      ';16' in str(tile.args) and 'a;' not in str(tile.args)
      for tile in image.tile
    )
  return False


def decode(encoded: bytes) -> UInt16[np.ndarray, 'h w c']:
  """The pixels of a file for which `is_deep` holds, as they are stored."""
  with Image.open(io.BytesIO(encoded)) as image:
    if image.mode.startswith('I;16'):
      return np.asarray(image).astype(np.uint16)[..., None]
    if 'LA;16B' in str(image.tile[0].args):
      # Two channels of two bytes are four of one.
      image.tile = [image.tile[0]._replace(args='RGBA')]
      pairs = np.asarray(image).reshape(*image.size[::-1], 2, 2)
      return _join(pairs[..., 0], pairs[..., 1])
    upper = np.asarray(image)
  with Image.open(io.BytesIO(encoded)) as image:
    image.tile = [_in_other_order(tile) for tile in image.tile]
    return _join(upper, np.asarray(image))


def _join(upper, lower):
  return (upper.astype(np.uint16) << 8) | lower


def _in_other_order(tile):
  args = (tile.args,) if isinstance(tile.args, str) else tile.args
  swapped = args[0][:-1] + _OTHER_ORDER[args[0][-1]]
  is_text = isinstance(tile.args, str)
  return tile._replace(args=swapped if is_text else (swapped, *args[1:]))


def encode_png(
  levels: UInt16[np.ndarray, 'h w c'],
  chunks: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
  """A 16-bit PNG of 1 to 4 channels.

  Args:
    levels: pixels.
    chunks: of those that stand before the pixels, names and contents.
  """
  height, width, channels = levels.shape
  header = struct.pack(
    '>IIBBBBB', width, height, 16, _PNG_TYPES[channels], 0, 0, 0
  )
  rows = levels.astype('>u2').view(np.uint8).reshape(height, -1)
  body = zlib.compress(_filtered(rows, 2 * channels).tobytes(), 6)
  parts = [(b'IHDR', header), *chunks, (b'IDAT', body), (b'IEND', b'')]
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    struct.pack('>I', len(content))
    + name
    + content
    + struct.pack('>I', zlib.crc32(name + content))
    for name, content in parts
  )


def _filtered(
  rows: UInt8[np.ndarray, 'h w'], pixel: int
) -> UInt8[np.ndarray, 'h w_1']:
  """Each byte less the one to its left (PNG's filter 1), or above it (2)."""
  sub, up = rows.copy(), rows.copy()
  sub[:, pixel:] -= rows[:, :-pixel]
  up[1:] -= rows[:-1]
  # Small differences, taken with their sign, compress best.
  cost = [np.abs(x.view(np.int8).astype(np.int16)).sum(1) for x in (sub, up)]
  is_up = (cost[1] < cost[0])[:, None]
  kind = np.where(is_up, 2, 1).astype(np.uint8)
  return np.concatenate([kind, np.where(is_up, up, sub)], axis=1)
