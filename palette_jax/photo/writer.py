"""Writes a photo in the format that its file's suffix names.

PNG keeps everything: depth, profile, transparency, the recipe. WebP (lossless)
and TIFF keep known pixels of 8 bits. JPEG changes all pixels a little. What a
format cannot hold is reported, not dropped silently.
"""

import io
import posixpath
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Integer, UInt8
from PIL import Image, PngImagePlugin

from palette_jax import files
from palette_jax.photo import photo as photos

FORMATS = {
  '.png': 'PNG',
  '.jpg': 'JPEG',
  '.jpeg': 'JPEG',
  '.webp': 'WebP',
  '.tif': 'TIFF',
  '.tiff': 'TIFF',
}
JPEG_QUALITY = 95  # with chroma of full resolution
_LONGEST_SIDE = {'JPEG': 65_535, 'WebP': 16_383}
_INCH = 0.0254  # metres
_PNG_HEADER = 33  # bytes: the signature and the first chunk


def write(
  path: epath.PathLike,
  photo: photos.Photo,
  text: Mapping[str, str] | None = None,
  replace: bool = False,
) -> tuple[epath.Path, list[str]]:
  """Writes a photo; readers never see a part of it.

  Args:
    path: local or gs://; PNG if it has no suffix. Missing folders are made.
    photo: the photo.
    text: keys and values of a PNG's text chunks.
    replace: overwrites even the file that the photo was read from.

  Returns:
    The path, and sentences about what the format could not hold.

  Raises:
    ValueError: if the format is not one of FORMATS, the photo is too large for
      it, or the path is the photo's own source and `replace` is not set.
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
    encoded = _lossy(photo, kind, notes)
    if text:
      notes.append(
        f'{kind} carries no recipe, which replaying needs; PNG does.'
      )
  return files.write(path, encoded), notes


def target(path: epath.PathLike) -> tuple[epath.Path, str]:
  """Returns the path at which a photo is written, and its format.

  Raises:
    ValueError: if its suffix is not one of FORMATS.
  """
  path = epath.Path(path)
  suffix = path.suffix.lower()
  if not suffix:
    path, suffix = path.parent / f'{path.name}.png', '.png'
  if suffix not in FORMATS:
    raise ValueError(
      f'{path}: {suffix} cannot be written. Suffixes: {" ".join(FORMATS)}; PNG '
      'keeps everything.'
    )
  return path, FORMATS[suffix]


def is_same(path: epath.PathLike, source: epath.PathLike) -> bool:
  """Checks whether both name one file, whatever links lead to it."""
  path, source = epath.Path(path), str(source)
  if not source:
    return False
  if posixpath.normpath(str(path)) == posixpath.normpath(source):
    return True
  # Links, and file systems on which a.jpg and A.JPG are one file.
  source = epath.Path(source)
  is_local = '://' not in f'{path}{source}'
  if not is_local or not path.exists() or not source.exists():
    return False
  return posixpath.samefile(path, source)


def _joined(
  levels: Integer[np.ndarray, 'h w c'],
  alpha: Integer[np.ndarray, 'h w 1'] | None,
) -> Integer[np.ndarray, 'h w *c']:
  """Returns the pixels as encoders take them; grey has two axes."""
  if alpha is not None:
    return np.concatenate([levels, alpha], axis=-1)
  return levels[..., 0] if levels.shape[-1] == 1 else levels


def _png(photo: photos.Photo, text: Mapping[str, str]) -> bytes:
  if photo.levels.dtype == np.uint16:
    return _deep_png(photo, text)
  chunks = PngImagePlugin.PngInfo()
  for key, value in text.items():
    chunks.add_itxt(key, value)
  encoded = io.BytesIO()
  Image.fromarray(_joined(photo.levels, photo.alpha)).save(
    encoded, 'PNG', pnginfo=chunks, **_metadata(photo)
  )
  return encoded.getvalue()


def _deep_png(photo: photos.Photo, text: Mapping[str, str]) -> bytes:
  """Encodes 16 bits a channel, which Pillow writes of grey alone."""
  import imagecodecs  # few photos need it

  pixels = _joined(photo.levels, photo.alpha)
  encoded = bytes(imagecodecs.png_encode(pixels, level=6))
  chunks = b''.join(_chunk(*chunk) for chunk in _deep_metadata(photo, text))
  return encoded[:_PNG_HEADER] + chunks + encoded[_PNG_HEADER:]


def _deep_metadata(
  photo: photos.Photo, text: Mapping[str, str]
) -> Iterable[tuple[bytes, bytes]]:
  """Yields names and contents of a PNG's chunks beside the pixels."""
  if photo.profile:
    yield b'iCCP', b'ICC Profile\0\0' + zlib.compress(photo.profile)
  if photo.dpi:
    per_metre = [round(dpi / _INCH) for dpi in photo.dpi]
    yield b'pHYs', struct.pack('>IIB', *per_metre, 1)
  if photo.exif:
    yield b'eXIf', photo.exif.removeprefix(b'Exif\0\0')
  for key, value in text.items():
    # Not compressed, no language, no translated key.
    yield b'iTXt', key.encode('latin-1') + b'\0\0\0\0\0' + value.encode()


def _chunk(name: bytes, content: bytes) -> bytes:
  checksum = zlib.crc32(name + content)
  size = struct.pack('>I', len(content))
  return size + name + content + struct.pack('>I', checksum)


def _metadata(photo: photos.Photo) -> dict[str, Any]:
  """Returns what Pillow's `save` takes beside the pixels."""
  fields = {
    'icc_profile': photo.profile,
    'exif': photo.exif,
    'dpi': photo.dpi,
  }
  return {name: value for name, value in fields.items() if value}


def _lossy(photo: photos.Photo, kind: str, notes: list[str]) -> bytes:
  """Encodes JPEG, WebP or TIFF, of 8 bits."""
  levels, alpha, metadata = photo.levels, photo.alpha, _metadata(photo)
  if levels.dtype == np.uint16:
    notes.append(f'{kind}: 16 bits became 8; a PNG keeps them.')
    levels = photos.to_8_bits(levels)
    alpha = None if alpha is None else photos.to_8_bits(alpha)
  # TIFF is not compressed: libtiff, which could, drops EXIF's folders.
  options: dict[str, Any] = {}
  if kind == 'WebP':
    options = {'lossless': True, 'exact': True}
    if levels.shape[-1] == 1:
      levels = np.repeat(levels, 3, axis=-1)
      if metadata.pop('icc_profile', None):
        notes.append('WebP has no grey: the grey ICC profile is left out.')
  elif kind == 'JPEG':
    options = {'quality': JPEG_QUALITY, 'subsampling': 0, 'optimize': True}
    notes.append(
      f'JPEG (quality {JPEG_QUALITY}) changes known pixels a little; a PNG '
      'keeps them.'
    )
    if alpha is not None:
      notes.append('JPEG has no transparency: the photo is on white now.')
      levels, alpha = _on_white(levels, alpha), None
  encoded = io.BytesIO()
  Image.fromarray(_joined(levels, alpha)).save(
    encoded, kind, **options, **metadata
  )
  return encoded.getvalue()


def _on_white(
  levels: UInt8[np.ndarray, 'h w c'], alpha: UInt8[np.ndarray, 'h w 1']
) -> UInt8[np.ndarray, 'h w c']:
  share = alpha.astype(np.float32) / np.float32(255)
  return np.round(levels * share + 255 * (1 - share)).astype(np.uint8)
