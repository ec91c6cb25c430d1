"""Between pixels in [-1, 1] and files: 8-bit conversion, grids, PNG."""

import io
import uuid

import einops
import numpy as np
from etils import epath
from PIL import Image

# ITU-R BT.601 luma of red, green and blue in ten-thousandths, as
# tf.image.rgb_to_grayscale has it (ColTran's choice). In whole numbers, sums of
# 8-bit levels are exact in float32, and rounding is the same everywhere.
LUMA = (2989, 5870, 1140)
LUMA_UNIT = 10_000
# Between two levels of 8 bits in [-1, 1]. A product, which rounds once, is the
# same number everywhere; compilers make another of a quotient.
LEVEL = np.float32(2 / 255)


def to_u8(image: np.ndarray) -> np.ndarray:
  """Float [-1, 1] to uint8 [0, 255], clipped and rounded to nearest."""
  scaled = (np.asarray(image, np.float32) + 1.0) * 127.5
  return np.round(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)


def from_u8(image_u8: np.ndarray) -> np.ndarray:
  """uint8 [0, 255] to float32 [-1, 1]; `to_u8` takes it back exactly."""
  return (image_u8.astype(np.float32) - 127.5) * LEVEL


def luma(image: np.ndarray) -> np.ndarray:
  """Luma, [... 1], of RGB [... 3] in any units; of a grey, that grey."""
  weights = np.array(LUMA, np.float32) / np.float32(sum(LUMA))
  return image @ weights[:, None]


def grid(rows: np.ndarray, gap: int = 2) -> np.ndarray:
  """Lays images out as a contact sheet on white.

  Args:
    rows: [rows, columns, h, w, 3], float in [-1, 1].
    gap: pixels of white between images.

  Returns:
    One image, [H, W, 3], float in [-1, 1].
  """
  pad = [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)]
  padded = np.pad(rows, pad, constant_values=1.0)
  sheet = einops.rearrange(padded, 'r c h w d -> (r h) (c w) d')
  return sheet[:-gap, :-gap] if gap else sheet


def png(image_u8: np.ndarray) -> bytes:
  """A PNG file of [h, w, 3] or [h, w] pixels, and of nothing else."""
  encoded = io.BytesIO()
  Image.fromarray(image_u8).save(encoded, format='png')
  return encoded.getvalue()


def write_png(path: epath.PathLike, image: np.ndarray) -> epath.Path:
  """Writes an image in [-1, 1] as an 8-bit PNG; a reader never sees half.

  Args:
    path: local or gs://; missing folders are made.
    image: [h, w, 3], float in [-1, 1], or uint8 as it is.
  """
  path = epath.Path(path)
  image_u8 = image if image.dtype == np.uint8 else to_u8(image)
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.parent / f'.{path.name}.{uuid.uuid4().hex}'
  partial.write_bytes(png(image_u8))
  return partial.replace(path)
