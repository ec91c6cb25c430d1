"""Weights that can be asked for something: colour this, fill that.

  import palette_jax
  model = palette_jax.load('runs/multitask')
  made, = model.colorize('old.jpg')
  made.save('new.png')

Whatever is made carries its recipe; made from it again, on the same machine, it
has the same pixels.
"""

import math
from typing import NamedTuple

import jax
from etils import epath
from PIL import Image

from palette_jax import images, tasks
from palette_jax.models import unet
from palette_jax.photo import hole, reader
from palette_jax.photo import photo as photos
from palette_jax.photo import recipe as recipes
from palette_jax.photo import replay as replays
from palette_jax.photo.painting import methods, painter, region
from palette_jax.weights import load as weights

Picture = reader.PhotoLike

_TASKS = {
  'colorize': 'colorization',
  'inpaint': 'inpainting',
  'uncrop': 'uncropping',
  'restore_jpeg': 'jpeg',
  'panorama': 'uncropping',
}
_MOST_SEED = 2**32 - 1


class Result(NamedTuple):
  """One result.

  Attributes:
    photo: of the kind that the input was.
    recipe: how it was made.
  """

  photo: photos.Photo
  recipe: recipes.Recipe

  @property
  def image(self) -> Image.Image:
    """To be looked at: 8-bit sRGB."""
    return Image.fromarray(images.to_u8(photos.rgb(self.photo)))

  def save(
    self, path: epath.PathLike, replace: bool = False
  ) -> tuple[epath.Path, list[str]]:
    """Writes it, with its recipe: see `output.write`."""
    return recipes.write(path, self.photo, self.recipe, replace)


