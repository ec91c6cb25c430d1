"""EXIF: which side is up, and what is still true of another picture."""

import numpy as np
from jaxtyping import UInt
from PIL import ExifTags, Image

# No thumbnail, no sizes, no maker's note, no orientation.
_KEPT = tuple(
  ExifTags.Base[name].value
  for name in (
    'ImageDescription',
    'Make',
    'Model',
    'DateTime',
    'Artist',
    'Copyright',
  )
)
_KEPT_FOLDERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_DROPPED = tuple(
  ExifTags.Base[name].value
  for name in ('MakerNote', 'ExifImageWidth', 'ExifImageHeight', 'ColorSpace')
) + (ExifTags.IFD.Interop.value,)


def orientation(image: Image.Image) -> int:
  """How the picture that was opened lies: 1, upright, to 8."""
  return image.getexif().get(ExifTags.Base.Orientation, 1)


def upright(
  array: UInt[np.ndarray, 'h w c'], orientation: object
) -> UInt[np.ndarray, 'y x c']:
  """The pixels as they must be seen; any orientation but 2 to 8 is 1."""
  turned = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x[::-1].swapaxes(0, 1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x[:, ::-1].swapaxes(0, 1),
  }.get(orientation, lambda x: x)
  return np.ascontiguousarray(turned(array))


def kept(image: Image.Image) -> bytes:
  """What is kept of the EXIF of a picture that was opened; b'' for nothing."""
  try:
    found, kept = image.getexif(), Image.Exif()
    for tag in _KEPT:
      if tag in found:
        kept[tag] = found[tag]
    for folder in _KEPT_FOLDERS:
      values = {
        tag: value
        for tag, value in found.get_ifd(folder).items()
        if tag not in _DROPPED
      }
      if values:
        kept[folder] = values
    return kept.tobytes() if len(kept) else b''
  except Exception:  # damaged EXIF is no reason not to look at the picture
    return b''
