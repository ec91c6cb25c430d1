"""Any photo in; the same size and kind out.

A photo is kept as its file has it: levels of 8 or 16 bits, grey or colour, in
the colours of its own profile, transparency apart. The model sees 8-bit sRGB.
What it paints is brought back to the photo's kind, and all that it did not
paint stays as it was, bit for bit.

  EXIF orientation   applied, and gone from what is written
  other EXIF         kept, but for the thumbnail, which shows the old picture
  ICC profile        kept, and painted pixels are converted to it; but for
                     colorization, whose result is sRGB
  grey               stays grey, but in colorization
  transparency       put back; a hole that was itself transparent is opaque then
  CMYK               becomes sRGB, since a PNG cannot hold it
  palette            becomes RGB: new colours have no place in it
"""

import hashlib
import io
import warnings
from typing import NamedTuple

import numpy as np
from etils import epath
from jaxtyping import Float
from PIL import Image

from palette_jax import images
from palette_jax.photo import exif, profile, quantization, sixteen

MOST_PIXELS = 150_000_000  # the largest cameras have 102 million
# Not all that Pillow knows: its EPS, for one, starts another program.
_FORMATS = (
  'JPEG', 'MPO', 'PNG', 'WEBP', 'TIFF', 'BMP', 'DIB', 'GIF', 'AVIF',
  'JPEG2000', 'PPM', 'TGA', 'ICO',
)  # fmt: skip
_GREY = ('1', 'L', 'LA', 'La')


class TooLarge(ValueError):
  """A photo has more pixels than are accepted."""


class Photo(NamedTuple):
  """A picture as its file has it, upright.

  Attributes:
    levels: uint8 or uint16 [h w c], 1 or 3 channels.
    alpha: of the same type, [h w 1], 0 where it is transparent; or None.
    profile: the ICC profile that `levels` are in; None for sRGB.
    exif: what is kept of it, encoded; b'' for nothing.
    dpi: pixels per inch, or None.
    source: the path it was read from.
    sha256: of that file.
    notes: what was converted on reading, a sentence each.
    quality: the factor that its encoder was told, 1 to 100, if it is a JPEG.
  """

  levels: np.ndarray
  alpha: np.ndarray | None
  profile: bytes | None
  exif: bytes
  dpi: tuple[float, float] | None
  source: str
  sha256: str
  notes: tuple[str, ...]
  quality: int | None = None


def read(path: epath.PathLike, most_pixels: int = MOST_PIXELS) -> Photo:
  """Reads JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF and a few more.

  Args:
    path: local or gs://.
    most_pixels: that are accepted; larger files are refused unread.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it may not be read, is no photo, is cut off or damaged, has
      too many pixels, or holds a kind of pixels that has no white.
  """
  path = epath.Path(path)
  if not path.exists():
    raise FileNotFoundError(f'There is no photo {path}.')
  if path.is_dir():
    raise ValueError(f'{path} is a folder, where a photo was expected.')
  try:
    encoded = path.read_bytes()
  except OSError as error:
    raise ValueError(f'{path} cannot be read: {error.strerror}.') from error
  found = decode(encoded, str(path), most_pixels)
  return found._replace(source=str(path))


