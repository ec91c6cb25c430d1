"""The paper's own numbers (paper.csv), to stand beside ours, marked as its.

Tables 1 to 11 of Palette (arXiv 2111.05826v2), as far as they have numbers.
FID is there against a whole validation set (50,000 images of ImageNet, 36,500
of Places2): it compares with ours for the same images and reference only. CA's
network, PD's layer, the images of Tables 5 and 6 and their holes, and the
categories of Tables 10 and 11 are not stated.
"""

import csv
import functools
import pathlib
from typing import NamedTuple

SOURCE = 'Saharia et al. 2022, arXiv 2111.05826v2'
IMAGES = {
  'first5k': "the first 5,000 of ImageNet's validation set",
  'ctest10k': "ctest10k, 10,000 of ImageNet's validation set",
  'places10k': "places10k, 30 of each category of Places2's validation set",
  'places50': 'the 50 largest categories of Places2',
  'scenery': 'categories of scenery of Places2',
  '': 'not stated',
}


class Row(NamedTuple):
  """What the paper reports of one model.

  Attributes:
    table: its number.
    case: what was done to the images, as in palette_jax/evaluation/cases.py;
      'inpainting' alone where the paper does not say which holes.
    model: its name there; 'Original' is the images themselves.
    images: which were judged, a name in IMAGES.
    values: by metric: fid, is, ca (%), pd, diversity_lpips, fool_rate (%).
  """

  table: int
  case: str
  model: str
  images: str
  values: dict[str, float]


@functools.cache
def rows() -> tuple[Row, ...]:
  """All of them, in the paper's order."""
  with pathlib.Path(__file__).with_name('paper.csv').open() as file:
    return tuple(_row(**row) for row in csv.DictReader(file))


def of_table(name: str) -> list[Row]:
  """The rows of 'table-4'; of figures there are none."""
  return [row for row in rows() if f'table-{row.table}' == name]


def of_case(case: str) -> list[Row]:
  """The rows of a case, each once: Table 7 repeats others under other names."""
  found = {}
  for row in rows():
    same = [
      other
      for other in found.values()
      if other.images == row.images
      and row.values.items() <= other.values.items()
    ]
    if row.case == case and not same:
      found.setdefault((row.images, row.model), row)
  return list(found.values())


def _row(table, case, model, images, **cells):
  values = {name: float(cell) for name, cell in cells.items() if cell}
  return Row(int(table), case, model, images, values)
