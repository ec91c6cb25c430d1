"""A .palette file: a whole sampler in one zip, nothing in it compressed.

  recipe.json          what it is, how it is called, what it was made with
  loader.py            runs it where this package is not installed
  sampler.stablehlo    the program
  weights.safetensors  its weights, float32, by our names

Weights outlive the program, which JAX reads for six months at least: whatever
takes weights takes this file, too, and makes a new one of it.
"""

import json
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Array

import palette_jax
from palette_jax.models import unet
from palette_jax.weights import loader, names, stablehlo, tensor_stream

FORMAT = 1  # of the file; newer ones are not read
ENDING = '.palette'
RECIPE, LOADER = 'recipe.json', 'loader.py'
PROGRAM, WEIGHTS = 'sampler.stablehlo', 'weights.safetensors'
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same sampler makes the same bytes


def write(
  path: pathlib.Path,
  recipe: dict[str, Any],
  program: bytes,
  weights: Mapping[str, Array | np.ndarray],
) -> None:
  """Writes all members; the weights one after another, none is held twice."""
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:

    def add(name):
      return archive.open(
        zipfile.ZipInfo(name, _LONG_AGO), 'w', force_zip64=True
      )

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
  """Weights by guided-diffusion's names, and settings, as `tensor_file.read`.

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
  for found, wanted, what in (
    ({tensor.ours for tensor in network}, tensors.keys(), 'has no such one'),
    (tensors.keys(), {tensor.ours for tensor in network}, 'needs it'),
  ):
    for name in sorted(set(wanted) - set(found)):
      raise ValueError(
        f'{path}: {WEIGHTS} does not fit: {name}: the network of {RECIPE} '
        f'{what}.'
      )
  theirs = {tensor.theirs: _view(path, tensor, tensors) for tensor in network}
  return theirs, recipe['config']


def _view(path, tensor, tensors):
  array = tensors[tensor.ours]
  if array.shape != tensor.shape:
    raise ValueError(
      f'{path}: {WEIGHTS} does not fit: {tensor.ours} is {array.shape}, and '
      f'the network of {RECIPE} needs {tensor.shape}.'
    )
  return tensor.to_theirs(array)


def read_recipe(path: epath.PathLike) -> dict[str, Any]:
  """What the file says of itself; raises as `read`."""
  with _open(path) as archive:
    text = _member(path, archive, RECIPE)
  try:
    recipe = json.loads(text)
    found = recipe['format']
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(f'{path}: {RECIPE} is not understood: {error}.') from error
  if not isinstance(found, int) or found > FORMAT:
    raise ValueError(
      f'{path} has format {found!r}, written by palette_jax '
      f'{recipe.get("palette_jax")}; this is {palette_jax.__version__}, which '
      f'reads up to {FORMAT}. Install a newer palette_jax.'
    )
  return recipe


def read_weights(path: epath.PathLike) -> dict[str, np.ndarray]:
  """The weights as they lie there, by our names; raises as `read`."""
  with _open(path) as archive:
    try:
      size = archive.getinfo(WEIGHTS).file_size
      with archive.open(WEIGHTS) as member:
        return tensor_stream.read(member, size)
    except KeyError:
      raise ValueError(_lacks(path, WEIGHTS)) from None
    except zipfile.BadZipFile as error:
      raise ValueError(_damaged(path, WEIGHTS)) from error
    except ValueError as error:
      raise ValueError(
        f'{path} is damaged: {WEIGHTS} cannot be read: {error}.'
      ) from error


def read_program(path: epath.PathLike) -> stablehlo.Program:
  """The program, ready to run here on `read_weights`.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: as `read`, and if the program was made for other platforms than
      this, or is too old for this JAX.
  """
  multiple = read_recipe(path)['multiple']
  with _open(path) as archive:
    traced = _member(path, archive, PROGRAM)
  try:
    return stablehlo.Program(traced, multiple)
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from error


def _open(path):
  if not pathlib.Path(path).exists():
    raise FileNotFoundError(f'There is no file {path}.')
  try:
    return zipfile.ZipFile(path)
  except (zipfile.BadZipFile, OSError) as error:
    raise ValueError(
      f'{path} is no {ENDING} file, or an incomplete one: it cannot be opened '
      f'as a zip ({error}). `palette export --format sampler` makes one.'
    ) from error


def _member(path, archive, name):
  try:
    return archive.read(name)  # and compares the checksum
  except KeyError:
    raise ValueError(_lacks(path, name)) from None
  except zipfile.BadZipFile as error:
    raise ValueError(_damaged(path, name)) from error


def _lacks(path, name):
  return (
    f'{path} is a zip without {name}, not one that `palette export --format '
    'sampler` has written.'
  )


def _damaged(path, name):
  return (
    f'{path} is damaged: the bytes of {name} have changed since it was '
    'written. Copy it again, or export it again.'
  )
