"""Reads photos: a path, encoded bytes, a Pillow image or an array.

Pillow decodes all formats; of 16-bit colour, of which Pillow keeps 8 bits,
imagecodecs decodes the pixels.
"""

import dataclasses
import functools
import hashlib
import io
import warnings

import numpy as np
from etils import epath
from jaxtyping import UInt8, UInt16
from PIL import Image, TiffImagePlugin

from palette_jax.photo import exif, profile, quantization
from palette_jax.photo import photo as photos

MOST_PIXELS = photos.MOST_PIXELS
# Not all that Pillow knows: its EPS decoder starts another program.
FORMATS = (
  'JPEG', 'MPO', 'PNG', 'WEBP', 'TIFF', 'BMP', 'DIB', 'GIF', 'AVIF',
  'JPEG2000', 'PPM', 'TGA', 'ICO',
)  # fmt: skip
_GREY = ('1', 'L', 'LA', 'La')
_PNG_DEPTH = 24  # offset of a PNG's bit depth, in bytes
PNG_END = b'\0\0\0\0IEND\xaeB`\x82'
# TIFF's tags, and some of their values.
_BITS, _PHOTOMETRIC, _PLANAR, _EXTRA = 258, 262, 284, 338
_WHITE_IS_0, _SEPARATE, _PREMULTIPLIED = 0, 2, 1


@dataclasses.dataclass(frozen=True)
class File:
  """The file of a photo, decoded when its pixels are first needed.

  Attributes:
    source: its path.
    encoded: its content.
  """

  source: str
  encoded: bytes

  @functools.cached_property
  def sha256(self) -> str:
    """Identifies the file."""
    return hashlib.sha256(self.encoded).hexdigest()

  @functools.cached_property
  def photo(self) -> photos.Photo:
    """The decoded photo.

    Raises:
      ValueError: see `read`.
    """
    return decode(self.encoded, self.source)._replace(source=self.source)


PhotoLike = File | photos.Photo | epath.PathLike | Image.Image | np.ndarray


def read(source: PhotoLike) -> photos.Photo:
  """Reads a photo; a photo that has been read is returned unchanged.

  Args:
    source: a path, local or gs://; a Pillow image in any mode that files of
      FORMATS have; or an array, sRGB, uint8 [h w 3], [h w 1] or [h w].

  Returns:
    The photo. Its `sha256` is that of the file, or of the pixels if there is no
    file.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it cannot be opened, is not an image of a known format, is
      truncated or damaged, has too many pixels, or pixels of a kind that has
      no defined white.
  """
  opened = load(source)
  return opened.photo if isinstance(opened, File) else opened


def load(source: PhotoLike) -> File | photos.Photo:
  """Loads a photo, a file without decoding it; see `read`."""
  if isinstance(source, File | photos.Photo):
    return source
  if isinstance(source, np.ndarray):
    return _from_memory(_from_array(source))
  if isinstance(source, Image.Image):
    return _from_memory(source)
  path = epath.Path(source)
  if not path.exists():
    raise FileNotFoundError(f'There is no photo {path}.')
  if path.is_dir():
    raise ValueError(f'{path} is a folder, where a photo was expected.')
  try:
    return File(str(path), path.read_bytes())
  except OSError as error:
    raise ValueError(f'{path} cannot be read: {error.strerror}.') from error


