"""One model for several tasks: each example is of one of them.

Palette, section 5.7, trains colorization, inpainting and JPEG restoration
together. The paper does not state the shares; here they are equal. Nothing
tells the network which task it faces: the condition shows it.
"""

import functools

import numpy as np
from etils import epy
from jaxtyping import Float

from palette_jax import tasks as registry

with epy.lazy_imports():
  import tensorflow as tf

SECTION = '5.7'
LABEL = 'Multi-task'
CASES = ()  # A model of several tasks is evaluated at each of them.
TASKS = ('colorization', 'inpainting', 'jpeg')


def corrupt(
  record: dict[str, 'tf.Tensor'],
  seed: 'tf.Tensor',
  tasks: tuple[str, ...] = TASKS,
) -> registry.Example:
  """Makes an example: see `tasks.Task`.

  Args:
    record: of the clean image.
    seed: int32[2].
    tasks: names of the tasks, in equal shares.

  Returns:
    target, cond, given.
  """
  index, seed_corrupt = _choose(seed, tasks)
  branches = [
    functools.partial(registry.get(name).corrupt, record, seed_corrupt)
    for name in tasks
  ]
  return tf.switch_case(index, branches)


def draws(
  seed: 'tf.Tensor', tasks: tuple[str, ...] = TASKS
) -> dict[str, 'tf.Tensor']:
  """Returns the task, and the draws of that task."""
  index, seed_corrupt = _choose(seed, tasks)
  values = {'task': tf.constant(tasks)[index]}
  for i, name in enumerate(tasks):
    for key, value in registry.draws(name)(seed_corrupt).items():
      otherwise = values.get(key, tf.zeros_like(value))
      values[key] = tf.where(index == i, value, otherwise)
  return values


def _choose(
  seed: 'tf.Tensor', tasks: tuple[str, ...]
) -> tuple['tf.Tensor', 'tf.Tensor']:
  """Returns the index of a task, and the seed of its corruption."""
  seed_task, seed_corrupt = tf.unstack(
    tf.random.experimental.stateless_split(seed, 2)
  )
  index = tf.random.stateless_uniform(
    [], seed_task, 0, len(tasks), dtype=tf.int32
  )
  return index, seed_corrupt


def prepare(
  photo: Float[np.ndarray, 'h w 3'],
  mask: Float[np.ndarray, 'h w 1'] | None = None,
  seed: int = 0,
) -> tuple[Float[np.ndarray, 'h w 3'], Float[np.ndarray, 'h w 1']]:
  """Fills a hole with noise, or takes the photo as it is: see `tasks.Task`.

  A photo to be colorized must be grey already: to the network, a photo in
  colour is one with JPEG artefacts.
  """
  if mask is None or np.all(mask > 0.5):
    return registry.take_whole(photo)
  return registry.fill_with_noise(photo, mask, seed)
