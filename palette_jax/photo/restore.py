"""A command's work on one photo: from its file to the files of its results."""

import argparse
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from etils import epath
from jaxtyping import UInt8

from palette_jax import images
from palette_jax.photo import hole as holes
from palette_jax.photo import (
  jobs,
  limits,
  outputs,
  overview,
  quantization,
  reader,
  verbs,
)
from palette_jax.photo import photo as photos
from palette_jax.photo import progress as progresses
from palette_jax.photo import recipe as recipes
from palette_jax.photo import replay as replays
from palette_jax.photo import request as requests
from palette_jax.photo import result as results


@runtime_checkable
class Model(Protocol):
  """The part of `model.Model` that a command needs, without importing JAX."""

  tasks: tuple[str, ...]
  experimental: tuple[str, ...]
  jpeg_quality: tuple[int, int]

  def recipes_for(self, request: requests.Request) -> list[recipes.Recipe]:
    """Returns a recipe for each result."""
    ...

  def paint(
    self,
    request: requests.Request,
    recipes: list[recipes.Recipe],
    progress: Callable[[int, int], None] | None = None,
  ) -> Sequence[results.Result]:
    """Paints the results of a request."""
    ...

  def replay(
    self,
    path: epath.PathLike,
    source: reader.PhotoLike,
    mask: reader.PhotoLike | None = None,
  ) -> replays.Replayed:
    """Makes the pixels of a file again by its recipe."""
    ...


def load(args: argparse.Namespace, job: jobs.Job) -> requests.Request:
  """Loads the files of a job, and adds the options of the command line.

  Raises:
    FileNotFoundError: if a file is missing.
    ValueError: if it cannot be read.
  """
  return requests.Request(
    verb=args.verb,
    source=reader.load(job.source),
    mask_source=None if job.mask is None else reader.load(job.mask),
    options=args.options_of(args),
    seed=(args.seed + job.salt) % limits.SEEDS,
    samples=args.samples,
    sampler=args.sampler,
    steps=args.steps,
  )


def check(request: requests.Request, job: jobs.Job) -> None:
  """Checks all that can be checked without weights.

  Raises:
    ValueError: if photo or mask cannot be used, or a file that is not ours
      would be overwritten.
  """
  _ = request.hole if request.verb.has_mask else request.photo
  outputs.check_free(outputs.names(job.target, request.samples).all)


def preview(
  request: requests.Request, job: jobs.Job, progress: progresses.Progress
) -> bool:
  """Writes a picture of the hole instead of filling it.

  Returns:
    True: unlike `restore`, it always writes its file.
  """
  path = outputs.names(job.target, 1).preview
  outputs.check_free([path])
  description = request.hole.description
  outputs.write(path, _marked(request), description)
  progress.say(f'{job.name} -> {path}\n  {description}')
  return True


def restore(
  model: Model,
  request: requests.Request,
  job: jobs.Job,
  progress: progresses.Progress,
) -> bool:
  """Writes all results of a photo, and the overview of several.

  Returns:
    True if it wrote them; False if all files exist and have the same recipes:
    then nothing is decoded or written.
  """
  names = outputs.names(job.target, request.samples)
  planned = model.recipes_for(request)
  if outputs.exist(names, planned):
    return False
  outputs.check_free(names.all)
  for note in _notes(model, request):
    progress.say(f'{job.name}: {note}')
  samples = model.paint(request, planned, progress.of(job.name))
  if names.sheet is not None:
    names.sheet.unlink(missing_ok=True)  # it may show other results
  notes = []
  for path, sample in zip(names.samples, samples):
    notes += sample.save(path)[1]
  lines = list(dict.fromkeys(notes))
  if names.sheet is not None:
    lines.append(_write_overview(names, request, samples))
  first, *others = names.all
  written = ', '.join([str(first), *(path.name for path in others)])
  progress.say('\n  '.join([f'{job.name} -> {written}', *lines]))
  return True


def _notes(model: Model, request: requests.Request) -> list[str]:
  """Returns sentences about photo and mask to be shown before painting."""
  notes = list(request.photo.notes)
  if request.verb.name == verbs.RESTORE_JPEG:
    fine = quantization.too_fine(request.photo.quality, model.jpeg_quality)
    notes += [fine] if fine else []
  if request.verb.has_mask:
    notes.append(request.hole.description)
  return notes


def _write_overview(
  names: outputs.Names,
  request: requests.Request,
  samples: Sequence[results.Result],
) -> str:
  pictures = [images.to_u8(photos.rgb(sample.photo)) for sample in samples]
  condition = _condition(request)
  is_larger = pictures[0].shape != condition.shape
  return overview.write(names, pictures, None if is_larger else condition)


def _condition(request: requests.Request) -> UInt8[np.ndarray, 'h w 3']:
  """Returns the condition, for the sheet."""
  if request.verb.name == verbs.COLORIZE:
    grey = 2 * photos.luma(request.photo) - 1
    return images.to_u8(np.repeat(grey, 3, axis=-1))
  if request.verb.has_mask:
    return _marked(request)
  return images.to_u8(photos.rgb(request.photo))


def _marked(request: requests.Request) -> UInt8[np.ndarray, 'h w 3']:
  return holes.overlay(photos.rgb(request.photo), request.hole.mask)
