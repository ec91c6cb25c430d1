"""The peak figures of accelerators, from their data sheets.

All figures are those of one JAX device. On TPU v2, v3 and 7x each of a chip's
two cores is a device, which has half of the chip's figures here; on v4 and v5p
a device is the whole chip.

Sources: the page of each generation in Google's Cloud TPU documentation
(docs.cloud.google.com/tpu/docs/v5e and so on) and NVIDIA's data sheets, dense
bf16. Interconnect: the documentation gives a chip's bandwidth over all links,
both ways (v5e: 400 GB/s over 4) or, on older pages, one way (v4: 2,400 Gbit/s
over 6); the table has that of one link, one way. It agrees with the pod's
all-reduce bandwidth on the same pages: for v5e, 51.2 TB/s over 256 chips is
200 GB/s a chip, its four links. For GPUs it is that of NVLink, one way.

The clock is not published for all chips: it is the peak divided by the
operations of the matrix units in a cycle (v5e: 4 units of 128x128, two
operations each), and agrees with the cycles in compiled programs.
"""

from typing import NamedTuple

import jax


class Chip(NamedTuple):
  """The figures of one device.

  Attributes:
    name: its usual name; for a TPU, the first part of a topology's name.
    peak_flops: bf16, FLOP/s.
    hbm_bytes: size of its memory.
    hbm_bandwidth: bandwidth of its memory, bytes/s.
    link_bandwidth: of one link to a neighbour, one way, bytes/s.
    devices: number of devices on a chip, as chips are rented.
    axes: of the torus of links; 0 if every device is linked to every other.
    ring: a side of the torus that this divides closes to a ring; others are
      lines.
    pod: largest number of linked chips.
    clock: cycles/s; 0 if programs are not scheduled in cycles.
  """

  name: str
  peak_flops: float
  hbm_bytes: float
  hbm_bandwidth: float
  link_bandwidth: float
  devices: int = 1
  axes: int = 0
  ring: int = 1
  pod: int = 8
  clock: float = 0.0


GIB = 2**30

# fmt: off
_CHIPS = {  # by JAX's device_kind
  'TPU v2': Chip(
    'v2', 22.5e12, 8 * GIB, 350e9, 31e9, 2, 2, 16, 256, 0.70e9),
  'TPU v3': Chip(
    'v3', 61.5e12, 16 * GIB, 450e9, 41e9, 2, 2, 32, 1024, 0.94e9),
  'TPU v4': Chip(
    'v4', 275e12, 32 * GIB, 1200e9, 50e9, 1, 3, 4, 4096, 1.05e9),
  'TPU v5 lite': Chip(
    'v5e', 197e12, 16 * GIB, 819e9, 50e9, 1, 2, 16, 256, 1.5e9),
  'TPU v5': Chip(
    'v5p', 459e12, 95 * GIB, 2765e9, 100e9, 1, 3, 4, 8960, 1.75e9),
  'TPU v6 lite': Chip(
    'v6e', 918e12, 32 * GIB, 1638e9, 100e9, 1, 2, 16, 256, 1.75e9),
  'TPU7x': Chip(
    'tpu7x', 1153.5e12, 96 * GIB, 3690e9, 50e9, 2, 3, 4, 9216, 2.2e9),
  'NVIDIA A100-SXM4-40GB': Chip('A100', 312e12, 40e9, 1555e9, 300e9),
  'NVIDIA A100-SXM4-80GB': Chip('A100', 312e12, 80e9, 2039e9, 300e9),
  'NVIDIA H100 80GB HBM3': Chip('H100', 989e12, 80e9, 3350e9, 450e9),
  'NVIDIA H200': Chip('H200', 989e12, 141e9, 4800e9, 450e9),
  'NVIDIA B200': Chip('B200', 2250e12, 180e9, 7700e9, 900e9),
}
# fmt: on
_OTHER_NAMES = {'TPU v5e': 'TPU v5 lite', 'TPU v5p': 'TPU v5'}
_OTHER_NAMES |= {'TPU v6e': 'TPU v6 lite', 'TPU v7x': 'TPU7x'}


def of_device(device: jax.Device) -> Chip | None:
  """Returns the chip of a device; None if the table does not have it."""
  kind = device.device_kind
  return _CHIPS.get(_OTHER_NAMES.get(kind, kind))


def tpus() -> dict[str, Chip]:
  """Returns the TPUs of the table by name."""
  return {chip.name: chip for chip in _CHIPS.values() if chip.axes}
