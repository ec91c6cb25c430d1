"""`palette colorize` and the other commands for photos: what they do."""

import argparse
import errno
import functools
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

import palette_jax
from palette_jax import images
from palette_jax.photo import (
  arguments,
  hole,
  outputs,
  quantization,
  reader,
  recipe,
)
from palette_jax.photo import jobs as folder
from palette_jax.photo import photo as photos
from palette_jax.photo import progress as progresses

STOPPED = 130  # exit code, as a shell has it of Ctrl-C
# What would stop all other photos, too.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_LISTED = 20  # of the photos that failed, at the end


class Request(NamedTuple):
  """What is asked of the model, for every photo.

  Attributes:
    verb: the method of Model.
    options: of that method, but for the mask.
    drawing: seed, samples, sampler, steps.
  """

  verb: str
  options: dict[str, Any]
  drawing: dict[str, Any]


# A photo done; False if it was there already.
Work = Callable[[folder.Job, progresses.Progress], bool]


def run(args: argparse.Namespace) -> int:
  """Does to a photo, or to a folder of them, what the command line says.

  Returns:
    The exit code: 0, 1 if a photo of a folder could not be made, STOPPED.

  Raises:
    ValueError, FileNotFoundError: for whatever does not fit. What can be seen
      without weights is refused before they are read.
  """
  request = _request(args)
  is_folder = epath.Path(args.source).expanduser().is_dir()
  jobs = folder.jobs(args.source, args.target, getattr(args, 'mask', None))
  if not is_folder:
    _look(request, jobs[0])
  if getattr(args, 'preview', False):
    work = functools.partial(_preview, request)
  else:
    model = _model(args)
    work = functools.partial(_make, model, request)
  each = _folder if is_folder else _single
  return each(args.command, jobs, work)


def _request(args):
  options = {}
  if args.verb == 'inpaint':
    options = {'invert': args.invert}
  elif args.verb == 'uncrop':
    options = {
      side: args.pixels if args.side in (side, 'all') else 0
      for side in arguments.SIDES
    }
  elif args.verb == 'panorama':
    options = {'left': args.left, 'right': args.right, 'loop': args.loop}
    if not args.left and not args.right:
      raise ValueError(
        'A panorama of no steps is the photo itself: give --left N, --right N '
        'or both.'
      )
  names = 'seed', 'samples', 'sampler', 'steps'
  return Request(
    args.verb, options, {name: getattr(args, name) for name in names}
  )


def _model(args):
  """The weights that the command line names, if they can do what it says."""
  model = _loaded(args.checkpoint)
  if args.task not in model.tasks:
    raise ValueError(
      f'palette {args.command} needs weights that have learnt {args.task}; '
      f'{args.checkpoint or "those of the package"} have learnt '
      f'{", ".join(model.tasks) or "none of the tasks"}. Name others with '
      '--checkpoint.'
    )
  if args.task in model.experimental:
    print(
      f'Warning: {args.task} is experimental in these weights: when they were '
      'judged, they did no better than a trivial answer.',
      file=sys.stderr,
    )
  return model


def _loaded(checkpoint):
  from palette_jax import hosts  # imports JAX: not before it is needed

  hosts.cache_compilations()  # the second start takes a fraction of the first
  return palette_jax.load(checkpoint)


def replay(args: argparse.Namespace) -> int:
  """palette replay.

  Returns:
    The exit code: 0 for the same pixels, 1 for others, 2 if it could not be
    made.
  """
  try:
    recipe.read(args.file)  # before the weights
    model = _loaded(args.checkpoint)
    replayed = model.replay(args.file, args.input, args.mask)
  except (ValueError, FileNotFoundError) as error:
    print(f'\n{error}', file=sys.stderr)
    return 2
  print(replayed.message)
  return 0 if replayed.is_same else 1


def _single(title, jobs, work):
  (job,) = jobs
  try:
    with progresses.Progress(title, 1) as progress:
      if not work(job, progress):
        print(f'{job.target} is there already, made by the same recipe.')
  except KeyboardInterrupt:
    print(f'\nStopped: {job.target} is not made.', file=sys.stderr)
    return STOPPED
  except Exception as error:
    if not isinstance(error, OSError) and not _is_of_memory(error):
      raise
    raise ValueError(f'{job.target} is not made: {_reason(error)}') from error
  return 0


def _folder(title, jobs, work):
  """Goes on where a photo fails, and says at the end which did."""
  made, there, failed = 0, 0, []
  with progresses.Progress(title, len(jobs)) as progress:
    for job in jobs:
      try:
        if work(job, progress):
          made += 1
          progress.finish()
        else:
          there += 1
          progress.skip()
      except KeyboardInterrupt:
        left = len(jobs) - made - there - len(failed)
        progress.say(
          f'Stopped: {made + there} of {len(jobs)} photos are made, {left} are '
          'left, none is there by half. The same command goes on with them.'
        )
        return STOPPED
      except Exception as error:
        if getattr(error, 'errno', None) in _FULL:
          raise ValueError(
            f'{_reason(error)} {made + there} of {len(jobs)} photos are made; '
            'when there is room, the same command goes on with the others.'
          ) from error
        failed.append(job.name)
        progress.say(f'{job.name} is not made: {_reason(error)}')
        progress.finish()
  _summarize(made, there, failed)
  return 1 if failed else 0


