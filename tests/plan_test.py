"""Plans: model FLOPs, compiled programs, slices, compiling for them."""

import collections
import json
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from runs import micro

from configs import common
from palette_jax import chips, sharding
from palette_jax.models import flops, unet
from palette_jax.planning import command, forecast, plan, program, topology
from palette_jax.training import learner

TEXT = (ROOT / 'tests/golden/program.hlo').read_text()


def test_a_program_s_loops_count_as_often_as_they_run():
  read = program.read(TEXT, 4)
  assert read.cycles == 5 * 100 + 11  # not the 7 inside of a fusion
  assert read.loops == [5]
  assert program.read(TEXT.replace('constant(5)', 'iota()'), 4).loops == [None]


def test_a_program_s_collectives_are_what_devices_send():
  gathered, scattered, parts, summed = program.read(TEXT, 4).collectives
  assert gathered == ('all-gather', 'bf16', 8 * 4 * 2, (0, 1), 5)
  assert scattered == ('reduce-scatter', 'f32', 8 * 4 * 4, (0, 2), 1)
  assert parts == ('reduce-scatter', 'f32', 8 * 4 * 4, (0, 1), 1)
  assert summed == ('all-reduce', 'f32', (8 * 4 + 3) * 4, (0, 1, 2, 3), 1)
  assert gathered.sent == 64 / 2  # a half is there already
  assert summed.sent == 2 * 140 * 3 / 4  # scattered, then gathered


def slice_of(generation, *sides):
  """Returns a slice without a compiler: devices with coordinates only."""
  device = collections.namedtuple('Device', 'coords')
  devices = [
    device(tuple(reversed(place))) for place in np.ndindex(*reversed(sides))
  ]
  name = f'{generation}:{"x".join(map(str, sides))}'
  return topology.Topology(name, chips.tpus()[generation], sides, devices)


def test_only_closed_rings_have_two_links_an_axis():
  pod = slice_of('v5e', 16, 16)
  part = slice_of('v5e', 4, 8)
  cube = slice_of('v5p', 4, 4, 8)
  assert topology.links(pod, range(256)) == 4
  assert topology.links(pod, range(16)) == 2
  assert topology.links(pod, range(8)) == 1
  assert topology.links(part, range(32)) == 2
  assert topology.links(cube, range(128)) == 6
  assert topology.links(cube, [0]) == 0
  assert pod.chips == 256


def test_chips_agree_with_their_pods():
  """Google states peak and all-reduce bandwidth of whole pods, too."""
  v5e, v6e = chips.tpus()['v5e'], chips.tpus()['v6e']
  assert 256 * v5e.peak_flops == pytest.approx(50.63e15, rel=0.01)
  assert 256 * v6e.peak_flops == pytest.approx(234.9e15, rel=0.01)
  assert 256 * 4 * v5e.link_bandwidth == pytest.approx(51.2e12, rel=0.01)
  assert 256 * 4 * v6e.link_bandwidth == pytest.approx(102.4e12, rel=0.01)
  units = 4 * 128 * 128 * 2  # four units, two operations
  assert units * v5e.clock == pytest.approx(v5e.peak_flops, rel=0.01)
  assert chips.of_device(jax.devices()[0]) is None


def small(**changes):
  return unet.UNet(
    channels=32,
    channel_mult=(1, 1),
    num_res_blocks=1,
    attention_levels=(),
    head_channels=32,
    **changes,
  )


def test_model_flops_are_counted_by_hand():
  conv = 2 * 9 * 32 * 32  # operations of a pixel
  emb = 2 * (32 * 128 + 128 * 128)
  level = {
    'down0': 16 * 16 * 2 * conv,
    'down0_resample': 8 * 8 * 2 * conv,
    'down1': 8 * 8 * 2 * conv,
    'middle': 8 * 8 * 4 * conv,
    'up1': 2 * 8 * 8 * (3 * conv + 2 * 64 * 32),
    'up1_resample': 16 * 16 * 2 * conv,
    'up0': 2 * 16 * 16 * (3 * conv + 2 * 64 * 32),
    'ends': 16 * 16 * 2 * 9 * 32 * (6 + 3),
    'modulations': 10 * 2 * 128 * 64,
    'attention': 2 * 64 * 32 * (96 + 32) + 2 * 2 * 64 * 64 * 32,
  }
  assert flops.forward(small(), 16, 16) == emb + sum(level.values())


