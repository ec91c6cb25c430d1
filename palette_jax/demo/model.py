"""The model that the demo needs: part of `palette_jax.Model`.

The demo imports no JAX; `palette_jax.load` does, and returns such a model.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from palette_jax.photo import photo as photos


@runtime_checkable
class Result(Protocol):
  """A sample of the model, as a photo."""

  @property
  def photo(self) -> photos.Photo:
    """The photo that was made."""
    ...

  def save(self, path: pathlib.Path) -> Any:
    """Writes a PNG with its recipe."""
    ...


@runtime_checkable
class Model(Protocol):
  """Weights that can be applied to photos.

  Each method takes `seed`, `samples`, `sampler`, `steps` and `progress`, which
  is called with (done, total) after each network pass, and whose exceptions end
  the sampling.

  Attributes:
    tasks: names of the tasks that it has learnt.
    experimental: those at which it does not beat a trivial answer yet.
    jpeg_quality: the lowest and the highest quality of the JPEGs that it
      restores.
  """

  tasks: tuple[str, ...]
  experimental: tuple[str, ...]
  jpeg_quality: tuple[int, int]

  def colorize(self, photo: photos.Photo, **options: Any) -> Sequence[Result]:
    """Colours a photo."""
    ...

  def inpaint(
    self, photo: photos.Photo, mask: photos.Photo, **options: Any
  ) -> Sequence[Result]:
    """Fills the hole where the mask is white."""
    ...

  def uncrop(self, photo: photos.Photo, **options: Any) -> Sequence[Result]:
    """Continues a photo by `left`, `right`, `top` and `bottom` pixels."""
    ...

  def restore_jpeg(
    self, photo: photos.Photo, **options: Any
  ) -> Sequence[Result]:
    """Removes the artefacts of a JPEG."""
    ...