def decode(
  encoded: bytes, name: str, most_pixels: int = MOST_PIXELS
) -> photos.Photo:
  """Reads a photo from a file's bytes; `name` stands for it in messages."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # Pillow's, about damaged EXIF and such
      photo = _decode(encoded, most_pixels)
  except Exception as error:  # decoders raise errors of every class
    too_large = photos.TooLarge, Image.DecompressionBombError
    kind = photos.TooLarge if isinstance(error, too_large) else ValueError
    reason = _reason(encoded, error)
    raise kind(f'{name} cannot be read: {reason}.') from error
  return photo._replace(sha256=hashlib.sha256(encoded).hexdigest())


def _reason(encoded: bytes, error: Exception) -> str:
  """Returns the reason why a file could not be decoded."""
  if encoded[4:8] == b'ftyp' and encoded[8:11] in (b'hei', b'hev', b'mif'):
    return 'it is HEIC, as phones write it; save it as a JPEG or PNG first'
  if not encoded:
    return 'it is empty'
  if isinstance(error, Image.UnidentifiedImageError):
    return (
      'it is not an image of a known format (JPEG, PNG, WebP, TIFF, BMP, GIF, '
      '...)'
    )
  if isinstance(error, Image.DecompressionBombError):
    return 'its header claims more pixels than any camera has'
  if isinstance(error, ValueError):
    return str(error).rstrip('.')
  message = str(error)[:200] or type(error).__name__
  return f'it is truncated or damaged ({message})'


def _decode(encoded: bytes, most_pixels: int) -> photos.Photo:
  Image.init()
  formats = [name for name in FORMATS if name in Image.OPEN]
  with Image.open(io.BytesIO(encoded), formats=formats) as image:
    _check_size(image, most_pixels)
    notes = []
    frames = getattr(image, 'n_frames', 1)
    if frames > 1 and image.format != 'MPO':
      notes.append(f'It has {frames} frames; the first one is used.')
    is_deep = _is_deep(image, encoded)
    icc = image.info.get('icc_profile') or None
    image.load()
    orientation = exif.orientation(image)
    if is_deep:
      levels, alpha = _deep(image, encoded)
    else:
      levels, alpha, icc = _shallow(image, icc, notes)
    icc = _usable(icc, levels.shape[-1], notes)
    dpi = image.info.get('dpi')
    return photos.Photo(
      levels=exif.upright(levels, orientation),
      alpha=None if alpha is None else exif.upright(alpha, orientation),
      profile=icc,
      exif=exif.kept(image),
      dpi=tuple(map(float, dpi)) if dpi and min(dpi) > 0 else None,
      notes=tuple(notes),
      quality=quantization.quality(image),
    )


def _check_size(image: Image.Image, most_pixels: int) -> None:
  pixels = image.width * image.height
  if pixels > most_pixels:
    raise photos.TooLarge(
      f'it has {pixels / 1e6:.0f} million pixels ({image.width} x '
      f'{image.height}), and the limit is {most_pixels / 1e6:g} million; make '
      'it smaller first'
    )


def _is_deep(image: Image.Image, encoded: bytes) -> bool:
  """Checks whether a file has 16 bits a channel.

  Raises:
    ValueError: if they are stored in a way that is not decoded here.
  """
  if image.format == 'PNG':
    return encoded[_PNG_DEPTH] == 16
  if not isinstance(image, TiffImagePlugin.TiffImageFile):
    return image.mode.startswith('I;16')
  tags = image.tag_v2
  bits = tags.get(_BITS) or ()
  if image.mode.startswith('I;16'):
    if bits != (16,) or tags.get(_PHOTOMETRIC) == _WHITE_IS_0:
      raise ValueError(
        'its grey has 12 bits, or is stored as a negative; save it as a PNG'
      )
    return True
  if 16 not in bits:
    return False
  if tags.get(_PLANAR) == _SEPARATE:
    raise ValueError(
      'its 16-bit channels are stored in separate planes; save it interleaved, '
      'or as a PNG'
    )
  is_premultiplied = _PREMULTIPLIED in (tags.get(_EXTRA) or ())
  return image.mode in ('RGB', 'RGBA') and not is_premultiplied


def _deep(
  image: Image.Image, encoded: bytes
) -> tuple[UInt16[np.ndarray, 'h w c'], UInt16[np.ndarray, 'h w 1'] | None]:
  """Returns levels and alpha of a file with 16 bits a channel."""
  import imagecodecs  # few photos need it

  if image.format == 'PNG':
    # As with 8 bits, a missing end is forgiven if all pixels are there.
    levels = np.atleast_3d(imagecodecs.png_decode(encoded + PNG_END))
  elif image.mode in ('RGB', 'RGBA'):
    levels = imagecodecs.tiff_decode(encoded)[..., : len(image.mode)]
  else:
    levels = np.asarray(image).astype(np.uint16)[..., None]
  if levels.shape[-1] in (2, 4):
    return levels[..., :-1], levels[..., -1:]
  return levels, None


def _shallow(
  image: Image.Image, icc: bytes | None, notes: list[str]
) -> tuple[
  UInt8[np.ndarray, 'h w c'], UInt8[np.ndarray, 'h w 1'] | None, bytes | None
]:
  """Returns levels and alpha of 8 bits, and the profile that they are in."""
  mode = image.mode
  if mode in ('I', 'F', 'LAB'):
    raise ValueError(
      f'its pixels are of a kind (Pillow: {mode}) that has no defined white; '
      'save it with 8 or 16 bits, grey or RGB'
    )
  if mode == 'CMYK':
    notes.append('It was CMYK and is converted to sRGB, known pixels too.')
    if icc and profile.space(icc) == 'CMYK':
      return profile.to_srgb(np.asarray(image), icc), None, None
    return np.asarray(image.convert('RGB')), None, None
  if image.has_transparency_data:
    rgba = np.asarray(image.convert('RGBA'))
    return rgba[..., : 1 if mode in _GREY else 3], rgba[..., 3:], icc
  levels = np.asarray(image.convert('L' if mode in _GREY else 'RGB'))
  return np.atleast_3d(levels), None, icc


def _usable(icc: bytes | None, channels: int, notes: list[str]) -> bytes | None:
  """Returns the profile if it fits the pixels and is not sRGB's."""
  if icc is None:
    return None
  try:
    if profile.space(icc) != ('GRAY' if channels == 1 else 'RGB'):
      raise ValueError(f'its ICC profile is for {profile.space(icc)} pixels')
    if profile.is_srgb(icc):
      return None
    if not profile.can_be_written(icc):
      raise ValueError(f'the profile {profile.name(icc)} is read-only')
  except ValueError as error:
    notes.append(f'Its pixels are taken to be sRGB: {error}.')
    return None
  return icc


