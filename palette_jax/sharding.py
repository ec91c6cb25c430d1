"""How arrays lie over devices: one mesh, two axes, the same code everywhere.

The batch is split over all devices, the state over the `fsdp` axis alone (one
by default: every device holds all of it). What devices tell each other of
weights and gradients is written down in `per_device`; XLA adds the rest, which
is little: sums of scalars.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from palette_jax import arrays

# Smaller parameters are cheaper to copy than to gather.
MIN_SHARDED_SIZE = 2**16


@functools.cache
def compiler_options(platform: str | None = None) -> dict[str, str]:
  """What `jax.jit` is told on CPU; empty elsewhere, or if XLA does not know it.

  `platform` is that of the devices, if they are not the process's own.

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
  """Devices as (data, fsdp), with automatic (not explicit) axes.

  Args:
    fsdp: devices that share one copy of the state.
    devices: all that are here by default.

  Raises:
    ValueError: if fsdp does not divide the number of devices.
  """
  devices = jax.devices() if devices is None else devices
  count = len(devices)
  if fsdp < 1 or count % fsdp:
    raise ValueError(
      f'mesh.fsdp={fsdp} does not divide the {count} devices that are here.'
    )
  shape, names = (count // fsdp, fsdp), ('data', 'fsdp')
  kinds = AxisType.Auto, AxisType.Auto
  try:
    return jax.make_mesh(shape, names, kinds, devices=devices)
  except NotImplementedError:
    # JAX cuts no axis of a torus, but on v5e: 16 chips of a v6e:8x8 are two of
    # its rows.
    placed = mesh_utils.create_device_mesh(
      shape, devices, allow_split_physical_axes=True
    )
    return Mesh(placed, names, axis_types=kinds)


def check_batch(
  mesh: Mesh, batch: int, name: str, accumulation: int = 1
) -> None:
  """Refuses a batch that cannot be split evenly.

  Raises:
    ValueError: naming the nearest sizes that can.
  """
  parts = mesh.size * accumulation
  if batch < 1 or batch % parts:
    below = batch // parts * parts
    fits = f'{below} or {below + parts}' if below else f'{parts}'
    over = f'{mesh.size} devices'
    if accumulation > 1:
      over += f', {accumulation} micro-batches each'
    raise ValueError(
      f'{name}={batch} does not divide over {over}; {fits} would.'
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


def per_device(
  network: Callable, mesh: Mesh, layout: PyTree, dtypes: PyTree
) -> arrays.DenoiseFn:
  """The network, as each device runs it on its own rows of a batch.

  A large parameter is rounded to the type in which the network uses it, and
  then gathered over `fsdp`. Its gradient is summed in float32, whatever the
  network computes in, and each device keeps the part that it has of the
  parameter: an all-gather and a reduce-scatter. Left to find this out, XLA's
  partitioner summed gradients in bfloat16, and cut products into loops over
  parts of the weights.

  Args:
    network: (params, y_t, cond, gamma) -> prediction, with whole parameters.
    mesh: the devices.
    layout: the parameters' shardings, as `by_parameter` makes them.
    dtypes: in what the network uses each parameter.

  Returns:
    The same of parameters that lie as `layout` says, and of batches that all
    devices of the mesh divide.
  """
  # Neither can JAX look into a shard_map for the first NaN (0.10.2 recurses
  # without end), nor does one device have anybody to tell.
  if mesh.size == 1 or jax.config.jax_debug_nans:
    return network
  specs = jax.tree.map(lambda sharding: sharding.spec, layout)
  rows = PartitionSpec(('data', 'fsdp'))

  def gather(part, spec, dtype):
    return _gather(spec.index('fsdp'), dtype)(part) if 'fsdp' in spec else part

  def local(params, y_t, cond, gamma):
    gathered = jax.tree.map(gather, params, specs, dtypes)
    return network(gathered, y_t, cond, gamma)

  # With check_vma, what differs from device to device would be part of types,
  # and the sum of a small parameter's gradient would move into the network.
  return jax.shard_map(
    local,
    mesh=mesh,
    in_specs=(specs, rows, rows, rows),
    out_specs=rows,
    check_vma=False,
  )


def _gather(axis, dtype):
  """This device's part of a parameter -> all of it, and back for gradients."""

  def gather(part):
    part = part.astype(dtype)
    return jax.lax.all_gather(part, 'fsdp', axis=axis, tiled=True)

  def backward(_, gradient):
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
  """All parameters on every device, each rounded to what it is used in.

  For what goes through the network many times: sampling.
  """

  def leaf(array, dtype):
    return jax.lax.with_sharding_constraint(
      array.astype(dtype), replicated(mesh)
    )

  return jax.tree.map(leaf, params, dtypes)


def micro_batches(mesh: Mesh, batch: PyTree, count: int) -> PyTree:
  """[b, ...] -> [count, b / count, ...]; every device splits its own rows.

  Which rows come together depends on the number of devices, so that no row has
  to move; sums over all of them do not.
  """

  def split(x):
    x = x.reshape(mesh.size, count, -1, *x.shape[1:])
    x = jnp.moveaxis(x, 1, 0).reshape(count, -1, *x.shape[3:])
    where = PartitionSpec(None, ('data', 'fsdp'))
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, where))

  return jax.tree.map(split, batch)


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
