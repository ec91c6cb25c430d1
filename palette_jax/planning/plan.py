"""A run compiled for a slice before it is rented: memory, speed, cost.

The compiled program is the one that would run there, a training step or the
sampler, for all devices of the slice. Times are estimates: cycles of XLA's
schedule over the clock, and collectives by the bytes that a chip sends over its
links, either fully overlapped with computing or all after it.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
from absl import logging
from jaxtyping import Array, Float, UInt32

from palette_jax import arrays, sharding
from palette_jax.models import flops
from palette_jax.planning import program as programs
from palette_jax.planning import topology as topologies
from palette_jax.training import learner as learners

MODES = ('train', 'sample')
# A sixteenth of the state is small, and its arrays still fill a TPU's tiles.
SHARES = 16
GIB = 2**30
_SIZE = re.compile(r'\b([\d.]+)([KMGT])\b')


class Plan(NamedTuple):
  """Memory and work of one device, for one program on one slice.

  Attributes:
    mode: 'train', one step on a batch; 'sample', all steps for a batch.
    topology: the slice.
    settings: fsdp, accumulation and remat, on which the memory depends.
    batch: number of images on all devices.
    arguments: bytes of state and batch.
    temporaries: further bytes of arrays.
    code: bytes of the program itself.
    accessed: bytes to and from memory, by XLA's sum, which counts loops once.
    flops: model FLOPs for this device's images; see models/flops.py.
    computing: seconds without collectives.
    sending: seconds of collectives.
    program: the compiled program.
  """

  mode: str
  topology: topologies.Topology
  settings: dict[str, Any]
  batch: int
  arguments: int
  temporaries: int
  code: int
  accessed: float
  flops: float
  computing: float
  sending: float
  program: programs.Program

  @property
  def peak(self) -> int:
    """Bytes of memory in use at the peak."""
    return self.arguments + self.temporaries + self.code

  @property
  def free(self) -> float:
    """Bytes of memory that stay free."""
    return float(self.topology.chip.hbm_bytes - self.peak)

  @property
  def seconds(self) -> float:
    """Seconds of one call with nothing overlapped."""
    return self.computing + self.sending

  @property
  def overlapped(self) -> float:
    """Seconds of one call with everything overlapped."""
    return max(self.computing, self.sending)

  @property
  def share(self) -> float:
    """Share of the chip's peak, with nothing overlapped."""
    return self.flops / self.seconds / self.topology.chip.peak_flops


class DoesNotFit(ValueError):
  """The program needs more memory than the device has."""


def check(config: ml_collections.ConfigDict, name: str, mode: str) -> None:
  """Checks a config in a second, before `compile_for` takes minutes.

  Raises:
    ValueError: if slice, batch and mesh do not fit each other.
  """
  devices = topologies.describe(name).devices
  try:
    learners.build(config, sharding.make_mesh(config.mesh.fsdp, devices))
  except ValueError as error:
    raise ValueError(f'{name}, {mode}: {error}') from error


def compile_for(
  config: ml_collections.ConfigDict, name: str, mode: str = 'train'
) -> Plan:
  """Compiles a config for a slice.

  Args:
    config: of configs/; `train.batch` is also the number of images to sample.
    name: of the slice, as in v5e:16x16.
    mode: one of MODES.

  Raises:
    ValueError: if slice, batch and mesh do not fit each other.
    DoesNotFit: if the device has too little memory.
  """
  topology = topologies.describe(name)
  mesh = sharding.make_mesh(config.mesh.fsdp, topology.devices)
  learner, batch = learners.build(config, mesh), config.train.batch
  logging.info(
    'Compiling %s for %s: %d images on %d chips.',
    mode,
    name,
    batch,
    topology.chips,
  )
  lowered = _lower(learner, batch, mode)
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    raise _does_not_fit(config, topology, str(error)) from error
  memory, costs = compiled.memory_analysis(), compiled.cost_analysis()
  text = compiled.as_text()
  assert memory and costs and text  # every TPU program has them
  program = programs.read(text, mesh.size)
  network, size = learner.network, learner.size
  forward = flops.forward(network, *size)
  images = batch / mesh.size
  passes = 3 if mode == 'train' else learner.objective.passes()
  return Plan(
    mode=mode,
    topology=topology,
    settings=dict(
      fsdp=config.mesh.fsdp,
      accumulation=config.train.accumulation,
      remat=config.model.remat,
    ),
    batch=batch,
    arguments=memory.argument_size_in_bytes,
    temporaries=memory.temp_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes,
    code=memory.generated_code_size_in_bytes,
    accessed=costs['bytes accessed'],
    flops=passes * images * forward,
    computing=program.cycles / topology.chip.clock,
    sending=sum(map(_seconds(topology, mesh), program.collectives), 0.0),
    program=program,
  )


