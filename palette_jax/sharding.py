"""How arrays lie over devices: one mesh, two axes, the same code everywhere.

The batch is split over all devices, the state over the `fsdp` axis alone (one
by default: every device holds all of it). XLA adds the communication.

Next: palette_jax/training/optimizer.py
"""

import functools

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

# Smaller parameters are cheaper to copy than to gather.
MIN_SHARDED_SIZE = 2**16


@functools.cache
def compiler_options() -> dict[str, str]:
  """What `jax.jit` is told on CPU; empty elsewhere, or if XLA does not know it.

  XLA gives convolutions, matrix products and sums to YNNPACK, whose
  convolutions take up to three times as long as XLA's own (Eigen's); the other
  two stay with it. And it drops the barriers between what is computed first
  and what is computed again, finds the two equal, and so undoes `model.remat`.
  """
  kinds = 'INDIVIDUAL_DOT', 'REDUCE'
  listed = ','.join(f'LIBRARY_FUSION_TYPE_{kind}' for kind in kinds)
  options = {
    'xla_cpu_experimental_ynn_fusion_type': listed,
    'xla_disable_hlo_passes': 'cse_barrier_expander',
  }
  if jax.default_backend() != 'cpu':
    return {}
  try:
    jax.jit(lambda: 0, compiler_options=options).lower().compile()
  except jax.errors.JaxRuntimeError:
    return {}
  return options


def make_mesh(fsdp: int = 1) -> Mesh:
  """All devices as (data, fsdp), with automatic (not explicit) axes.

  Raises:
    ValueError: if fsdp does not divide the number of devices.
  """
  count = jax.device_count()
  if fsdp < 1 or count % fsdp:
    raise ValueError(
      f'mesh.fsdp={fsdp} does not divide the {count} devices that are here.'
    )
  return jax.make_mesh(
    (count // fsdp, fsdp),
    ('data', 'fsdp'),
    axis_types=(AxisType.Auto, AxisType.Auto),
  )


def check_batch(mesh: Mesh, batch: int, name: str) -> None:
  """Refuses a batch that cannot be split evenly.

  Raises:
    ValueError: naming the nearest sizes that can.
  """
  if batch < 1 or batch % mesh.size:
    below = batch // mesh.size * mesh.size
    fits = f'{below} or {below + mesh.size}' if below else f'{mesh.size}'
    raise ValueError(
      f'{name}={batch} does not divide over {mesh.size} devices; {fits} would.'
    )


def by_batch(mesh: Mesh) -> NamedSharding:
  """The first axis over all devices."""
  return NamedSharding(mesh, PartitionSpec(('data', 'fsdp')))


def replicated(mesh: Mesh) -> NamedSharding:
  """Everything on every device."""
  return NamedSharding(mesh, PartitionSpec())


def by_parameter(mesh: Mesh, abstract: PyTree) -> PyTree:
  """For every leaf, its largest axis that the fsdp axis divides, if large."""
  fsdp = mesh.shape['fsdp']

  def leaf(array):
    axes = [i for i, size in enumerate(array.shape) if size % fsdp == 0]
    if fsdp == 1 or array.size < MIN_SHARDED_SIZE or not axes:
      return replicated(mesh)
    axis = max(axes, key=lambda i: array.shape[i])
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, 'fsdp'))

  return jax.tree.map(leaf, abstract)


def put_batch(mesh: Mesh, local: PyTree) -> PyTree:
  """This host's rows of a batch -> global arrays, split over all devices."""
  sharding = by_batch(mesh)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)),
    local,
  )


def put_same(mesh: Mesh, array: PyTree) -> PyTree:
  """The same NumPy arrays on all hosts -> global arrays, split over devices."""
  sharding = by_batch(mesh)
  return jax.tree.map(
    lambda x: jax.make_array_from_callback(
      x.shape, sharding, lambda index: x[index]
    ),
    array,
  )
