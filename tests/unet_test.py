import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palette_jax import sharding
from palette_jax.models import blocks, embeddings, unet

SMALL = dict(
  channels=32,
  channel_mult=(1, 2),
  num_res_blocks=1,
  attention_levels=(1,),
  head_channels=16,
  dtype='float32',
)


def inputs(height=16, width=24, batch=2, seed=0):
  keys = jax.random.split(jax.random.key(seed), 2)
  y_t, cond = (jax.random.normal(k, [batch, height, width, 3]) for k in keys)
  return y_t, cond, jnp.linspace(0.1, 0.9, batch)


def random_params(model, *args, scale=0.1):
  """Returns weights none of which is zero, so that all affect the output."""
  params = jax.jit(model.init)(jax.random.key(0), *args)['params']
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  noise = [scale * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)]
  return jax.tree.unflatten(tree, [x + n for x, n in zip(leaves, noise)])


def test_the_default_network_has_the_papers_number_of_parameters():
  """Counts the 552M parameters of Table 5, with c = 256 channels.

  A block of a -> b channels has 9ab + b + 9bb + b in its convolutions (and
  ab + b in a shortcut if a != b), 2a + 2b in its norms and 4c * 2b + 2b for the
  noise level.
  """
  c, levels = 256, (256, 256, 512, 512, 1024, 1024)

  def block(a, b):
    shortcut = a * b + b if a != b else 0
    norms, emb = 2 * a + 2 * b, 4 * c * 2 * b + 2 * b
    return 9 * a * b + b + 9 * b * b + b + shortcut + norms + emb

  def attention(a):
    return 2 * a + (a * 3 * a + 3 * a) + (a * a + a)

  total = (c * 4 * c + 4 * c) + (4 * c * 4 * c + 4 * c)  # noise level
  total += 9 * 6 * c + c  # first convolution
  skips, h = [c], c
  for level, b in enumerate(levels):
    for _ in range(2):
      total += block(h, b) + (attention(b) if level >= 3 else 0)
      h = b
      skips.append(h)
    if level < 5:
      total += block(h, h)
      skips.append(h)
  total += 2 * block(h, h) + attention(h)
  for level, b in reversed(list(enumerate(levels))):
    for _ in range(3):
      total += block(h + skips.pop(), b) + (attention(b) if level >= 3 else 0)
      h = b
    if level:
      total += block(h, h)
  total += 2 * c + 9 * c * 3 + 3
  assert total == 552_814_083

  image = jnp.zeros([1, 256, 256, 3])
  init = functools.partial(unet.UNet().init, jax.random.key(0))
  params = jax.eval_shape(init, image, image, jnp.ones([1]))
  sizes = jax.tree.map(lambda x: x.size, params)
  assert jax.tree.reduce(int.__add__, sizes) == total
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(params))


def test_fresh_weights_predict_zeros():
  model = unet.UNet(**SMALL)
  init = jax.jit(model.init_with_output)
  out, _ = init(jax.random.key(0), *inputs())
  assert out.shape == (2, 16, 24, 3) and out.dtype == jnp.float32
  assert not np.any(out)


def test_output_depends_on_every_input():
  model, (y_t, cond, gamma) = unet.UNet(**SMALL), inputs()
  params = random_params(model, y_t, cond, gamma)
  apply = jax.jit(lambda *x: model.apply({'params': params}, *x))
  out = apply(y_t, cond, gamma)
  changed = [
    apply(y_t.at[0, 0, 0, 0].add(1), cond, gamma),
    apply(y_t, cond.at[0, 0, 0, 0].add(1), gamma),
    apply(y_t, cond, gamma.at[0].add(0.05)),
  ]
  for other in changed:
    assert np.abs(other - out)[0].max() > 1e-3
    assert np.array_equal(other[1], out[1])  # rows are independent
  # Attention carries a pixel's change to the farthest corner.
  assert np.abs(changed[0] - out)[0, -1, -1].max() > 1e-6


def test_jit_changes_no_output():
  model, args = unet.UNet(**SMALL), inputs()
  params = random_params(model, *args)
  eager = model.apply({'params': params}, *args)
  jitted = jax.jit(model.apply)({'params': params}, *args)
  np.testing.assert_allclose(eager, jitted, atol=2e-5)