def _is_of_memory(error):
  return isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(error)


def _reason(error):
  """One line; of what nobody has foreseen, all that there is."""
  if _is_of_memory(error):
    return 'there is not enough memory for it. Fewer samples take less.'
  if isinstance(error, OSError) and error.strerror:
    where = f'{error.filename}: ' if error.filename else ''
    return f'{where}{error.strerror}.'
  if not isinstance(error, ValueError | FileNotFoundError):
    traceback.print_exception(error)
  return (str(error) or type(error).__name__).splitlines()[0]


def _summarize(made, there, failed):
  parts = [f'{made} made']
  if there:
    parts.append(f'{there} there already, by the same recipe')
  if failed:
    parts.append(f'{len(failed)} not made')
  print(f'Photos: {", ".join(parts)}.')
  if failed:
    print('Not made, as is said above:', file=sys.stderr)
    for name in failed[:_LISTED]:
      print(f'  {name}', file=sys.stderr)
  if len(failed) > _LISTED:
    print(f'  and {len(failed) - _LISTED} more', file=sys.stderr)


def _look(request, job):
  """Reads photo and mask, so that what is wrong with them comes first."""
  photo = reader.read(job.source)
  if request.verb == 'inpaint':
    _hole(request, photo, _mask(job))
  _check_free(outputs.names(job.target, request.drawing['samples']).all)


def _hole(request, photo, drawn):
  return hole.find(photo, drawn, request.options['invert'])


def _mask(job):
  return None if job.mask is None else reader.read(job.mask)


def _check_free(paths):
  """Files of others are never lost; those of `palette` can be made again.

  Raises:
    ValueError: naming the first that is not ours.
  """
  for path in paths:
    if path.exists() and not outputs.is_ours(path):
      raise ValueError(
        f'{path} is there, and nothing in it says that it can be made again: '
        'remove it, or give another name.'
      )


def _preview(request, job, progress):
  photo = reader.read(job.source)
  found = _hole(request, photo, _mask(job))
  path = outputs.names(job.target, 1).preview
  _check_free([path])
  marked = hole.overlay(photos.rgb(photo), found.mask)
  outputs.write_picture(path, marked, found.description)
  progress.say(f'{job.name} -> {path}\n  {found.description}')
  return True


def _make(model, request, job, progress):
  """All samples of one photo, and the pictures about them, as files."""
  photo = reader.read(job.source)
  given, notes, shown = [photo], [*photo.notes], photos.rgb(photo)
  if request.verb == 'colorize':  # which looks at no colour
    shown = np.repeat(2 * photos.luma(photo) - 1, 3, axis=-1)
  if request.verb == 'restore_jpeg':
    fine = quantization.too_fine(photo.quality, model.jpeg_quality)
    notes += [fine] if fine else []
  if request.verb == 'inpaint':
    drawn = _mask(job)
    found = _hole(request, photo, drawn)
    given.append(drawn)
    notes.append(found.description)
    shown = images.from_u8(hole.overlay(shown, found.mask))
  names = outputs.names(job.target, request.drawing['samples'])
  seed = (request.drawing['seed'] + job.salt) % arguments.SEEDS
  drawn = request.options | request.drawing | dict(seed=seed)
  wanted = model.recipes(request.verb, *given, **drawn)
  if _is_there(names, wanted):
    return False
  _check_free(names.all)
  for note in notes:
    progress.say(f'{job.name}: {note}')
  method = getattr(model, request.verb)
  made = method(*given, **drawn, progress=progress.of(job.name))
  if names.sheet is not None:
    names.sheet.unlink(missing_ok=True)  # an old one does not tell of these
  said = []
  for path, one in zip(names.samples, made):
    _, lost = recipe.write(path, one.photo, one.recipe)
    said += [note for note in lost if note not in said]
  if names.sheet is not None:
    said.append(_write_overview(names, made, images.to_u8(shown)))
  first, *others = names.all
  written = ', '.join([str(first), *(path.name for path in others)])
  progress.say('\n  '.join([f'{job.name} -> {written}', *said]))
  return True


def _is_there(names, wanted: Sequence[recipe.Recipe]) -> bool:
  """Whether all files are there and made by these recipes."""
  if not all(path.exists() for path in names.all):
    return False
  return all(
    recipe.is_made_by(path, one) for path, one in zip(names.samples, wanted)
  )


def _write_overview(names, made, shown):
  pictures = [images.to_u8(photos.rgb(one.photo)) for one in made]
  is_larger = pictures[0].shape != shown.shape
  return outputs.write(names, pictures, None if is_larger else shown)
