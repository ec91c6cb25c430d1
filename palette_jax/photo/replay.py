"""Replays a recipe: makes the pixels of a file again and compares them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from etils import epath

import palette_jax
from palette_jax.photo import photo as photos
from palette_jax.photo import reader
from palette_jax.photo import recipe as recipes


class Replayed(NamedTuple):
  """The outcome of a replay.

  Attributes:
    photo: the new pixels.
    is_same: whether they are those of the recipe, bit for bit.
    message: one line about it.
  """

  photo: photos.Photo
  is_same: bool
  message: str


def replay(
  path: epath.PathLike,
  source: reader.PhotoLike,
  mask: reader.PhotoLike | None,
  make: Callable[
    [recipes.Recipe, photos.Photo, photos.Photo | None], photos.Photo
  ],
) -> Replayed:
  """Makes the pixels of a file again and compares them.

  Args:
    path: the PNG with the recipe; it is only read.
    source: the photo that it was made from.
    mask: the mask that it was made with, if there was one.
    make: recipe, photo, mask -> the result. It refuses recipes of other
      weights than its own.

  Raises:
    FileNotFoundError: if a file is missing.
    ValueError: if there is no recipe, or the photo or the mask is not the one
      that it names.
  """
  recipe = recipes.read(path)
  photo = reader.read(source)
  if photo.sha256 != recipe.input_sha256:
    raise ValueError(
      f'{path} was made from {recipe.input_name or "an image"} with SHA-256 '
      f'{recipe.input_sha256[:12]}..., and {photo.source or "this"} has '
      f'{photo.sha256[:12]}...: give the same file.'
    )
  mask = None if mask is None else reader.read(mask)
  _check_mask(path, recipe, mask)
  result = make(recipe, photo, mask)
  if recipes.pixels_sha256(result) == recipe.pixels:
    return Replayed(result, True, f'{path}: the same pixels, bit for bit.')
  return Replayed(result, False, f'{path}: {_difference(path, result, recipe)}')


def _check_mask(
  path: epath.PathLike, recipe: recipes.Recipe, mask: photos.Photo | None
) -> None:
  """Checks that a mask is the recipe's.

  Raises:
    ValueError: if it is another one, missing, or superfluous.
  """
  if recipes.inputs_sha256(mask) == recipe.inputs:
    return
  if mask is None:
    raise ValueError(f'{path} was made with a mask: give it, too.')
  if not recipe.inputs:
    raise ValueError(f'{path} was made without a mask: give none.')
  raise ValueError(
    f'{path} was made with a mask of SHA-256 '
    f'{recipe.inputs.get("mask", "")[:12]}..., and {mask.source or "this"} has '
    f'{mask.sha256[:12]}...: give the same file.'
  )


def _difference(
  path: epath.PathLike, result: photos.Photo, recipe: recipes.Recipe
) -> str:
  """Describes how a result differs from the pixels in the file."""
  old = reader.read(path)
  if recipes.pixels_sha256(old) != recipe.pixels:
    return 'its pixels were changed after it was made.'
  if old.levels.shape != result.levels.shape:
    height, width = result.levels.shape[:2]
    return f'the new size is {width} x {height}.'
  apart = np.abs(old.levels.astype(np.int64) - result.levels.astype(np.int64))
  machine = f' on {recipe.machine}' if recipe.machine else ''
  return (
    f'{(apart.max(-1) > 0).mean():.2%} of the pixels differ, by at most '
    f'{apart.max()} levels. It was made by palette_jax '
    f'{recipe.version}{machine}; this is {palette_jax.__version__}. Another '
    'machine or version rounds differently.'
  )
