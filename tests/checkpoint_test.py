"""A checkpoint that does not fit, or has changed on disk, is never loaded."""

import contextlib
import os
import resource
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT, orphans

from palette_jax import sharding
from palette_jax.training import checkpoint, checksum, lock, state


def make(seed=0, width=8, step=3):
  draw = np.random.default_rng(seed)
  params = {
    'layer': {'kernel': draw.normal(size=[6, width]), 'bias': np.ones(6)}
  }
  params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
  return state.TrainState(
    step=jnp.array(step),
    params=params,
    ema_params=jax.tree.map(lambda x: 0.5 * x, params),
    opt_state=(jnp.array(7), {'m': jax.tree.map(jnp.ones_like, params)}),
    key=jax.random.key(5),
  )


def abstract(tree):
  device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), tree
  )


@pytest.fixture
def opened():
  """Opens the checkpoints of a folder; closes all when the test ends."""
  with contextlib.ExitStack() as stack:

    def open_folder(path):
      checkpoints = checkpoint.Checkpoints(str(path))
      return stack.enter_context(contextlib.closing(checkpoints))

    yield open_folder


def saved(tmp_path, *states):
  """Writes checkpoints, and waits until they are on disk."""
  with contextlib.closing(checkpoint.Checkpoints(str(tmp_path))) as checkpoints:
    for state_ in states:
      checkpoints.save(state_, {'config': {'seed': 0}})


def same(a, b):
  bits = lambda x: (  # noqa: E731
    jax.random.key_data(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    else x
  )
  return jax.tree.structure(a) == jax.tree.structure(b) and all(
    np.array_equal(bits(x), bits(y))
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b))
  )


def test_a_saved_state_is_restored_and_the_newest_two_are_kept(
  tmp_path, opened
):
  states = [make(seed=s, step=s) for s in (1, 2, 3)]
  saved(tmp_path, *states)
  checkpoints = opened(tmp_path)
  assert checkpoints.latest() == 3
  assert same(checkpoints.restore(3, abstract(states[2])), states[2])
  assert same(checkpoints.restore(2, abstract(states[1])), states[1])
  assert sorted(p.name for p in (tmp_path / 'checkpoints').iterdir()) == [
    '2',
    '3',
  ]
  assert checkpoints.meta(3)['config'] == {'seed': 0}


def test_the_average_is_loaded_alone(tmp_path, opened):
  original = make()
  saved(tmp_path, original)
  checkpoints = opened(tmp_path)
  train = tmp_path / 'checkpoints/3/train'
  for path in train.rglob('*'):  # as if there were no optimizer
    if path.is_file() and 'METADATA' not in path.name:
      path.unlink()
  restored = checkpoints.restore_ema(3, abstract(original.ema_params))
  assert same(restored, original.ema_params)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (dict(width=9), r'kernel is \(6, 8\)'),
    (dict(more=True), 'extra'),
    (dict(less=True), 'bias'),
  ],
)
def test_a_checkpoint_of_another_model_names_the_first_difference(
  tmp_path, opened, change, message
):
  saved(tmp_path, make())
  checkpoints = opened(tmp_path)
  other = make(width=change.get('width', 8))
  if 'more' in change:
    other.ema_params['layer']['extra'] = jnp.ones(1)
  if 'less' in change:
    del other.ema_params['layer']['bias']
  with pytest.raises(ValueError, match=message):
    checkpoints.restore_ema(3, abstract(other.ema_params))


@pytest.fixture(scope='module')
def two(tmp_path_factory):
  """A folder with checkpoints of steps 2 and 3, and what is in them."""
  folder = tmp_path_factory.mktemp('two')
  states = {step: make(seed=step, width=5000, step=step) for step in (2, 3)}
  saved(folder, *states.values())
  return folder, states


def newest(folder, states, hold=None):
  """Step and state of the newest whole checkpoint."""
  opened = checkpoint.Checkpoints(str(folder), hold)
  with contextlib.closing(opened) as checkpoints:
    return checkpoints.load_newest(
      lambda step: (step, checkpoints.restore(step, abstract(states[step])))
    )


def flipped(data, draw):
  changed = bytearray(data)
  changed[draw.integers(len(data))] ^= 1 << draw.integers(8)
  return bytes(changed)


