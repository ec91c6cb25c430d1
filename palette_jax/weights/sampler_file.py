"""A .palette file: a whole sampler in an uncompressed zip.

  recipe.json          describes the sampler, its arguments and its origin
  loader.py            runs it without this package
  sampler.stablehlo    the program
  weights.safetensors  its weights, float32, by our names

JAX promises to read the program for six months only. The weights outlive it:
every command that takes weights takes such a file, and `palette export` makes a
new one of it.
"""

import io
import json
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from etils import epath
from jaxtyping import Array

import palette_jax
from palette_jax.models import unet
from palette_jax.weights import loader, names, stablehlo, tensor_stream

FORMAT = 1  # of the file; newer ones are not read
SUFFIX = '.palette'
RECIPE, LOADER = 'recipe.json', 'loader.py'
PROGRAM, WEIGHTS = 'sampler.stablehlo', 'weights.safetensors'
_DATE = (1980, 1, 1, 0, 0, 0)  # the same sampler makes the same bytes


def write(
  path: epath.PathLike,
  recipe: dict[str, Any],
  program: bytes,
  weights: Mapping[str, Array | np.ndarray],
) -> None:
  """Writes all members; the weights one by one, never in two copies."""
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:

    def add(name: str) -> io.BufferedIOBase:
      info = zipfile.ZipInfo(name, _DATE)
      member = archive.open(info, 'w', force_zip64=True)
      return cast(io.BufferedIOBase, member)  # typeshed says IO[bytes]

    for name, content in (
      (RECIPE, json.dumps(recipe, indent=2).encode() + b'\n'),
      (LOADER, pathlib.Path(loader.__file__).read_bytes()),
      (PROGRAM, program),
    ):
      with add(name) as member:
        member.write(content)
    with add(WEIGHTS) as member:
      tensor_stream.write(member, weights)


def read(path: epath.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
  """Reads weights by guided-diffusion's names, and their settings.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is another file, damaged, or of a newer format.
  """
  recipe = read_recipe(path)
  tensors = read_weights(path)
  try:
    network = list(names.tensors(unet.from_config(recipe['config']['model'])))
  except (KeyError, TypeError) as error:
    raise ValueError(f'{path} has an unknown setting: {error}.') from error
  for present, expected, problem in (
    ({tensor.ours for tensor in network}, tensors.keys(), 'has no such one'),
    (tensors.keys(), {tensor.ours for tensor in network}, 'needs it'),
  ):
    for name in sorted(set(expected) - set(present)):
      raise ValueError(
        f'{path}: {WEIGHTS} does not fit: {name}: the network of {RECIPE} '
        f'{problem}.'
      )
  theirs = {
    tensor.theirs: _to_theirs(path, tensor, tensors) for tensor in network
  }
  return theirs, recipe['config']


def _to_theirs(
  path: epath.PathLike, tensor: names.Tensor, tensors: dict[str, np.ndarray]
) -> np.ndarray:
  """Returns a tensor in guided-diffusion's layout."""
  array = tensors[tensor.ours]
  if array.shape != tensor.shape:
    raise ValueError(
      f'{path}: {WEIGHTS} does not fit: {tensor.ours} is {array.shape}, and '
      f'the network of {RECIPE} needs {tensor.shape}.'
    )
  return tensor.to_theirs(array)


def read_recipe(path: epath.PathLike) -> dict[str, Any]:
  """Reads the description of the sampler; raises as `read` does."""
  with _open(path) as archive:
    text = _member(path, archive, RECIPE)
  try:
    recipe = json.loads(text)
    version = recipe['format']
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(f'{path}: {RECIPE} is not understood: {error}.') from error
  if not isinstance(version, int) or version > FORMAT:
    raise ValueError(
      f'{path} has format {version!r}, written by palette_jax '
      f'{recipe.get("palette_jax")}; this is {palette_jax.__version__}, which '
      f'reads up to {FORMAT}. Install a newer palette_jax.'
    )
  return recipe


def read_weights(path: epath.PathLike) -> dict[str, np.ndarray]:
  """Reads the weights, by our names; raises as `read` does."""
  with _open(path) as archive:
    try:
      with archive.open(WEIGHTS) as member:
        return tensor_stream.read(cast(io.BufferedIOBase, member))
    except KeyError:
      raise ValueError(_lacks_text(path, WEIGHTS)) from None
    except zipfile.BadZipFile as error:
      raise ValueError(_damage_text(path, WEIGHTS)) from error
    except ValueError as error:
      raise ValueError(
        f'{path} is damaged: {WEIGHTS} cannot be read: {error}.'
      ) from error


def read_program(path: epath.PathLike) -> stablehlo.Program:
  """Reads the program, ready to run here on `read_weights`.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: as `read`, and if the program is for other platforms, or too
      old for this JAX.
  """
  multiple = read_recipe(path)['multiple']
  with _open(path) as archive:
    traced = _member(path, archive, PROGRAM)
  try:
    return stablehlo.Program(traced, multiple)
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from error


def _open(path: epath.PathLike) -> zipfile.ZipFile:
  if not pathlib.Path(path).exists():
    raise FileNotFoundError(f'There is no file {path}.')
  try:
    return zipfile.ZipFile(path)
  except (zipfile.BadZipFile, OSError) as error:
    raise ValueError(
      f'{path} is no {SUFFIX} file, or an incomplete one: it cannot be opened '
      f'as a zip ({error}). `palette export --format sampler` makes one.'
    ) from error


def _member(path: epath.PathLike, archive: zipfile.ZipFile, name: str) -> bytes:
  try:
    return archive.read(name)  # checks the CRC, too
  except KeyError:
    raise ValueError(_lacks_text(path, name)) from None
  except zipfile.BadZipFile as error:
    raise ValueError(_damage_text(path, name)) from error


def _lacks_text(path: epath.PathLike, name: str) -> str:
  return (
    f'{path} is a zip without {name}, not one that `palette export --format '
    'sampler` has written.'
  )


def _damage_text(path: epath.PathLike, name: str) -> str:
  return (
    f'{path} is damaged: the bytes of {name} have changed since it was '
    'written. Copy it again, or export it again.'
  )
