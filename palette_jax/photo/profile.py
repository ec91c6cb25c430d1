"""ICC profiles: from the numbers of a file to sRGB and back."""

import functools
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION


def name(profile: bytes) -> str:
  """What it calls itself.

  Raises:
    ValueError: if it is no profile.
  """
  return ImageCms.getProfileDescription(_opened(profile)).strip()


def is_srgb(profile: bytes | None) -> bool:
  """Whether it is sRGB, as a file without one is taken to be.

  Raises:
    ValueError: if it is no profile, or cannot be used.
  """
  return profile is None or _changes_nothing(profile)


@functools.lru_cache(8)
def _changes_nothing(profile):
  # Names differ among sRGB's many files; what they do to colours does not.
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
  """The colours it speaks of: 'RGB', 'GRAY', 'CMYK', 'Lab'.

  Raises:
    ValueError: if it is no profile.
  """
  return _opened(profile).profile.xcolor_space.strip()


def can_be_written(profile: bytes) -> bool:
  """Whether colours can be brought into it; a scanner's may only be read."""
  mode = {'RGB': 'RGB', 'GRAY': 'L'}.get(space(profile))
  try:
    _transform(None, profile, 'RGB', mode)
  except (ImageCms.PyCMSError, ValueError, TypeError):
    return False
  return True


def to_srgb(
  levels_u8: UInt8[np.ndarray, 'h w c'], profile: bytes
) -> UInt8[np.ndarray, 'h w 3']:
  """Colours of a file (1, 3 or 4 channels) as sRGB.

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
  """sRGB as colours of a file: 3 channels, or 1 if the profile is grey."""
  mode = {'RGB': 'RGB', 'GRAY': 'L'}[space(profile)]
  transform = _transform(None, profile, 'RGB', mode)
  made = ImageCms.applyTransform(Image.fromarray(rgb_u8), transform)
  return np.atleast_3d(np.asarray(made))


@functools.lru_cache(16)
def _transform(source, target, source_mode, target_mode):
  flags = _FLAGS
  if 'L' in (source_mode, target_mode):
    # lcms2's shortcut is 10 levels off in dark greys of a linear profile, and
    # within one level for RGB, where it takes an eighth of the time.
    flags |= ImageCms.Flags.NOOPTIMIZE
  return ImageCms.buildTransform(
    _opened(source), _opened(target), source_mode, target_mode,
    _INTENT, flags,
  )  # fmt: skip


def _opened(profile):
  if profile is None:
    return ImageCms.createProfile('sRGB')
  try:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))
  except (OSError, ImageCms.PyCMSError) as error:
    raise ValueError(f'its ICC profile is damaged ({error})') from error
