"""Pictures about pictures: a contact sheet, a map of the spread, a preview.

Of new.png, with several samples:

  new-1.png ...    the samples themselves, each with its recipe
  new-sheet.png    all of them, small, with captions
  new-spread.png   how far apart they are at each pixel
  new-pair.png     the two that are furthest apart, larger

and new-preview.png shows what would be painted, before anything is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from etils import epath
from jaxtyping import UInt8
from PIL import Image

from palette_jax.photo import photo as photos
from palette_jax.photo import recipe, variants, writer

KEY = 'palette-overview'  # of the text that says what such a picture shows
_LEAST_SPREAD = 16.0  # levels: less is not drawn as if it were much
_PAIR_CELL = 1024  # longest side of each of the two, pixels


class Names(NamedTuple):
  """Where the files of one photo go.

  Attributes:
    samples: one file each.
    preview: of what would be painted.
    sheet: of all samples; None, as the others, if there is only one.
    spread: a map.
    pair: the most different two.
  """

  samples: tuple[epath.Path, ...]
  preview: epath.Path
  sheet: epath.Path | None = None
  spread: epath.Path | None = None
  pair: epath.Path | None = None

  @property
  def all(self) -> list[epath.Path]:
    """What is made of several, the sheet last: when it is there, all are."""
    others = (self.spread, self.pair, self.sheet)
    return [*self.samples, *(path for path in others if path is not None)]


def names(target: epath.PathLike, samples: int) -> Names:
  """The files that are written for `target`, of so many samples.

  Raises:
    ValueError: if the ending of `target` is not one that is written.
  """
  path, _ = writer.target(target)

  def beside(word, ending='.png'):
    return path.parent / f'{path.stem}-{word}{ending}'

  if samples == 1:
    return Names((path,), beside('preview'))
  several = [beside(i + 1, path.suffix) for i in range(samples)]
  others = [beside(word) for word in ('preview', 'sheet', 'spread', 'pair')]
  return Names(tuple(several), *others)


def write(
  names: Names,
  pictures: Sequence[UInt8[np.ndarray, 'h w 3']],
  given: UInt8[np.ndarray, 'h w 3'] | None = None,
) -> str:
  """Writes sheet, spread and pair of several samples.

  Args:
    names: where to.
    pictures: of one size, two or more.
    given: what they were made from, of the same size, for the sheet.

  Returns:
    One line: how different they are.
  """
  captions = [f'sample {i + 1}' for i in range(len(pictures))]
  spread = variants.spread(pictures)
  most = max(float(spread.max()), _LEAST_SPREAD)
  heat = variants.heat(spread, most)
  pair = variants.most_different(pictures)
  two = [pair.first, pair.second]
  said = (
    f'They differ by {spread.mean():.1f} levels of 255 on average (standard '
    f'deviation), by {spread.max():.0f} at most; the most different are '
    f'{two[0] + 1} and {two[1] + 1}.'
  )
  write_picture(names.spread, heat, f'{said} Brightest: {most:.0f} levels.')
  both = [pictures[i] for i in two], [captions[i] for i in two]
  write_picture(names.pair, variants.sheet(*both, _PAIR_CELL), said)
  pictures = [*pictures, heat]
  captions = [*captions, f'spread: 0 to {most:.0f} levels']
  if given is not None:
    pictures, captions = [given, *pictures], ['given', *captions]
  write_picture(names.sheet, variants.sheet(pictures, captions), said)
  return said


def write_picture(
  path: epath.Path, picture: UInt8[np.ndarray, 'h w 3'], said: str
) -> None:
  """Writes a PNG that says what it shows."""
  writer.write(path, photos.Photo(picture), {KEY: said})


def is_ours(path: epath.Path) -> bool:
  """Whether this package made the file, and may make it anew."""
  try:
    with path.open('rb') as file, Image.open(file, formats=['PNG']) as image:
      return not image.info.keys().isdisjoint([KEY, recipe.KEY])
  except Exception:  # Pillow's decoders fail in many ways; none of ours does
    return False
