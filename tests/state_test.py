"""Optimizer, average, one step, and how the state lies over devices."""

import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from runs import micro

from configs import common
from palette_jax import arrays, images, sharding
from palette_jax.diffusion import process
from palette_jax.training import learner, optimizer, run, state, step


@pytest.fixture(scope='module')
def parts():
  config = common.get_config(common.parse_arg(None), 'inpainting')
  config = micro(config, 'photos')
  return config, run.build(config)


@pytest.fixture(scope='module')
def alone(parts):
  """One device, the whole batch at once."""
  return train(parts, mesh_of(1, 1))


def batches(parts, count, size=8):
  config, built = parts
  stream = built.train_data.train(size)
  return [next(stream).examples for _ in range(count)]


def train(parts, mesh, count=3, accumulation=1):
  """States and metrics of `count` steps on a mesh."""
  config = copy.deepcopy(parts[0])
  config.train.accumulation = accumulation
  built = learner.build(config, mesh)
  current = built.create_state()
  train_step = built.jit_step()
  metrics = []
  for batch in batches(parts, count):
    current, measured = train_step(current, sharding.put_batch(mesh, batch))
    metrics.append(jax.tree.map(np.asarray, measured))
  return current, metrics


def mesh_of(data, fsdp):
  auto = (jax.sharding.AxisType.Auto,) * 2
  devices = jax.devices()[: data * fsdp]
  return jax.make_mesh(
    (data, fsdp), ('data', 'fsdp'), axis_types=auto, devices=devices
  )


def test_warm_up_is_linear_then_the_rate_is_constant():
  paper = optimizer.schedule(1e-4, 10_000)
  for at, expected in [(0, 0), (5_000, 5e-5), (10_000, 1e-4), (10**6, 1e-4)]:
    assert np.isclose(paper(at), expected)
  assert np.isclose(optimizer.schedule(1e-4, 0)(0), 1e-4)  # none at all


def test_ema_is_the_stated_average():
  decays = [float(state.ema_decay(0.9999, jnp.array(t))) for t in range(4)]
  np.testing.assert_allclose(decays, [1 / 10, 2 / 11, 3 / 12, 4 / 13])
  assert state.ema_decay(0.9999, jnp.array(10**6)) == np.float32(0.9999)
  tree = state.ema_update(
    {'w': jnp.array([2.0])}, {'w': jnp.array([4.0])}, jnp.array(0.75)
  )
  assert tree['w'] == 2.5


def test_one_step_is_adam_on_the_mean_loss(parts):
  """The same step written out, without jit, mesh or donation."""
  config, built = parts
  current = built.learner.create_state()
  key_holes, key = jax.random.split(jax.random.fold_in(current.key, 0))
  batch = process.complete(batches(parts, 1)[0], key_holes)

  def loss_fn(params):
    chance = built.learner.objective.draw_noise(key, batch)
    errors = built.learner.objective.errors(
      built.learner.denoise_fn, params, batch, chance
    )
    return errors.mean()

  loss, grads = jax.jit(jax.value_and_grad(loss_fn))(current.params)
  after, metrics = train(parts, mesh_of(1, 1), count=2)
  assert np.isclose(metrics[0]['loss'], loss, rtol=1e-5)
  assert np.isclose(metrics[0]['grad_norm'], optax.tree.norm(grads), rtol=1e-4)
  assert int(after.step) == 2


