"""A request: a photo, a verb and its options."""

import dataclasses
import functools
from typing import Any

from palette_jax.photo import hole as holes
from palette_jax.photo import photo as photos
from palette_jax.photo import reader, verbs


@dataclasses.dataclass(frozen=True)
class Request:
  """A photo, a verb and its options.

  Photo and mask are decoded once, when they are first needed.

  Attributes:
    verb: what to do to the photo.
    source: the photo, or its file.
    mask_source: the mask, or its file, if there is one.
    options: of the verb: whether the mask is inverted, sides, ...
    seed: the random seed.
    samples: number of results.
    sampler: its name, '' for the weights' own.
    steps: of the sampler, 0 for its default.
  """

  verb: verbs.Verb
  source: reader.File | photos.Photo
  mask_source: reader.File | photos.Photo | None
  options: dict[str, Any]
  seed: int = 0
  samples: int = 1
  sampler: str = ''
  steps: int = 0

  @functools.cached_property
  def photo(self) -> photos.Photo:
    """The photo, decoded.

    Raises:
      ValueError: see `reader.read`.
    """
    return reader.read(self.source)

  @functools.cached_property
  def hole(self) -> holes.Hole:
    """The hole that the mask or the photo's transparency describes.

    Raises:
      ValueError: see `hole.find`.
    """
    mask = None if self.mask_source is None else reader.read(self.mask_source)
    return holes.find(self.photo, mask, self.options.get('invert', False))
