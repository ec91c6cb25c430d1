"""One model for several tasks: each example is drawn from one of them.

Palette, section 5.7, trains colorization, inpainting and JPEG restoration
together. The shares are not stated; here they are equal. Nothing tells the
network which task it faces: the damage is plain to see in the condition.
"""

import functools

import numpy as np
from etils import epy

from palette_jax import tasks as registry

with epy.lazy_imports():
  import tensorflow as tf


def corrupt(
  record: dict,
  seed: 'tf.Tensor',
  tasks: tuple[str, ...] = ('colorization', 'inpainting', 'jpeg'),
) -> tuple:
  """The task contract (palette_jax/tasks/__init__.py).

  Args:
    record: of the clean image.
    seed: int32[2].
    tasks: names of the tasks, in equal shares.

  Returns:
    target, cond, given.
  """
  chosen, seed_corrupt = _draw(seed, tasks)
  branches = [
    functools.partial(registry.get(name).corrupt, record, seed_corrupt)
    for name in tasks
  ]
  return tf.switch_case(chosen, branches)


def drawn(
  seed: 'tf.Tensor',
  tasks: tuple[str, ...] = ('colorization', 'inpainting', 'jpeg'),
) -> dict:
  """The task contract: the task, and what that task draws."""
  chosen, seed_corrupt = _draw(seed, tasks)
  found = {'task': tf.constant(tasks)[chosen]}
  for i, name in enumerate(tasks):
    for key, value in registry.drawing(name)(seed_corrupt).items():
      otherwise = found.get(key, tf.zeros_like(value))
      found[key] = tf.where(chosen == i, value, otherwise)
  return found


def _draw(seed, tasks):
  """Which of the tasks, and the seed of what it does."""
  seed_task, seed_corrupt = tf.unstack(
    tf.random.experimental.stateless_split(seed, 2)
  )
  chosen = tf.random.stateless_uniform(
    [], seed_task, 0, len(tasks), dtype=tf.int32
  )
  return chosen, seed_corrupt


def prepare(
  photo: np.ndarray, mask: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """The task contract: a hole is filled, any other photo is taken as it is.

  A photo to be coloured must already be grey: a colour photo looks like one to
  be cleaned of JPEG artefacts.
  """
  if mask is None or np.all(mask > 0.5):
    return photo, np.ones_like(photo[..., :1])
  return registry.get('inpainting').prepare(photo, mask, seed)