def test_model_flops_do_not_depend_on_how_they_are_done():
  """Remat on or off, bf16 or not; accumulated or not: 3 a batch and image."""
  expected = flops.forward(small(remat=False, dtype='float32'), 16, 16)
  assert flops.forward(small(remat=True), 16, 16) == expected

  @jax.jit
  def scanned(x):
    return jax.lax.scan(lambda y, _: (y @ x, None), x, length=5)[0]

  traced = jax.make_jaxpr(scanned)(jnp.ones([4, 4]))
  assert flops.count(traced.jaxpr) == 5 * 2 * 4**3


def test_the_paper_s_network():
  forward = flops.forward(unet.UNet(), 256, 256)
  assert forward == pytest.approx(2.22e12, rel=0.01)
  assert flops.training_step(unet.UNet(), 256, 256, 8) == 24 * forward


def config_of(**model):
  config = micro(
    common.get_config(common.parse_arg(None), 'colorization'), 'photos'
  )
  config.model.update(dtype='bfloat16', **model)
  return config


@pytest.mark.parametrize(('fsdp', 'accumulation'), [(1, 1), (4, 2)])
def test_gradients_are_summed_in_float32(monkeypatch, fsdp, accumulation):
  """Both in the text of a bf16 program and in the compiled program."""
  monkeypatch.setattr(sharding, 'MIN_SHARDED_SIZE', 1000)
  config = config_of()
  config.train.update(batch=16, accumulation=accumulation)
  built = learner.build(config, sharding.make_mesh(fsdp))
  lowered = plan._lower(built, 16, 'train')
  text = lowered.as_text()
  assert 'bf16' in text and ('reduce_scatter' in text) == (fsdp > 1)
  # XLA on CPU always sums bf16 in float32; TPUs sum in the type of the text.
  types = (
    r'stablehlo\.(?:reduce_scatter|all_reduce)".*?: \(tensor<(?:\d+x)*(\w+)>'
  )
  assert set(re.findall(types, text, re.S)) == {'f32'}
  read = program.read(lowered.compile().as_text(), 8)
  kinds = collections.Counter((c.kind, c.dtype) for c in read.collectives)
  assert kinds['all-reduce', 'f32'] > 0
  moved = {'all-to-all', 'collective-permute'} & {kind for kind, _ in kinds}
  assert not moved  # every device keeps its rows
  assert kinds['reduce-scatter', 'f32'] > 0 or fsdp == 1
  assert {d for k, d in kinds if k in ('all-reduce', 'reduce-scatter')} == {
    'f32'
  }


def test_parameters_are_gathered_in_the_type_they_are_used_in():
  """`unet.dtypes` against the traced network: what is rounded, and only that.

  A parameter that is used in float32 is never rounded; all others are before
  anything else is done to them.
  """
  model = small(dtype='bfloat16')
  image, gamma = jnp.ones([1, 16, 16, 3]), jnp.ones([1])
  network = lambda p: model.apply({'params': p}, image, image, gamma)  # noqa: E731
  jaxpr = jax.make_jaxpr(network)(unet.shapes(model)).jaxpr
  expected = jax.tree.leaves(unet.dtypes(model))
  for variable, dtype in zip(jaxpr.invars, expected, strict=True):
    uses = [eqn for eqn in jaxpr.eqns if variable in eqn.invars]
    rounded = [eqn.params.get('new_dtype') == jnp.bfloat16 for eqn in uses]
    if variable.aval.ndim > 1:
      assert uses and all(rounded) == (dtype == jnp.bfloat16)


