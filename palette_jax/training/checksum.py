"""Array checksums, which reveal flipped bits in a checkpoint."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree, UInt32

from palette_jax import arrays


class Digest(NamedTuple):
  """A leaf's digest.

  Attributes:
    checksum: 32 bits that depend on every bit of the leaf.
    finite: whether no element is NaN or infinite.
  """

  checksum: int
  finite: bool


def digests(tree: PyTree) -> dict[str, Digest]:
  """Returns the digests of a tree's leaves, by path.

  A checksum weights each word by its position and wraps: it depends on every
  bit, and not on how the leaf is sharded.
  """
  leaves = arrays.leaves_by_path(tree)
  # All start before the first is awaited.
  started = {path: _digest(leaf) for path, leaf in leaves.items()}
  return {
    path: Digest(int(checksum), bool(finite))
    for path, (checksum, finite) in started.items()
  }


@jax.jit  # leaf by leaf: many share a shape, which compiles once
def _digest(array: Array) -> tuple[UInt32[Array, ''], Bool[Array, '']]:
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
