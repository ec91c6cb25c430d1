"""Any image to any other, learnt from pairs: night to day, edges to photos.

Not one of Palette's tasks, and the whole of its idea: what is given and what is
wanted are two files of the same name (`data.source=pairs:/from,/to`), cropped
alike.
"""

from etils import epy

from palette_jax import givens
from palette_jax.tasks import jpeg

with epy.lazy_imports():
  import tensorflow as tf

prepare = jpeg.prepare  # the photo as it is


def corrupt(record: dict, seed: 'tf.Tensor') -> tuple:
  """The task contract (palette_jax/tasks/__init__.py).

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