@orphans
@pytest.mark.parametrize('item', ['train', 'ema', 'meta', '.'])
@pytest.mark.parametrize(
  'damage',
  [
    flipped,
    lambda data, draw: data[: draw.integers(len(data))],  # truncated
    lambda data, draw: b'',
  ],
  ids=['flipped', 'truncated', 'empty'],
)
def test_damaged_files_never_change_what_is_loaded(
  two, item, damage, collected
):
  """The loaded state has the saved bits, whichever file of an item is damaged.

  Orbax alone loads flipped weights: its data files carry no checksum.
  """
  folder, states = two
  draw = np.random.default_rng(0)
  where = folder / 'checkpoints/3' / item
  files = where.glob('*') if item == '.' else where.rglob('*')
  files = [path for path in files if path.is_file() and path.stat().st_size]
  passed_over = 0
  for path in files:
    whole = path.read_bytes()
    path.write_bytes(damage(whole, draw))
    try:
      step, restored = newest(folder, states)
    finally:
      path.write_bytes(whole)
    assert same(restored, states[step]), path
    passed_over += step == 2
  # Two files of three matter in fact; those beside the items do not.
  assert passed_over >= (len(files) // 4 if item != '.' else 0)


def flip_weights(folder, item='ema', step=3, from_end=1000):
  """Flips a bit in the bytes of an array, which Orbax would load."""
  files = (folder / f'checkpoints/{step}/{item}').rglob('*')
  files = [path for path in files if path.is_file()]
  path = max(files, key=lambda path: path.stat().st_size)
  changed = bytearray(path.read_bytes())
  changed[-from_end] ^= 1
  path.write_bytes(changed)


@pytest.mark.parametrize('item', ['train', 'ema'])
def test_flipped_array_bytes_are_named(tmp_path, opened, item):
  original = make(width=5000)
  saved(tmp_path, original)
  flip_weights(tmp_path, item)
  message = f'{item} .*layer/kernel'
  with pytest.raises(checkpoint.Damaged, match=message):
    opened(tmp_path).restore(3, abstract(original))


def test_the_holder_of_the_workdir_moves_damaged_checkpoints_away(
  tmp_path, caplog
):
  """Readers do not; the same step can be saved and damaged again."""
  states = {step: make(width=5000, step=step) for step in (2, 3)}
  folder = tmp_path / 'checkpoints'
  names = lambda: sorted(path.name for path in folder.iterdir())  # noqa: E731
  saved(tmp_path, *states.values())
  for aside in (['3.damaged'], ['3.damaged', '3.damaged.2']):
    flip_weights(tmp_path)
    before = names()
    assert newest(tmp_path, states)[0] == 2
    assert names() == before
    assert newest(tmp_path, states, hold=lambda: None)[0] == 2
    assert names() == ['2', *aside]
    assert f'{folder}/{aside[-1]}' in caplog.text
    saved(tmp_path, states[3])
    assert newest(tmp_path, states)[0] == 3


def test_without_a_whole_checkpoint_a_run_does_not_start_from_zero(tmp_path):
  """Not even from imported weights, and nothing is moved."""
  states = {step: make(width=5000, step=step) for step in (0, 3)}
  saved(tmp_path, *states.values())
  assert newest(tmp_path, states)[0] == 3
  flip_weights(tmp_path)
  for hold in (None, lambda: None):
    with pytest.raises(checkpoint.Damaged, match='None of the checkpoints'):
      newest(tmp_path, states, hold)
  folder = tmp_path / 'checkpoints'
  assert sorted(path.name for path in folder.iterdir()) == ['0', '3']
  assert newest(tmp_path / 'empty', states) is None


def test_only_the_holder_removes_half_written_checkpoints(
  tmp_path,
):
  original = make(step=2)
  saved(tmp_path, original)
  half = tmp_path / 'checkpoints/3.orbax-checkpoint-tmp'
  (half / 'train').mkdir(parents=True)
  assert newest(tmp_path, {2: original})[0] == 2 and half.exists()
  assert newest(tmp_path, {2: original}, hold=lambda: None)[0] == 2
  assert not half.exists()


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
  bad = make(step=5)
  bad.ema_params['layer']['bias'] = jnp.full(6, jnp.inf)
  with pytest.raises(FloatingPointError, match='ema layer/bias') as error:
    saved(tmp_path, make(step=4), bad)
  assert error.value.step == 5
  assert newest(tmp_path, {4: make(step=4)})[0] == 4


def test_a_failed_write_raises_and_leaves_the_last_checkpoint(tmp_path):
  """A limit on the size of files fails as a full disk does: halfway."""
  original, big = make(step=1), make(step=2, width=50_000)
  saved(tmp_path, original)
  _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
  try:
    with pytest.raises(OSError, match='could not be written'):
      saved(tmp_path, big)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert newest(tmp_path, {1: original})[0] == 1
  saved(tmp_path, big)  # there is room again
  assert newest(tmp_path, {2: big})[0] == 2


def test_a_run_that_has_lost_the_workdir_does_not_write(tmp_path):
  def lost():
    raise lock.InUse('lost')

  opened = checkpoint.Checkpoints(str(tmp_path), lost)
  with contextlib.closing(opened) as checkpoints:
    with pytest.raises(lock.InUse):
      checkpoints.save(make(), {})
    assert checkpoints.latest() is None


@pytest.mark.parametrize('fsdp', [1, 2])
def test_a_state_of_8_devices_is_restored_on_4_2_and_1(tmp_path, opened, fsdp):
  """Bit for bit, with the layout of the new mesh."""
  whole = make(width=2**14)

  def mesh(devices):
    return jax.make_mesh(
      (devices // min(fsdp, devices), min(fsdp, devices)),
      ('data', 'fsdp'),
      axis_types=(jax.sharding.AxisType.Auto,) * 2,
      devices=jax.devices()[:devices],
    )

  def shape(mesh):
    return sharding.by_parameter(mesh, whole)

  saved(tmp_path, jax.device_put(whole, shape(mesh(8))))
  checkpoints = opened(tmp_path)
  for devices in (8, 4, 2, 1):
    layout = jax.tree.map(
      lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
      whole,
      shape(mesh(devices)),
    )
    restored = checkpoints.restore(3, layout)
    assert same(restored, whole)
    for leaf, expected in zip(
      jax.tree.leaves(restored), jax.tree.leaves(layout)
    ):
      assert leaf.sharding.is_equivalent_to(expected.sharding, leaf.ndim)


ONE_HOST_CANNOT_READ = """
import contextlib, sys
import jax
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
import checkpoint_test
from palette_jax.training import checkpoint

jax.config.update('jax_num_cpu_devices', 1)  # of each host
mesh = jax.make_mesh((2,), ('a',), axis_types=(jax.sharding.AxisType.Auto,))
def layout(leaf):
  split = leaf.shape and leaf.shape[-1] % 2 == 0
  spec = jax.P(*[None] * (leaf.ndim - 1), 'a') if split else jax.P()
  return jax.sharding.NamedSharding(mesh, spec)
def create(step):
  make = lambda: checkpoint_test.make(step=step)
  where = jax.tree.map(layout, jax.eval_shape(make))
  return jax.jit(make, out_shardings=where)()
states = {step: create(step) for step in (2, 3)}
abstract = {
  step: jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree
  )
  for step, tree in states.items()
}
def opened():
  held = checkpoint.Checkpoints(sys.argv[3], lambda: None)
  return contextlib.closing(held)
with opened() as checkpoints:
  for step in states:
    checkpoints.save(states[step], {})
  checkpoints.wait()

whole = checkpoint.ocp.load_checkpointables
def broken(where, items):
  if '/3' in str(where) and 'ema' in items and jax.process_index() == 1:
    raise OSError('cannot be reached from here')
  return whole(where, items)
checkpoint.ocp.load_checkpointables = broken
with opened() as checkpoints:
  step, _ = checkpoints.load_newest(
    lambda step: (step, checkpoints.restore(step, abstract[step]))
  )
print('loaded', step)
jax.distributed.shutdown()
"""


@pytest.mark.slow
def test_both_hosts_skip_a_checkpoint_that_one_cannot_read(tmp_path):
  with socket.socket() as free:
    free.bind(('localhost', 0))
    address = f'localhost:{free.getsockname()[1]}'
  hosts = [
    subprocess.Popen(
      [sys.executable, '-c', ONE_HOST_CANNOT_READ, address, str(i), tmp_path],
      env={
        **os.environ,
        'PYTHONPATH': f'{ROOT}:{ROOT / "tests"}',
      },
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i in range(2)
  ]
  ends = [host.communicate(timeout=900) for host in hosts]
  assert all(out.endswith('loaded 2\n') for out, _ in ends), ends
  assert 'another host says so' in ends[0][1]
  assert 'cannot be reached from here' in ends[1][1]
  names = sorted(path.name for path in (tmp_path / 'checkpoints').iterdir())
  assert names == ['2', '3.damaged']


def test_checksums_depend_on_every_bit_and_not_on_the_devices():
  tree = {'x': jnp.arange(64, dtype=jnp.float32).reshape(8, 8)}
  total = checksum.digests(tree)
  mesh = jax.make_mesh((8,), ('a',), axis_types=(jax.sharding.AxisType.Auto,))
  for spec in (jax.P('a'), jax.P(None, 'a')):
    layout = jax.sharding.NamedSharding(mesh, spec)
    assert checksum.digests(jax.device_put(tree, layout)) == total
  bits = np.asarray(tree['x']).view(np.uint32)
  for i in range(64):
    flipped = bits.copy()
    flipped.flat[i] ^= np.uint32(1 << (i % 32))
    other = {'x': jnp.asarray(flipped.view(np.float32))}
    assert checksum.digests(other) != total
  swapped = {'x': tree['x'][::-1]}
  assert checksum.digests(swapped) != total


def test_a_step_is_saved_once(tmp_path, opened):
  saved(tmp_path, make(step=2))
  checkpoints = opened(tmp_path)
  checkpoints.save(make(step=2), {})
  assert checkpoints.meta(2)['config'] == {'seed': 0}
