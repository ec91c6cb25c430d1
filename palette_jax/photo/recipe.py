"""How a file was made, inside the file: enough to make the same pixels again.

A PNG carries it as JSON in one text chunk; `exiftool` and `identify` show it.
"""

import dataclasses
import hashlib
import io
import json
import posixpath
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from etils import epath
from PIL import Image

import palette_jax
from palette_jax.photo import photo as photos
from palette_jax.photo import writer

KEY = 'palette'
FORMAT = 1  # of the JSON; another is not read
_END = b'\0\0\0\0IEND\xaeB`\x82'  # a PNG's last chunk
_SHA256 = re.compile('[0-9a-f]{64}')
Options = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What the pixels of a file are a function of.

  Attributes:
    task: 'colorization', 'inpainting', ...
    config: of the model, as JSON has it.
    checkpoint: SHA-256 of the weights.
    sampler: its name and numbers.
    seed: of all chance.
    options: what else the command was told: mask, sides, number of steps.
    input_name: the photo's file, without its folder.
    input_sha256: of that file.
    inputs: SHA-256 of other files by their role: {'mask': ...}.
    pixels: SHA-256 of what was made (`pixels_of`); '' before it was made.
    version: of this package.
    machine: where it was made, in words: bits belong to a machine.
  """

  task: str
  config: Options
  checkpoint: str
  sampler: Options
  seed: int
  options: Options
  input_name: str
  input_sha256: str
  inputs: dict[str, str] = dataclasses.field(default_factory=dict)
  pixels: str = ''
  version: str = palette_jax.__version__
  machine: str = ''


class Replayed(NamedTuple):
  """What came of making a file again.

  Attributes:
    photo: what was made now.
    is_same: whether every bit of its pixels is as it was.
    said: one line about it.
  """

  photo: photos.Photo
  is_same: bool
  said: str


def of(photo: photos.Photo, **fields: Any) -> Recipe:
  """The recipe of something made from this photo; `fields` are the others."""
  name = posixpath.basename(photo.source)
  return Recipe(input_name=name, input_sha256=photo.sha256, **fields)


def pixels_of(photo: photos.Photo) -> str:
  """SHA-256 of all that can be seen: levels, transparency and profile."""
  digest = hashlib.sha256()
  for array in (photo.levels, photo.alpha):
    if array is not None:
      digest.update(f'{array.dtype.str[1:]}{array.shape}'.encode())
      digest.update(array.astype(array.dtype.newbyteorder('<')).tobytes())
  digest.update(photo.profile or b'')
  return digest.hexdigest()


def text(recipe: Recipe, made: photos.Photo) -> dict[str, str]:
  """The text chunk of a PNG, for `output.write`, of what was made by it.

  Raises:
    ValueError: if something in the recipe cannot be written as JSON.
  """
  recipe = dataclasses.replace(recipe, pixels=pixels_of(made))
  fields = {'format': FORMAT, **dataclasses.asdict(recipe)}
  try:
    line = json.dumps(fields, sort_keys=True, allow_nan=False)
  except (TypeError, ValueError) as error:
    raise ValueError(f'The recipe cannot be written: {error}.') from error
  _parsed(line)  # what cannot be read back is not written
  return {KEY: line}


def write(
  path: epath.PathLike,
  made: photos.Photo,
  recipe: Recipe,
  replace: bool = False,
) -> tuple[epath.Path, list[str]]:
  """Writes what was made with its recipe (`output.write`)."""
  return writer.write(path, made, text(recipe, made), replace)


def read(path: epath.PathLike) -> Recipe:
  """The recipe that a file carries.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it carries none, or one that cannot be understood.
  """
  path = epath.Path(path)
  if not path.exists():
    raise FileNotFoundError(f'There is no file {path}.')
  try:
    with path.open('rb') as file, Image.open(file, formats=['PNG']) as image:
      line = image.text.get(KEY)  # also from behind the pixels, unlike .info
  except Exception as error:  # Pillow's decoders fail in many ways
    raise ValueError(
      f'{path} is no PNG that can be read; only a PNG carries a recipe.'
    ) from error
  if line is None:
    raise ValueError(
      f'{path} carries no recipe: it was not made by `palette`, or another '
      'program has written it again without its text.'
    )
  try:
    return _parsed(line)
  except ValueError as error:
    raise ValueError(
      f'The recipe in {path} cannot be understood: {error}.'
    ) from error


def _parsed(line):
  try:
    fields = json.loads(line)
  except (json.JSONDecodeError, RecursionError) as error:
    raise ValueError(f'it is no JSON ({error})') from error
  if not isinstance(fields, dict):
    raise ValueError('it is no JSON object')
  found = fields.pop('format', None)
  if found != FORMAT:
    raise ValueError(
      f'its format is {found!r}, and this is palette_jax '
      f'{palette_jax.__version__}, which reads {FORMAT}'
    )
  expected = {field.name: field.type for field in dataclasses.fields(Recipe)}
  if missing := sorted(expected.keys() - fields.keys()):
    raise ValueError(f'it lacks {", ".join(missing)}')
  if unknown := sorted(fields.keys() - expected.keys()):
    raise ValueError(f'it has {", ".join(unknown)}, which nothing here reads')
  for name, kind in expected.items():
    kind = dict if kind not in (str, int) else kind
    if type(fields[name]) is not kind:
      raise ValueError(f'{name} is {fields[name]!r}, no {kind.__name__}')
  hashes = {name: fields[name] for name in ('checkpoint', 'input_sha256')}
  hashes['pixels'] = fields['pixels']
  hashes.update((f'inputs.{k}', v) for k, v in fields['inputs'].items())
  for name, value in hashes.items():
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
      raise ValueError(f'{name} is {value!r}, no SHA-256')
  return Recipe(**fields)


def is_made_by(path: epath.PathLike, recipe: Recipe) -> bool:
  """Whether a file is there, whole, and says that this recipe made it.

  Where, under which name of the input and by which version it was made is not
  looked at. Pixels are not decoded.
  """
  try:
    with epath.Path(path).open('rb') as file:
      with Image.open(file, formats=['PNG']) as image:
        found = _parsed(image.info[KEY])
      file.seek(-len(_END), io.SEEK_END)
      return file.read() == _END and _work(found) == _work(recipe)
  except Exception:  # Pillow's decoders fail in many ways
    return False


def _work(recipe):
  """What is said of the work itself, as JSON has it."""
  fields = dataclasses.asdict(recipe)
  for name in ('input_name', 'pixels', 'version', 'machine'):
    del fields[name]
  return json.loads(json.dumps(fields))


def replay(
  path: epath.PathLike,
  source: epath.PathLike | photos.Photo,
  make: Callable[[Recipe, photos.Photo], photos.Photo],
) -> Replayed:
  """Makes a file's pixels again and compares them.

  Args:
    path: the PNG with the recipe; it is only read.
    source: the photo that it was made from.
    make: recipe, photo -> what comes out. It loads the weights, and refuses
      those with another hash than the recipe's.

  Raises:
    FileNotFoundError: if a file is missing.
    ValueError: if there is no recipe, or `source` is another file than the one
      that was used.
  """
  recipe = read(path)
  photo = source if isinstance(source, photos.Photo) else photos.read(source)
  if photo.sha256 != recipe.input_sha256:
    raise ValueError(
      f'{path} was made from {recipe.input_name or "a picture"} with SHA-256 '
      f'{recipe.input_sha256[:12]}..., and {photo.source or "this"} has '
      f'{photo.sha256[:12]}...: give the very file.'
    )
  made = make(recipe, photo)
  if pixels_of(made) == recipe.pixels:
    return Replayed(made, True, f'{path}: the same pixels, bit for bit.')
  return Replayed(made, False, f'{path}: {_difference(path, made, recipe)}')


def inputs_of(mask: photos.Photo | None) -> dict[str, str]:
  """The other files of something that was made with that mask, or none."""
  return {} if mask is None else {'mask': mask.sha256}


def check_mask(
  path: epath.PathLike, recipe: Recipe, mask: photos.Photo | None
) -> None:
  """Looks whether a mask is that of a recipe.

  Raises:
    ValueError: if it is another, or missing, or one too many.
  """
  if inputs_of(mask) == recipe.inputs:
    return
  if mask is None:
    raise ValueError(f'{path} was made with a mask: give it, too.')
  if not recipe.inputs:
    raise ValueError(f'{path} was made without a mask: give none.')
  raise ValueError(
    f'{path} was made with a mask of SHA-256 '
    f'{recipe.inputs.get("mask", "")[:12]}..., and {mask.source or "this"} has '
    f'{mask.sha256[:12]}...: give the very file.'
  )


def _difference(path, made, recipe):
  """In words, how what was made now is unlike what is in the file."""
  old = photos.read(path)
  if pixels_of(old) != recipe.pixels:
    return 'its pixels were changed after it was made; made anew.'
  if old.levels.shape != made.levels.shape:
    height, width = made.levels.shape[:2]
    return f'another size came out: {width} x {height}.'
  apart = np.abs(old.levels.astype(np.int64) - made.levels.astype(np.int64))
  where = f' on {recipe.machine}' if recipe.machine else ''
  return (
    f'{(apart.max(-1) > 0).mean():.2%} of the pixels are not the same, by '
    f'{apart.max()} levels at most. It was made by palette_jax '
    f'{recipe.version}{where}; this is {palette_jax.__version__}. Another '
    'machine or version rounds otherwise.'
  )
