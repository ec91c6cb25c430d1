"""The numbers that the paper reports (paper.csv).

Tables 1 to 11 of Palette (arXiv 2111.05826v2), as far as they have numbers.
Their FID is to a whole validation set (50,000 images of ImageNet, 36,500 of
Places2), and compares with ours for the same images and reference only. The
paper does not state CA's network, PD's layer, the images and holes of Tables 5
and 6, and the categories of Tables 10 and 11.
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
  """A row of a table of the paper.

  Attributes:
    table: the number of the table.
    case: the case (cases.py); 'inpainting' alone where the paper does not
      state the holes.
    model: the paper's name of the model; 'Original' is the images themselves.
    images: the judged images, a name in IMAGES.
    values: numbers by metric: fid, is, ca (%), pd, diversity_lpips,
      fool_rate (%).
  """

  table: int
  case: str
  model: str
  images: str
  values: dict[str, float]


@functools.cache
def rows() -> tuple[Row, ...]:
  """Returns all rows, in the paper's order."""
  with pathlib.Path(__file__).with_name('paper.csv').open() as file:
    return tuple(_row(**row) for row in csv.DictReader(file))


def of_table(name: str) -> list[Row]:
  """Returns the rows of 'table-4'; a figure has none."""
  return [row for row in rows() if f'table-{row.table}' == name]


def of_case(case: str) -> list[Row]:
  """Returns the rows of a case, without those that Table 7 repeats."""
  kept = {}
  for row in rows():
    same = [
      other
      for other in kept.values()
      if other.images == row.images
      and row.values.items() <= other.values.items()
    ]
    if row.case == case and not same:
      kept.setdefault((row.images, row.model), row)
  return list(kept.values())


def _row(table: str, case: str, model: str, images: str, **cells: str) -> Row:
  values = {name: float(cell) for name, cell in cells.items() if cell}
  return Row(int(table), case, model, images, values)
