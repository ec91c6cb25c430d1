"""Estimates a JPEG's quality setting from its quantization table."""

import numpy as np
from PIL import Image

# Luminance at quality 50: ITU-T T.81, table K.1, by rows of frequencies.
_TABLE = np.array([
  16, 11, 10, 16, 24, 40, 51, 61,
  12, 12, 14, 19, 26, 58, 60, 55,
  14, 13, 16, 24, 40, 57, 69, 56,
  14, 17, 22, 29, 51, 87, 80, 62,
  18, 22, 37, 56, 68, 109, 103, 77,
  24, 35, 55, 64, 81, 104, 113, 92,
  49, 64, 78, 87, 103, 121, 120, 101,
  72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip


def quality(image: Image.Image) -> int | None:
  """Returns the quality, 1 to 100, whose luminance table is nearest.

  It is exact for the Independent JPEG Group's encoder and for all others that
  scale the standard's table in the same way; None if the file is not a JPEG.
  """
  tables = getattr(image, 'quantization', None)
  if not tables or len(tables[min(tables)]) != 64:
    return None
  table = np.array(tables[min(tables)])
  factors = np.arange(1, 101)
  scales = np.where(factors < 50, 5000 // factors, 200 - 2 * factors)
  scaled = (scales[:, None] * _TABLE + 50) // 100
  apart = np.abs(np.clip(scaled, 1, 255) - table).sum(axis=1)
  return int(factors[apart.argmin()])


def too_fine(quality: int | None, learnt: tuple[int, int]) -> str:
  """Returns a warning if a JPEG is better than those the weights have learnt.

  Args:
    quality: of the photo; None if it is not a JPEG.
    learnt: the lowest and the highest quality that the weights have learnt.

  Returns:
    A sentence, or '' if there is nothing to warn of.
  """
  if quality is None or quality <= learnt[1]:
    return ''
  return (
    f'It is a JPEG of quality {quality}, and these weights have learnt '
    f'{learnt[0]} to {learnt[1]}. Unless an earlier version of it was saved '
    'with a lower quality, they remove more detail than artefacts.'
  )
