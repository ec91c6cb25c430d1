"""What a compiled TPU program says of itself: cycles, collectives, loops.

The text of a compiled program is its schedule: XLA's estimate of cycles stands
at every operation that the chip's units do. XLA's own sums of them mislead:
collectives have no cycles, and the body of a loop counts once. Here bodies
count as often as they run, and collectives are read as what devices send.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

KINDS = (
  'all-reduce',
  'all-gather',
  'reduce-scatter',
  'all-to-all',
  'collective-permute',
)
_BYTES = {'pred': 1, 'bf16': 2}  # others end in their number of bits
_SHAPE = re.compile(r'\b(pred|[a-z]+\d+)\[([\d,]*)\]')
_HEAD = re.compile(r'^(ENTRY )?%?([\w.-]+) .*{$')
_OPERATION = re.compile(r'^(?:ROOT )?%?([\w.-]+) = (.*?) ([\w-]+)\(')
_CALLED = re.compile(r'\b(body|condition|calls|to_apply)=%?([\w.-]+)')


class Collective(NamedTuple):
  """What devices tell each other, in one place of the program.

  Attributes:
    kind: one of KINDS.
    dtype: of the data, as XLA names it: f32, bf16.
    size: bytes of the whole: what a device has before it is reduced, or after
      it is gathered.
    group: devices that take part with the first one, by their place in the
      mesh.
    times: how often it runs in one call of the program.
  """

  kind: str
  dtype: str
  size: int
  group: tuple[int, ...]
  times: int

  @property
  def sent(self) -> float:
    """Bytes that each device sends when it runs once, around a ring."""
    share = (len(self.group) - 1) / len(self.group)
    if self.kind == 'collective-permute':
      return self.size
    return self.size * share * (2 if self.kind == 'all-reduce' else 1)


class Program(NamedTuple):
  """A compiled program, on one device.

  Attributes:
    cycles: of everything that is not a collective.
    collectives: all of them.
    loops: how often each loop runs; None where the text does not say, and then
      its body counts once.
  """

  cycles: int
  collectives: list[Collective]
  loops: list[int | None]


class _Operation(NamedTuple):
  name: str
  shape: str
  kind: str
  line: str


def read(text: str, devices: int) -> Program:
  """Reads `compiled.as_text()`.

  Args:
    text: the scheduled program.
    devices: number of devices of the mesh.
  """
  computations = _split(text)
  entry = next(name for name, (is_entry, _) in computations.items() if is_entry)
  reader = _Reader(computations, devices)
  reader.walk(entry, 1)
  return Program(reader.cycles, reader.collectives, reader.loops)


def _split(text):
  """Computations by name: whether it is the entry, and its operations."""
  computations, operations = {}, None
  for line in text.splitlines():
    if head := _HEAD.match(line):
      operations = []
      computations[head[2]] = bool(head[1]), operations
    elif line.startswith('}'):
      operations = None
    elif operations is not None:
      if found := _OPERATION.match(line.strip()):
        operations.append(_Operation(*found.groups(), line))
  return computations


class _Reader:
  """Goes through computations as they are called, and adds up."""

  def __init__(self, computations, devices):
    self.cycles, self.collectives, self.loops = 0, [], []
    self._computations, self._devices = computations, devices
    self._chains = set()

  def walk(self, name, times):
    """Adds a computation that is run so many times."""
    for operation in self._computations[name][1]:
      called = dict(_CALLED.findall(operation.line))
      if operation.kind == 'while':
        trips = _trips(operation, self._computations[called['condition']][1])
        self.loops.append(trips)
        self.walk(called['body'], times * (trips or 1))
      elif operation.kind == 'call':
        self.walk(called['to_apply'], times)
      else:
        cycles = re.search(r'"estimated_cycles":"(\d+)"', operation.line)
        self.cycles += times * int(cycles[1]) if cycles else 0
        for kind, inner in _collectives(operation, called, self._computations):
          self._add(kind, inner, times)

  def _add(self, kind, operation, times):
    # One that goes on while others compute is written down in each of them.
    chain = re.search(r'chain_id="(\d+)"', operation.line)
    if chain and chain[1] in self._chains:
      return
    if chain:
      self._chains.add(chain[1])
    self.collectives.append(_collective(kind, operation, self._devices, times))


def _trips(loop, condition):
  """How often a loop that counts from zero runs."""
  if known := re.search(r'"known_trip_count":{"n":"(\d+)"}', loop.line):
    return int(known[1])
  # The limit may be inside of a fused comparison, whose operand it then is.
  limits = {
    int(found[1])
    for operation in condition
    if (found := re.search(r'= s32\[\]\S* constant\((\d+)\)', operation.line))
  }
  return limits.pop() if len(limits) == 1 else None


def _collectives(operation, called, computations) -> Iterator:
  """An operation's collectives: itself, or those that are fused into it."""
  kind = operation.kind.removesuffix('-start')
  if kind in KINDS:
    yield kind, operation
  elif operation.kind in ('fusion', 'async-start') and 'calls' in called:
    _, inside = computations[called['calls']]
    for inner in inside:
      kind = inner.kind.removesuffix('-start')
      if kind not in KINDS:
        continue
      # How XLA writes a sum of which every device keeps a part.
      if kind == 'all-reduce' and 'scatter' in called['calls']:
        kind = 'reduce-scatter*'
      yield kind, inner


def _collective(kind, operation, devices, times):
  group = _group(operation.line, devices)
  shapes = _SHAPE.findall(operation.shape)
  sizes = [_size(*shape) for shape in shapes]
  size = sum(sizes)
  if operation.kind in ('all-gather-start', 'collective-permute-start'):
    size = max(sizes)  # of operand, result and what is in between
  if kind == 'reduce-scatter':
    size *= len(group)
  return Collective(kind.removesuffix('*'), shapes[0][0], size, group, times)


def _size(dtype, dims):
  width = _BYTES.get(dtype) or max(1, int(re.sub(r'\D', '', dtype)) // 8)
  return width * math.prod(int(n) for n in dims.split(',') if n)


def _group(line, devices):
  """The first of the groups, in any of the three ways to write them."""
  if found := re.search(r'replica_groups=\{\{([\d,]*)\}', line):
    return tuple(map(int, found[1].split(',')))
  if found := re.search(
    r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', line
  ):
    shape, dims, order = (
      [int(n) for n in (numbers or '').split(',') if n]
      for numbers in found.groups()
    )
    ids = np.arange(math.prod(dims)).reshape(dims)
    ids = ids.transpose(order) if order else ids
    return tuple(ids.reshape(shape[0], -1)[0].tolist())
  if found := re.search(r'replica_groups=mesh\[(.*?)\] ?\{(.*?)\}', line):
    sizes = {
      name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", found[1])
    }
    taking_part = re.findall(r"'(\w+)'", found[2])
    ids = np.arange(math.prod(sizes.values())).reshape(list(sizes.values()))
    index = tuple(slice(None) if name in taking_part else 0 for name in sizes)
    return tuple(ids[index].ravel().tolist())
  if found := re.search(r'source_target_pairs=\{\{(\d+),(\d+)\}', line):
    return int(found[1]), int(found[2])
  return tuple(range(devices))  # none are named: all
