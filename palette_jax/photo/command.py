"""`palette colorize` and the other commands for photos."""

import argparse
import errno
import functools
import sys
import traceback
from collections.abc import Callable

from etils import epath

import palette_jax
from palette_jax.photo import jobs, restore
from palette_jax.photo import progress as progresses
from palette_jax.photo import recipe as recipes
from palette_jax.photo import request as requests

STOPPED = 130  # exit code, as of a shell after Ctrl-C
# Errors that all other photos would run into, too.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_LISTED = 20  # of the photos that failed, at the end

# Returns False if the results existed already.
Work = Callable[[requests.Request, jobs.Job, progresses.Progress], bool]


def run(args: argparse.Namespace) -> int:
  """Applies a verb to a photo, or to all photos of a folder.

  Args:
    args: of `arguments.photos`.

  Returns:
    The exit code: 0, 1 if a photo of a folder failed, or STOPPED.

  Raises:
    FileNotFoundError: if a file is missing.
    ValueError: for what cannot be done. Everything that needs no weights is
      checked before they are loaded.
  """
  args.options_of(args)
  is_folder = epath.Path(args.source).expanduser().is_dir()
  todo = jobs.plan(args.source, args.target, args.mask)
  if is_folder:
    return _run_folder(args, todo, _work(args))
  (job,) = todo
  request = restore.load(args, job)
  restore.check(request, job)
  return _run_single(args, job, request, _work(args))


def _work(args: argparse.Namespace) -> Work:
  """Returns the work on each photo; loads the weights unless it previews."""
  if args.preview:
    return restore.preview
  model = _load(args.checkpoint)
  _check_learnt(args, model)
  return functools.partial(restore.restore, model)


def _load(checkpoint: str) -> restore.Model:
  from palette_jax import hosts  # imports JAX: not before it is needed

  hosts.cache_compilations()  # makes the next start much faster
  return palette_jax.load(checkpoint)


def _check_learnt(args: argparse.Namespace, model: restore.Model) -> None:
  """Checks that the weights have learnt a command's task.

  Raises:
    ValueError: if they have not.
  """
  task = args.verb.task.name
  if task not in model.tasks:
    raise ValueError(
      f'palette {args.verb.command} needs weights that have learnt {task}; '
      f'{args.checkpoint or "those of the package"} have learnt '
      f'{", ".join(model.tasks) or "none of the tasks"}. Name others with '
      '--checkpoint.'
    )
  if task in model.experimental:
    print(
      f'Warning: {task} is experimental in these weights: in their evaluation '
      'they did no better than a baseline without a model.',
      file=sys.stderr,
    )


def _run_single(
  args: argparse.Namespace,
  job: jobs.Job,
  request: requests.Request,
  work: Work,
) -> int:
  try:
    with progresses.Progress(args.verb.command, 1) as progress:
      if not work(request, job, progress):
        print(f'{job.target} exists already, with the same recipe.')
  except KeyboardInterrupt:
    print(f'\nStopped: {job.target} was not made.', file=sys.stderr)
    return STOPPED
  except Exception as error:
    if not isinstance(error, OSError) and not _is_out_of_memory(error):
      raise
    raise ValueError(f'{job.target} was not made: {_reason(error)}') from error
  return 0


def _run_folder(
  args: argparse.Namespace, todo: list[jobs.Job], work: Work
) -> int:
  """Works on all photos; continues after one that fails."""
  new, existing, failed = 0, 0, []
  with progresses.Progress(args.verb.command, len(todo)) as progress:
    for job in todo:
      try:
        if work(restore.load(args, job), job, progress):
          new += 1
          progress.finish()
        else:
          existing += 1
          progress.skip()
      except KeyboardInterrupt:
        done, left = new + existing, len(todo) - new - existing - len(failed)
        progress.say(
          f'Stopped: {done} of {len(todo)} photos are made, {left} are left; '
          'no partial files. The same command continues with them.'
        )
        return STOPPED
      except Exception as error:
        if getattr(error, 'errno', None) in _FULL:
          raise ValueError(
            f'{_reason(error)} {new + existing} of {len(todo)} photos are '
            'made. Make room; the same command continues with the others.'
          ) from error
        failed.append(job.name)
        progress.say(f'{job.name} was not made: {_reason(error)}')
        progress.finish()
  _summarize(new, existing, failed)
  return 1 if failed else 0


def _is_out_of_memory(error: Exception) -> bool:
  return isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(error)


def _reason(error: Exception) -> str:
  """Returns one line; prints the traceback of an unexpected error."""
  if _is_out_of_memory(error):
    return 'there is not enough memory for it. Fewer samples need less.'
  if isinstance(error, OSError) and error.strerror:
    file = f'{error.filename}: ' if error.filename else ''
    return f'{file}{error.strerror}.'
  if not isinstance(error, ValueError | FileNotFoundError):
    traceback.print_exception(error)
  return (str(error) or type(error).__name__).splitlines()[0]


def _summarize(new: int, existing: int, failed: list[str]) -> None:
  parts = [f'{new} made']
  if existing:
    parts.append(f'{existing} existed already, with the same recipe')
  if failed:
    parts.append(f'{len(failed)} failed')
  print(f'Photos: {", ".join(parts)}.')
  if failed:
    print('These failed, for the reasons above:', file=sys.stderr)
    for name in failed[:_LISTED]:
      print(f'  {name}', file=sys.stderr)
  if len(failed) > _LISTED:
    print(f'  and {len(failed) - _LISTED} more', file=sys.stderr)


def replay(args: argparse.Namespace) -> int:
  """Runs `palette replay`.

  Returns:
    The exit code: 0 for the same pixels, 1 for other pixels, 2 if they could
    not be made.
  """
  try:
    recipes.read(args.file)  # fails before the weights are loaded
    replayed = _load(args.checkpoint).replay(args.file, args.input, args.mask)
  except (ValueError, FileNotFoundError) as error:
    print(f'\n{error}', file=sys.stderr)
    return 2
  print(replayed.message)
  return 0 if replayed.is_same else 1