def decode(encoded: bytes, name: str, most_pixels: int = MOST_PIXELS) -> Photo:
  """As `read`, of a file's bytes; `name` is what messages call it."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # Pillow's, of damaged EXIF and the like
      found = _decode(encoded, most_pixels)
  except Exception as error:  # decoders fail in every way that there is
    too_large = TooLarge, Image.DecompressionBombError
    kind = TooLarge if isinstance(error, too_large) else ValueError
    reason = _reason(encoded, error)
    raise kind(f'{name} cannot be read: {reason}.') from error
  return found._replace(sha256=hashlib.sha256(encoded).hexdigest())


def _reason(encoded, error):
  if encoded[4:8] == b'ftyp' and encoded[8:11] in (b'hei', b'hev', b'mif'):
    return 'it is HEIC, as phones make it; save it as a JPEG or PNG first'
  if not encoded:
    return 'it is empty'
  if isinstance(error, Image.UnidentifiedImageError):
    return (
      'it is no image of a known kind (JPEG, PNG, WebP, TIFF, BMP, GIF, ...)'
    )
  if isinstance(error, Image.DecompressionBombError):
    return 'it says that it has more pixels than any camera makes'
  if isinstance(error, ValueError):
    return str(error).rstrip('.')
  said = str(error)[:200] or type(error).__name__
  return f'it is cut off or damaged ({said})'


def _decode(encoded, most_pixels):
  Image.init()
  formats = [name for name in _FORMATS if name in Image.OPEN]
  with Image.open(io.BytesIO(encoded), formats=formats) as image:
    pixels = image.width * image.height
    if pixels > most_pixels:
      raise TooLarge(
        f'it has {pixels / 1e6:.0f} million pixels ({image.width} x '
        f'{image.height}), of which at most {most_pixels / 1e6:g} million are '
        'accepted; make it smaller first'
      )
    notes = []
    if getattr(image, 'n_frames', 1) > 1 and image.format != 'MPO':
      notes.append(f'Of its {image.n_frames} pictures this is the first.')
    is_deep = sixteen.is_deep(image)
    icc = image.info.get('icc_profile') or None
    image.load()
    turn = exif.orientation(image)
    if is_deep:
      levels, alpha = _deep(encoded, image.info.get('transparency'))
    else:
      levels, alpha, icc = _shallow(image, icc, notes)
    icc = _fitting(icc, levels.shape[-1], notes)
    dpi = image.info.get('dpi')
    return Photo(
      levels=exif.upright(levels, turn),
      alpha=None if alpha is None else exif.upright(alpha, turn),
      profile=icc,
      exif=exif.kept(image),
      dpi=tuple(map(float, dpi)) if dpi and min(dpi) > 0 else None,
      source='',
      sha256='',
      notes=tuple(notes),
      quality=quantization.quality(image),
    )


def _deep(encoded, key):
  """Levels and alpha of 16 bits; a colour may be the transparent one."""
  levels = sixteen.decode(encoded)
  channels = levels.shape[-1]
  if channels in (2, 4):
    return levels[..., :-1], levels[..., -1:]
  if key is None or isinstance(key, bytes):
    return levels, None
  is_key = (levels == np.array(key)).all(-1, keepdims=True)
  return levels, np.where(is_key, 0, 65535).astype(np.uint16)


def _shallow(image, icc, notes):
  """Levels and alpha of 8 bits, and the profile that they are in."""
  mode = image.mode
  if mode in ('I', 'F', 'LAB'):
    raise ValueError(
      f'its pixels are of a kind (Pillow: {mode}) of which nobody knows what '
      'white is; save it with 8 or 16 bits, grey or RGB'
    )
  if mode == 'CMYK':
    notes.append('It was CMYK and is sRGB now; known pixels change with it.')
    if icc and profile.space(icc) == 'CMYK':
      return profile.to_srgb(np.asarray(image), icc), None, None
    return np.asarray(image.convert('RGB')), None, None
  if image.has_transparency_data:
    rgba = np.asarray(image.convert('RGBA'))
    return rgba[..., : 1 if mode in _GREY else 3], rgba[..., 3:], icc
  levels = np.asarray(image.convert('L' if mode in _GREY else 'RGB'))
  return np.atleast_3d(levels), None, icc


def _fitting(icc, channels, notes):
  """The profile, if it is one of such pixels and not that of sRGB."""
  if icc is None:
    return None
  try:
    if profile.space(icc) != ('GRAY' if channels == 1 else 'RGB'):
      raise ValueError(f'its ICC profile is of {profile.space(icc)} pixels')
    if profile.is_srgb(icc):
      return None
    if not profile.can_be_written(icc):
      raise ValueError(f'the profile {profile.name(icc)} can only be read')
  except ValueError as error:
    notes.append(f'Its numbers are taken to be sRGB: {error}.')
    return None
  return icc


def white(photo: Photo) -> int:
  """The highest level: 255 or 65535."""
  return int(np.iinfo(photo.levels.dtype).max)


def rgb(photo: Photo) -> Float[np.ndarray, 'h w 3']:
  """What the model sees: 8-bit sRGB, float32 in [-1, 1].

  Wholly transparent pixels are white, as on a page; files hold anything there.
  """
  seen = _srgb_u8(photo)
  if photo.alpha is not None:
    seen = np.where(photo.alpha == 0, np.uint8(255), seen)
  return images.from_u8(seen)


def _srgb_u8(photo):
  levels = photo.levels
  if levels.dtype == np.uint16:
    levels = ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)
  if photo.profile is not None:
    return profile.to_srgb(levels, photo.profile)
  return np.broadcast_to(levels, [*levels.shape[:2], 3])


def luma(photo: Photo) -> Float[np.ndarray, 'h w 1']:
  """Luma of its sRGB colours, in [0, 1], as finely as the file has it."""
  levels = photo.levels.astype(np.float32) / np.float32(white(photo))
  if levels.shape[-1] == 3:
    if photo.profile is not None:
      levels = _srgb_u8(photo).astype(np.float32) / np.float32(255)
    return np.minimum(images.luma(levels), np.float32(1))
  if photo.profile is not None:  # through the profile's curve, not its 8 bits
    steps = np.arange(256, dtype=np.uint8)[None, :, None]
    curve = profile.to_srgb(steps, photo.profile)[0, :, 1] / 255
    levels = np.interp(levels, np.linspace(0, 1, 256), curve)
  return levels.astype(np.float32)


def paint(
  photo: Photo,
  image: Float[np.ndarray, 'h w 3'],
  mask: Float[np.ndarray, 'h w 1'],
  opaque: bool = False,
) -> Photo:
  """What the model made, where the mask is 1; all else as the photo has it.

  Args:
    photo: the known pixels.
    image: sRGB in [-1, 1].
    mask: 1 where `image` is taken.
    opaque: whether what is painted can be seen where it was transparent.
  """
  painted = mask > 0.5
  levels = np.where(painted, _in_kind(photo, image), photo.levels)
  alpha = photo.alpha
  if opaque and alpha is not None:
    alpha = np.where(painted, alpha.dtype.type(white(photo)), alpha)
  return photo._replace(levels=levels, alpha=alpha)


def _in_kind(photo, image):
  """sRGB in [-1, 1] as levels of the photo's depth, channels and profile."""
  if photo.profile is not None:
    made = profile.from_srgb(images.to_u8(image), photo.profile)
    return made.astype(photo.levels.dtype) * (white(photo) // 255)
  if photo.levels.shape[-1] == 1:
    image = images.luma(image)
  return _levels(image, photo.levels.dtype)


def _levels(image, dtype):
  if dtype == np.uint8:
    return images.to_u8(image)
  top = np.iinfo(dtype).max
  scaled = (image.astype(np.float32) + 1) * np.float32(top / 2)
  np.clip(scaled, 0, top, out=scaled)
  return np.rint(scaled, out=scaled).astype(dtype)


def colour(photo: Photo, image: Float[np.ndarray, 'h w 3']) -> Photo:
  """The photo with all colours made anew: RGB of its depth, sRGB.

  Args:
    photo: whose transparency, depth and EXIF stay.
    image: sRGB in [-1, 1].
  """
  return photo._replace(levels=_levels(image, photo.levels.dtype), profile=None)


def widen(
  photo: Photo, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0
) -> tuple[Photo, Float[np.ndarray, 'h w 1']]:
  """The photo on a larger canvas, and the mask of what is new: uncropping.

  Raises:
    ValueError: if a side is negative, or none is more than 0.
  """
  sides = {'left': left, 'right': right, 'top': top, 'bottom': bottom}
  if min(sides.values()) < 0 or not any(sides.values()):
    raise ValueError(
      f'Nothing to add: {sides}. Give at least one side a number of pixels.'
    )
  pad = [(top, bottom), (left, right), (0, 0)]
  known = np.zeros([*photo.levels.shape[:2], 1], np.float32)
  mask = np.pad(known, pad, constant_values=1)
  alpha = photo.alpha
  if alpha is not None:
    alpha = np.pad(alpha, pad, constant_values=white(photo))
  levels = np.pad(photo.levels, pad, constant_values=white(photo) // 2)
  return photo._replace(levels=levels, alpha=alpha), mask