def _lower(
  learner: learners.Learner, batch: int, mode: str
) -> jax.stages.Lowered:
  """Traces the program with shapes in place of arrays."""
  rows = sharding.by_batch(learner.mesh)

  def image(channels: int, dtype: jax.typing.DTypeLike) -> jax.ShapeDtypeStruct:
    shape = [batch, *learner.size, channels]
    return jax.ShapeDtypeStruct(shape, dtype, sharding=rows)

  abstract = learner.abstract_state()
  if mode == 'train':
    # Shapes take the place of arrays.
    shapes = [image(channels, jnp.uint8) for channels in (3, 3, 1)]
    examples = arrays.Examples(*shapes)  # ty: ignore[invalid-argument-type]
    return learner.jit_step().lower(abstract, examples)

  def restore(
    params: arrays.Params,
    cond: Float[Array, 'b h w 3'],
    mask: Float[Array, 'b h w 1'],
    seed: UInt32[Array, ''],
  ) -> Float[Array, 'b h w 3']:
    return learner.restore(params, cond, mask, jax.random.key(seed))

  seed = jax.ShapeDtypeStruct([], jnp.uint32)
  function = jax.jit(restore, out_shardings=rows)
  cond, mask = image(3, jnp.float32), image(1, jnp.float32)
  return function.lower(abstract.ema_params, cond, mask, seed)


def _seconds(
  topology: topologies.Topology, mesh: jax.sharding.Mesh
) -> Callable[[programs.Collective], float]:
  """Returns a function: a collective -> the seconds of all its executions."""
  place = {device: i for i, device in enumerate(topology.devices)}
  order = [place[device] for device in mesh.devices.flat]

  def seconds(collective: programs.Collective) -> float:
    group = [order[i] for i in collective.group]
    links = topologies.links(topology, group)
    chip = topology.chip
    speed = links * chip.link_bandwidth if links else chip.hbm_bandwidth
    return collective.times * collective.sent / speed

  return seconds


def _does_not_fit(
  config: ml_collections.ConfigDict,
  topology: topologies.Topology,
  message: str,
) -> DoesNotFit:
  # First the need, then the capacity: 'Used 16.01G of 15.75G hbm'.
  sizes = [
    float(number) * 2.0 ** dict(K=10, M=20, G=30, T=40)[unit]
    for number, unit in _SIZE.findall(message)
  ]
  needs, has = (sizes + [0.0, 0.0])[:2]
  per_device = config.train.batch / len(topology.devices)
  known = f'{needs / GIB:.1f} GiB' if needs else 'more'
  return DoesNotFit(
    f'{topology.name}: {per_device:g} images a device need {known} of '
    f'{(has or topology.chip.hbm_bytes) / GIB:.2f} GiB, with '
    f'mesh.fsdp={config.mesh.fsdp}, model.remat={config.model.remat}, '
    f'train.accumulation={config.train.accumulation}.'
  )


def remedies(
  config: ml_collections.ConfigDict, name: str, mode: str
) -> Iterator[dict[str, int | bool]]:
  """Yields changes of the config that may make it fit.

  The cheapest comes first, and each includes those before it: the state over
  SHARES devices, then remat, then ever smaller micro-batches. For sampling:
  ever smaller batches.
  """
  topology = topologies.describe(name)
  devices, changes = len(topology.devices), {}
  if mode == 'sample':
    batch = config.train.batch
    while batch % (2 * devices) == 0:
      batch //= 2
      yield {'train.batch': batch}
    return
  shares = math.gcd(SHARES, devices)
  # In a plane, half as many chips have the same links; in a cube, fewer.
  if topology.chip.axes == 2 and not topologies.scatters(topology, shares):
    shares //= 2
  if config.mesh.fsdp < shares:
    changes['mesh.fsdp'] = shares
    yield dict(changes)
  if not config.model.remat:
    changes['model.remat'] = True
    yield dict(changes)
  per_device = config.train.batch // devices
  for parts in itertools.takewhile(
    lambda parts: parts <= per_device, (2**i for i in range(1, 20))
  ):
    if parts > config.train.accumulation and per_device % parts == 0:
      changes['train.accumulation'] = parts
      yield dict(changes)
