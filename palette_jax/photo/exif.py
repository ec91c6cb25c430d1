"""EXIF: the orientation, and the tags that stay true of a painted photo."""

import numpy as np
from jaxtyping import Integer
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
  """Returns the orientation of an opened image: 1, upright, to 8."""
  return image.getexif().get(ExifTags.Base.Orientation, 1)


def upright(
  array: Integer[np.ndarray, 'h w c'], orientation: object
) -> Integer[np.ndarray, 'y x c']:
  """Turns and flips pixels upright; unknown orientations count as upright."""
  turn = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x[::-1].swapaxes(0, 1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x[:, ::-1].swapaxes(0, 1),
  }.get(orientation, lambda x: x)
  return np.ascontiguousarray(turn(array))


def kept(image: Image.Image) -> bytes:
  """Returns the encoded part of an image's EXIF that is kept, b'' for none."""
  try:
    exif, kept = image.getexif(), Image.Exif()
    for tag in _KEPT:
      if tag in exif:
        kept[tag] = exif[tag]
    for folder in _KEPT_FOLDERS:
      values = {
        tag: value
        for tag, value in exif.get_ifd(folder).items()
        if tag not in _DROPPED
      }
      if values:
        kept[folder] = values
    return kept.tobytes() if len(kept) else b''
  except Exception:  # a photo with damaged EXIF can still be painted
    return b''
