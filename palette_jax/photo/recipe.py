"""Recipes inside PNGs, by which their pixels can be made again.

It is JSON in one text chunk; `exiftool` and `identify` show it.
"""

import dataclasses
import hashlib
import io
import json
import posixpath
import re
from typing import Any

from etils import epath
from PIL import Image, PngImagePlugin

import palette_jax
from palette_jax.photo import photo as photos
from palette_jax.photo import reader, writer

KEY = 'palette'
FORMAT = 1  # of the JSON; no other is read
_SHA256 = re.compile('[0-9a-f]{64}')
Options = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Everything that determines the pixels of a file.

  Attributes:
    task: 'colorization', 'inpainting', ...
    config: of the model, as JSON.
    checkpoint: SHA-256 of the weights.
    sampler: its name and numbers.
    seed: the random seed.
    options: all other options, such as sides or the number of steps.
    input_name: the photo's file, without its folder.
    input_sha256: of that file.
    inputs: SHA-256 of other files by their role: {'mask': ...}.
    pixels: SHA-256 of the result (`pixels_sha256`); '' before there is one.
    version: of this package.
    machine: the device; pixels are bit-exact on one machine only.
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


def for_photo(photo: reader.File | photos.Photo, **fields: Any) -> Recipe:
  """Returns a recipe with this photo as its input, and the other fields."""
  name = posixpath.basename(photo.source)
  return Recipe(input_name=name, input_sha256=photo.sha256, **fields)


def pixels_sha256(photo: photos.Photo) -> str:
  """Returns the SHA-256 of all that is seen: levels, alpha and profile."""
  digest = hashlib.sha256()
  for array in (photo.levels, photo.alpha):
    if array is not None:
      digest.update(f'{array.dtype.str[1:]}{array.shape}'.encode())
      digest.update(array.astype(array.dtype.newbyteorder('<')).tobytes())
  digest.update(photo.profile or b'')
  return digest.hexdigest()


def inputs_sha256(mask: reader.File | photos.Photo | None) -> dict[str, str]:
  """Returns a recipe's `inputs` for this mask, or for none."""
  return {} if mask is None else {'mask': mask.sha256}


def write(
  path: epath.PathLike,
  result: photos.Photo,
  recipe: Recipe,
  replace: bool = False,
) -> tuple[epath.Path, list[str]]:
  """Writes a result with its recipe; see `writer.write`.

  Raises:
    ValueError: also if the recipe holds something that JSON does not.
  """
  return writer.write(path, result, text(recipe, result), replace)


def text(recipe: Recipe, result: photos.Photo) -> dict[str, str]:
  """Returns the text chunk of the PNG that holds this result.

  Raises:
    ValueError: if the recipe holds something that JSON does not.
  """
  recipe = dataclasses.replace(recipe, pixels=pixels_sha256(result))
  fields = {'format': FORMAT, **dataclasses.asdict(recipe)}
  try:
    line = json.dumps(fields, sort_keys=True, allow_nan=False)
  except (TypeError, ValueError) as error:
    raise ValueError(f'The recipe cannot be written: {error}.') from error
  _parsed(line)  # a recipe that could not be read is not written
  return {KEY: line}


def read(path: epath.PathLike) -> Recipe:
  """Reads the recipe of a file.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it has no recipe, or an invalid one.
  """
  path = epath.Path(path)
  if not path.exists():
    raise FileNotFoundError(f'There is no file {path}.')
  try:
    with path.open('rb') as file, PngImagePlugin.PngImageFile(file) as image:
      line = image.text.get(KEY)  # also from behind the pixels, unlike .info
  except Exception as error:  # Pillow's decoders raise errors of every class
    raise ValueError(
      f'{path} cannot be read as a PNG, the only format that carries a recipe.'
    ) from error
  if line is None:
    raise ValueError(
      f'{path} carries no recipe: it was not made by `palette`, or another '
      'program has saved it without its text.'
    )
  try:
    return _parsed(line)
  except ValueError as error:
    raise ValueError(f'The recipe in {path} is invalid: {error}.') from error


def _parsed(line: str) -> Recipe:
  try:
    fields = json.loads(line)
  except (json.JSONDecodeError, RecursionError) as error:
    raise ValueError(f'it is not JSON ({error})') from error
  if not isinstance(fields, dict):
    raise ValueError('it is not a JSON object')
  version = fields.pop('format', None)
  if version != FORMAT:
    raise ValueError(
      f'its format is {version!r}, and this is palette_jax '
      f'{palette_jax.__version__}, which reads {FORMAT}'
    )
  _check_fields(fields)
  return Recipe(**fields)


def _check_fields(fields: Options) -> None:
  """Checks names and types of a recipe's fields, and its hashes."""
  kinds = {field.name: field.type for field in dataclasses.fields(Recipe)}
  if missing := sorted(kinds.keys() - fields.keys()):
    raise ValueError(f'it lacks {", ".join(missing)}')
  if unknown := sorted(fields.keys() - kinds.keys()):
    raise ValueError(f'it has unknown fields: {", ".join(unknown)}')
  for name, value in fields.items():
    kind = next((kind for kind in (str, int) if kind is kinds[name]), dict)
    if type(value) is not kind:
      raise ValueError(f'{name} is {value!r}, not {kind.__name__}')
  hashes = {
    name: fields[name] for name in ('checkpoint', 'input_sha256', 'pixels')
  }
  hashes |= {f'inputs.{name}': sha for name, sha in fields['inputs'].items()}
  for name, value in hashes.items():
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
      raise ValueError(f'{name} is {value!r}, not a SHA-256')


def is_made_by(path: epath.PathLike, recipe: Recipe) -> bool:
  """Checks whether a file exists, is complete, and carries this recipe.

  The name of the input, machine, version and pixels may differ. Pixels are not
  decoded.
  """
  try:
    with epath.Path(path).open('rb') as file:
      with Image.open(file, formats=['PNG']) as image:
        existing = _parsed(image.info[KEY])
      file.seek(-len(reader.PNG_END), io.SEEK_END)
      return file.read() == reader.PNG_END and _identity(existing) == _identity(
        recipe
      )
  except Exception:  # Pillow's decoders raise errors of every class
    return False


def _identity(recipe: Recipe) -> Options:
  """Returns the fields that tell two recipes apart, as JSON."""
  fields = dataclasses.asdict(recipe)
  for name in ('input_name', 'pixels', 'version', 'machine'):
    del fields[name]
  return json.loads(json.dumps(fields))