@pytest.mark.parametrize(
  ('data', 'fsdp', 'accumulation'),
  [(8, 1, 1), (2, 4, 1), (4, 2, 1), (1, 1, 4), (1, 2, 4)],
)
def test_any_mesh_and_accumulation_equal_one_device(
  parts, alone, monkeypatch, data, fsdp, accumulation
):
  """To 1e-5 in the loss after three steps: only the order of sums differs.

  To a tenth of one step of Adam in the weights: where the true gradient is
  zero (a bias before a normalisation), Adam magnifies the rounding.
  """
  monkeypatch.setattr(sharding, 'MIN_SHARDED_SIZE', 1000)
  alone_state, expected = alone
  many, metrics = train(parts, mesh_of(data, fsdp), accumulation=accumulation)
  kernel = many.params['down0_block0']['conv_in']['kernel']
  assert kernel.sharding.is_fully_replicated == (fsdp == 1)
  for a, b in zip(expected, metrics):
    np.testing.assert_allclose(a['loss'], b['loss'], rtol=1e-5)
    np.testing.assert_allclose(a['counts'], b['counts'])
    np.testing.assert_allclose(a['errors'], b['errors'], rtol=1e-4)
    np.testing.assert_allclose(a['grad_norm'], b['grad_norm'], rtol=1e-4)
  for a, b in zip(
    jax.tree.leaves(alone_state.ema_params), jax.tree.leaves(many.ema_params)
  ):
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_images_are_the_same_on_any_mesh(parts, monkeypatch):
  monkeypatch.setattr(sharding, 'MIN_SHARDED_SIZE', 1000)
  config, cond = parts[0], images.from_u8(batches(parts, 1)[0].cond)
  samples = []
  for mesh in mesh_of(1, 1), mesh_of(2, 4):
    built = learner.build(config, mesh)
    params = built.create_state().ema_params
    # Fresh weights predict nothing; a shift shows whether all of them are used.
    params = jax.tree.map(lambda x: x + 0.01, params)
    placed = sharding.put_same(mesh, (cond, np.ones_like(cond[..., :1])))
    samples.append(jax.jit(built.restore)(params, *placed, jax.random.key(0)))
  np.testing.assert_allclose(*map(np.asarray, samples), atol=1e-4)


def test_the_state_is_created_sharded_and_stays_so(parts):
  config, built = parts
  mesh = mesh_of(2, 4)
  current, _ = train(parts, mesh, count=1)
  kernel = current.params['down0_block0']['conv_in']['kernel']  # 9216 elements
  assert kernel.sharding.is_fully_replicated
  wide = jax.ShapeDtypeStruct((3, 3, 256, 512), jnp.float32)
  layout = sharding.by_parameter(mesh, wide)
  assert layout.spec == jax.P(None, None, None, 'fsdp')
  odd = jax.ShapeDtypeStruct((257, 515), jnp.float32)
  assert sharding.by_parameter(mesh, odd).is_fully_replicated


def test_metrics_by_noise_level_add_up(parts):
  _, metrics = train(parts, mesh_of(1, 1), count=1)
  total = metrics[0]['errors'].sum() / metrics[0]['counts'].sum()
  assert np.isclose(total, metrics[0]['loss'], rtol=1e-5)


def test_unreadable_records_change_nothing_but_their_own_share(parts):
  """Loss and gradient of a batch equal those of its readable rows."""
  _, built = parts
  batch = process.complete(batches(parts, 1)[0], jax.random.key(0))
  gamma = built.learner.objective.stratified_levels(8)
  params = built.learner.create_state().params
  chance = built.learner.objective.draw_noise(jax.random.key(0), batch, gamma)
  errors = functools.partial(
    built.learner.objective.errors, built.learner.denoise_fn, params
  )
  empty = batch.mask.at[5].set(0.0)
  weighed = errors(batch._replace(mask=empty), chance)
  whole = errors(batch, chance)
  assert weighed.count[5] == 0 and weighed.total[5] == 0
  keep = np.arange(8) != 5
  expected = whole.total[keep].sum() / whole.count[keep].sum()
  assert np.isclose(weighed.mean(), expected, rtol=1e-5)


def test_classes_of_noise_level():
  errors = step.objectives.Errors(
    total=jnp.array([1.0, 2.0, 4.0, 8.0]),
    count=jnp.ones(4),
    gamma=jnp.array([0.0, 0.05, 0.0999, 1.0]),
  )
  assert step.by_gamma(errors)['errors'].tolist() == [1, 6, 0, 0, 8]


def test_a_batch_that_does_not_divide_is_refused_with_one_that_does():
  mesh = mesh_of(8, 1)
  sharding.check_batch(mesh, 16, 'train.batch')
  with pytest.raises(ValueError, match='train.batch=20'):
    sharding.check_batch(mesh, 20, 'train.batch')
  with pytest.raises(ValueError, match='8 would'):
    sharding.check_batch(mesh, 4, 'train.batch')
  with pytest.raises(ValueError, match='fsdp=3'):
    sharding.make_mesh(3)


def test_rows_reach_the_devices_in_order():
  mesh = mesh_of(4, 2)
  rows = np.arange(16, dtype=np.float32).reshape(16, 1)
  for put in (sharding.put_batch, sharding.put_same):
    placed = put(mesh, arrays.Examples(rows, rows, rows))
    assert np.array_equal(placed.target, rows)
    assert len(placed.given.addressable_shards) == 8
    assert placed.given.addressable_shards[3].data.shape == (2, 1)
