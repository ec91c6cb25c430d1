"""A run compiled before its machine is rented: does it fit, how fast is it.

What is compiled is what would run there: the step of `training/loop.py`, or
the sampler, for all devices of the slice. Times are estimates: cycles of XLA's
schedule over the clock, and collectives by what a chip has to send over its
links, either all at the same time as computing or all after it.
"""

import itertools
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
from absl import logging

from palette_jax import arrays, sharding
from palette_jax.models import flops
from palette_jax.planning import program as programs
from palette_jax.planning import topology as topologies
from palette_jax.training import loop, state
from palette_jax.training import run as runs

MODES = ('train', 'sample')
# A sixteenth of the state is little, and its arrays still fill the TPU's tiles.
SHARES = 16
_SIZE = re.compile(r'\b([\d.]+)([KMGT])\b')


class Plan(NamedTuple):
  """What is known of one program on one slice; memory and work of one device.

  Attributes:
    mode: 'train', one step on a batch; 'sample', all steps for a batch.
    topology: the slice.
    settings: of the config, those that make it fit: fsdp, accumulation, remat.
    batch: images, on all devices.
    arguments: bytes of state and batch.
    temporaries: bytes beside them.
    code: bytes of the program itself.
    accessed: bytes to and from memory, by XLA's sum, which counts loops once.
    flops: the model's, for this device's images; see models/flops.py.
    computing: seconds without collectives.
    sending: seconds of collectives.
    program: the compiled program.
  """

  mode: str
  topology: topologies.Topology
  settings: dict
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
    """Bytes of memory that it takes."""
    return self.arguments + self.temporaries + self.code

  @property
  def free(self) -> float:
    """Bytes of memory that are left."""
    return float(self.topology.chip.hbm_bytes - self.peak)

  @property
  def seconds(self) -> float:
    """Of one call, with nothing overlapped: what all shares are shares of."""
    return self.computing + self.sending

  @property
  def share(self) -> float:
    """Of the chip's peak: model FLOPs over not-overlapped time."""
    return self.flops / self.seconds / self.topology.chip.peak_flops


class DoesNotFit(ValueError):
  """The program needs more memory than the device has.

  Attributes:
    needs: bytes, 0 if the compiler does not say.
  """

  def __init__(self, message: str, needs: int):
    super().__init__(message)
    self.needs = needs


def check(config: ml_collections.ConfigDict, name: str, mode: str) -> None:
  """Refuses in a second what `make` would refuse.

  Raises:
    ValueError: if slice, batch and mesh do not go together.
  """
  devices = topologies.describe(name).devices
  try:
    runs.assemble(config, sharding.make_mesh(config.mesh.fsdp, devices))
  except ValueError as error:
    raise ValueError(f'{name}, {mode}: {error}') from error


def make(
  config: ml_collections.ConfigDict, name: str, mode: str = 'train'
) -> Plan:
  """Compiles a config for a slice.

  Args:
    config: of configs/; `train.batch` is what is sampled, too.
    name: of the slice, as in v5e:16x16.
    mode: one of MODES.

  Raises:
    ValueError: if slice, batch and mesh do not go together.
    DoesNotFit: if the memory does not suffice.
  """
  topology = topologies.describe(name)
  mesh = sharding.make_mesh(config.mesh.fsdp, topology.devices)
  run = runs.assemble(config, mesh)
  logging.info(
    'Compiling %s for %s: %d images on %d chips.',
    mode,
    name,
    config.train.batch,
    topology.chips,
  )
  lowered = _lower(config, run, mode)
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    raise _does_not_fit(config, topology, str(error)) from error
  memory = compiled.memory_analysis()
  program = programs.read(compiled.as_text(), mesh.size)
  model, _, size, _ = run.recipe
  images = config.train.batch / mesh.size
  passes = 3 if mode == 'train' else run.objective.passes()
  return Plan(
    mode=mode,
    topology=topology,
    settings=dict(
      fsdp=config.mesh.fsdp,
      accumulation=config.train.accumulation,
      remat=config.model.remat,
    ),
    batch=config.train.batch,
    arguments=memory.argument_size_in_bytes,
    temporaries=memory.temp_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes,
    code=memory.generated_code_size_in_bytes,
    accessed=compiled.cost_analysis()['bytes accessed'],
    flops=passes * images * flops.forward(model, *size),
    computing=program.cycles / topology.chip.clock,
    sending=sum(map(_seconds(topology, mesh), program.collectives)),
    program=program,
  )


def _lower(config, run, mode):
  """The program with shapes in place of arrays."""
  size, batch = run.recipe[2], config.train.batch
  rows = sharding.by_batch(run.mesh)

  def image(channels, dtype):
    shape = [batch, *size, channels]
    return jax.ShapeDtypeStruct(shape, dtype, sharding=rows)

  abstract = state.abstract_state(run.mesh, *run.recipe)
  if mode == 'train':
    examples = arrays.Examples(
      *(image(channels, jnp.uint8) for channels in (3, 3, 1))
    )
    return loop.compile_step(config, run).lower(abstract, examples)

  def restore(params, cond, mask, seed):
    return run.restore(params, cond, mask, jax.random.key(seed))

  seed = jax.ShapeDtypeStruct([], jnp.uint32)
  function = jax.jit(restore, out_shardings=rows)
  given = image(3, jnp.float32), image(1, jnp.float32)
  return function.lower(abstract.ema_params, *given, seed)


def _seconds(topology, mesh):
  """How long a collective takes, all times that it runs."""
  place = {device: i for i, device in enumerate(topology.devices)}
  order = [place[device] for device in mesh.devices.flat]

  def seconds(collective):
    group = [order[i] for i in collective.group]
    links = topologies.links(topology, group)
    chip = topology.chip
    speed = links * chip.link_bandwidth if links else chip.hbm_bandwidth
    return collective.times * collective.sent / speed

  return seconds


def _does_not_fit(config, topology, message):
  # First what it needs, then what there is: 'Used 16.01G of 15.75G hbm'.
  sizes = [
    float(number) * 2.0 ** dict(K=10, M=20, G=30, T=40)[unit]
    for number, unit in _SIZE.findall(message)
  ]
  needs, has = (sizes + [0.0, 0.0])[:2]
  per_device = config.train.batch / len(topology.devices)
  known = f'{needs / 2**30:.1f} GiB' if needs else 'more'
  return DoesNotFit(
    f'{topology.name}: {per_device:g} images a device need {known} of '
    f'{(has or topology.chip.hbm_bytes) / 2**30:.2f} GiB, with '
    f'mesh.fsdp={config.mesh.fsdp}, model.remat={config.model.remat}, '
    f'train.accumulation={config.train.accumulation}.',
    int(needs),
  )


def remedies(
  config: ml_collections.ConfigDict, name: str, mode: str
) -> Iterator[dict[str, int | bool]]:
  """What to change, so that it may fit: each includes those before.

  First what costs least: the state over SHARES devices, then remat, then ever
  smaller micro-batches; of sampling, ever smaller batches.
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
  # In a plane half of the chips have as many links, in a cube they have fewer.
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