class Model:
  """Weights, and what can be done with them.

  All that makes something takes these further arguments:

    seed      of all chance; sample i is the same however many are made
    samples   how many different results, at least 1
    sampler   ancestral, ddim or dpm_solver; imputation or repaint of weights
              that have learnt to paint from nothing; '' for the weights' own,
              or dpm_solver
    steps     of the sampler; 0 for as many as it usually takes
    progress  called with (done, of how many) after each pass of the network;
              whatever it raises ends the drawing

  and raises ValueError for whatever cannot be done, FileNotFoundError for files
  that are not there. Photos and masks are paths, pictures of Pillow's, or uint8
  arrays.

  Attributes:
    tasks: what it has learnt, of 'colorization', 'inpainting', 'uncropping' and
      'jpeg'.
    checkpoint: SHA-256 of the weights.
    size: height and width of the pictures that it has learnt from.
    experimental: those of the tasks at which it does not yet beat a trivial
      answer, says who made the weights.
    jpeg_quality: the lowest and the highest factor of JPEGs that it restores.
  """

  def __init__(self, found: weights.Weights):
    """Brings weights (`weights.read`) to the device."""
    self._weights = found
    self._painter = painter.Painter(found.denoise_fn, found.params)
    self._multiple = unet.size_multiple(found.network)
    side = math.sqrt(found.size[0] * found.size[1])
    self._tile = max(1, round(side / self._multiple)) * self._multiple
    self.tasks: tuple[str, ...] = found.tasks
    self.checkpoint: str = found.sha256
    self.size: tuple[int, int] = found.size
    self.experimental: tuple[str, ...] = found.experimental
    self.jpeg_quality: tuple[int, int] = found.jpeg_quality

  def colorize(self, photo: Picture, **drawing) -> list[Result]:
    """Colours a photo; its luma stays, to the finest detail.

    Args:
      photo: grey, or in colours that are not looked at.
      **drawing: see the class.

    Returns:
      As many results as samples.
    """
    return self._make('colorize', photo, {}, **drawing)

  def inpaint(
    self,
    photo: Picture,
    mask: Picture | None = None,
    *,
    invert: bool = False,
    **drawing,
  ) -> list[Result]:
    """Fills holes; every other pixel stays as it is.

    Args:
      photo: any.
      mask: white in the holes, in one of the ways of photo/hole.py; by
        default what is transparent in the photo.
      invert: whether black is painted instead.
      **drawing: see the class.

    Returns:
      As many results as samples.
    """
    options = {'invert': invert}
    return self._make('inpaint', photo, options, mask, **drawing)

  def uncrop(
    self,
    photo: Picture,
    *,
    left: int = 0,
    right: int = 0,
    top: int = 0,
    bottom: int = 0,
    **drawing,
  ) -> list[Result]:
    """Goes on beyond the photo's edges.

    Args:
      photo: any; stays as it is.
      left: pixels to be added there.
      right: likewise.
      top: likewise.
      bottom: likewise.
      **drawing: see the class.

    Returns:
      As many results as samples.
    """
    options = dict(left=left, right=right, top=top, bottom=bottom)
    return self._make('uncrop', photo, options, **drawing)

  def restore_jpeg(self, photo: Picture, **drawing) -> list[Result]:
    """Removes what JPEG has done to a photo; makes all of it anew.

    Args:
      photo: as decoded, of its original size: blocks are looked for where
        JPEG had them.
      **drawing: see the class.

    Returns:
      As many results as samples.
    """
    return self._make('restore_jpeg', photo, {}, **drawing)

  def panorama(
    self,
    photo: Picture,
    *,
    left: int = 0,
    right: int = 0,
    loop: bool = False,
    **drawing,
  ) -> list[Result]:
    """A panorama: the photo goes on, half of its height at a time.

    Args:
      photo: of any height; Palette's panoramas are made of 256x256.
      left: how often; Palette: 8, to a width of 2304 pixels.
      right: likewise.
      loop: whether the right edge goes on at the left one.
      **drawing: see the class.

    Returns:
      As many results as samples.
    """
    options = dict(left=left, right=right, loop=loop)
    return self._make('panorama', photo, options, **drawing)

  def replay(
    self,
    path: epath.PathLike,
    source: Picture,
    mask: Picture | None = None,
  ) -> replays.Replayed:
    """Makes the pixels of a file again, by its recipe.

    Args:
      path: a PNG that this package has written; it is only read.
      source: the photo that it was made from.
      mask: that it was made with, if there was one.

    Raises:
      FileNotFoundError: if a file is missing.
      ValueError: if there is no recipe, or these are other weights, another
        photo or mask than it says.
    """

    def make(
      recipe: recipes.Recipe, photo: photos.Photo, mask: photos.Photo | None
    ) -> photos.Photo:
      if recipe.checkpoint != self.checkpoint:
        raise ValueError(
          f'{path} was made with the weights {recipe.checkpoint[:12]}..., and '
          f'these are {self.checkpoint[:12]}...: load those.'
        )
      try:
        options = dict(recipe.options)
        does, sample = options.pop('does'), options.pop('sample')
        # In the company that it had: a batch of another size rounds otherwise.
        samples = list(range(options.pop('samples'))) or [sample]
        drawing = self._drawing(recipe.sampler, recipe.seed, samples, None)
        results = self._draw(does, drawing, photo, options, mask)
        return results[samples.index(sample)]
      except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
          f'The recipe in {path} cannot be followed: {error!r}.'
        ) from error

    return replays.replay(path, source, mask, make)

  def recipes(
    self,
    does: str,
    photo: Picture,
    mask: Picture | None = None,
    *,
    seed: int = 0,
    samples: int = 1,
    sampler: str = '',
    steps: int = 0,
    **options,
  ) -> list[recipes.Recipe]:
    """How a method's results would be made, a recipe each; makes nothing.

    Args:
      does: the method's name.
      photo: that it would be given.
      mask: likewise, if it takes one.
      seed, samples, sampler, steps: see the class.
      **options: all others that the method takes.
    """
    task = _TASKS[does]
    if task not in self.tasks:
      raise ValueError(
        f'These weights have not learnt {task}, but '
        f'{", ".join(self.tasks) or "nothing that can be asked for here"}.'
      )
    if samples < 1 or not 0 <= seed <= _MOST_SEED or steps < 0:
      raise ValueError(
        f'samples={samples}, seed={seed}, steps={steps}: samples are 1 or '
        f'more, seeds 0 to {_MOST_SEED}, steps 1 or more (or 0: as usual).'
      )
    common = dict(
      task=task,
      config=self._weights.config,
      checkpoint=self.checkpoint,
      sampler=self._weights.choose(sampler, steps),
      seed=seed,
      inputs=recipes.inputs_sha256(None if mask is None else reader.read(mask)),
      machine=self._painter.machine,
    )
    photo = reader.read(photo)
    together = samples if self._painter.together > 1 else 0
    options |= dict(does=does, samples=together)
    return [
      recipes.for_photo(photo, options=options | dict(sample=i), **common)
      for i in range(samples)
    ]

  def _make(
    self, does, photo, options, mask=None, *,
    seed=0, samples=1, sampler='', steps=0, progress=None,
  ):  # fmt: skip
    """A method's results: what it does is its name."""
    photo = reader.read(photo)
    drawn = None if mask is None else reader.read(mask)
    said = dict(seed=seed, samples=samples, sampler=sampler, steps=steps)
    hows = self.recipes(does, photo, drawn, **said, **options)
    drawing = self._drawing(hows[0].sampler, seed, range(samples), progress)
    made = self._draw(does, drawing, photo, options, drawn)
    return [Result(one, how) for one, how in zip(made, hows)]

  def _drawing(self, sampler, seed, samples, progress) -> region.Drawing:
    key = jax.random.key(seed)
    return region.Drawing(
      painter=self._painter,
      objective=self._weights.objective(sampler),
      tile=self._tile,
      multiple=self._multiple,
      prepare=tasks.get('unconditional').prepare,
      keys=[jax.random.fold_in(key, sample) for sample in samples],
      counter=region.Counter(progress),
    )

  def _draw(self, does, drawing, photo, options, drawn) -> list[photos.Photo]:
    if does == 'colorize':
      return methods.colour(drawing, photo)
    if does == 'restore_jpeg':
      return methods.clean(drawing, photo)
    if does == 'inpaint':
      found = hole.find(photo, drawn, **options)
      return methods.fill(drawing, photo, found.mask)
    if does == 'uncrop':
      return methods.uncrop(drawing, photo, options)
    assert does == 'panorama', does
    return methods.panorama(drawing, photo, **options)


def load(source: epath.PathLike = '') -> Model:
  """Loads weights, to be asked for something.

  Args:
    source: '' for those that come with the package; the folder of a run or an
      import (its newest whole checkpoint's average); or a file that `palette
      export` has written.

  Raises:
    FileNotFoundError: if there are none.
    ValueError: if they are damaged, or of an unknown kind.
  """
  return Model(weights.read(source))
