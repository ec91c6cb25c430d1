"""Other ways to write a block, each compiled for a TPU that is not here.

    python -m benchmarks.tpu_forms --block residual attention --images 8

The block as it is beside forms that compute the same: group normalisation by
sums (ours), in two passes or Flax's; attention with heads in the middle (JAX's)
or first, with queries scaled or their products with keys, with these rounded,
or the weights computed again; and maps given as [h, w, images, channels], as
XLA lays them out inside.
Cycles are XLA's estimates (palette_jax/planning/program.py).
"""

import argparse
import contextlib
import functools
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp

from benchmarks import tpu_block
from palette_jax.models import blocks
from palette_jax.planning import topology


class TwoPasses(nn.Module):
  """The variance by the differences from the mean, not by sums of squares."""

  groups: int

  @nn.compact
  def __call__(self, x, factor=1.0, summand=0.0):
    shape = x.shape
    scale = self.param('scale', nn.initializers.ones, [shape[-1]])
    bias = self.param('bias', nn.initializers.zeros, [shape[-1]])
    x = x.astype(jnp.float32).reshape(*shape[:3], self.groups, -1)
    x = x - jnp.mean(x, (1, 2, 4), keepdims=True)
    variance = jnp.mean(x * x, (1, 2, 4), keepdims=True)
    x = (x * jax.lax.rsqrt(variance + 1e-5)).reshape(shape)
    return _modulate(x * scale + bias, factor, summand)


class Flax(nn.Module):
  """Flax's own."""

  groups: int

  @nn.compact
  def __call__(self, x, factor=1.0, summand=0.0):
    x = x.astype(jnp.float32)
    x = nn.GroupNorm(self.groups, epsilon=1e-5, dtype=jnp.float32)(x)
    return _modulate(x, factor, summand)


def _modulate(x, factor, summand):
  factor, summand = jnp.asarray(factor), jnp.asarray(summand)
  if factor.ndim:
    factor, summand = factor[:, None, None], summand[:, None, None]
  return x * factor + summand


def attend(query, key, value, first=True, before=True, kept=jnp.float32):
  """Attention written out.

  Args:
    query: of [b t heads d], as `key` and `value`.
    key: see there.
    value: see there.
    first: heads come before t, transposed before and after.
    before: it is the queries that are scaled, not their products with keys.
    kept: in what the products are rounded before the softmax.
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


class Attention(nn.Module):
  """Self-attention as in the network; `emb` is not used."""

  features: int
  dtype: str

  @nn.compact
  def __call__(self, x, emb):
    return blocks.SelfAttention(64, 32, jnp.dtype(self.dtype))(x)


def forms(block):
  """Names of forms, and what takes the place of what."""
  yield 'as it is', contextlib.nullcontext()
  if block == 'residual':
    for name, norm in NORMS.items():
      yield name, mock.patch.object(blocks, 'GroupNorm', norm)
  else:
    for name, attention in ATTENTIONS.items():
      yield name, mock.patch.object(jax.nn, 'dot_product_attention', attention)


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--topology', default='v5e:1x1')
  kinds = 'residual', 'attention'
  parser.add_argument('--block', nargs='+', default=kinds, choices=kinds)
  parser.add_argument('--images', type=int, default=8)
  parser.add_argument('--size', type=int, default=0, help='256 or 32')
  parser.add_argument('--channels', type=int, default=0, help='256 or 512')
  parser.add_argument('--forms', nargs='+', help='all by default')
  args = parser.parse_args()
  place = topology.describe(args.topology)
  print('| slice | images | block | form | M cycles | of peak | temporaries |')
  print('|---|---:|---|---|---:|---:|---:|')
  for block in args.block:
    small = block == 'attention'
    size = args.size or (32 if small else 256)
    channels = args.channels or (512 if small else 256)
    if small:
      module = Attention(channels, 'bfloat16')
    else:
      module = tpu_block.Chain(1, channels, 'bfloat16', 'none')
    for name, patch in forms(block):
      for by_rows in (False, True) if name == 'as it is' else (False,):
        label = 'given as [h, w, images, channels]' if by_rows else name
        if args.forms and label not in args.forms:
          continue
        with patch:
          cycles, work, memory = tpu_block.compile_one(
            module, args.images, size, place, by_rows
          )
        share = work * place.chip.clock / cycles / place.chip.peak_flops
        print(
          f'| {place.name} | {args.images} | {block} | {label} '
          f'| {cycles / 1e6:.2f} | {share:.1%} '
          f'| {memory.temp_size_in_bytes / 2**30:.2f} GiB |',
          flush=True,
        )


if __name__ == '__main__':
  main()
