"""Compiles one residual block and its gradient for a TPU, without having one.

    python -m benchmarks.tpu_block --images 4 8 --remat none kept all

The block compiles in minutes, the network in the better part of an hour. The
block shows what the speed depends on: the number of images per chip and the
arrays kept for the gradient. Cycles are XLA's estimates
(palette_jax/planning/program.py).
"""

import argparse
import itertools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from palette_jax import arrays, chips
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


class Block(nn.Module):
  """A module of maps [b h w features] and an embedding of the noise level."""

  features: int
  dtype: str


class Chain(Block):
  """Residual blocks one after another."""

  length: int
  remat: str

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b h w c'], emb: Float[Array, 'b e']
  ) -> Float[Array, 'b h w c']:
    for i in range(self.length):
      block = REMAT[self.remat](blocks.ResBlock)
      dtype = jnp.dtype(self.dtype)
      x = block(self.features, 32, dtype, name=f'block{i}')(x, emb)
    return x


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--topology', default='v5e:1x1', help='a slice')
  parser.add_argument(
    '--images', type=int, nargs='+', default=[4, 8], help='per chip'
  )
  parser.add_argument(
    '--remat',
    nargs='+',
    default=['none'],
    choices=REMAT,
    help='arrays that are recomputed: none, all, or all except blocks.KEPT',
  )
  parser.add_argument('--size', type=int, default=256, help='of the map')
  parser.add_argument('--channels', type=int, default=256)
  parser.add_argument('--length', type=int, default=1, help='in blocks')
  args = parser.parse_args()
  place = topology.describe(args.topology)
  print('| slice | images | remat | M cycles | of peak | temporaries, GiB |')
  print('|---|---:|---|---:|---:|---:|')
  for images, remat in itertools.product(args.images, args.remat):
    chain = Chain(
      features=args.channels,
      dtype='bfloat16',
      length=args.length,
      remat=remat,
    )
    cost = compile_one(chain, images, args.size, place)
    print(
      f'| {place.name} | {images} | {remat} | {cost.cycles / 1e6:.1f} '
      f'| {cost.share(place.chip):.1%} | {cost.temporaries / 2**30:.2f} |',
      flush=True,
    )


class Compiled(NamedTuple):
  """The cost of a module and its gradient.

  Attributes:
    cycles: XLA's estimate.
    work: model FLOPs.
    temporaries: bytes.
  """

  cycles: float
  work: int
  temporaries: int

  def share(self, chip: chips.Chip) -> float:
    """Returns the share of the chip's peak FLOPs that the program reaches."""
    assert chip.clock and chip.peak_flops
    return self.work * chip.clock / self.cycles / chip.peak_flops


def compile_one(
  block: Block,
  images: int,
  size: int,
  place: topology.Topology,
  by_rows: bool = False,
) -> Compiled:
  """Compiles a block and its gradient.

  Args:
    block: the block.
    images: images per chip.
    size: side of the maps.
    place: the slice.
    by_rows: whether maps enter and leave as [h, w, images, channels].
  """
  placed = jax.sharding.SingleDeviceSharding(place.devices[0])

  def shaped(tree: PyTree) -> PyTree:
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placed), tree
    )

  sizes = [images, size, size, block.features]
  x = jax.ShapeDtypeStruct(sizes, block.dtype)
  emb = jax.ShapeDtypeStruct([images, 1024], jnp.float32)
  params = jax.eval_shape(block.init, jax.random.key(0), x, emb)

  def apply(params: arrays.Params, x: Array, emb: Array) -> Array:
    x = jnp.moveaxis(x, 2, 0) if by_rows else x
    y = block.apply(params, x, emb)
    assert isinstance(y, jax.Array)  # and no collections beside it
    return jnp.moveaxis(y, 0, 2) if by_rows else y

  def step(
    params: arrays.Params, x: Array, emb: Array, gradient: Array
  ) -> tuple[Array, PyTree]:
    y, backward = jax.vjp(apply, params, x, emb)
    return y, backward(gradient)

  work = flops.count(jax.make_jaxpr(block.apply)(params, x, emb).jaxpr)
  if by_rows:
    sizes = [size, size, images, block.features]
    x = jax.ShapeDtypeStruct(sizes, block.dtype)
  arguments = shaped((params, x, emb, x))
  compiled = jax.jit(step).lower(*arguments).compile()
  text, memory = compiled.as_text(), compiled.memory_analysis()
  assert text and memory  # every TPU program has them
  cycles = program.read(text, 1).cycles
  return Compiled(cycles, 3 * work, memory.temp_size_in_bytes)


if __name__ == '__main__':
  main()
