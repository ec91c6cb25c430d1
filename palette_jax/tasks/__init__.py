"""Tasks: one file each, which holds all that the package knows of a task.

A new file in this folder is a new task: it can be trained by its name
(`--config=configs/task.py:NAME`), has its command line, evaluation cases and
baseline, and `palette inspect` shows its examples. `Task` lists what a file may
define: functions by their names, constants in upper case (`VERB = 'colorize'`).
Only `corrupt` is required.
"""

import dataclasses
import difflib
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

if TYPE_CHECKING:
  import tensorflow as tf

# target, cond, given: see Task.corrupt.
Example = tuple['tf.Tensor', 'tf.Tensor', 'tf.Tensor']
# Name of an image, its height and width -> float32 [h, w, 1], 1 in the hole.
Hole = Callable[[str, int, int], Float[np.ndarray, 'h w 1']]

_FUNCTIONS = ('corrupt', 'prepare', 'draws', 'baseline')


def take_whole(
  photo: Float[np.ndarray, 'h w 3'],
  mask: Float[np.ndarray, 'h w 1'] | None = None,
  seed: int = 0,
) -> tuple[Float[np.ndarray, 'h w 3'], Float[np.ndarray, 'h w 1']]:
  """Takes the photo as the condition, and paints all of it.

  Raises:
    ValueError: if there is a mask.
  """
  del seed
  if mask is not None:
    raise ValueError('This task repaints the whole image and takes no mask.')
  return photo, np.ones_like(photo[..., :1])


def fill_with_noise(
  photo: Float[np.ndarray, 'h w 3'],
  mask: Float[np.ndarray, 'h w 1'] | None = None,
  seed: int = 0,
) -> tuple[Float[np.ndarray, 'h w 3'], Float[np.ndarray, 'h w 1']]:
  """Fills the hole of a photo with noise.

  Args:
    photo: in [-1, 1]; its values in the hole do not matter.
    mask: 1 in the hole.
    seed: of the noise.

  Raises:
    ValueError: if there is no mask.
  """
  if mask is None:
    raise ValueError('The hole is unknown: give a mask that is 1 inside it.')
  noise = np.random.default_rng(seed).standard_normal(photo.shape, np.float32)
  return np.where(mask > 0.5, noise, photo), mask


@dataclasses.dataclass(frozen=True)
class Task:
  """A task, as its file defines it.

  Attributes:
    name: of the file, without its suffix.
    corrupt: corrupt(record, seed, **options) -> target, cond, given. Makes a
      training example by stateless TensorFlow operations, all uint8.
      record['image'] is the clean image, [h, w, 3]; seed is int32[2]. given,
      [h, w, 1], holds a code of what the network is given at each pixel
      (palette_jax/givens.py): TRUTH where cond equals target, DEGRADED
      everywhere for a task that repaints the whole image, NOISE in a hole,
      where the values of cond do not matter.
    prepare: prepare(photo, mask=None, seed=0) -> cond, mask. Does the same to
      a degraded photo, in NumPy: photo and cond are [h, w, 3] float32 in
      [-1, 1], with noise in the hole; mask is [h, w, 1], 1 where the network
      paints. By default `fill_with_noise` for a task with a hole, else
      `take_whole`.
    draws: draws(seed, **options) -> tensors by name. The random choices of
      `corrupt` for the same seed and options that have a name, such as a
      quality or a side; 0 or '' where a choice was not made.
    section: the section of the paper; tasks are listed in this order.
    label: its name on pages and in tables.
    verb: the method of `palette_jax.Model`, and the command, which has '-' for
      '_'. Without a verb, the task cannot be applied to photos.
    participle: a word for names of result files, such as 'colorized'.
    summary: one line of help for the command.
    description: the help of the command.
    has_hole: whether a mask says what is painted; otherwise everything is.
    is_unconditional: whether the network is given nothing. Such a network fills
      holes by imputation.
    needs_lossless: whether training images must not have been JPEGs.
    holes: the holes in which it is evaluated, by the name of the setting.
    settings: the options of `corrupt` with which it is evaluated, by the name
      of the setting; not used if there are `holes`.
    cases: the settings of the paper's main tables; none if the task is not
      evaluated itself.
    metrics: names of metrics that are defined for this task only.
    baseline: baseline(image_u8, mask) -> image_u8. Answers without a model,
      from the image that a model is given; None takes that image as it is.
    baseline_label: the name of that answer in tables.
  """

  name: str
  corrupt: Callable[..., Example]
  prepare: Callable[..., tuple[np.ndarray, np.ndarray]] = take_whole
  draws: Callable[..., dict[str, 'tf.Tensor']] | None = None
  section: str = ''
  label: str = ''
  verb: str = ''
  participle: str = ''
  summary: str = ''
  description: str = ''
  has_hole: bool = False
  is_unconditional: bool = False
  needs_lossless: bool = False
  holes: Mapping[str, Hole] = dataclasses.field(default_factory=dict)
  settings: Mapping[str, Mapping[str, Any]] = dataclasses.field(
    default_factory=lambda: {'': {}}
  )
  cases: tuple[str, ...] = ('',)
  metrics: tuple[str, ...] = ()
  baseline: (
    Callable[
      [UInt8[np.ndarray, 'h w 3'], Bool[np.ndarray, 'h w']],
      UInt8[np.ndarray, 'h w 3'],
    ]
    | None
  ) = None
  baseline_label: str = 'The input'

  @property
  def command(self) -> str:
    """Its name on the command line."""
    return self.verb.replace('_', '-')

  @property
  def options(self) -> dict[str, Any]:
    """The options of `corrupt`, with their defaults."""
    parameters = inspect.signature(self.corrupt).parameters
    return {
      name: parameter.default
      for name, parameter in parameters.items()
      if name not in ('record', 'seed')
    }