def test_bfloat16_stays_near_float32_and_returns_float32():
  args = inputs()
  full, half = unet.UNet(**SMALL), unet.UNet(**SMALL | {'dtype': 'bfloat16'})
  params = random_params(full, *args)
  exact = full.apply({'params': params}, *args)
  rounded = half.apply({'params': params}, *args)
  assert rounded.dtype == jnp.float32
  error = np.abs(rounded - exact).mean() / np.abs(exact).mean()
  assert 0 < error < 0.03


@pytest.mark.parametrize('windows', [1, 2])
def test_attention_matches_its_definition(windows):
  """Compares with softmax(q k^T / sqrt(d)) v, written out for one position.

  The position attends to the whole map, or to the quarter in which it lies.
  """
  module = blocks.SelfAttention(16, 32, jnp.float32, windows)
  x = jax.random.normal(jax.random.key(0), [1, 4, 6, 32])
  params = random_params(module, x)
  out = module.apply({'params': params}, x)
  h = nn.GroupNorm(32, epsilon=1e-5).apply({'params': params['norm']}, x)
  row, column = 1, 4
  top, left = (row // 2 * 2, column // 3 * 3) if windows == 2 else (0, 0)
  seen = h[0, top : top + 4 // windows, left : left + 6 // windows]
  kernel, bias = params['qkv']['kernel'], params['qkv']['bias'][None]
  query = np.split(np.asarray(h[0, row, column][None] @ kernel + bias), 3, 1)[0]
  _, k, v = np.split(np.asarray(seen.reshape(-1, 32) @ kernel + bias), 3, 1)
  heads = []
  for part in (slice(0, 16), slice(16, 32)):
    logits = query[0, part] @ k[:, part].T / 4.0
    weights = np.exp(logits - logits.max())
    heads.append(weights / weights.sum() @ v[:, part])
  expected = (
    np.concatenate(heads) @ params['out']['kernel'] + params['out']['bias']
  )
  actual = out[0, row, column] - x[0, row, column]
  np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize(
  ('attention', 'paper'),
  [('global', 552), ('local', 552), ('more_blocks', 603), ('dilated', 624)],
)
def test_the_networks_of_the_attention_study_have_the_papers_sizes(
  attention, paper
):
  """Table 5's counts within 1.1%; the last two differ by as much as there."""

  def count(attention):
    leaves = jax.tree.leaves(unet.shapes(unet.UNet(attention=attention)))
    return sum(math.prod(leaf.shape) for leaf in leaves)

  assert abs(count(attention) / 1e6 / paper - 1) < 0.011
  names = list(unet.shapes(unet.UNet(attention=attention)))
  attended = sum('attention' in name for name in names)
  assert attended == (16 if attention in unet.WINDOWS else 0)
  extra = sum('extra' in name for name in names)
  assert extra == dict(more_blocks=6, dilated=7).get(attention, 0)
  if attention == 'dilated':
    block = 2 * (9 * 1024**2 + 3 * 1024) + 1024 * 2048 + 2048
    assert count('dilated') - count('more_blocks') == block
    assert round(block / 1e6) == 624 - 603


@pytest.mark.parametrize('attention', unet.ATTENTION)
def test_dilation_doubles_from_block_to_block_up_to_half_the_map(attention):
  dilations = {}

  def spy(next_function, args, kwargs, context):
    if isinstance(context.module, blocks.ResBlock):
      dilations[context.module.name] = context.module.dilation
    return next_function(*args, **kwargs)

  model = unet.UNet(**SMALL | dict(num_res_blocks=2, attention=attention))
  args = inputs(16, 16)
  with nn.intercept_methods(spy):
    jax.eval_shape(model.init, jax.random.key(0), *args)
  expected = dict.fromkeys(dilations, 1)
  if attention == 'dilated':
    expected |= dict(down1_extra0=2, down1_block1=4, down1_extra1=4)
    expected |= dict(middle_extra0=2)
  assert dilations == expected


def test_a_dilated_convolution_reaches_as_far_as_its_dilation():
  layer = blocks.Conv(1, 'float32', dilation=3)
  impulse = jnp.zeros([1, 9, 9, 1]).at[0, 4, 4, 0].set(1.0)
  params = layer.init(jax.random.key(0), impulse)
  seen = np.argwhere(layer.apply(params, impulse)[0, :, :, 0])
  assert sorted(map(tuple, seen)) == [
    (row, column) for row in (1, 4, 7) for column in (1, 4, 7)
  ]


def test_remat_changes_the_program_but_not_the_gradient():
  model = unet.UNet(**SMALL)
  args = inputs()
  params = random_params(model, *args)

  def gradient(model):
    def loss(params):
      return jnp.sum(model.apply({'params': params}, *args) ** 2)

    return jax.jit(jax.grad(loss)), str(jax.make_jaxpr(jax.grad(loss))(params))

  plain, plain_program = gradient(model)
  remat, remat_program = gradient(model.clone(remat=True))
  assert 'remat' in remat_program and 'remat' not in plain_program
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
    plain(params),
    remat(params),
  )


def test_remat_saves_memory_since_the_compiler_does_not_undo_it():
  args = inputs(32, 32, batch=4)
  model = unet.UNet(**SMALL | dict(num_res_blocks=3))
  params = random_params(model, *args)

  def temporaries(model):
    def loss(params):
      return jnp.sum(model.apply({'params': params}, *args) ** 2)

    options = sharding.compiler_options()
    step = jax.jit(jax.grad(loss), compiler_options=options)
    analysis = step.lower(params).compile().memory_analysis()
    return analysis.temp_size_in_bytes

  assert temporaries(model.clone(remat=True)) < 0.7 * temporaries(model)


def test_an_option_unknown_to_the_compiler_can_be_caught():
  """`compiler_options` relies on it: XLA_FLAGS would abort the process."""
  assert sharding.compiler_options()
  with pytest.raises(jax.errors.JaxRuntimeError, match='xla_no_such_option'):
    jax.jit(
      lambda: 0, compiler_options={'xla_no_such_option': '1'}
    ).lower().compile()


def test_downsample_averages_and_undoes_upsample():
  x = jnp.arange(2 * 4 * 6 * 1, dtype=jnp.float32).reshape(2, 4, 6, 1)
  assert np.array_equal(blocks.downsample(blocks.upsample(x)), x)
  average = (x[0, 0, 0] + x[0, 0, 1] + x[0, 1, 0] + x[0, 1, 1]) / 4
  assert np.array_equal(blocks.downsample(x)[0, 0, 0], average)


def test_a_residual_block_starts_as_its_shortcut():
  block = blocks.ResBlock(32, 32, jnp.float32)
  x = jax.random.normal(jax.random.key(0), [1, 4, 4, 32])
  out, _ = block.init_with_output(jax.random.key(1), x, jnp.ones([1, 8]))
  assert np.array_equal(out, x)


TRAINED = jnp.array([4.39e-5, 1e-3, 0.1, 0.5, 0.9, 0.999])
BELOW = jnp.array([0.0, 6.6e-21, 1e-12, 1e-8])


@pytest.mark.parametrize('position', embeddings.POSITIONS)
def test_embeddings_differ_in_training_and_barely_change_below_it(position):
  model = embeddings.NoiseLevel(64, position)
  params = model.init(jax.random.key(0), TRAINED)
  inside, outside = (model.apply(params, g) for g in (TRAINED, BELOW))
  gaps = np.abs(inside[:, None] - inside[None]).max(-1) + np.eye(6)
  assert gaps.min() > (1e-4 if position == 'gamma' else 0.01)
  assert np.all(np.isfinite(outside))
  assert np.ptp(outside, axis=0).max() < 0.05  # all are pure noise
  assert np.abs(outside).max() < 2 * np.abs(inside).max()


@pytest.mark.parametrize('position', embeddings.POSITIONS)
def test_the_prediction_barely_changes_below_the_gammas_of_training(position):
  """Gamma lies below all gammas of training at 532 of 1,000 inference steps.

  The prediction there is close to that at the smallest gamma of training, and
  settles as gamma falls.
  """
  model = unet.UNet(**SMALL | dict(noise_level=position))
  y_t, cond, _ = inputs(batch=1)
  params = random_params(model, y_t, cond, TRAINED[:1], scale=0.05)

  @jax.jit
  def apply(gamma):
    return model.apply({'params': params}, y_t, cond, gamma)

  least = apply(TRAINED[:1])
  below = np.stack([apply(gamma[None]) for gamma in BELOW])
  assert np.all(np.isfinite(below))
  largest = np.abs(least).max()
  assert np.abs(below - np.asarray(least)).max() < 0.25 * largest
  assert np.ptp(below, axis=0).max() < 0.02 * largest
  assert np.abs(apply(TRAINED[-1:]) - least).max() > 0


@pytest.mark.parametrize(
  ('change', 'size', 'token'),
  [
    ({}, (16, 17), '16x17'),
    ({'channel_mult': (1, 1, 1, 1, 1, 1)}, (48, 64), '48x64'),
    ({'channels': 48}, (16, 16), 'model.groups=32'),
    ({'attention_levels': (2,)}, (16, 16), 'model.attention_levels'),
    ({'dtype': 'float16'}, (16, 16), "'float16'"),
    ({'attention': 'none'}, (16, 16), "model.attention: 'none'"),
    ({'attention': 'local'}, (16, 18), '16x18'),
    ({'noise_level': 't'}, (16, 16), "model.noise_level: 't'"),
    ({'head_channels': 48}, (16, 16), 'model.head_channels: 48'),
  ],
)
def test_an_impossible_setting_or_size_is_named(change, size, token):
  with pytest.raises(ValueError, match=token):
    unet.check(unet.UNet(**SMALL | change), *size)


def test_every_norm_has_the_groups_of_the_network():
  groups = []

  def spy(call, args, kwargs, context):
    if isinstance(context.module, blocks.GroupNorm):
      groups.append(context.module.groups)
    return call(*args, **kwargs)

  model = unet.UNet(
    channels=32, channel_mult=(1, 2), groups=8, attention_levels=(1,),
    head_channels=32,
  )  # fmt: skip
  with nn.intercept_methods(spy):
    unet.shapes.__wrapped__(model)
  assert len(groups) > 20 and set(groups) == {8}


def test_a_group_of_one_channel_loses_the_colour():
  """A group of several does not, so narrow networks have fewer groups."""
  x = jax.random.normal(jax.random.key(0), [1, 8, 8, 32])
  redder = x + jax.random.normal(jax.random.key(1), [1, 1, 1, 32])

  def normalised(x, groups):
    params = {'params': dict(scale=jnp.ones(32), bias=jnp.zeros(32))}
    return blocks.GroupNorm(groups).apply(params, x)

  alone = normalised(x, 32) - normalised(redder, 32)
  assert np.abs(alone).max() < 1e-4
  together = normalised(x, 8) - normalised(redder, 8)
  assert np.abs(together.mean((0, 1, 2))).mean() > 0.1


@pytest.mark.parametrize(('shift', 'groups'), [(0.0, 32), (10.0, 32), (1.0, 8)])
def test_group_norm_equals_that_of_flax_with_a_factor_and_a_summand(
  shift, groups
):
  keys = jax.random.split(jax.random.key(0), 5)
  x = shift + jax.random.normal(keys[0], [2, 6, 4, 96])
  scale, bias = (jax.random.normal(key, [96]) for key in keys[1:3])
  factor, summand = (jax.random.normal(key, [2, 96]) for key in keys[3:])

  def ours(x, scale, bias, factor, summand):
    params = {'params': dict(scale=scale, bias=bias)}
    return blocks.GroupNorm(groups).apply(params, x, factor, summand)

  def of_flax(x, scale, bias, factor, summand):
    params = {'params': dict(scale=scale, bias=bias)}
    norm = nn.GroupNorm(groups, epsilon=1e-5, use_fast_variance=False)
    h = norm.apply(params, x)
    return h * factor[:, None, None] + summand[:, None, None]

  args = x, scale, bias, factor, summand
  actual, pull_back = jax.vjp(ours, *args)
  expected, expected_pull_back = jax.vjp(of_flax, *args)
  np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)
  upstream = jax.random.normal(keys[0], x.shape)
  for a, b in zip(pull_back(upstream), expected_pull_back(upstream)):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())