def test_remedies_are_tried_from_the_cheapest(monkeypatch):
  pod = slice_of('v5e', 4, 4)
  monkeypatch.setattr(topology, 'describe', lambda name: pod)
  config = config_of(remat=False)
  config.train.batch = 64
  tried = list(plan.remedies(config, 'v5e:4x4', 'train'))
  assert tried[0] == {'mesh.fsdp': 8}  # 16 would be summed, not scattered
  assert tried[1] == {'mesh.fsdp': 8, 'model.remat': True}
  assert [t.get('train.accumulation') for t in tried] == [None, None, 2, 4]
  sampled = list(plan.remedies(config, 'v5e:4x4', 'sample'))
  assert sampled == [{'train.batch': 32}, {'train.batch': 16}]


@pytest.mark.parametrize(
  ('generation', 'sides', 'shares'),
  [('v5e', (2, 4), 8), ('v5e', (4, 8), 16), ('v5p', (2, 2, 2), 8)],
)
def test_the_state_lies_over_16_devices_or_all(
  monkeypatch, generation, sides, shares
):
  place = slice_of(generation, *sides)
  monkeypatch.setattr(topology, 'describe', lambda name: place)
  config = config_of()
  config.train.batch = place.chips
  first = next(plan.remedies(config, place.name, 'train'))
  assert first == {'mesh.fsdp': shares}


@pytest.mark.parametrize(
  'message',
  [
    'Ran out of memory in memory space hbm. Used 16.01G of 15.75G hbm.',
    'the total memory required (16.01G) exceeds available HBM (15.75G).',
  ],
)
def test_the_error_of_a_plan_that_does_not_fit_has_numbers(message):
  config = config_of()
  config.train.batch = 32
  error = plan._does_not_fit(config, slice_of('v5e', 4, 4), message)
  assert '16.0 GiB of 15.75 GiB' in str(error)
  assert 'mesh.fsdp=1, model.remat=False' in str(error)


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('v5e', "'v5e'"),
    ('v9:2x2', 'v9:2x2'),
    ('v5p:2x2', '3 sides'),
    ('v5e:32x32', '256 chips'),
  ],
)
def test_slices_that_do_not_exist_are_refused(name, message):
  with pytest.raises(ValueError, match=message):
    topology.describe(name)


