"""TPU slices without the machines: their devices, as the compiler sees them.

The TPU library (`libtpu`, the `tpu` extra) describes any slice and compiles for
it on a machine without a TPU.
"""

import importlib.util
import math
import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies

from palette_jax import chips

_EXAMPLES = 'v5e:4x4, v5e:16x16, v6e:8x8, v4:2x2x2, v5p:4x4x4'


class Topology(NamedTuple):
  """A slice.

  Attributes:
    name: as Google writes it: v5e:4x4, v5p:4x4x8.
    chip: the figures of a device.
    sides: number of chips along each axis.
    devices: all of them; programs can be compiled for them, but not run.
  """

  name: str
  chip: chips.Chip
  sides: tuple[int, ...]
  devices: Sequence[jax.Device]

  @property
  def chips(self) -> int:
    """Number of chips, as they are rented."""
    return math.prod(self.sides)


def describe(name: str) -> Topology:
  """Describes a slice, by its name.

  Raises:
    ValueError: if there is no such slice, or no compiler for it.
  """
  known = chips.tpus()
  match = re.fullmatch(r'(\w+):(\d+(?:x\d+)*)', name)
  if not match or match[1] not in known:
    raise ValueError(
      f'{name!r} is not a TPU slice. Write GENERATION:SIDES, as in '
      f'{_EXAMPLES}; generations: {", ".join(known)}.'
    )
  chip = known[match[1]]
  sides = tuple(map(int, match[2].split('x')))
  if len(sides) != chip.axes or math.prod(sides) > chip.pod:
    raise ValueError(
      f'{name!r}: a slice of {chip.name} has {chip.axes} sides and at most '
      f'{chip.pod} chips.'
    )
  _prepare_compiler()
  # Two cores of a v4 or v5p are one device; a single chip is part of a host.
  options: dict[str, Any] = {}
  if chip.axes == 3 and chip.devices == 1:
    options['chip_config_name'] = 'megacore'
  if math.prod(sides) == 1:
    options['chips_per_host_bounds'] = (1, 1, 1)
  try:
    slice_ = topologies.get_topology_desc(
      platform='tpu', topology_name=name, **options
    )
  except jax.errors.JaxRuntimeError as error:
    raise ValueError(
      f'{name!r} cannot be rented: a slice is a single chip, or whole hosts of '
      f'2x2 chips. Slices are {_EXAMPLES} ({error}).'
    ) from error
  return Topology(name, chip, sides, slice_.devices)


def _prepare_compiler() -> None:
  """Keeps the TPU library from looking for a TPU; call before it loads.

  Raises:
    ValueError: if the library is not installed.
  """
  if importlib.util.find_spec('libtpu') is None:
    raise ValueError(
      "Compiling for a TPU takes Google's compiler, which is not installed: "
      "pip install 'palette_jax[tpu]' (in the clone: pip install -e .[tpu]). "
      'It is for Linux on x86-64, and no TPU is needed.'
    )
  jax.config.update('jax_platforms', 'cpu')
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  os.environ.setdefault('TPU_ACCELERATOR_TYPE', 'v5litepod-4')
  os.environ.setdefault('TPU_WORKER_HOSTNAMES', 'localhost')
  # Two plans may be compiled at a time, as nothing runs.
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')


def links(topology: Topology, group: Sequence[int]) -> int:
  """Counts the links that a chip can use at once within a group.

  Along every axis that the group spans, a chip has two links if the axis is
  closed to a ring; otherwise the chips at its ends have only one.

  Args:
    topology: the slice.
    group: places of devices in `topology.devices`.

  Returns:
    The number of links; 0 if the group is within one chip.
  """
  places = [topology.devices[i].coords for i in group]
  total = 0
  for axis, side in enumerate(topology.sides):
    spanned = len({place[axis] for place in places})
    ring = spanned == side and side % topology.chip.ring == 0
    total += 0 if spanned == 1 else 2 if ring else 1
  return total


def scatters(topology: Topology, count: int) -> bool:
  """Returns True if XLA lets `count` chips keep only their part of a sum.

  A sum over all chips of a square or a cube goes over all axes at a time and
  leaves the whole on every chip, which then takes its part: twice the bytes.
  Observed in compiled programs (benchmarks/tpu_scatter.py).
  """
  sides = [side for side in topology.sides if side > 1]
  square = len(sides) == 2 and sides[0] == sides[1] > 2
  return count < topology.chips or not (square or len(sides) == 3)
