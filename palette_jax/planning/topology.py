"""TPU slices that nobody has rented: their devices, as the compiler sees them.

The TPU library (`libtpu`, the `tpu` extra) describes any slice and compiles for
it on a machine without a TPU.
"""

import importlib.util
import math
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import jax
from jax.experimental import topologies

from palette_jax import chips

_EXAMPLES = 'v5e:4x4, v5e:16x16, v6e:8x8, v4:2x2x2, v5p:4x4x4'


class Topology(NamedTuple):
  """A slice.

  Attributes:
    name: as Google writes it: v5e:4x4, v5p:4x4x8.
    chip: what it is made of.
    sides: chips along each axis.
    devices: all of them; nothing can run there.
  """

  name: str
  chip: chips.Chip
  sides: tuple[int, ...]
  devices: Sequence[jax.Device]

  @property
  def chips(self) -> int:
    """How many are rented."""
    return math.prod(self.sides)


def describe(name: str) -> Topology:
  """The slice of that name.

  Raises:
    ValueError: if there is no such slice, or no compiler for it; says what is
      known.
  """
  known = chips.tpus()
  found = re.fullmatch(r'(\w+):(\d+(?:x\d+)*)', name)
  if not found or found[1] not in known:
    raise ValueError(
      f'{name!r} is no TPU slice. Write GENERATION:SIDES, as in {_EXAMPLES}; '
      f'generations: {", ".join(known)}.'
    )
  chip = known[found[1]]
  sides = tuple(map(int, found[2].split('x')))
  if len(sides) != chip.axes or math.prod(sides) > chip.pod:
    raise ValueError(
      f'{name!r}: a slice of {chip.name} has {chip.axes} sides and at most '
      f'{chip.pod} chips.'
    )
  _load()
  # Two cores of a v4 or v5p work as one device; a single chip is half a host's.
  options = {}
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
      f'{name!r} cannot be rented: a host has 2x2 chips, and a slice whole '
      f'hosts or a single chip. Slices are {_EXAMPLES} ({error}).'
    ) from error
  return Topology(name, chip, sides, slice_.devices)


def _load():
  """Sets the TPU library up, before it is loaded, to look for no TPU."""
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
  # Two plans may be made at a time: nothing is run.
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')


def links(topology: Topology, group: Sequence[int]) -> int:
  """Links that a chip can use at once, to talk within a group.

  Along every axis that the group spans a chip has two of them, if the axis is
  closed to a ring, else the chips at its ends have but one.

  Args:
    topology: the slice.
    group: places of devices in `topology.devices`.

  Returns:
    0 if the group is within one chip.
  """
  places = [topology.devices[i].coords for i in group]
  total = 0
  for axis, side in enumerate(topology.sides):
    spanned = len({place[axis] for place in places})
    ring = spanned == side and side % topology.chip.ring == 0
    total += 0 if spanned == 1 else 2 if ring else 1
  return total


def scatters(topology: Topology, count: int) -> bool:
  """Whether XLA lets so many chips keep a part each of a sum.

  What all chips of a square or a cube sum it sums over all its axes at a time,
  to the whole on every chip, of which each then takes its part: twice the
  bytes. Seen by compiling (benchmarks/tpu_scatter.py).
  """
  sides = [side for side in topology.sides if side > 1]
  square = len(sides) == 2 and sides[0] == sides[1] > 2
  return count < topology.chips or not (square or len(sides) == 3)
