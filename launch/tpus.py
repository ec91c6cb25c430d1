"""Names of TPU slices in Google's tools, from the topologies of `palette plan`.

A topology such as v5e:4x4 counts chips. gcloud's types count chips (v5e, v6e)
or cores, two on a chip (v4, v5p), so that v5p-8 and v5e:2x2 both have four
chips; GKE wants a label and a shape. Sources:
docs.cloud.google.com/tpu/docs/runtimes and the pages of v4, v5e, v5p and v6e
beside it, and docs.cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus.
"""

import argparse
import math
from typing import NamedTuple


class Generation(NamedTuple):
  """One generation of TPUs.

  Attributes:
    gcloud: the first part of gcloud's type.
    cores: number of cores that gcloud counts for a chip.
    label: GKE's name.
    runtime: the software version of a TPU VM.
    sides: number of sides of its shapes, two or three.
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
CHIPS_OF_HOST = 4  # in every slice that has several hosts


class Topology(NamedTuple):
  """A slice: its generation, and its shape in chips, such as 4x4."""

  generation: Generation
  shape: str

  @property
  def chips(self) -> int:
    """Number of chips."""
    return math.prod(map(int, self.shape.split('x')))

  @property
  def chips_of_host(self) -> int:
    """Number of chips of a host."""
    return min(self.chips, CHIPS_OF_HOST)

  @property
  def hosts(self) -> int:
    """Number of machines on GKE."""
    return self.chips // self.chips_of_host

  @property
  def gcloud_type(self) -> str:
    """gcloud's type, such as v5litepod-16 for v5e:4x4."""
    return f'{self.generation.gcloud}-{self.chips * self.generation.cores}'


def topology(text: str) -> Topology:
  """Parses a slice such as v5e:4x4, for argparse.

  Raises:
    argparse.ArgumentTypeError: if there is no such slice.
  """
  name, _, shape = text.partition(':')
  generation = GENERATIONS.get(name)
  if generation is None:
    known = ', '.join(GENERATIONS)
    raise argparse.ArgumentTypeError(
      f'{text!r}: write GENERATION:SIDES, as in v5e:4x4; generations: {known}'
    )
  sides = shape.split('x')
  if len(sides) != generation.sides or not all(
    side.isdecimal() and int(side) > 0 for side in sides
  ):
    example = '2x2x2' if generation.sides == 3 else '4x4'
    raise argparse.ArgumentTypeError(
      f'{text!r}: a {name} has {generation.sides} sides, as in {name}:{example}'
    )
  result = Topology(generation, shape)
  if result.chips not in (1, 2) and result.chips % CHIPS_OF_HOST:
    raise argparse.ArgumentTypeError(
      f'{text!r} has {result.chips} chips; hosts have {CHIPS_OF_HOST} each'
    )
  return result