def names() -> list[str]:
  """Returns the names of all tasks, sorted."""
  return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name: str) -> Task:
  """Returns a task.

  Raises:
    ValueError: if there is no such task.
  """
  if name not in names():
    raise ValueError(f'There is no task {name!r}.{nearest(name, names())}')
  module = importlib.import_module(f'{__name__}.{name}')
  if not hasattr(module, 'corrupt'):
    raise TypeError(f'{module.__file__} defines no corrupt(record, seed).')
  spelling = {
    field.name: field.name if field.name in _FUNCTIONS else field.name.upper()
    for field in dataclasses.fields(Task)
  }
  defined: dict[str, Any] = {
    field: getattr(module, attribute)
    for field, attribute in spelling.items()
    if hasattr(module, attribute)
  }
  label = defined.get('label', name.replace('_', ' ').capitalize())
  summary = defined.get('summary', label)
  defaults: dict[str, Any] = {
    'name': name,
    'label': label,
    'summary': summary,
    'description': f'{summary}.',
    'participle': defined.get('verb', name),
    'prepare': fill_with_noise if defined.get('has_hole') else take_whole,
  }
  return Task(**defaults | defined)


def every() -> list[Task]:
  """Returns all tasks, in the order of the paper and then by name."""
  return sorted(
    map(get, names()), key=lambda task: (task.section or '~', task.name)
  )


def for_photos() -> list[Task]:
  """Returns the tasks that have a verb, in the order of the paper."""
  return [task for task in every() if task.verb]


def corruption(name: str, **options: Any) -> Callable[..., Example]:
  """Returns a task's `corrupt` with its options bound: record, seed -> example.

  Raises:
    ValueError: if there is no such task, or the task has no such option.
  """
  task = get(name)
  for option in options:
    if option not in task.options:
      raise ValueError(
        f'Task {name!r} has no option {option!r}.'
        f'{nearest(option, task.options)}'
      )
  return functools.partial(task.corrupt, **options)


def draws(
  name: str, **options: Any
) -> Callable[['tf.Tensor'], dict[str, 'tf.Tensor']]:
  """Returns a task's `draws` with its options bound: seed -> values by name."""
  task = get(name)
  if task.draws is None:
    return lambda seed: {}
  return functools.partial(task.draws, **options)


def nearest(word: str, known: Iterable[str]) -> str:
  """Suggests a known word that is close to `word`, and lists all of them."""
  known = sorted(known)
  close = difflib.get_close_matches(word, known, n=1)
  hint = f' Did you mean {close[0]!r}?' if close else ''
  return f'{hint} Known: {", ".join(known)}.'
