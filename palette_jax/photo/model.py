"""A model: weights that colorize, fill, extend and restore photos.

  import palette_jax
  model = palette_jax.load('runs/multitask')
  result, = model.colorize('old.jpg')
  result.save('new.png')

Every result carries its recipe, by which the same machine makes the same pixels
again.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
from etils import epath

from palette_jax.models import unet
from palette_jax.photo import limits, reader, verbs
from palette_jax.photo import photo as photos
from palette_jax.photo import recipe as recipes
from palette_jax.photo import replay as replays
from palette_jax.photo import request as requests
from palette_jax.photo import result as results
from palette_jax.photo.painting import methods, painter, region
from palette_jax.weights import trained

PhotoLike = reader.PhotoLike
Progress = Callable[[int, int], None]
Result = results.Result


class Model:
  """Weights and what can be done with them.

  There is a method for the verb of each task that weights can learn; the ones
  below are written out because they take options of their own. All of them
  take these further arguments:

  - `seed`: random seed; sample i is the same however many are drawn.
  - `samples`: number of results, at least 1.
  - `sampler`: 'ancestral', 'ddim' or 'dpm_solver'; 'imputation' or 'repaint'
    for unconditional weights; '' for the weights' own, or dpm_solver.
  - `steps`: of the sampler; 0 for its default.
  - `progress`: called with (passes done, all passes) after each pass of the
    network; an exception that it raises ends the sampling.

  They raise ValueError for what cannot be done, FileNotFoundError for files
  that do not exist. Photos and masks are paths, Pillow images or uint8 arrays.

  Attributes:
    tasks: names of the tasks that the weights have learnt.
    checkpoint: SHA-256 of the weights.
    size: height and width of the images that they were trained on.
    experimental: those of the tasks at which they do not yet beat a baseline,
      according to their maker.
    jpeg_quality: the lowest and the highest quality of JPEGs that they restore.
  """

  def __init__(self, weights: trained.Weights) -> None:
    """Moves weights (`trained.load`) to the device."""
    self._weights = weights
    self._painter = painter.Painter(weights.denoise_fn, weights.params)
    self._multiple = unet.size_multiple(weights.network)
    side = math.sqrt(weights.size[0] * weights.size[1])
    self._tile = max(1, round(side / self._multiple)) * self._multiple
    self.tasks: tuple[str, ...] = weights.tasks
    self.checkpoint: str = weights.sha256
    self.size: tuple[int, int] = weights.size
    self.experimental: tuple[str, ...] = weights.experimental
    self.jpeg_quality: tuple[int, int] = weights.jpeg_quality

  def colorize(self, photo: PhotoLike, **sampling: Any) -> list[Result]:
    """Colours a photo; its luma stays, to the finest detail.

    Args:
      photo: grey, or in colours that are ignored.
      **sampling: see the class.

    Returns:
      One result for each sample.
    """
    return self.apply(verbs.COLORIZE, photo, **sampling)

  def inpaint(
    self,
    photo: PhotoLike,
    mask: PhotoLike | None = None,
    *,
    invert: bool = False,
    **sampling: Any,
  ) -> list[Result]:
    """Fills holes; every other pixel stays as it is.

    Args:
      photo: the photo.
      mask: white in the holes, or in one of the other ways of photo/hole.py; by
        default the photo's own transparency.
      invert: paints black instead.
      **sampling: see the class.

    Returns:
      One result for each sample.
    """
    return self.apply('inpaint', photo, mask, {'invert': invert}, **sampling)

  def uncrop(
    self,
    photo: PhotoLike,
    *,
    left: int = 0,
    right: int = 0,
    top: int = 0,
    bottom: int = 0,
    **sampling: Any,
  ) -> list[Result]:
    """Continues a photo beyond its edges.

    Args:
      photo: the known part, which stays unchanged.
      left: number of pixels to add on this side; the others likewise.
      right: pixels.
      top: pixels.
      bottom: pixels.
      **sampling: see the class.

    Returns:
      One result for each sample.
    """
    options = dict(left=left, right=right, top=top, bottom=bottom)
    return self.apply(verbs.UNCROP, photo, None, options, **sampling)

  def restore_jpeg(self, photo: PhotoLike, **sampling: Any) -> list[Result]:
    """Removes JPEG artefacts; paints the whole photo.

    Args:
      photo: as decoded, in its original size: blocks are expected where JPEG
        has them.
      **sampling: see the class.

    Returns:
      One result for each sample.
    """
    return self.apply(verbs.RESTORE_JPEG, photo, **sampling)

  def panorama(
    self,
    photo: PhotoLike,
    *,
    left: int = 0,
    right: int = 0,
    loop: bool = False,
    **sampling: Any,
  ) -> list[Result]:
    """Continues a photo to the left and right, half of its height at a time.

    Args:
      photo: of any height; the paper's panoramas start from 256x256.
      left: number of steps on this side; the paper takes 8 in all, to a width
        of 2304 pixels.
      right: number of steps on this side.
      loop: makes the left edge continue the right one.
      **sampling: see the class.

    Returns:
      One result for each sample.
    """
    options = dict(left=left, right=right, loop=loop)
    return self.apply(verbs.PANORAMA, photo, None, options, **sampling)

  def __getattr__(self, name: str) -> Callable[..., list[Result]]:
    """Returns the method for the verb of a task that is not written out."""
    if name.startswith('_') or name not in verbs.every():
      raise AttributeError(f'A model has no {name!r}.')
    return functools.partial(self.apply, name)

  def apply(
    self,
    verb: str,
    photo: PhotoLike,
    mask: PhotoLike | None = None,
    options: dict[str, Any] | None = None,
    *,
    progress: Progress | None = None,
    **sampling: Any,
  ) -> list[Result]:
    """Applies a verb to a photo.

    Args:
      verb: one of `verbs.every()`.
      photo: the photo.
      mask: if the verb takes one; see `inpaint`.
      options: of the verb.
      progress: see the class.
      **sampling: likewise.

    Returns:
      One result for each sample.
    """
    mask = None if mask is None else reader.load(mask)
    request = requests.Request(
      verbs.every()[verb], reader.load(photo), mask, options or {}, **sampling
    )
    return self.paint(request, self.recipes_for(request), progress)

  def recipes_for(self, request: requests.Request) -> list[recipes.Recipe]:
    """Returns a recipe for each result; paints and decodes nothing.

    Raises:
      ValueError: for what cannot be done.
    """
    task = request.verb.task.name
    samples, seed, steps = request.samples, request.seed, request.steps
    if task not in self.tasks:
      raise ValueError(
        f'These weights have not learnt {task}, but '
        f'{", ".join(self.tasks) or "nothing that can be applied to photos"}.'
      )
    if samples < 1 or not 0 <= seed < limits.SEEDS or steps < 0:
      raise ValueError(
        f'samples={samples}, seed={seed}, steps={steps}: samples are at least '
        f'1, seeds 0 to {limits.SEEDS - 1}, steps at least 1 (or 0: the '
        'default).'
      )
    common = dict(
      task=task,
      config=self._weights.config,
      checkpoint=self.checkpoint,
      sampler=self._weights.choose(request.sampler, steps),
      seed=seed,
      inputs=recipes.inputs_sha256(request.mask_source),
      machine=self._painter.machine,
    )
    # Samples that share a batch: replaying one of them paints all of them.
    together = samples if self._painter.batch > 1 else 0
    options = request.options | dict(does=request.verb.name, samples=together)
    return [
      recipes.for_photo(
        request.source, options=options | dict(sample=i), **common
      )
      for i in range(samples)
    ]

  def paint(
    self,
    request: requests.Request,
    recipes: list[recipes.Recipe],
    progress: Progress | None = None,
  ) -> list[Result]:
    """Paints the results of a request.

    Args:
      request: the photo and what to do.
      recipes: of its results, by `recipes_for`.
      progress: see the class.

    Returns:
      One result for each recipe.
    """
    key = jax.random.key(request.seed)
    verb = request.verb
    painting = region.Painting(
      painter=self._painter,
      objective=self._weights.objective(recipes[0].sampler),
      tile=self._tile,
      multiple=self._multiple,
      prepare=verb.task.prepare,
      keys=[
        jax.random.fold_in(key, recipe.options['sample']) for recipe in recipes
      ],
      counter=region.PassCounter(progress),
    )
    options = request.options
    if verb.name == verbs.COLORIZE:
      painted = methods.colorize(painting, request.photo)
    elif verb.name == verbs.UNCROP:
      painted = methods.uncrop(painting, request.photo, options)
    elif verb.name == verbs.PANORAMA:
      painted = methods.panorama(painting, request.photo, **options)
    elif verb.has_mask:
      painted = methods.fill(painting, request.photo, request.hole.mask)
    else:
      painted = methods.restore(painting, request.photo)
    return [results.Result(*pair) for pair in zip(painted, recipes)]

  def replay(
    self,
    path: epath.PathLike,
    source: PhotoLike,
    mask: PhotoLike | None = None,
  ) -> replays.Replayed:
    """Makes the pixels of a file again by its recipe.

    Args:
      path: a PNG that this package has written; it is only read.
      source: the photo that it was made from.
      mask: the mask that it was made with, if there was one.

    Raises:
      FileNotFoundError: if a file is missing.
      ValueError: if there is no recipe, or it names other weights, another
        photo or another mask.
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
        verb = verbs.every()[options.pop('does')]
        sample = options.pop('sample')
        # With its original batch: another batch size may round differently.
        samples = list(range(options.pop('samples'))) or [sample]
        batch = [
          dataclasses.replace(recipe, options={'sample': i}) for i in samples
        ]
        request = requests.Request(verb, photo, mask, options, recipe.seed)
        return self.paint(request, batch)[samples.index(sample)].photo
      except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
          f'The recipe in {path} cannot be followed: {error!r}.'
        ) from error

    return replays.replay(path, source, mask, make)


def load(source: epath.PathLike = '') -> Model:
  """Loads a model.

  Args:
    source: '' for the weights in the package; the folder of a run or an import,
      for the average of its newest complete checkpoint; or a file that `palette
      export` has written.

  Raises:
    FileNotFoundError: if there are no weights.
    ValueError: if they are damaged, or of an unknown kind.
  """
  return Model(trained.load(source))
