"""Cycles, collectives and loops of a compiled TPU program, from its text.

The text of a compiled program is its schedule, with XLA's estimate of cycles at
every operation of the chip's units. XLA's own sums mislead: collectives have no
cycles, and the body of a loop counts once. Here a body counts as often as it
runs, and a collective counts by the bytes that devices send.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
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
  """Communication between devices, at one place of the program.

  Attributes:
    kind: one of KINDS.
    dtype: of the data, by XLA's names: f32, bf16.
    size: bytes of the whole array, before it is reduced or once it is gathered.
    group: the devices of the first device's group, by their places in the
      mesh.
    times: number of executions in one call of the program.
  """

  kind: str
  dtype: str
  size: int
  group: tuple[int, ...]
  times: int

  @property
  def sent(self) -> float:
    """Bytes that each device sends in one execution, around a ring."""
    share = (len(self.group) - 1) / len(self.group)
    if self.kind == 'collective-permute':
      return self.size
    return self.size * share * (2 if self.kind == 'all-reduce' else 1)


class Program(NamedTuple):
  """A compiled program, on one device.

  Attributes:
    cycles: of everything but the collectives.
    collectives: in the order of the program.
    loops: number of iterations of each loop; None where the text does not say,
      and then its body counts once.
  """

  cycles: int
  collectives: list[Collective]
  loops: list[int | None]


class _Operation(NamedTuple):
  name: str
  shape: str
  kind: str
  line: str


class _Computation(NamedTuple):
  is_entry: bool
  operations: list[_Operation]


_Computations = dict[str, _Computation]


def read(text: str, devices: int) -> Program:
  """Reads a program.

  Args:
    text: the scheduled program, of `compiled.as_text()`.
    devices: number of devices of the mesh.
  """
  computations = _split(text)
  entry = next(name for name, c in computations.items() if c.is_entry)
  reader = _Reader(computations, devices)
  reader.walk(entry, 1)
  return Program(reader.cycles, reader.collectives, reader.loops)


def _split(text: str) -> _Computations:
  """Splits a program into its computations, by name."""
  computations: _Computations = {}
  current: _Computation | None = None
  for line in text.splitlines():
    if head := _HEAD.match(line):
      current = _Computation(bool(head[1]), [])
      computations[head[2]] = current
    elif line.startswith('}'):
      current = None
    elif current is not None:
      if match := _OPERATION.match(line.strip()):
        current.operations.append(_Operation(*match.groups(), line))
  return computations


class _Reader:
  """Follows the calls between computations, and adds up their costs."""

  def __init__(self, computations: _Computations, devices: int) -> None:
    self.cycles = 0
    self.collectives: list[Collective] = []
    self.loops: list[int | None] = []
    self._computations, self._devices = computations, devices
    self._chains: set[str] = set()

  def walk(self, name: str, times: int) -> None:
    """Adds a computation that runs `times` times."""
    for operation in self._computations[name].operations:
      called = dict(_CALLED.findall(operation.line))
      if operation.kind == 'while':
        condition = self._computations[called['condition']]
        trips = _trips(operation, condition.operations)
        self.loops.append(trips)
        self.walk(called['body'], times * (trips or 1))
      elif operation.kind == 'call':
        self.walk(called['to_apply'], times)
      else:
        cycles = re.search(r'"estimated_cycles":"(\d+)"', operation.line)
        self.cycles += times * int(cycles[1]) if cycles else 0
        for kind, inner in _collectives(operation, called, self._computations):
          self._add(kind, inner, times)

  def _add(self, kind: str, operation: _Operation, times: int) -> None:
    # A collective that overlaps with operations appears in each of them.
    chain = re.search(r'chain_id="(\d+)"', operation.line)
    if chain and chain[1] in self._chains:
      return
    if chain:
      self._chains.add(chain[1])
    self.collectives.append(_collective(kind, operation, self._devices, times))


def _trips(loop: _Operation, condition: Sequence[_Operation]) -> int | None:
  """Returns the iterations of a loop that counts from zero; None if unknown."""
  if known := re.search(r'"known_trip_count":{"n":"(\d+)"}', loop.line):
    return int(known[1])
  # The limit may be the operand of a fused comparison.
  limits = {
    int(match[1])
    for operation in condition
    if (match := re.search(r'= s32\[\]\S* constant\((\d+)\)', operation.line))
  }
  return limits.pop() if len(limits) == 1 else None


def _collectives(
  operation: _Operation, called: Mapping[str, str], computations: _Computations
) -> Iterator[tuple[str, _Operation]]:
  """Yields kind and operation of a collective, and of those fused into one."""
  kind = operation.kind.removesuffix('-start')
  if kind in KINDS:
    yield kind, operation
  elif operation.kind in ('fusion', 'async-start') and 'calls' in called:
    for inner in computations[called['calls']].operations:
      kind = inner.kind.removesuffix('-start')
      if kind not in KINDS:
        continue
      # This is a sum of which every device keeps only its part.
      if kind == 'all-reduce' and 'scatter' in called['calls']:
        kind = 'reduce-scatter*'
      yield kind, inner


def _collective(
  kind: str, operation: _Operation, devices: int, times: int
) -> Collective:
  group = _group(operation.line, devices)
  shapes = _SHAPE.findall(operation.shape)
  sizes = [_size(*shape) for shape in shapes]
  size = sum(sizes)
  if operation.kind in ('all-gather-start', 'collective-permute-start'):
    size = max(sizes)  # of operand, result and intermediate arrays
  if kind == 'reduce-scatter':
    size *= len(group)
  return Collective(kind.removesuffix('*'), shapes[0][0], size, group, times)


def _size(dtype: str, dims: str) -> int:
  width = _BYTES.get(dtype) or max(1, int(re.sub(r'\D', '', dtype)) // 8)
  return width * math.prod(int(n) for n in dims.split(',') if n)


def _group(line: str, devices: int) -> tuple[int, ...]:
  """Returns the first group, in any of the notations of the text."""
  if match := re.search(r'replica_groups=\{\{([\d,]*)\}', line):
    return tuple(map(int, match[1].split(',')))
  if match := re.search(
    r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', line
  ):
    shape, dims, order = (
      [int(n) for n in (numbers or '').split(',') if n]
      for numbers in match.groups()
    )
    ids = np.arange(math.prod(dims)).reshape(dims)
    ids = ids.transpose(order) if order else ids
    return tuple(ids.reshape(shape[0], -1)[0].tolist())
  if match := re.search(r'replica_groups=mesh\[(.*?)\] ?\{(.*?)\}', line):
    sizes = {
      name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", match[1])
    }
    axes = re.findall(r"'(\w+)'", match[2])
    ids = np.arange(math.prod(sizes.values())).reshape(list(sizes.values()))
    index = tuple(slice(None) if name in axes else 0 for name in sizes)
    return tuple(ids[index].ravel().tolist())
  if match := re.search(r'source_target_pairs=\{\{(\d+),(\d+)\}', line):
    return int(match[1]), int(match[2])
  return tuple(range(devices))  # all of them, where no group is listed