def _from_array(array: np.ndarray) -> Image.Image:
  if array.shape[2:] == (1,):
    array = array[..., 0]
  is_image = array.ndim == 2 or array.shape[2:] == (3,)
  if not is_image or array.dtype != np.uint8 or not array.size:
    raise ValueError(
      f'An array of {array.dtype} {list(array.shape)} is not an image: give '
      'uint8 [h, w, 3] or [h, w], 0 to 255.'
    )
  return Image.fromarray(array)


def _from_memory(image: Image.Image) -> photos.Photo:
  """Reads a Pillow image as if it came from a file."""
  photo = decode(_encoded(image), 'The image')
  digest = hashlib.sha256(f'{photo.levels.dtype}{photo.levels.shape}'.encode())
  for array in (photo.levels, photo.alpha):
    digest.update(b'' if array is None else array.tobytes())
  return photo._replace(sha256=digest.hexdigest())


def _encoded(image: Image.Image) -> bytes:
  """Encodes an image without loss."""
  # Neither PNG nor TIFF can hold these modes without loss.
  if image.mode in ('YCbCr', 'HSV', 'LAB'):
    image = image.convert('RGB')
  metadata = {
    'exif': image.getexif().tobytes(),
    'icc_profile': image.info.get('icc_profile'),
    'dpi': image.info.get('dpi'),
  }
  metadata = {name: value for name, value in metadata.items() if value}
  # TIFF holds CMYK, PNG everything else.
  form = 'TIFF' if image.mode == 'CMYK' else 'PNG'
  encoded = io.BytesIO()
  try:
    image.save(encoded, form, compress_level=1, **metadata)
  except (OSError, ValueError, SystemError) as error:
    raise ValueError(
      f'An image of {image.width} x {image.height} pixels in mode '
      f'{image.mode} cannot be used ({error}); convert it to RGB.'
    ) from error
  return encoded.getvalue()
