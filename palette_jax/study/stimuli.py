"""The images that raters see: checks of their files, fakes for catch trials."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath
from jaxtyping import UInt8
from PIL import Image

from palette_jax.evaluation import matching

# A catch trial's fake: tiles on the longer side, and the levels by which each
# one is brighter or darker, so that even a clear sky shows them.
_TILES, _CONTRAST = 12, 36
_MOST_LISTED = 20  # files in a message


def mosaic(
  image_u8: UInt8[np.ndarray, 'h w 3'],
) -> UInt8[np.ndarray, 'h w 3']:
  """Returns an obvious fake: tiles that are lighter and darker by turns."""
  height, width = image_u8.shape[:2]
  tile = max(1, max(height, width) // _TILES)
  rows, columns = -(-height // tile), -(-width // tile)
  small = Image.fromarray(image_u8).resize(
    (columns, rows), Image.Resampling.BOX
  )
  signs = np.indices((rows, columns)).sum(0) % 2 * 2 - 1
  tiles = np.array(small) + _CONTRAST * signs[..., None]
  tiles = tiles.clip(0, 255).astype(np.uint8)
  return tiles.repeat(tile, 0).repeat(tile, 1)[:height, :width]


def digest(
  originals: Mapping[str, epath.PathLike],
  outputs: Mapping[str, Sequence[epath.PathLike]],
) -> str:
  """Checks and hashes all images, so that no rater meets a file that fails.

  Args:
    originals: name -> file.
    outputs: name -> the models' files of it.

  Returns:
    SHA-256 over names and pixels.

  Raises:
    ValueError: if a file cannot be read, or an output differs in size from its
      original.
  """
  sha256 = hashlib.sha256()
  misfits = []
  for name, path in originals.items():
    original = matching.read(str(path))
    for file in outputs[name]:
      output = matching.read(str(file))
      if output.shape != original.shape:
        misfits.append(f'{file}: {_size(output)}, {path}: {_size(original)}')
      sha256.update(output.data)
    sha256.update(repr((name, original.shape)).encode())
    sha256.update(original.data)
  if misfits:
    more = len(misfits) - _MOST_LISTED
    raise ValueError(
      'Outputs must have the size of their originals, or the size would give '
      f'them away; {len(misfits)} differ:\n  '
      + '\n  '.join(misfits[:_MOST_LISTED])
      + (f'\n  and {more} more' if more > 0 else '')
    )
  return sha256.hexdigest()


def _size(image_u8: UInt8[np.ndarray, 'h w 3']) -> str:
  return f'{image_u8.shape[1]}x{image_u8.shape[0]}'
