"""One residual block and its gradient, compiled for a TPU that is not here.

    python -m benchmarks.tpu_block --images 4 8 --remat none kept all

The block takes minutes where the network takes the better part of an hour, and
shows what decides its speed: how many images a chip has, what is kept for the
gradient. Cycles are XLA's estimates (palette_jax/planning/program.py).
"""

import argparse
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp

from palette_jax.models import blocks, flops
from palette_jax.planning import program, topology

REMAT = {
  'none': lambda module: module,
  'kept': lambda module: nn.remat(
    module,
    policy=jax.checkpoint_policies.save_only_these_names(blocks.KEPT),
  ),
  'all': nn.remat,
}


class Chain(nn.Module):
  """Residual blocks one after another."""

  length: int
  features: int
  dtype: str
  remat: str

  @nn.compact
  def __call__(self, x, emb):
    for i in range(self.length):
      block = REMAT[self.remat](blocks.ResBlock)
      dtype = jnp.dtype(self.dtype)
      x = block(self.features, 32, dtype, name=f'block{i}')(x, emb)
    return x


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--topology', default='v5e:1x1')
  parser.add_argument('--images', type=int, nargs='+', default=[4, 8])
  parser.add_argument('--remat', nargs='+', default=['none'], choices=REMAT)
  parser.add_argument('--size', type=int, default=256)
  parser.add_argument('--channels', type=int, default=256)
  parser.add_argument('--length', type=int, default=1)
  args = parser.parse_args()
  place = topology.describe(args.topology)
  print('| slice | images | remat | M cycles | of peak | temporaries, GiB |')
  print('|---|---:|---|---:|---:|---:|')
  for images, remat in itertools.product(args.images, args.remat):
    chain = Chain(args.length, args.channels, 'bfloat16', remat)
    cycles, work, memory = compile_one(chain, images, args.size, place)
    share = work * place.chip.clock / cycles / place.chip.peak_flops
    print(
      f'| {place.name} | {images} | {remat} | {cycles / 1e6:.1f} | {share:.1%} '
      f'| {memory.temp_size_in_bytes / 2**30:.2f} |',
      flush=True,
    )


def compile_one(chain, images, size, place, by_rows=False):
  """Cycles, model FLOPs and memory of a chain and its gradient.

  With `by_rows` maps come and go as [h, w, images, channels].
  """
  where = jax.sharding.SingleDeviceSharding(place.devices[0])

  def shaped(tree):
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree
    )

  sizes = [images, size, size, chain.features]
  x = jax.ShapeDtypeStruct(sizes, chain.dtype)
  emb = jax.ShapeDtypeStruct([images, 1024], jnp.float32)
  params = jax.eval_shape(chain.init, jax.random.key(0), x, emb)

  def apply(params, x, emb):
    if not by_rows:
      return chain.apply(params, x, emb)
    y = chain.apply(params, jnp.moveaxis(x, 2, 0), emb)
    return jnp.moveaxis(y, 0, 2)

  def step(params, x, emb, gradient):
    y, backward = jax.vjp(apply, params, x, emb)
    return y, backward(gradient)

  work = flops.count(jax.make_jaxpr(chain.apply)(params, x, emb).jaxpr)
  if by_rows:
    sizes = [size, size, images, chain.features]
    x = jax.ShapeDtypeStruct(sizes, chain.dtype)
  arguments = shaped((params, x, emb, x))
  compiled = jax.jit(step).lower(*arguments).compile()
  cycles = program.read(compiled.as_text(), 1).cycles
  return cycles, 3 * work, compiled.memory_analysis()


if __name__ == '__main__':
  main()
