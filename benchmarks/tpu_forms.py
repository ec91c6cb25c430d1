"""Compiles other forms of a block for a TPU, without having one.

    python -m benchmarks.tpu_forms --block residual attention --images 8

All forms compute the same. Group normalisation by sums (ours), in two passes or
Flax's; attention with heads in the middle (JAX's) or first, with scaled queries
or scaled products of queries and keys, with rounded products or with recomputed
weights; and maps that enter and leave as [h, w, images, channels], XLA's own
layout. Cycles are XLA's estimates (palette_jax/planning/program.py).
"""

import argparse
import contextlib
import functools
from collections.abc import Iterator
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from benchmarks import tpu_block
from palette_jax.models import blocks
from palette_jax.planning import topology


class TwoPasses(nn.Module):
  """Normalises by differences from the mean instead of sums of squares."""

  groups: int

  @nn.compact
  def __call__(
    self,
    x: Array,
    factor: Array | float = 1.0,
    summand: Array | float = 0.0,
  ) -> Array:
    shape = x.shape
    scale = self.param('scale', nn.initializers.ones, [shape[-1]])
    bias = self.param('bias', nn.initializers.zeros, [shape[-1]])
    x = x.astype(jnp.float32).reshape(*shape[:3], self.groups, -1)
    x = x - jnp.mean(x, (1, 2, 4), keepdims=True)
    variance = jnp.mean(x * x, (1, 2, 4), keepdims=True)
    x = (x * jax.lax.rsqrt(variance + 1e-5)).reshape(shape)
    return _modulate(x * scale + bias, factor, summand)


class Flax(nn.Module):
  """Normalises by Flax's GroupNorm."""

  groups: int

  @nn.compact
  def __call__(
    self,
    x: Array,
    factor: Array | float = 1.0,
    summand: Array | float = 0.0,
  ) -> Array:
    x = x.astype(jnp.float32)
    x = nn.GroupNorm(self.groups, epsilon=1e-5, dtype=jnp.float32)(x)
    return _modulate(x, factor, summand)


def _modulate(x: Array, factor: Array | float, summand: Array | float) -> Array:
  factor, summand = jnp.asarray(factor), jnp.asarray(summand)
  if factor.ndim:
    factor, summand = factor[:, None, None], summand[:, None, None]
  return x * factor + summand


def attend(
  query: Float[Array, 'b t heads d'],
  key: Float[Array, 'b t heads d'],
  value: Float[Array, 'b t heads d'],
  first: bool = True,
  before: bool = True,
  kept: DTypeLike = jnp.float32,
) -> Float[Array, 'b t heads d']:
  """Computes attention step by step.

  Args:
    query: the queries.
    key: the keys.
    value: the values.
    first: whether to move heads before t for the products.
    before: whether to scale the queries rather than their products with keys.
    kept: type to which the products are rounded before the softmax.
  """
  order = 'bhtd' if first else 'bthd'
  if first:
    query, key, value = (jnp.moveaxis(x, 2, 1) for x in (query, key, value))
  scale = query.shape[-1] ** -0.5
  query = query * jnp.asarray(scale if before else 1, query.dtype)
  products = jnp.einsum(
    f'{order},{order.replace("t", "s")}->bhts',
    query,
    key,
    preferred_element_type=jnp.float32,
  )
  products = products if before else products * scale
  weights = jax.nn.softmax(products.astype(kept).astype(jnp.float32))
  out = jnp.einsum(
    f'bhts,{order.replace("t", "s")}->{order}',
    weights.astype(value.dtype),
    value,
  )
  return jnp.moveaxis(out, 1, 2) if first else out


NORMS = {'variance in a second pass': TwoPasses, "Flax's norm": Flax}
ATTENTIONS = {
  'heads first, queries scaled': attend,
  'heads first, products scaled': functools.partial(attend, before=False),
  'queries scaled': functools.partial(attend, first=False),
  'heads first, queries scaled, products in bf16': functools.partial(
    attend, kept=jnp.bfloat16
  ),
  'weights computed again': jax.checkpoint(jax.nn.dot_product_attention),
}


class Attention(tpu_block.Block):
  """Self-attention as in the network; it ignores `emb`."""

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b h w c'], emb: Float[Array, 'b e']
  ) -> Float[Array, 'b h w c']:
    return blocks.SelfAttention(64, 32, jnp.dtype(self.dtype))(x)


def forms(
  block: str,
) -> Iterator[tuple[str, contextlib.AbstractContextManager]]:
  """Yields the forms' names, and patches that put them into the block."""
  yield 'as it is', contextlib.nullcontext()
  if block == 'residual':
    for name, norm in NORMS.items():
      yield name, mock.patch.object(blocks, 'GroupNorm', norm)
  else:
    for name, attention in ATTENTIONS.items():
      yield name, mock.patch.object(jax.nn, 'dot_product_attention', attention)


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--topology', default='v5e:1x1', help='a slice')
  kinds = 'residual', 'attention'
  parser.add_argument('--block', nargs='+', default=kinds, choices=kinds)
  parser.add_argument('--images', type=int, default=8, help='per chip')
  parser.add_argument(
    '--size', type=int, default=0, help='default: 256, or 32 for attention'
  )
  parser.add_argument(
    '--channels', type=int, default=0, help='default: 256, or 512 for attention'
  )
  parser.add_argument('--forms', nargs='+', help='all by default')
  args = parser.parse_args()
  place = topology.describe(args.topology)
  print('| slice | images | block | form | M cycles | of peak | temporaries |')
  print('|---|---:|---|---|---:|---:|---:|')
  for block in args.block:
    attention = block == 'attention'
    size = args.size or (32 if attention else 256)
    channels = args.channels or (512 if attention else 256)
    if attention:
      module = Attention(features=channels, dtype='bfloat16')
    else:
      module = tpu_block.Chain(
        features=channels, dtype='bfloat16', length=1, remat='none'
      )
    for name, patch in forms(block):
      for by_rows in (False, True) if name == 'as it is' else (False,):
        label = 'given as [h, w, images, channels]' if by_rows else name
        if args.forms and label not in args.forms:
          continue
        with patch:
          cost = tpu_block.compile_one(
            module, args.images, size, place, by_rows
          )
        print(
          f'| {place.name} | {args.images} | {block} | {label} '
          f'| {cost.cycles / 1e6:.2f} | {cost.share(place.chip):.1%} '
          f'| {cost.temporaries / 2**30:.2f} GiB |',
          flush=True,
        )


if __name__ == '__main__':
  main()
