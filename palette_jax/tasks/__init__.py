"""What is wrong with an image: one file a task, found by its name.

A task is a module of this folder with two functions:

  corrupt(record, seed, **options) -> target, cond, given
    Makes one training example in stateless TensorFlow graph operations, all
    uint8. record['image'] is the clean image, [h, w, 3]; seed is int32[2].
    given, [h, w, 1], says what the model is given at each pixel, one of
    palette_jax/givens.py: TRUTH where cond equals target, DEGRADED everywhere
    for a global task. A hole is NOISE; cond there is not looked at.

  prepare(photo, mask=None, seed=0, **options) -> cond, mask
    Makes the same in NumPy from somebody's own degraded photo, where no clean
    image exists, as the network will have it: photo and cond [h, w, 3] float32
    in [-1, 1], noise in the holes; mask [h, w, 1], 1 where it must paint.

and, where chance decides something that has a name, a third:

  drawn(seed, **options) -> values by name
    What `corrupt` draws from the same seed, of the same options, for people to
    read: a quality, a side. Tensors; 0 or '' where it is not drawn this time.

Nothing else knows a task's name: adding a file here adds it to the configs,
the command line and the tests.
"""

import difflib
import functools
import importlib
import inspect
import pkgutil
import types
from collections.abc import Callable, Iterable


def names() -> list[str]:
  """The names of all tasks, sorted."""
  return sorted(module.name for module in pkgutil.iter_modules(__path__))


def nearest(word: str, known: Iterable[str]) -> str:
  """'; did you mean ...?' if a known word is close, and the list of them."""
  known = sorted(known)
  close = difflib.get_close_matches(word, known, n=1)
  hint = f' Did you mean {close[0]!r}?' if close else ''
  return f'{hint} Known: {", ".join(known)}.'


def get(name: str) -> types.ModuleType:
  """The module of a task.

  Raises:
    ValueError: if there is no such task.
  """
  if name not in names():
    raise ValueError(f'There is no task {name!r}.{nearest(name, names())}')
  return importlib.import_module(f'{__name__}.{name}')


def drawing(name: str, **options) -> Callable:
  """A task's `drawn` with its options bound: seed -> values by name."""
  if not hasattr(get(name), 'drawn'):
    return lambda seed: {}
  return functools.partial(get(name).drawn, **options)


def corruption(name: str, **options) -> Callable:
  """A task's `corrupt` with its options bound: (record, seed) -> example.

  Raises:
    ValueError: if there is no such task, or the task has no such option.
  """
  corrupt = get(name).corrupt
  known = set(inspect.signature(corrupt).parameters) - {'record', 'seed'}
  for option in options:
    if option not in known:
      raise ValueError(
        f'Task {name!r} has no option {option!r}.{nearest(option, known)}'
      )
  return functools.partial(corrupt, **options)
