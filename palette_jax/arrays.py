"""Types of arrays that the whole package shares.

An image is float32 in [-1, 1], rows first, three channels; a name that ends in
`_u8` holds uint8 in [0, 255] instead, as do the fields of `Examples`, which
travel to the device. Symbols follow the paper: y_0 is the clean target, y_t its
noisy version at noise level gamma, eps the noise. The paper's condition x is
`cond` here and its network f is `denoise_fn`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float, PyTree

Params = PyTree

# denoise_fn(params, y_t, cond, gamma) -> eps
#   y_t, cond, eps: [b h w 3];  gamma: [b], in [0, 1]
DenoiseFn = Callable[
  [
    Params,
    Float[Array, 'b h w 3'],
    Float[Array, 'b h w 3'],
    Float[Array, ' b'],
  ],
  Float[Array, 'b h w 3'],
]

Metrics = dict[str, Array]


class Examples(NamedTuple):
  """A batch on the host, with a quarter of the bytes of a `Batch`.

  `process.complete` turns it into a `Batch` on the device.

  Attributes:
    target: uint8 [b h w 3], the clean image.
    cond: uint8 [b h w 3], the degraded image where `given` is DEGRADED; the
      same as target where it is TRUTH; ignored elsewhere.
    given: uint8 [b h w 1], codes of palette_jax/givens.py. A record that could
      not be read is TRUTH everywhere and so has no weight.
  """

  target: Array
  cond: Array
  given: Array


class Batch(NamedTuple):
  """A batch to train the network on, with the same structure for every task.

  Attributes:
    target: [b h w 3], the clean image.
    cond: [b h w 3], the condition: the degraded image.
    mask: [b h w 1], 1 where the network must paint and 0 where `cond` is
      already right. It is 1 everywhere for a task without holes, and 0
      everywhere for a record that could not be read, which so has no weight in
      the loss.
  """

  target: Array
  cond: Array
  mask: Array


def leaves_by_path(tree: PyTree) -> dict[str, Any]:
  """Returns a tree's leaves by their paths, such as middle/conv1/kernel."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf
    for path, leaf in leaves
  }
