"""What Google's tools call the TPUs that `palette plan` names by topology.

A topology such as v5e:4x4 counts chips. gcloud's types count chips (v5e, v6e)
or cores, two a chip (v4, v5p), so that v5p-8 and v5e:2x2 both have four chips;
GKE wants a label and a shape. Sources: docs.cloud.google.com/tpu/docs/runtimes
and the pages of v4, v5e, v5p and v6e beside it, and
docs.cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus.
"""

import argparse
import math
from typing import NamedTuple


class Generation(NamedTuple):
  """One kind of TPU.

  Attributes:
    gcloud: the first part of gcloud's type.
    cores: that gcloud counts for a chip.
    label: GKE's name of it.
    runtime: the software of a TPU VM on which JAX is installed.
    sides: of its shapes, two or three.
  """

  gcloud: str
  cores: int
  label: str
  runtime: str
  sides: int


GENERATIONS = {
  'v4': Generation('v4', 2, 'tpu-v4-podslice', 'tpu-ubuntu2204-base', 3),
  'v5e': Generation(
    'v5litepod', 1, 'tpu-v5-lite-podslice', 'v2-alpha-tpuv5-lite', 2
  ),
  'v5p': Generation('v5p', 2, 'tpu-v5p-slice', 'v2-alpha-tpuv5', 3),
  'v6e': Generation('v6e', 1, 'tpu-v6e-slice', 'v2-alpha-tpuv6e', 2),
}
CHIPS_OF_HOST = 4  # of every slice that has several hosts


class Topology(NamedTuple):
  """A slice: its kind, and its shape in chips (4x4)."""

  generation: Generation
  shape: str

  @property
  def chips(self) -> int:
    """How many it has."""
    return math.prod(map(int, self.shape.split('x')))

  @property
  def chips_of_host(self) -> int:
    """How many a host of it has."""
    return min(self.chips, CHIPS_OF_HOST)

  @property
  def hosts(self) -> int:
    """How many machines it has on GKE."""
    return self.chips // self.chips_of_host

  @property
  def gcloud_type(self) -> str:
    """v5litepod-16 for v5e:4x4."""
    return f'{self.generation.gcloud}-{self.chips * self.generation.cores}'


def topology(text: str) -> Topology:
  """v5e:4x4 -> the slice; for argparse.

  Raises:
    argparse.ArgumentTypeError: naming what is wrong.
  """
  name, _, shape = text.partition(':')
  generation = GENERATIONS.get(name)
  if generation is None:
    known = ', '.join(GENERATIONS)
    raise argparse.ArgumentTypeError(
      f'{text!r}: write KIND:SHAPE, as in v5e:4x4; kinds are {known}'
    )
  sides = shape.split('x')
  if len(sides) != generation.sides or not all(
    side.isdecimal() and int(side) > 0 for side in sides
  ):
    example = '2x2x2' if generation.sides == 3 else '4x4'
    raise argparse.ArgumentTypeError(
      f'{text!r}: a {name} has {generation.sides} sides, as in {name}:{example}'
    )
  found = Topology(generation, shape)
  if found.chips not in (1, 2) and found.chips % CHIPS_OF_HOST:
    raise argparse.ArgumentTypeError(
      f'{text!r} has {found.chips} chips; hosts have {CHIPS_OF_HOST} each'
    )
  return found
