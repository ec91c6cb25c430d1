"""Pictures as people have them: a path, one of Pillow's, an array."""

import hashlib
import io

import numpy as np
from etils import epath
from PIL import Image

from palette_jax.photo import photo as photos

Picture = photos.Photo | epath.PathLike | Image.Image | np.ndarray


def read(picture: Picture) -> photos.Photo:
  """Any of them as a photo.

  What is in memory has no file to take the SHA-256 of: it is that of its
  pixels.

  Args:
    picture: a path; a picture of Pillow's, of any kind that `photo.read` knows;
      or an array, sRGB, uint8 [h w 3], [h w 1] or [h w].

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is of another kind, or damaged.
  """
  if isinstance(picture, photos.Photo):
    return picture
  if isinstance(picture, np.ndarray):
    picture = _image(picture)
  if not isinstance(picture, Image.Image):
    return photos.read(picture)
  found = photos.decode(_encoded(picture), 'The picture')
  digest = hashlib.sha256(f'{found.levels.dtype}{found.levels.shape}'.encode())
  for array in (found.levels, found.alpha):
    digest.update(b'' if array is None else array.tobytes())
  return found._replace(sha256=digest.hexdigest())


def _image(array):
  """An array as one of Pillow's."""
  if array.shape[2:] == (1,):
    array = array[..., 0]
  is_image = array.ndim == 2 or array.shape[2:] == (3,)
  if not is_image or array.dtype != np.uint8 or not array.size:
    raise ValueError(
      f'An array of {array.dtype} {list(array.shape)} is no picture: give '
      'uint8 [h, w, 3] or [h, w], 0 to 255.'
    )
  return Image.fromarray(array)


def _encoded(image):
  """As a file, which `photo` knows how to take apart."""
  # Their numbers in YCbCr, HSV and Lab have no place in a file.
  if image.mode in ('YCbCr', 'HSV', 'LAB'):
    image = image.convert('RGB')
  belongings = {
    'exif': image.getexif().tobytes(),
    'icc_profile': image.info.get('icc_profile'),
    'dpi': image.info.get('dpi'),
  }
  belongings = {name: value for name, value in belongings.items() if value}
  # TIFF holds CMYK, PNG all else.
  form = 'TIFF' if image.mode == 'CMYK' else 'PNG'
  encoded = io.BytesIO()
  try:
    image.save(encoded, form, compress_level=1, **belongings)
  except (OSError, ValueError, SystemError) as error:
    raise ValueError(
      f'A picture of {image.width} x {image.height} pixels of the kind '
      f'{image.mode} cannot be used ({error}); convert it to RGB.'
    ) from error
  return encoded.getvalue()
