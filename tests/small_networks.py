"""Feature extractors small enough for tests."""

import jax
import jax.numpy as jnp
import numpy as np

from palette_jax.evaluation import networks as nets


def a_network(key, name, features=6, classes=5):
  """Means of random convolutions: small, and anything but degenerate."""
  draw = np.random.default_rng(key)
  params = {
    'kernel': draw.normal(0, 0.1, [5, 5, 3, features]).astype(np.float32),
    'head': draw.normal(0, 1, [features, classes]).astype(np.float32),
  }
  params['head'] -= params['head'].mean(axis=0)

  def apply(params, images_u8):
    x = images_u8.astype(jnp.float32) / 127.5 - 1
    x = jax.lax.conv_general_dilated(
      x,
      params['kernel'],
      (2, 2),
      'VALID',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    result = jnp.mean(jnp.abs(x), axis=(1, 2))
    return dict(features=result, logits=20 * result @ params['head'])

  return nets.Network(name, 'f' * 64, 'x / 127.5 - 1', params, apply)
