"""Image files for decoder_test.py and decoder_fuzz.py, and their pixels."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HEIGHT, WIDTH = 37, 53
ADAM7 = [
  (0, 0, 8, 8),
  (0, 4, 8, 8),
  (4, 0, 8, 4),
  (0, 2, 4, 4),
  (2, 0, 4, 2),
  (0, 1, 2, 2),
  (1, 0, 2, 1),
]


def pixels(channels=4, height=HEIGHT, width=WIDTH):
  """Smooth colours with an edge, uint8 [h, w, c]; the last from 0 to 255."""
  y, x = np.mgrid[: 1 : height * 1j, : 1 : width * 1j]
  planes = [x, y, x * y, np.clip(x + y - 0.5, 0, 1)]
  image = np.stack(planes[4 - channels :], -1) * 255
  image[height // 2 :, width // 3 :, :-1] = 255 - image[0, 0, :-1]
  return image.round().astype(np.uint8)


def saved(image, kind, **options):
  """An array or a Pillow image as a file's bytes."""
  if not isinstance(image, Image.Image):
    image = Image.fromarray(image)
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def reference(file):
  """Pillow's pixels, upright, on white: [h, w, 3]."""
  image = Image.open(io.BytesIO(file))
  image = ImageOps.exif_transpose(image)
  if image.mode.startswith('I'):
    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
  if image.mode == 'CMYK':
    image = image.convert('RGB')
  rgba = np.asarray(image.convert('RGBA'), float)
  return np.round(255 + (rgba[..., :3] - 255) * rgba[..., 3:] / 255)


def chunk(name, content):
  checked = name + content
  return struct.pack('>I', len(content)) + checked + checksum(checked)


def checksum(checked):
  return struct.pack('>I', zlib.crc32(checked))


def png(values, colour_type, bits, *chunks, interlaced=False):
  """A PNG of any kind from its samples [h, w, c]; more chunks by content."""
  height, width, _ = values.shape
  steps = ADAM7 if interlaced else [(0, 0, 1, 1)]
  passes = [values[top::down, left::right] for top, left, down, right in steps]
  rows = [_packed(row, bits) for part in passes for row in part if row.size]
  lines = b''.join(b'\0' + row for row in rows)
  head = struct.pack(
    '>2I5B', width, height, bits, colour_type, 0, 0, interlaced
  )
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    chunk(name, content)
    for name, content in [
      (b'IHDR', head),
      *chunks,
      (b'IDAT', zlib.compress(lines)),
      (b'IEND', b''),
    ]
  )


def _packed(row, bits):
  if bits == 16:
    return row.astype('>u2').tobytes()
  each = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)
  return np.packbits(each[:, 8 - bits :]).tobytes()


def exif(orientation, little=True):
  """An EXIF block that says no more than an orientation."""
  order, mark = ('<', b'II*\0') if little else ('>', b'MM\0*')
  entry = struct.pack(order + '2HI2H', 0x0112, 3, 1, orientation, 0)
  pointer, count = struct.pack(order + 'I', 8), struct.pack(order + 'H', 1)
  return mark + pointer + count + entry + bytes(4)


def segment(marker, content):
  """A JPEG's."""
  return struct.pack('>2BH', 0xFF, marker, 2 + len(content)) + content


def with_segments(jpeg, *segments):
  """Puts segments first in a JPEG."""
  return jpeg[:2] + b''.join(segments) + jpeg[2:]


