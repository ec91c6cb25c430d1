"""The files that a command writes for one photo.

For new.png, with several samples:

  new-1.png ...    the results themselves, each with its recipe
  new-sheet.png    all of them, small, with captions
  new-spread.png   how far apart they are at each pixel
  new-pair.png     the two that are furthest apart, larger

and new-preview.png shows what would be painted.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath
from jaxtyping import UInt8
from PIL import Image

from palette_jax.photo import photo as photos
from palette_jax.photo import recipe as recipes
from palette_jax.photo import writer

KEY = 'palette-overview'  # of the text that describes an overview


class Names(NamedTuple):
  """Names of the files of one photo.

  Attributes:
    samples: a file for each result.
    preview: of what would be painted.
    sheet: of all samples; None, as the next two, for a single sample.
    spread: of the map.
    pair: of the two that differ most.
  """

  samples: tuple[epath.Path, ...]
  preview: epath.Path
  sheet: epath.Path | None = None
  spread: epath.Path | None = None
  pair: epath.Path | None = None

  @property
  def all(self) -> list[epath.Path]:
    """All but the preview, in the order in which they are written.

    The sheet is last: if it exists, all do.
    """
    others = (self.spread, self.pair, self.sheet)
    return [*self.samples, *(path for path in others if path is not None)]


def names(target: epath.PathLike, samples: int) -> Names:
  """Returns the names of the files for `target` and that number of samples.

  Raises:
    ValueError: if the suffix of `target` cannot be written.
  """
  path, _ = writer.target(target)

  def beside(word: str | int, suffix: str = '.png') -> epath.Path:
    return path.parent / f'{path.stem}-{word}{suffix}'

  if samples == 1:
    return Names((path,), beside('preview'))
  several = [beside(i + 1, path.suffix) for i in range(samples)]
  others = [beside(word) for word in ('preview', 'sheet', 'spread', 'pair')]
  return Names(tuple(several), *others)


def exist(names: Names, planned: Sequence[recipes.Recipe]) -> bool:
  """Checks whether all files exist and have these recipes."""
  return all(path.exists() for path in names.all) and all(
    recipes.is_made_by(*pair) for pair in zip(names.samples, planned)
  )


def check_free(paths: Iterable[epath.Path]) -> None:
  """Checks that no file of another program would be overwritten.

  Raises:
    ValueError: naming the first one that this package has not written.
  """
  for path in paths:
    if path.exists() and not is_ours(path):
      raise ValueError(
        f'{path} exists, and was not written by `palette`: remove it, or give '
        'another name.'
      )


def is_ours(path: epath.Path) -> bool:
  """Checks whether this package has written a file, and can make it again."""
  try:
    with path.open('rb') as file, Image.open(file, formats=['PNG']) as image:
      return not image.info.keys().isdisjoint([KEY, recipes.KEY])
  except Exception:  # Pillow's decoders raise errors of every class
    return False


def write(
  path: epath.Path, picture: UInt8[np.ndarray, 'h w 3'], description: str
) -> None:
  """Writes a PNG that describes itself."""
  writer.write(path, photos.Photo(picture), {KEY: description})
