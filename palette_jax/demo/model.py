"""The model that the demo needs: part of `palette_jax.Model`.

The demo imports no JAX; `palette_jax.load` does, and returns such a model.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from palette_jax.photo import photo as photos


@runtime_checkable
class Result(Protocol):
  """A sample of the model, as a photo."""

  @property
  def photo(self) -> photos.Photo:
    """The painted photo."""
    ...

  def save(self, path: pathlib.Path) -> Any:
    """Writes a PNG with its recipe."""
    ...


@runtime_checkable
class Model(Protocol):
  """Weights that can be applied to photos.

  Attributes:
    tasks: names of the tasks that it has learnt.
    experimental: those at which it does not beat a baseline yet.
    jpeg_quality: the lowest and the highest quality of the JPEGs that it
      restores.
  """

  tasks: tuple[str, ...]
  experimental: tuple[str, ...]
  jpeg_quality: tuple[int, int]

  def apply(
    self,
    verb: str,
    photo: photos.Photo,
    mask: photos.Photo | None = None,
    options: dict[str, Any] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Any,
  ) -> Sequence[Result]:
    """Applies a verb, such as 'colorize', to a photo.

    Args:
      verb: of one of the tasks.
      photo: the photo.
      mask: white in the hole, if the verb takes one.
      options: of the verb.
      progress: called with (done, total) after each network pass; its
        exceptions end the sampling.
      **sampling: seed, samples, sampler and steps.
    """
    ...