def test_a_missing_compiler_is_named_with_its_extra(monkeypatch):
  monkeypatch.setattr(topology.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(ValueError, match=r'palette_jax\[tpu\]'):
    topology.describe('v5e:4x4')


def test_every_slice_has_its_own_batch(monkeypatch, capsys):
  sides = {'a': slice_of('v5e', 2, 2), 'b': slice_of('v5e', 4, 2)}
  monkeypatch.setattr(topology, 'describe', sides.get)
  monkeypatch.setattr(plan, 'check', lambda *args: None)
  compiled = []

  def compile_for(config, name, mode):
    compiled.append((name, config.train.batch, config.mesh.fsdp))
    if config.mesh.fsdp == 1:
      raise plan.DoesNotFit('too much')
    return plan_of(sides[name].chips, 0.1)

  monkeypatch.setattr(plan, 'compile_for', compile_for)
  command.run(config_of(), ['a', 'b'], 'train', per_chip=8)
  assert compiled == [('a', 32, 1), ('a', 32, 4), ('b', 64, 1), ('b', 64, 8)]
  output = capsys.readouterr().out
  assert '--config.mesh.fsdp=4' in output and '| v5e:4x2 |' in output


def plan_of(chips_, seconds):
  return plan.Plan(
    mode='train',
    topology=slice_of('v5e', 4, chips_ // 4),
    settings=dict(fsdp=8, accumulation=1, remat=True),
    batch=8 * chips_,
    arguments=2**30,
    temporaries=2**33,
    code=0,
    accessed=1e11,
    flops=53e12,
    computing=0.5,
    sending=seconds,
    program=program.read(TEXT, 4),
  )


def test_a_plan_adds_up():
  small_plan = plan_of(8, seconds=0.1)
  assert small_plan.seconds == pytest.approx(0.6)
  assert small_plan.share == pytest.approx(53e12 / 0.6 / 197e12)
  assert small_plan.free == 16 * 2**30 - small_plan.peak
  config = config_of()
  config.train.steps = 1_000_000
  text = forecast.text(small_plan, config)
  assert '6.9 days' in text and '1,333 chip-hours' in text
  table = forecast.table([small_plan, plan_of(16, 0.2)], config)
  assert table.count('\n') == 3 and '| v5e:4x4 | 8 | fsdp 8, remat |' in table
  (axes,) = forecast.scaling([plan_of(16, 0.7), small_plan]).axes
  overlapped, not_overlapped = (line.get_ydata() for line in axes.lines)
  # Of 128 images a second, 8 a chip: from 0.5 s to 0.7, from 0.6 s to 1.2.
  assert overlapped == pytest.approx([100, 100 * 5 / 7])
  assert not_overlapped == pytest.approx([100 * 5 / 6, 100 * 5 / 12])
  assert [tick.get_text() for tick in axes.get_xticklabels()] == ['8', '16']


COMPILE = """
import json, sys
sys.path.insert(0, 'tests')
from runs import micro
from configs import common
from palette_jax.planning import plan

config = common.get_config(common.parse_arg(None), 'colorization')
config = micro(config, 'photos')
config.model.update(dtype='bfloat16', channels=64, remat=True)
config.train.update(batch=8)
config.mesh.fsdp = 2
result = plan.compile_for(config, 'v5e:2x2')
print(json.dumps([
  result.peak, result.flops, result.computing, result.sending,
  result.program.loops,
  [(c.kind, c.dtype, len(c.group)) for c in result.program.collectives],
]))
"""


@pytest.mark.slow
def test_the_training_step_is_compiled_for_a_tpu_that_is_not_here():
  """Gathered in bf16, gradients scattered in float32, no windowed loops."""
  done = subprocess.run(
    [sys.executable, '-c', COMPILE],
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
  )
  peak, work, computing, sending, loops, collectives = json.loads(
    done.stdout.splitlines()[-1]
  )
  assert 0 < peak < 2**34 and work > 1e9 and computing > 0 and sending > 0
  assert not loops
  collectives = collections.Counter(map(tuple, collectives))
  assert collectives['all-gather', 'bf16', 2] > 0
  assert collectives['reduce-scatter', 'f32', 2] > 0
  reduced = {
    d for k, d, _ in collectives if k in ('all-reduce', 'reduce-scatter')
  }
  assert reduced == {'f32'}


SCATTERED = """
import json
from benchmarks import tpu_scatter
from palette_jax import sharding
from palette_jax.planning import program, topology

cases = []
for name, chips, shape, axis in tpu_scatter.CASES:
  place = topology.describe(name)
  mesh = sharding.make_mesh(chips, place.devices)
  text = tpu_scatter.compile_one(mesh, (16 * chips, 1024), 0).as_text()
  kinds = [c.kind for c in program.read(text, mesh.size).collectives]
  cases.append((name, chips, kinds, topology.scatters(place, chips)))
print(json.dumps(cases))
"""


@pytest.mark.slow
def test_sums_are_scattered_where_the_planner_expects_it():
  """The compiler agrees: a square or a cube sums the whole, others parts."""
  done = subprocess.run(
    [sys.executable, '-c', SCATTERED],
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
  )
  cases = json.loads(done.stdout.splitlines()[-1])
  for name, chips_, kinds, scatters in cases:
    expected = 'reduce-scatter' if scatters else 'all-reduce'
    assert expected in kinds and len(kinds) == 1, (name, chips_, kinds)
  assert {scatters for *_, scatters in cases} == {True, False}


MESHES = """
import math
from palette_jax import sharding
from palette_jax.planning import topology

for name in 'v6e:4x4', 'v6e:8x8', 'v4:4x4x4', 'v5p:2x2x4':
  place = topology.describe(name)
  for power in range(int(math.log2(len(place.devices))) + 1):
    mesh = sharding.make_mesh(2**power, place.devices)
    assert mesh.shape['fsdp'] == 2**power
    assert set(mesh.devices.flat) == set(place.devices)
    sides = [{d.coords[i] for d in mesh.devices[0]} for i in range(3)]
    assert math.prod(map(len, sides)) == 2**power, (name, sides)  # a box
"""


@pytest.mark.slow
def test_every_slice_has_a_mesh_for_every_share():
  """Also where a share is not a whole side of the slice, and always a box."""
  subprocess.run([sys.executable, '-c', MESHES], cwd=ROOT, check=True)
