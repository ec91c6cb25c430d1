"""Nothing that does not fit, or has changed on disk, is ever loaded."""

import contextlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palette_jax.training import checkpoint, state


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
    for one in states:
      checkpoints.save(one, {'config': {'seed': 0}})


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


def test_what_is_saved_comes_back_and_the_newest_two_are_kept(tmp_path, opened):
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
  one = make()
  saved(tmp_path, one)
  checkpoints = opened(tmp_path)
  train = tmp_path / 'checkpoints/3/train'
  for path in train.rglob('*'):  # as if there were no optimizer
    if path.is_file() and 'METADATA' not in path.name:
      path.unlink()
  restored = checkpoints.restore_ema(3, abstract(one.ema_params))
  assert same(restored, one.ema_params)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (dict(width=9), r'kernel is \(6, 8\) there, and \(6, 9\)'),
    (dict(more=True), 'extra is missing there'),
    (dict(less=True), 'bias is .* there, and unknown'),
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
  with pytest.raises(ValueError, match=f'another model: .*{message}'):
    checkpoints.restore_ema(3, abstract(other.ema_params))


# Orbax, failing as it should here, leaves reads behind that find its event
# loop closed; nowhere else may such a warning pass.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_flipped_byte_in_any_file_is_noticed_or_harmless(tmp_path, opened):
  """What loads is what was saved; what does not is called damaged.

  Orbax alone loads flipped weights: its data files carry no checksum.
  """
  one, draw = make(width=5000), np.random.default_rng(0)
  saved(tmp_path, one)
  files = [
    path
    for item in ('ema', 'meta')
    for path in pathlib.Path(tmp_path, 'checkpoints/3', item).rglob('*')
    if path.is_file() and path.stat().st_size
  ]
  damaged = 0
  for path in files:
    whole = path.read_bytes()
    for at in draw.integers(0, len(whole), 3):
      flipped = bytearray(whole)
      flipped[at] ^= 1
      path.write_bytes(flipped)
      try:
        read = opened(tmp_path).restore_ema(3, abstract(one.ema_params))
        assert same(read, one.ema_params), path
      except ValueError as error:
        assert 'is damaged' in str(error), path
        damaged += 1
    path.write_bytes(whole)
  assert damaged >= len(files)  # most bytes of most files matter
  kernel = max(files, key=lambda path: path.stat().st_size)
  whole = kernel.read_bytes()
  kernel.write_bytes(whole[:-1000] + bytes([whole[-1000] ^ 1]) + whole[-999:])
  with pytest.raises(ValueError, match='the bits of ema layer/kernel'):
    opened(tmp_path).restore_ema(3, abstract(one.ema_params))


def test_checksums_depend_on_every_bit_and_not_on_the_devices():
  tree = {'x': jnp.arange(64, dtype=jnp.float32).reshape(8, 8)}
  total = checkpoint.digests.of_leaves(tree)
  mesh = jax.make_mesh((8,), ('a',), axis_types=(jax.sharding.AxisType.Auto,))
  for spec in (jax.P('a'), jax.P(None, 'a')):
    layout = jax.sharding.NamedSharding(mesh, spec)
    assert checkpoint.digests.of_leaves(jax.device_put(tree, layout)) == total
  bits = np.asarray(tree['x']).view(np.uint32)
  for i in range(64):
    flipped = bits.copy()
    flipped.flat[i] ^= np.uint32(1 << (i % 32))
    other = {'x': jnp.asarray(flipped.view(np.float32))}
    assert checkpoint.digests.of_leaves(other) != total
  swapped = {'x': tree['x'][::-1]}
  assert checkpoint.digests.of_leaves(swapped) != total


def test_a_step_is_saved_once(tmp_path, opened):
  saved(tmp_path, make(step=2))
  checkpoints = opened(tmp_path)
  checkpoints.save(make(step=2), {})
  assert checkpoints.meta(2)['config'] == {'seed': 0}
