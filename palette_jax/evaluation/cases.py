"""What is done to the images that are judged: a task, and nothing by chance.

  colorization
  inpainting:centre, :10-20%, :20-30%, :30-40%      (Tables 2 and 9)
  uncropping:right                                  (Table 3)
  jpeg:5, :10, :20                                  (Table 4)

and every other task by its name. Training draws holes and qualities; here they
are stated, and a free-form hole belongs to its image's name.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from etils import epy

from palette_jax import givens, tasks
from palette_jax.evaluation import holes

with epy.lazy_imports():
  import tensorflow as tf

OF_TASK = {  # what the paper's main tables have
  'colorization': ('colorization',),
  'inpainting': ('inpainting:20-30%', 'inpainting:centre'),
  'uncropping': ('uncropping:right',),
  'jpeg': ('jpeg:5', 'jpeg:10', 'jpeg:20'),
}
_HOLES = {
  'inpainting': ('centre', *holes.BINS),
  'uncropping': ('right',),
}


class Case(NamedTuple):
  """A task as it is evaluated.

  Attributes:
    name: as above.
    corrupt: as a task's, of what belongs to the whole image.
    hole: name of an image, height and width -> float32 [h, w, 1], 1 in the
      hole; None for a task without one.
  """

  name: str
  corrupt: Callable
  hole: Callable[[str, int, int], np.ndarray] | None = None

  @property
  def task(self) -> str:
    """What the model must have learnt."""
    return self.name.partition(':')[0]

  @property
  def folder(self) -> str:
    """The name, as a file may be called."""
    return self.name.replace(':', '-').replace('%', '')


def get(name: str, **options) -> Case:
  """The case of that name.

  Args:
    name: as above.
    **options: of the task's `corrupt`, where the case leaves them open.

  Raises:
    ValueError: if there is none; says which there are.
  """
  task, _, setting = name.partition(':')
  if task in _HOLES:
    if setting not in _HOLES[task]:
      known = ', '.join(f'{task}:{hole}' for hole in _HOLES[task])
      raise ValueError(f'{name!r} says not where the hole is: {known}.')
    return Case(name, as_it_is, functools.partial(_hole, setting))
  if task == 'jpeg':
    if not (setting.isdecimal() and 1 <= int(setting) <= 100):
      raise ValueError(
        f'{name!r}: write jpeg:QUALITY, 1 to 100; the paper has jpeg:5, '
        'jpeg:10 and jpeg:20.'
      )
    options = {'quality': (int(setting), int(setting))}
  elif setting:
    raise ValueError(f'{name!r}: {task} is judged in one way; write {task!r}.')
  elif task == 'multitask':
    raise ValueError('A multi-task model is judged at each of its tasks.')
  return Case(name, tasks.corruption(task, **options))


def of_config(task: dict, chosen: Sequence[str]) -> list[Case]:
  """What a model of this task is judged at.

  Args:
    task: `config.task`.
    chosen: names of cases; none for those of the paper's main tables.

  Raises:
    ValueError: for a case that there is not, or that the model has not learnt.
  """
  options = dict(task)
  name = options.pop('name')
  learnt = options.get('tasks', (name,))
  if not chosen:
    chosen = [case for one in learnt for case in OF_TASK.get(one, (one,))]
  if name == 'unconditional':
    learnt += tuple(_HOLES)  # by imputation
  found = []
  for wanted in chosen:
    # What training draws is stated by the case; other options stay.
    case = get(wanted, **{} if wanted.partition(':')[0] in OF_TASK else options)
    if case.task not in learnt:
      raise ValueError(
        f'{case.name} is no task of this model, which has learnt '
        f'{", ".join(learnt)}.'
      )
    found.append(case)
  return found


def with_hole(
  target: np.ndarray, hole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """uint8 [h, w, 3] and a mask [h, w, 1] -> cond and given, as a task's."""
  return target, np.uint8(givens.NOISE) * (hole > 0.5)


def as_it_is(record: dict, seed: 'tf.Tensor') -> tuple:
  """No corruption: the hole is cut where the image's name is known."""
  del seed
  target = record['image']
  return target, target, givens.TRUTH * tf.ones_like(target[..., :1])


def _hole(setting, name, height, width):
  if setting in holes.BINS:
    return holes.free_form_of(name, setting, height, width).numpy()
  if setting == 'right':
    return holes.right_half(height, width)
  return holes.centre(height, width)
