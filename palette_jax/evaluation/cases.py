"""Evaluation cases: a task with everything that training draws at random fixed.

  colorization
  inpainting:centre, :10-20%, :20-30%, :30-40%      (Tables 2 and 9)
  uncropping:right                                  (Table 3)
  jpeg:5, :10, :20                                  (Table 4)

and so on: a task's name, and one of its settings (`holes` or `settings` of
`palette_jax.tasks.Task`). A free-form hole is a function of its image's name.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epy
from jaxtyping import Float, UInt8

from palette_jax import givens, tasks

with epy.lazy_imports():
  import tensorflow as tf

_LISTED = 8  # settings of a task that a message names


class Case(NamedTuple):
  """A task with all its random choices fixed, for evaluation.

  Attributes:
    name: TASK or TASK:SETTING.
    corrupt: as a task's; it knows no image's name, so it cuts no holes.
    hole: the hole of an image; None for a task without one.
  """

  name: str
  corrupt: Callable[..., tasks.Example]
  hole: tasks.Hole | None = None

  @property
  def task(self) -> str:
    """The name of the task that a model must have learnt."""
    return task_of(self.name)

  @property
  def folder(self) -> str:
    """The name without characters that a folder's name cannot have."""
    return self.name.replace(':', '-').replace('%', '')


def task_of(name: str) -> str:
  """Returns the name of a case's task."""
  return name.partition(':')[0]


def of_task(task: tasks.Task) -> list[str]:
  """Returns the names of the cases of the paper's main tables."""
  return [_name(task, setting) for setting in task.cases]


def names() -> list[str]:
  """Returns the names of the paper's cases of all tasks for photos."""
  return [name for task in tasks.for_photos() for name in of_task(task)]


def get(name: str, **options: Any) -> Case:
  """Returns a case.

  Args:
    name: TASK or TASK:SETTING.
    **options: of the task's `corrupt`, where the setting leaves them open.

  Raises:
    ValueError: if there is no such case.
  """
  task = tasks.get(task_of(name))
  setting = name.partition(':')[2]
  if not task.cases:
    raise ValueError(f'{name!r} is evaluated at each of its tasks: name those.')
  settings = task.holes or task.settings
  if setting not in settings or name != _name(task, setting):
    known = [_name(task, known) for known in settings]
    if len(known) > _LISTED:
      known = [known[0], '...', known[-1], 'the paper has ' + of_task(task)[0]]
      known += of_task(task)[1:]
    raise ValueError(
      f'{name!r} is not a case of {task.name}. Write one of {", ".join(known)}.'
    )
  if task.holes:
    return Case(name, keep, task.holes[setting])
  options |= task.settings[setting]
  return Case(name, tasks.corruption(task.name, **options))


def of_config(config: dict[str, Any], chosen: Sequence[str]) -> list[Case]:
  """Returns the cases at which a model is evaluated.

  Args:
    config: `config.task` of the model's run.
    chosen: names of cases; none for those of the paper's main tables.

  Raises:
    ValueError: for an unknown case, or one that the model has not learnt.
  """
  options = dict(config)
  own = tasks.get(options.pop('name'))
  learnt = tuple(options.get('tasks', (own.name,)))
  chosen = chosen or [
    name for task in learnt for name in of_task(tasks.get(task))
  ]
  if own.is_unconditional:
    learnt += tuple(task.name for task in tasks.every() if task.holes)
  cases = []
  for name in chosen:
    # The case fixes the options that training draws; the others stay.
    case = get(name, **options if task_of(name) == own.name else {})
    if case.task not in learnt:
      raise ValueError(
        f'{case.name} is no task of this model, which has learnt '
        f'{", ".join(learnt)}.'
      )
    cases.append(case)
  return cases


def with_hole(
  target: UInt8[np.ndarray, 'h w 3'], hole: Float[np.ndarray, 'h w 1']
) -> tuple[UInt8[np.ndarray, 'h w 3'], UInt8[np.ndarray, 'h w 1']]:
  """Returns the cond and given of a task for a hole."""
  return target, np.uint8(givens.NOISE) * (hole > 0.5)


def keep(record: dict[str, 'tf.Tensor'], seed: 'tf.Tensor') -> tasks.Example:
  """Corrupts nothing: the hole is cut later, when the image's name is known."""
  del seed
  target = record['image']
  return target, target, givens.TRUTH * tf.ones_like(target[..., :1])


def _name(task: tasks.Task, setting: str) -> str:
  return f'{task.name}:{setting}' if setting else task.name
