"""Sharding of arrays over devices, on one mesh with two axes.

The batch is split over all devices, the state over the `fsdp` axis alone. That
axis has one device by default, so that each device holds the whole state.
`per_device` spells out the collectives of weights and gradients; XLA adds only
sums of scalars.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, PyTree

from palette_jax import arrays

# Smaller parameters are cheaper to copy than to gather.
MIN_SHARDED_SIZE = 2**16


@functools.cache
def compiler_options(platform: str | None = None) -> dict[str, str]:
  """Returns the options of `jax.jit`: on a CPU, those that its XLA knows.

  By default, XLA gives convolutions, matrix products and sums to YNNPACK, whose
  convolutions take up to three times as long as XLA's own (Eigen's); these
  options leave it only products and sums. XLA also drops the barriers between
  computation and recomputation, merges the two and so undoes `model.remat`;
  these options keep the barriers.

  Args:
    platform: platform of the devices; by default JAX's default backend.
  """
  kinds = 'INDIVIDUAL_DOT', 'REDUCE'
  listed = ','.join(f'LIBRARY_FUSION_TYPE_{kind}' for kind in kinds)
  options = {
    'xla_cpu_experimental_ynn_fusion_type': listed,
    'xla_disable_hlo_passes': 'cse_barrier_expander',
  }
  if (platform or jax.default_backend()) != 'cpu':
    return {}
  try:
    jax.jit(lambda: 0, compiler_options=options).lower().compile()
  except jax.errors.JaxRuntimeError:
    return {}
  return options


def make_mesh(
  fsdp: int = 1, devices: Sequence[jax.Device] | None = None
) -> Mesh:
  """Returns a mesh of devices (data, fsdp), with automatic axes.

  Args:
    fsdp: devices that share one copy of the state.
    devices: the devices of the mesh; by default all.

  Raises:
    ValueError: if fsdp does not divide the number of devices.
  """
  devices = jax.devices() if devices is None else devices
  count = len(devices)
  if fsdp < 1 or count % fsdp:
    raise ValueError(
      f'mesh.fsdp={fsdp} does not divide the {count} devices of this run.'
    )
  shape, names = (count // fsdp, fsdp), ('data', 'fsdp')
  kinds = AxisType.Auto, AxisType.Auto
  try:
    return jax.make_mesh(shape, names, kinds, devices=devices)
  except NotImplementedError:
    # JAX splits an axis of a torus on v5e only: 16 chips of a v6e:8x8 are two
    # of its rows.
    placed = mesh_utils.create_device_mesh(
      shape, devices, allow_split_physical_axes=True
    )
    return Mesh(placed, names, axis_types=kinds)


def check_batch(
  mesh: Mesh, batch: int, name: str, accumulation: int = 1
) -> None:
  """Checks that a batch can be split evenly.

  Raises:
    ValueError: if it cannot; the message names the nearest sizes that fit.
  """
  parts = mesh.size * accumulation
  if batch < 1 or batch % parts:
    below = batch // parts * parts
    fits = f'{below} or {below + parts}' if below else f'{parts}'
    shares = f'{mesh.size} devices'
    if accumulation > 1:
      shares += f' with {accumulation} micro-batches each'
    raise ValueError(
      f'{name}={batch} does not divide over {shares}; {fits} would.'
    )


def by_batch(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of the first axis over all devices."""
  return NamedSharding(mesh, PartitionSpec(('data', 'fsdp')))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of arrays that every device holds whole."""
  return NamedSharding(mesh, PartitionSpec())


def by_parameter(mesh: Mesh, abstract: PyTree) -> PyTree:
  """Shards each large leaf along its largest axis that fsdp divides."""
  fsdp = mesh.shape['fsdp']

  def leaf(array: jax.ShapeDtypeStruct | jax.Array) -> NamedSharding:
    axes = [i for i, size in enumerate(array.shape) if size % fsdp == 0]
    if fsdp == 1 or array.size < MIN_SHARDED_SIZE or not axes:
      return replicated(mesh)
    axis = max(axes, key=lambda i: array.shape[i])
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, 'fsdp'))

  return jax.tree.map(leaf, abstract)


def per_device(
  network: Callable, mesh: Mesh, layout: PyTree, dtypes: PyTree
) -> arrays.DenoiseFn:
  """Returns the network, run by each device on its own rows of a batch.

  A large parameter is rounded to the type in which the network uses it and then
  gathered over `fsdp`. Its gradient is always summed in float32, and each
  device keeps its own part of it: an all-gather and a reduce-scatter. XLA's
  partitioner, left to itself, sums gradients in bfloat16 and splits products
  into loops over parts of the weights.

  Args:
    network: (params, y_t, cond, gamma) -> prediction, with whole parameters.
    mesh: the devices.
    layout: the parameters' shardings (`by_parameter`).
    dtypes: the type in which the network uses each parameter.

  Returns:
    The same function, for parameters sharded by `layout` and for batches that
    the number of devices divides.
  """
  # One device needs no collectives, and JAX cannot search a shard_map for the
  # first NaN (0.10.2 recurses without end).
  debug_nans = jax.config.jax_debug_nans  # ty: ignore[missing-attribute]
  if mesh.size == 1 or debug_nans:
    return network
  specs = jax.tree.map(lambda sharding: sharding.spec, layout)
  rows = PartitionSpec(('data', 'fsdp'))

  def gather(part: Array, spec: PartitionSpec, dtype: DTypeLike) -> Array:
    return _gather(spec.index('fsdp'), dtype)(part) if 'fsdp' in spec else part

  def local(params: PyTree, y_t: Array, cond: Array, gamma: Array) -> Array:
    gathered = jax.tree.map(gather, params, specs, dtypes)
    return network(gathered, y_t, cond, gamma)

  # With check_vma, types would track which arrays differ between devices, and
  # the sum of a small parameter's gradient would move into the network.
  return jax.shard_map(
    local,
    mesh=mesh,
    in_specs=(specs, rows, rows, rows),
    out_specs=rows,
    check_vma=False,
  )


def _gather(axis: int, dtype: DTypeLike) -> Callable[[Array], Array]:
  """Returns an all-gather whose gradient is a reduce-scatter in float32."""

  def gather(part: Array) -> Array:
    part = part.astype(dtype)
    return jax.lax.all_gather(part, 'fsdp', axis=axis, tiled=True)

  def backward(_: None, gradient: Array) -> tuple[Array]:
    gradient = gradient.astype(jnp.float32)
    return (
      jax.lax.psum_scatter(
        gradient, 'fsdp', scatter_dimension=axis, tiled=True
      ),
    )

  function = jax.custom_vjp(gather)
  function.defvjp(lambda part: (gather(part), None), backward)
  return function


def whole(mesh: Mesh, params: PyTree, dtypes: PyTree) -> PyTree:
  """Gathers all parameters on every device, in the types that the network uses.

  Sampling does this once, since many passes use the same parameters.
  """

  def leaf(array: Array, dtype: DTypeLike) -> Array:
    return jax.lax.with_sharding_constraint(
      array.astype(dtype), replicated(mesh)
    )

  return jax.tree.map(leaf, params, dtypes)


def micro_batches(mesh: Mesh, batch: PyTree, count: int) -> PyTree:
  """Splits [b, ...] into [count, b / count, ...] within each device.

  No row moves between devices. The rows of a micro-batch therefore depend on
  the number of devices, but sums over all rows do not.
  """

  def split(x: Array) -> Array:
    x = x.reshape(mesh.size, count, -1, *x.shape[1:])
    x = jnp.moveaxis(x, 1, 0).reshape(count, -1, *x.shape[3:])
    spec = PartitionSpec(None, ('data', 'fsdp'))
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, spec))

  return jax.tree.map(split, batch)


def put_batch(mesh: Mesh, local: PyTree) -> PyTree:
  """Puts this host's rows of a batch into arrays split over all devices."""
  sharding = by_batch(mesh)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)),
    local,
  )


def put_same(mesh: Mesh, whole_arrays: PyTree) -> PyTree:
  """Splits arrays that every host holds whole over all devices."""
  sharding = by_batch(mesh)
  return jax.tree.map(
    lambda x: jax.make_array_from_callback(
      x.shape, sharding, lambda index: x[index]
    ),
    whole_arrays,
  )
