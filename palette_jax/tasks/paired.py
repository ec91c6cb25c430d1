"""Any image to any other, learned from pairs: night to day, edges to photos.

Not a task of the paper, but its idea in full: input and target are two files of
the same name (`data.source=pairs:/from,/to`), cropped alike.
"""

from etils import epy

from palette_jax import givens, tasks

with epy.lazy_imports():
  import tensorflow as tf

LABEL = 'Image pairs'


def corrupt(record: dict[str, 'tf.Tensor'], seed: 'tf.Tensor') -> tasks.Example:
  """Makes an example: see `tasks.Task`.

  Raises:
    ValueError: if the images are not pairs.
  """
  del seed
  if 'source' not in record:
    raise ValueError(
      "The task 'paired' learns from pairs, and these are single images: give "
      '--config.data.source=pairs:/from/what,/to/what.'
    )
  target = record['image']
  given = givens.DEGRADED * tf.ones_like(target[..., :1])
  return target, record['source'], given
