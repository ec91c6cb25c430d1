"""Pixels: conversion between [-1, 1] and 8 bits, luma, contact sheets, PNG."""

import io
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import einops
import numpy as np
from etils import epath
from jaxtyping import Float, Shaped, UInt8
from PIL import Image, ImageDraw, ImageFont

from palette_jax import files

# ITU-R BT.601 luma of red, green and blue in ten-thousandths, as
# tf.image.rgb_to_grayscale has it (ColTran's choice). With integers, sums of
# 8-bit levels are exact in float32, and rounding is the same everywhere.
LUMA = (2989, 5870, 1140)
LUMA_UNIT = 10_000
# The distance of two 8-bit levels in [-1, 1]. Multiplication rounds once and
# gives the same number everywhere; compilers rewrite a division in different
# ways.
LEVEL = np.float32(2 / 255)


def to_u8(image: Shaped[np.ndarray, '...']) -> UInt8[np.ndarray, '...']:
  """Converts [-1, 1] to 0..255, clipped and rounded to nearest."""
  scaled = (np.asarray(image, np.float32) + 1.0) * 127.5
  return np.round(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)


def from_u8(image_u8: Shaped[np.ndarray, '...']) -> Float[np.ndarray, '...']:
  """Converts 0..255 to float32 in [-1, 1]; `to_u8` inverts it exactly."""
  return (image_u8.astype(np.float32) - 127.5) * LEVEL


def luma(
  image: Shaped[np.ndarray, '*shape 3'],
) -> Float[np.ndarray, '*shape 1']:
  """Returns the luma of RGB in any units; that of a grey is the grey itself."""
  weights = np.array(LUMA, np.float32) / np.float32(sum(LUMA))
  return image @ weights[:, None]


def grid(
  rows: Shaped[np.ndarray, 'rows columns h w 3'], gap: int = 2
) -> Shaped[np.ndarray, 'y x 3']:
  """Lays images out in rows and columns on white.

  Args:
    rows: float in [-1, 1], or uint8.
    gap: pixels between images.

  Returns:
    One image of the same kind.
  """
  white = 255 if rows.dtype == np.uint8 else 1.0
  pad = [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)]
  padded = np.pad(rows, pad, constant_values=white)
  page = einops.rearrange(padded, 'r c h w d -> (r h) (c w) d')
  return page[:-gap, :-gap] if gap else page


class SheetStyle(NamedTuple):
  """The look of a contact sheet; lengths are in pixels.

  Attributes:
    smallest: least length of an image's longest side, and of a column's width.
      Smaller images are enlarged by a whole factor.
    largest: greatest length of an image's longest side; 0 for no limit. Larger
      images are reduced.
    frame: level of a line of one pixel around every image; None for no line.
    gap: between columns, and between rows.
    border: around the sheet.
    letters: height of the captions' letters.
    line: height of a line of a caption.
    margin: between an image and its caption.
    indent: of captions.
    wraps: whether long captions take several lines; otherwise they are cut.
  """

  smallest: int = 0
  largest: int = 512
  frame: int | None = None
  gap: int = 4
  border: int = 0
  letters: int = 16
  line: int = 21
  margin: int = 3
  indent: int = 2
  wraps: bool = False

  def lines(self, caption: str, width: int) -> list[str]:
    """Breaks a caption into lines that fit into a column."""
    font = ImageFont.load_default(self.letters)

    def fits(line: str) -> bool:
      return font.getlength(line) <= width - 2 * self.indent

    if self.wraps:
      return _wrap(caption, fits)
    line = caption.replace('\n', ' ')
    while line and not fits(line):
      line = line[:-2] + '…' if len(line) > 2 else ''
    return [line]

  def cell(
    self,
    image_u8: UInt8[np.ndarray, 'h w 3'] | None,
    lines: Sequence[str],
    size: tuple[int, int],
  ) -> UInt8[np.ndarray, 'y x 3']:
    """Draws an image over its caption on white, of the given size."""
    cell = Image.new('RGB', (size[1], size[0]), 'white')
    top = 0
    if image_u8 is not None:
      if self.frame is not None:
        around = [(1, 1), (1, 1), (0, 0)]
        image_u8 = np.pad(image_u8, around, constant_values=self.frame)
      cell.paste(Image.fromarray(image_u8), (0, 0))
      top = len(image_u8) + self.margin
    pen, font = ImageDraw.Draw(cell), ImageFont.load_default(self.letters)
    for i, line in enumerate(lines):
      pen.text((self.indent, top + i * self.line), line, 'black', font)
    return np.asarray(cell)


