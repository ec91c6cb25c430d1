"""What a few bytes say of an array: whether it is still what it was."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


class Digest(NamedTuple):
  """What is remembered of a leaf: a sum over its bits; are they numbers?"""

  checksum: int
  finite: bool


def named(tree: PyTree) -> dict[str, Any]:
  """The leaves by their names: params/middle/kernel."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf
    for path, leaf in leaves
  }


def of_leaves(tree: PyTree) -> dict[str, Digest]:
  """A 32-bit checksum over the bits of each leaf, by name; and all finite?

  It weighs each word by its position and wraps, so that it depends on every
  bit and not on how the leaf lies over devices.
  """
  # All start before one is awaited.
  found = {name: _digest(leaf) for name, leaf in named(tree).items()}
  return {
    name: Digest(int(checksum), bool(finite))
    for name, (checksum, finite) in found.items()
  }


@jax.jit  # leaf by leaf: most have the shape of another, and compile once
def _digest(array: Array):
  is_key = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
  bits = jax.random.key_data(array) if is_key else array
  words = jax.lax.bitcast_convert_type(bits, jnp.uint32)
  position = jnp.zeros(words.shape, jnp.uint32)
  for axis, size in enumerate(words.shape):
    position = position * jnp.uint32(size) + jax.lax.broadcasted_iota(
      jnp.uint32, words.shape, axis
    )
  checksum = jnp.sum(words * (2 * position + 1), dtype=jnp.uint32)
  return checksum, jnp.isfinite(bits).all()
