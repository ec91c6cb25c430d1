"""A photo that a model has painted, with its recipe."""

from typing import NamedTuple

from etils import epath
from PIL import Image

from palette_jax import images
from palette_jax.photo import photo as photos
from palette_jax.photo import recipe as recipes


class Result(NamedTuple):
  """A photo with the recipe by which it was made.

  Attributes:
    photo: the result, of the same kind as the input.
    recipe: makes the same pixels again.
  """

  photo: photos.Photo
  recipe: recipes.Recipe

  @property
  def image(self) -> Image.Image:
    """The photo as 8-bit sRGB, for display."""
    return Image.fromarray(images.to_u8(photos.rgb(self.photo)))

  def save(
    self, path: epath.PathLike, replace: bool = False
  ) -> tuple[epath.Path, list[str]]:
    """Writes the photo and its recipe; see `writer.write`."""
    return recipes.write(path, self.photo, self.recipe, replace)