def formats():
  """Files by name, each with the file that Pillow reads in its place."""
  rgba, rgb = pixels(4), pixels(4)[..., :3]
  grey, la = rgb[..., :1], rgba[..., [1, 3]]
  cmyk = Image.fromarray(rgb).convert('CMYK')
  draw = np.random.default_rng(0)
  deep = draw.integers(0, 2**16, [HEIGHT, WIDTH, 4])
  files = {
    'jpeg': saved(rgb, 'JPEG', quality=90, subsampling=0),
    'jpeg 420': saved(rgb, 'JPEG', quality=90, subsampling=2),
    'jpeg 422': saved(rgb, 'JPEG', quality=90, subsampling=1),
    'jpeg progressive': saved(rgb, 'JPEG', progressive=True),
    'jpeg grey': saved(grey[..., 0], 'JPEG'),
    'jpeg cmyk': saved(cmyk, 'JPEG'),
    'bmp 24': saved(rgb, 'BMP'),
    'bmp 32': saved(Image.fromarray(rgba), 'BMP'),
    'bmp grey': saved(grey[..., 0], 'BMP'),
    'gif': saved(Image.fromarray(rgb).quantize(200), 'GIF', interlace=0),
    'gif interlaced': saved(Image.fromarray(rgb).quantize(9), 'GIF'),
    'gif animated': animated('GIF'),
    'gif transparent': saved(Image.fromarray(rgba), 'GIF'),
    'webp': saved(rgb, 'WebP'),
    'webp lossless': saved(rgb, 'WebP', lossless=True),
    'webp alpha': saved(rgba, 'WebP'),
    'webp lossless alpha': saved(rgba, 'WebP', lossless=True, exact=True),
    'png rgb': saved(rgb, 'PNG'),
    'png rgba': saved(rgba, 'PNG'),
    'png la': png(la, 4, 8),
    'png rgb 16': png(deep[..., :3], 2, 16),
    'png rgba 16': png(deep, 6, 16),
    'png la 16': png(deep[..., :2], 4, 16),
  }
  palette = (b'PLTE', draw.bytes(3 * 256))
  for bits in (1, 2, 4, 8, 16):
    values = deep[..., :1] >> (16 - bits)
    files[f'png grey {bits}'] = png(values, 0, bits)
    if bits == 16:
      continue
    some = b'PLTE', palette[1][: 3 * 2**bits]
    see_through = b'tRNS', draw.bytes(2**bits - 1)
    files[f'png palette {bits}'] = png(values, 3, bits, some)
    files[f'png palette tRNS {bits}'] = png(values, 3, bits, some, see_through)
  for name, of in [('grey', 0), ('rgb', 2), ('rgba', 6), ('la', 4)]:
    channels = {0: 1, 2: 3, 6: 4, 4: 2}[of]
    files[f'png {name} interlaced'] = png(
      deep[..., :channels] >> 8, of, 8, interlaced=True
    )
  files['png palette interlaced'] = png(
    deep[..., :1] >> 12, 3, 4, (b'PLTE', palette[1][:48]), interlaced=True
  )
  few = saved(Image.fromarray(rgb).quantize(4), 'GIF')
  at = few.index(b',\0\0\0\0')
  beyond = b'!\xf9\4\1\0\0\xc8\0'  # the transparent colour is no. 200
  files['gif transparent beyond'] = few[:at] + beyond + few[at:]
  files = {name: (file, file) for name, file in files.items()}
  # Pillow finds no transparent colour of 16 bits: with an alpha channel, then.
  for bits in (8, 16):
    for name, channels, keyed, explicit in [
      ('grey', 1, 0, 4),
      ('rgb', 3, 2, 6),
    ]:
      top = 2**bits - 1
      values = deep[..., :channels] >> (16 - bits)
      values[5:20, 9:30] = key = values[0, 0]
      alpha = top * np.any(values != key, -1, keepdims=True)
      see_through = b'tRNS', key.astype('>u2').tobytes()
      files[f'png {name} tRNS {bits}'] = (
        png(values, keyed, bits, see_through),
        png(np.concatenate([values, alpha], -1), explicit, bits),
      )
  return files


def animated(kind):
  """Three frames, the first full, the others smaller than the image."""
  frames = [Image.fromarray(pixels(3)) for _ in range(3)]
  for i, frame in enumerate(frames):
    frame.paste((40 * i, 9, 200), (8 * i, 8, 8 * i + 7, 20))
  return saved(frames[0], kind, save_all=True, append_images=frames[1:])


def replaced(file, at, content):
  return file[:at] + content + file[at + len(content) :]


def resized_headers(height, width):
  """Small files whose headers state another size."""
  big, little = (
    struct.pack('>2H', height, width),
    struct.pack('<2H', width, height),
  )
  files = {name: file for name, (file, _) in formats().items()}
  jpeg, gif, bmp = files['jpeg'], files['gif'], files['bmp 24']
  head = struct.pack('>2I', width, height) + files['png rgb'][24:29]
  head = head + checksum(b'IHDR' + head)
  lossless = struct.pack('<I', (width - 1) % 2**14 | (height - 1) % 2**14 << 14)
  canvas = b''.join(struct.pack('<I', n - 1)[:3] for n in (width, height))
  frame = gif.index(b',\0\0\0\0') + 5
  return {
    'jpeg': replaced(jpeg, jpeg.index(b'\xff\xc0') + 5, big),
    'png': replaced(files['png rgb'], 16, head),
    'gif': replaced(replaced(gif, 6, little), frame, little),
    'bmp': replaced(bmp, 18, struct.pack('<2I', width, height)),
    'webp': replaced(files['webp'], 26, little),
    'webp lossless': replaced(files['webp lossless'], 21, lossless),
    'webp alpha': replaced(files['webp alpha'], 24, canvas),
  }
