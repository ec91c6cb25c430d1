"""The images that raters see: checked, cut alike, and catch trials."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath
from jaxtyping import UInt8
from PIL import Image

from palette_jax.evaluation import matching

# Of a catch trial's fake: tiles on the longer side, and how much brighter or
# darker than its neighbours each is, so that even a clear sky shows them.
_TILES, _CONTRAST = 12, 36


def spoil(
  image_u8: UInt8[np.ndarray, 'h w 3'],
) -> UInt8[np.ndarray, 'h w 3']:
  """What nobody takes for a photo: tiles, light and dark by turns."""
  height, width = image_u8.shape[:2]
  tile = max(1, max(height, width) // _TILES)
  rows, columns = -(-height // tile), -(-width // tile)
  small = Image.fromarray(image_u8).resize(
    (columns, rows), Image.Resampling.BOX
  )
  turns = np.indices((rows, columns)).sum(0) % 2 * 2 - 1
  tiles = np.array(small) + _CONTRAST * turns[..., None]
  tiles = tiles.clip(0, 255).astype(np.uint8)
  return tiles.repeat(tile, 0).repeat(tile, 1)[:height, :width]


def check(
  originals: Mapping[str, epath.PathLike],
  outputs: Mapping[str, Sequence[epath.PathLike]],
) -> str:
  """Reads everything once, so that nothing fails before a rater's eyes.

  Args:
    originals: name -> file.
    outputs: name -> the models' files of it.

  Returns:
    SHA-256 over names and pixels.

  Raises:
    ValueError: for files that cannot be read, and for outputs of other sizes
      than their originals.
  """
  digest = hashlib.sha256()
  other = []
  for name, path in originals.items():
    original = matching.read(str(path))
    for file in outputs[name]:
      output = matching.read(str(file))
      if output.shape != original.shape:
        other.append(f'{file}: {_size(output)}, {path}: {_size(original)}')
      digest.update(output)
    digest.update(repr((name, original.shape)).encode())
    digest.update(original)
  if other:
    raise ValueError(
      'Outputs must be as large as their originals, or size would tell which '
      f'is which; {len(other)} are not:\n  '
      + '\n  '.join(other[:20])
      + (f'\n  and {len(other) - 20} more' if len(other) > 20 else '')
    )
  return digest.hexdigest()


def _size(image):
  return f'{image.shape[1]}x{image.shape[0]}'
