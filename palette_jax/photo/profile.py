"""ICC profiles: converts the colours of a file to sRGB and back."""

import functools
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION


def name(profile: bytes) -> str:
  """Returns the profile's description of itself.

  Raises:
    ValueError: if it is not a profile.
  """
  return ImageCms.getProfileDescription(_opened(profile)).strip()


def is_srgb(profile: bytes | None) -> bool:
  """Checks whether a profile is sRGB, as a file without one is taken to be.

  Raises:
    ValueError: if it is not a profile, or cannot be used.
  """
  return profile is None or _changes_nothing(profile)


@functools.lru_cache(8)
def _changes_nothing(profile: bytes) -> bool:
  # The many files of sRGB differ in their names, but not in what they do.
  if space(profile) == 'GRAY':
    colours = np.arange(256, dtype=np.uint8)[None, :, None]
  elif space(profile) == 'RGB':
    steps = np.linspace(0, 255, 6).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(6, 36, 3)
  else:
    return False
  moved = to_srgb(colours, profile).astype(int) - colours
  return bool(np.abs(moved).max() <= 1)


def space(profile: bytes) -> str:
  """Returns the colour space of a profile: 'RGB', 'GRAY', 'CMYK', 'Lab'.

  Raises:
    ValueError: if it is not a profile.
  """
  return _opened(profile).profile.xcolor_space.strip()


def can_be_written(profile: bytes) -> bool:
  """Checks whether colours can be converted to a profile, as to a display's."""
  mode = {'RGB': 'RGB', 'GRAY': 'L'}.get(space(profile))
  if mode is None:
    return False
  try:
    _transform(None, profile, 'RGB', mode)
  except (ImageCms.PyCMSError, ValueError, TypeError):
    return False
  return True


def to_srgb(
  levels_u8: UInt8[np.ndarray, 'h w c'], profile: bytes
) -> UInt8[np.ndarray, 'h w 3']:
  """Converts colours of a file (1, 3 or 4 channels) to sRGB.

  Raises:
    ValueError: if the profile cannot be used.
  """
  mode = {1: 'L', 3: 'RGB', 4: 'CMYK'}[levels_u8.shape[-1]]
  plain = levels_u8[..., 0] if mode == 'L' else levels_u8
  try:
    transform = _transform(profile, None, mode, 'RGB')
  except ImageCms.PyCMSError as error:
    raise ValueError(f'its ICC profile cannot be used ({error})') from error
  image = Image.frombytes(mode, plain.shape[1::-1], plain.tobytes())
  return np.asarray(ImageCms.applyTransform(image, transform))


def from_srgb(
  rgb_u8: UInt8[np.ndarray, 'h w 3'], profile: bytes
) -> UInt8[np.ndarray, 'h w c']:
  """Converts sRGB to colours of a file: 3 channels, or 1 for grey profiles."""
  mode = {'RGB': 'RGB', 'GRAY': 'L'}[space(profile)]
  transform = _transform(None, profile, 'RGB', mode)
  image = ImageCms.applyTransform(Image.fromarray(rgb_u8), transform)
  return np.atleast_3d(np.asarray(image))


@functools.lru_cache(16)
def _transform(
  source: bytes | None,
  target: bytes | None,
  source_mode: str,
  target_mode: str,
) -> ImageCms.ImageCmsTransform:
  flags = _FLAGS
  if 'L' in (source_mode, target_mode):
    # The optimization of lcms2 is off by 10 levels in dark greys of a linear
    # profile; for RGB it is within one level, and eight times as fast.
    flags |= ImageCms.Flags.NOOPTIMIZE
  return ImageCms.buildTransform(
    _opened(source), _opened(target), source_mode, target_mode,
    _INTENT, flags,
  )  # fmt: skip


def _opened(profile: bytes | None) -> ImageCms.ImageCmsProfile:
  if profile is None:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB'))
  try:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))
  except (OSError, ImageCms.PyCMSError) as error:
    raise ValueError(f'its ICC profile is damaged ({error})') from error
