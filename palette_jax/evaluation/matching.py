"""Matches the images of several folders by name, and reads them.

Files match if they have the same relative path up to the suffix:
outputs/a/1.png and originals/a/1.jpg.
"""

import concurrent.futures
import functools
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath
from jaxtyping import Int, UInt8
from PIL import ExifTags, Image

from palette_jax import files
from palette_jax.data import listing
from palette_jax.evaluation.networks import probe as probes
from palette_jax.photo import reader

_NAMED = 10  # files that a message names
Batch = dict[str, UInt8[np.ndarray, 'b h w 3']]  # by kind


class Matched(NamedTuple):
  """Files of several folders that match.

  Attributes:
    names: relative paths without suffix, sorted.
    files: paths of each kind ('output', 'original', ...), in the names' order.
  """

  names: list[str]
  files: dict[str, list[str]]


class Comparison(NamedTuple):
  """Rows of outputs, and the folders of images that they are judged with.

  Attributes:
    rows: folders of samples of the same inputs, by the name of the row. The
      first folder is judged, and all of them for their diversity. The first
      row is the one that others are compared with.
    originals: folder of the true images.
    inputs: folder of the images that the models were given; None if unknown.
    holes: folder of masks, white where the models painted; None if unknown.
    labels: classes by the images' names; None if unknown.
    probe: a classifier of the labels, if they are not ImageNet's.
    case: the case (cases.py); '' if unknown.
  """

  rows: dict[str, list[str]]
  originals: str
  inputs: str | None = None
  holes: str | None = None
  labels: dict[str, int] | None = None
  probe: probes.Probe | None = None
  case: str = ''

  def match(self, row: str) -> Matched:
    """Matches a row's outputs with all other images.

    Raises:
      ValueError, FileNotFoundError: as `matching.match`.
    """
    kinds = dict(output=self.rows[row][0], original=self.originals)
    if self.inputs is not None:
      kinds['input'] = self.inputs
    if self.holes is not None:
      kinds['hole'] = self.holes
    return match(kinds)


def match(folders: Mapping[str, str]) -> Matched:
  """Matches the images of several folders by name.

  Args:
    folders: folders by kind. The first determines the images; the others may
      have more.

  Raises:
    FileNotFoundError: if a folder is missing.
    ValueError: if images have no partner (they are listed), or a name occurs
      twice.
  """
  by_kind = {kind: by_stem(folder) for kind, folder in folders.items()}
  first = next(iter(folders))
  names = sorted(by_kind[first])
  for kind, paths in by_kind.items():
    missing = [name for name in names if name not in paths]
    if missing:
      raise ValueError(
        f'{len(missing)} of {len(names)} images of {folders[first]} have no '
        f'{kind} in {folders[kind]}:\n{_listed(missing)}\nPartners have the '
        'same name and folder, whatever their suffix.'
      )
  return Matched(
    names,
    {
      kind: [posixpath.join(folders[kind], paths[name]) for name in names]
      for kind, paths in by_kind.items()
    },
  )


def by_stem(folder: str) -> dict[str, str]:
  """Maps the images below a folder, without suffix, to their relative paths.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if it has no images, or two that differ in their suffix alone.
  """
  stems = files.by_stem(listing.list_folder(folder), folder)
  if not stems:
    raise ValueError(
      f'{folder} has no images ending in {" ".join(listing.SUFFIXES)}.'
    )
  return stems


def read(path: epath.PathLike) -> UInt8[np.ndarray, 'h w 3']:
  """Reads an image as training does: upright, no profile applied, on white.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is not an image of 8 bits a channel.
  """
  photo = reader.read(path)
  if photo.levels.dtype != np.uint8:
    raise ValueError(f'{path} has more than 8 bits a channel: convert it to 8.')
  height, width, _ = photo.levels.shape
  levels_u8 = np.broadcast_to(photo.levels, [height, width, 3])
  if photo.alpha is None:
    return np.ascontiguousarray(levels_u8)
  image = Image.fromarray(np.concatenate([levels_u8, photo.alpha], axis=-1))
  white = Image.new('RGBA', image.size, 'white')
  return np.asarray(Image.alpha_composite(white, image).convert('RGB'))


def size(matched: Matched) -> tuple[int, int]:
  """Returns the height and width of all images, by their headers.

  Raises:
    ValueError: if a file is no image, or has another size than most; names
      those files.
  """
  paths = [path for of_kind in matched.files.values() for path in of_kind]
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    sizes = list(pool.map(_upright_size, paths))
  expected = max(set(sizes), key=sizes.count)
  others = [
    f'{path}: {_sides(sides)}'
    for path, sides in zip(paths, sizes)
    if sides != expected
  ]
  if others:
    raise ValueError(
      f'{len(others)} of {len(paths)} files are not {_sides(expected)} (height '
      f'x width), as the others are:\n{_listed(others)}\nOutputs and originals '
      'are judged at one size (the paper: 256x256).'
    )
  return expected


def _listed(lines: Sequence[str]) -> str:
  """Lists the first of some lines, indented."""
  rest = [f'and {len(lines) - _NAMED} more'] if len(lines) > _NAMED else []
  return '\n'.join(f'  {line}' for line in [*lines[:_NAMED], *rest])


def _upright_size(path: str) -> tuple[int, int]:
  """Returns height and width, without decoding."""
  try:
    with epath.Path(path).open('rb') as file, Image.open(file) as image:
      is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
      width, height = image.size
  except (
    OSError,
    ValueError,
    SyntaxError,  # which Pillow raises for some damaged files
    Image.DecompressionBombError,
  ) as error:
    raise ValueError(f'{path} cannot be read: {error}.') from error
  return (width, height) if is_turned else (height, width)


def _sides(shape: tuple[int, int]) -> str:
  return f'{shape[0]}x{shape[1]}'


def batches(
  matched: Matched, batch: int, indices: Int[np.ndarray, ' n']
) -> Iterator[Batch]:
  """Yields pixels of some of the images, by kind.

  The last batch is padded with its first image.

  Args:
    matched: the images, all of one `size`.
    batch: images at a time.
    indices: indices of the images.

  Raises:
    ValueError: if a file cannot be read; names it.
  """
  load = functools.partial(_read_kinds, matched)
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    ahead = []
    for start in range(0, len(indices), batch):
      part = indices[start : start + batch]
      ahead.append([pool.submit(load, index) for index in part])
      if len(ahead) > 1:
        yield _stack(ahead.pop(0), batch)
    for jobs in ahead:
      yield _stack(jobs, batch)


def _read_kinds(
  matched: Matched, index: np.integer
) -> dict[str, UInt8[np.ndarray, 'h w 3']]:
  return {kind: read(paths[index]) for kind, paths in matched.files.items()}


def _stack(
  jobs: Sequence[concurrent.futures.Future], batch: int
) -> dict[str, np.ndarray]:
  images = [job.result() for job in jobs]
  images += images[:1] * (batch - len(images))
  return {kind: np.stack([by[kind] for by in images]) for kind in images[0]}
