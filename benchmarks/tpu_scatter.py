"""What XLA for TPUs makes of a sum of which every device keeps a part.

    python -m benchmarks.tpu_scatter

One gradient, scattered by `psum_scatter` over some chips of a slice, compiled
in a second for each case without a TPU: what became of it, what each chip
sends, how long its links take and what its units do beside (cycles are XLA's
estimates, palette_jax/planning/program.py). `--options` are XLA's.
"""

import argparse
import re

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

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


def compile_one(mesh, shape, axis, options=None):
  """The compiled program: a product, its sum, and what a chip keeps of it."""

  def scatter(part, gradient):
    return part - jax.lax.psum_scatter(
      2 * gradient, 'fsdp', scatter_dimension=axis, tiled=True
    )

  def shaped(spec):
    where = NamedSharding(mesh, spec)
    return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=where)

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


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--slices', nargs='+', help='all by default')
  parser.add_argument('--options', nargs='*', default=[], help='NAME=VALUE')
  args = parser.parse_args()
  options = dict(option.split('=', 1) for option in args.options)
  print('| slice | chips | f32 | axis | made of it | how | sent | links | k |')
  print('|---|---:|---|---:|---|---|---:|---:|---:|')
  for name, chips, shape, axis in CASES:
    if args.slices and name not in args.slices:
      continue
    place = topology.describe(name)
    mesh = sharding.make_mesh(chips, place.devices)
    text = compile_one(mesh, shape, axis, options).as_text()
    read = program.read(text, mesh.size)
    kinds = ', '.join(sorted({one.kind for one in read.collectives}))
    how = ', '.join(sorted(set(re.findall(r'\\n(\w*Strategy\w*)\{', text))))
    sent = sum(one.sent * one.times for one in read.collectives)
    seconds = sum(map(plan._seconds(place, mesh), read.collectives))
    print(
      f'| {name} | {chips} | {shape} | {axis} | {kinds} | {how} '
      f'| {sent / 1e6:.1f} MB | {1e3 * seconds:.2f} ms '
      f'| {read.cycles / 1e3:.0f} |',
      flush=True,
    )


if __name__ == '__main__':
  main()