PLAIN = SheetStyle()


def sheet(
  images_u8: Sequence[UInt8[np.ndarray, 'h w 3']],
  captions: Sequence[str],
  columns: int = 0,
  headings: Sequence[str] = (),
  style: SheetStyle = PLAIN,
) -> UInt8[np.ndarray, 'y x 3']:
  """Lays images out as a contact sheet on white, with captions under them.

  Args:
    images_u8: at least one, all of one size.
    captions: one for each image.
    columns: of the sheet; 0 makes it as near a square as possible.
    headings: one for each column, or none.
    style: of the sheet.

  Raises:
    ValueError: if there are no images, images of several sizes, or another
      number of captions.
  """
  shapes = {image.shape for image in images_u8}
  if len(shapes) != 1 or len(images_u8) != len(captions):
    raise ValueError(
      f'A sheet takes images of one size with a caption each, not '
      f'{len(images_u8)} of sizes {sorted(shapes)} with {len(captions)}.'
    )
  scaled = [_scaled(image, style) for image in images_u8]
  frame = 0 if style.frame is None else 2
  height, width, _ = scaled[0].shape
  width = max(width, style.smallest) + frame
  texts = [style.lines(caption, width) for caption in captions]
  lines = max(map(len, texts))
  height += frame + style.margin + lines * style.line
  columns = columns or _squarest(len(scaled), height, width)
  cells = [
    style.cell(image, text, (height, width))
    for image, text in zip(scaled, texts)
  ]
  cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
  table = np.reshape(cells, [-1, columns, height, width, 3])
  parts = [grid(table, style.gap)]
  if headings:
    size = style.line, width
    row = [style.cell(None, [heading], size) for heading in headings]
    parts.insert(0, grid(np.array([row]), style.gap))
  border = [(style.border, style.border)] * 2 + [(0, 0)]
  return np.pad(np.concatenate(parts), border, constant_values=255)


def _scaled(
  image_u8: UInt8[np.ndarray, 'h w 3'], style: SheetStyle
) -> UInt8[np.ndarray, 'y x 3']:
  """Brings an image to a size that suits the sheet."""
  height, width, _ = image_u8.shape
  longest = max(height, width)
  factor = max(1, style.smallest // longest)
  if factor > 1 or not style.largest or longest <= style.largest:
    return image_u8.repeat(factor, axis=0).repeat(factor, axis=1)
  scale = style.largest / longest
  size = max(1, round(width * scale)), max(1, round(height * scale))
  reduced = Image.fromarray(image_u8).resize(size, Image.Resampling.BOX)
  return np.asarray(reduced)


def _squarest(count: int, height: int, width: int) -> int:
  """Returns columns for a sheet that is nearly square and wastes little."""

  def cost(columns: int) -> float:
    rows = -(-count // columns)
    ratio = math.log(columns * width / (rows * height))
    return abs(ratio) + (columns * rows - count) / count

  return min(range(1, count + 1), key=cost)


def _wrap(caption: str, fits: Callable[[str], bool]) -> list[str]:
  """Breaks a caption at blanks; cuts the start off a word that is too long."""
  # Pillow's own font has few letters beyond ASCII.
  caption = caption.encode('ascii', 'replace').decode()
  lines = ['']
  for word in caption.split(' '):
    if not fits(word):
      while not fits(f'...{word}'):
        word = word[1:]
      word = f'...{word}'
    joined = f'{lines[-1]} {word}'.strip()
    if fits(joined):
      lines[-1] = joined
    else:
      lines.append(word)
  return lines


def png(image_u8: UInt8[np.ndarray, '...']) -> bytes:
  """Encodes [h, w, 3] or [h, w] pixels as a PNG without metadata."""
  encoded = io.BytesIO()
  Image.fromarray(image_u8).save(encoded, format='png')
  return encoded.getvalue()


def write_png(
  path: epath.PathLike, image: Shaped[np.ndarray, 'h w 3']
) -> epath.Path:
  """Writes an image as an 8-bit PNG, whole or not at all.

  Args:
    path: local or gs://; missing folders are created.
    image: float in [-1, 1], or uint8.
  """
  image_u8 = image if image.dtype == np.uint8 else to_u8(image)
  return files.write(path, png(image_u8))
