"""Shows how XLA compiles a reduce-scatter for TPUs.

    python -m benchmarks.tpu_scatter

Compiles, without a TPU and in about a second per case, a gradient that
`psum_scatter` scatters over some chips of a slice. Prints the collectives that
it becomes and XLA's strategy, the bytes that each chip sends, the time of its
links and the cycles of its units in thousands (XLA's estimates,
palette_jax/planning/program.py).
"""

import argparse
import re

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from palette_jax import sharding
from palette_jax.planning import plan, program, topology

# Slice, chips that sum, shape, scattered axis.
SHAPE = 3, 3, 1024, 1024
CASES = (
  *(
    (name, chips, SHAPE, 2)
    for name, chips in (
      ('v5e:2x2', 4),
      ('v5e:2x4', 8),
      ('v5e:4x4', 8),
      ('v5e:4x4', 16),
      ('v5e:4x8', 32),
      ('v5e:8x8', 32),
      ('v5e:8x8', 64),
      ('v5e:16x16', 16),
      ('v5e:16x16', 256),
      ('v6e:4x4', 16),
      ('v4:2x2x1', 4),
      ('v5p:2x2x2', 4),
      ('v5p:2x2x2', 8),
      ('v5p:4x4x4', 16),
      ('v5p:4x4x4', 64),
    )
  ),
  ('v5e:16x16', 16, (3, 3, 192, 1024), 2),  # parts of 12 rows
  ('v5e:16x16', 16, SHAPE, 3),
  ('v5e:16x16', 16, (3, 3, 1024, 2048), 3),  # parts of 128 columns
)


def compile_one(
  mesh: jax.sharding.Mesh,
  shape: tuple[int, ...],
  axis: int,
  options: dict[str, str | bool] | None = None,
) -> jax.stages.Compiled:
  """Compiles a product, its sum over chips, and each chip's part of the sum.

  Args:
    mesh: the chips.
    shape: shape of the gradient.
    axis: axis along which the gradient is scattered.
    options: XLA's options.
  """

  def scatter(part: Array, gradient: Array) -> Array:
    return part - jax.lax.psum_scatter(
      2 * gradient, 'fsdp', scatter_dimension=axis, tiled=True
    )

  def shaped(spec: PartitionSpec) -> jax.ShapeDtypeStruct:
    placed = NamedSharding(mesh, spec)
    return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=placed)

  whole = PartitionSpec()
  parts = PartitionSpec(*[None] * axis, 'fsdp')
  function = jax.shard_map(
    scatter,
    mesh=mesh,
    in_specs=(parts, whole),
    out_specs=parts,
    check_vma=False,
  )
  lowered = jax.jit(function).lower(shaped(parts), shaped(whole))
  return lowered.compile(compiler_options=options)


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--slices', nargs='+', help='all by default')
  parser.add_argument(
    '--options', nargs='*', default=[], help="XLA's, as NAME=VALUE"
  )
  args = parser.parse_args()
  options = dict(option.split('=', 1) for option in args.options)
  print(
    '| slice | chips | f32 | axis | collectives | strategy | sent | links | k |'
  )
  print('|---|---:|---|---:|---|---|---:|---:|---:|')
  for name, chips, shape, axis in CASES:
    if args.slices and name not in args.slices:
      continue
    place = topology.describe(name)
    mesh = sharding.make_mesh(chips, place.devices)
    text = compile_one(mesh, shape, axis, options).as_text()
    assert text  # every TPU program has one
    read = program.read(text, mesh.size)
    kinds = ', '.join(sorted({each.kind for each in read.collectives}))
    strategies = ', '.join(
      sorted(set(re.findall(r'\\n(\w*Strategy\w*)\{', text)))
    )
    sent = sum(each.sent * each.times for each in read.collectives)
    seconds = sum(map(plan._seconds(place, mesh), read.collectives))
    print(
      f'| {name} | {chips} | {shape} | {axis} | {kinds} | {strategies} '
      f'| {sent / 1e6:.1f} MB | {1e3 * seconds:.2f} ms '
      f'| {read.cycles / 1e3:.0f} |',
      flush=True,
    )


if __name__ == '__main__':
  main()
