"""A photo as a file, of the format that its name ends in.

PNG keeps everything: depth, profile, transparency, the recipe. WebP (lossless)
and TIFF keep known pixels of 8 bits. JPEG changes all pixels a little. Whatever
a format cannot hold is said, not dropped in silence.
"""

import io
import posixpath
import struct
import uuid
import zlib

import numpy as np
from etils import epath
from PIL import Image, PngImagePlugin

from palette_jax.photo import photo as photos
from palette_jax.photo import sixteen

FORMATS = {
  '.png': 'PNG',
  '.jpg': 'JPEG',
  '.jpeg': 'JPEG',
  '.webp': 'WebP',
  '.tif': 'TIFF',
  '.tiff': 'TIFF',
}
JPEG_QUALITY = 95  # with as many pixels of colour as of brightness
_LONGEST_SIDE = {'JPEG': 65_535, 'WebP': 16_383}
_INCH = 0.0254  # metres


def write(
  path: epath.PathLike,
  photo: photos.Photo,
  text: dict[str, str] | None = None,
  replace: bool = False,
) -> tuple[epath.Path, list[str]]:
  """Writes a photo; a reader never sees half of it.

  Args:
    path: local or gs://, PNG if it has no ending; folders are made.
    photo: the picture.
    text: keys and values for a PNG's text chunks.
    replace: whether the file that the photo was read from may be overwritten.

  Returns:
    The path, and what of the photo the format could not hold: sentences.

  Raises:
    ValueError: if the format is not one of FORMATS, the photo too large for it,
      or the path is the photo's own source and `replace` is not set.
  """
  path, kind = target(path)
  if not replace and is_same(path, photo.source):
    raise ValueError(
      f'{path} is the photo itself, which would be lost: give another name.'
    )
  longest = max(photo.levels.shape[:2])
  if longest > _LONGEST_SIDE.get(kind, longest):
    raise ValueError(
      f'{path}: {kind} holds at most {_LONGEST_SIDE[kind]} pixels a side, and '
      f'this is {longest}. Write a PNG.'
    )
  notes = []
  if kind == 'PNG':
    encoded = _png(photo, text or {})
  else:
    encoded = _other(photo, kind, notes)
    if text:
      notes.append(f'{kind} carries no recipe; a PNG does, for replaying it.')
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.parent / f'.{path.name}.{uuid.uuid4().hex}'
  try:
    partial.write_bytes(encoded)
    partial.replace(path)
  finally:
    partial.unlink(missing_ok=True)
  return path, notes


def target(path: epath.PathLike) -> tuple[epath.Path, str]:
  """Where a photo of that name is written, and in which format.

  Raises:
    ValueError: if its ending is none of FORMATS.
  """
  path = epath.Path(path)
  ending = path.suffix.lower()
  if not ending:
    path, ending = path.parent / f'{path.name}.png', '.png'
  if ending not in FORMATS:
    raise ValueError(
      f'{path}: {ending} is not written. Endings: {" ".join(FORMATS)}; PNG '
      'keeps everything.'
    )
  return path, FORMATS[ending]


def is_same(path: epath.PathLike, source: epath.PathLike) -> bool:
  """Whether both name one file, whatever links lead to it."""
  path, source = epath.Path(path), str(source)
  if not source:
    return False
  if posixpath.normpath(str(path)) == posixpath.normpath(source):
    return True
  # Links, and file systems that do not tell a.jpg from A.JPG.
  source = epath.Path(source)
  is_local = '://' not in f'{path}{source}'
  if not is_local or not path.exists() or not source.exists():
    return False
  return posixpath.samefile(path, source)


def _image(levels, alpha):
  """As Pillow has it, 8 bits: L, RGB, LA or RGBA."""
  if alpha is not None:
    levels = np.concatenate([levels, alpha], axis=-1)
  return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)


def _png(photo, text):
  if photo.levels.dtype == np.uint16:
    return _deep_png(photo, text)
  lines = PngImagePlugin.PngInfo()
  for key, value in text.items():
    lines.add_itxt(key, value)
  encoded = io.BytesIO()
  _image(photo.levels, photo.alpha).save(
    encoded, 'PNG', pnginfo=lines, **_belongings(photo)
  )
  return encoded.getvalue()


def _deep_png(photo, text):
  chunks = []
  if photo.profile:
    packed = zlib.compress(photo.profile)
    chunks.append((b'iCCP', b'ICC Profile\0\0' + packed))
  if photo.dpi:
    per_metre = [round(dpi / _INCH) for dpi in photo.dpi]
    chunks.append((b'pHYs', struct.pack('>IIB', *per_metre, 1)))
  if photo.exif:
    chunks.append((b'eXIf', photo.exif.removeprefix(b'Exif\0\0')))
  for key, value in text.items():
    # Not compressed, no language, no translated key.
    content = key.encode('latin-1') + b'\0\0\0\0\0' + value.encode()
    chunks.append((b'iTXt', content))
  levels = photo.levels
  if photo.alpha is not None:
    levels = np.concatenate([levels, photo.alpha], axis=-1)
  return sixteen.encode_png(levels, chunks)


def _belongings(photo):
  found = {
    'icc_profile': photo.profile,
    'exif': photo.exif,
    'dpi': photo.dpi,
  }
  return {name: value for name, value in found.items() if value}


def _other(photo, kind, notes):
  """JPEG, WebP or TIFF: 8 bits."""
  levels, alpha, belongings = photo.levels, photo.alpha, _belongings(photo)
  if levels.dtype == np.uint16:
    notes.append(f'{kind}: 16 bits became 8; a PNG keeps them.')
    levels, alpha = _eight(levels), None if alpha is None else _eight(alpha)
  if kind == 'WebP':
    if levels.shape[-1] == 1:
      levels = np.repeat(levels, 3, axis=-1)
      _drop_profile(belongings, notes, 'WebP has no grey')
    options = {'lossless': True, 'exact': True}
  elif kind == 'TIFF':
    options = {}  # libtiff, which compresses, writes no folders of EXIF
  else:
    notes.append(
      f'JPEG (quality {JPEG_QUALITY}): known pixels change a little; a PNG '
      'keeps them.'
    )
    if alpha is not None:
      notes.append('JPEG has no transparency: it lies on white now.')
      share = alpha.astype(np.float32) / np.float32(255)
      levels = np.round(levels * share + 255 * (1 - share)).astype(np.uint8)
      alpha = None
    options = {'quality': JPEG_QUALITY, 'subsampling': 0, 'optimize': True}
  encoded = io.BytesIO()
  _image(levels, alpha).save(encoded, kind, **options, **belongings)
  return encoded.getvalue()


def _eight(levels):
  return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _drop_profile(belongings, notes, why):
  if belongings.pop('icc_profile', None):
    notes.append(f'{why}: the grey ICC profile is left out.')
