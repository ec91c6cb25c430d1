"""How the network is told the noise level.

Next: palette_jax/models/blocks.py
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from palette_jax.models import blocks

MAX_PERIOD = 10_000


def sinusoid(
  position: Float[Array, ' b'], features: int
) -> Float[Array, 'b d']:
  """Cosines, then sines, of frequencies from 1 down to 1/10,000."""
  half = features // 2
  frequency = jnp.exp(-math.log(MAX_PERIOD) * jnp.arange(half) / half)
  angle = position[:, None] * frequency[None, :]
  return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


class NoiseLevel(nn.Module):
  """gamma -> features: sinusoid, then two dense layers, in float32.

  The paper conditions on gamma and leaves the form open. 1000 sqrt(gamma) fills
  the sinusoid's range, as time steps do in guided-diffusion, and is smooth and
  all but constant below the smallest gamma of training, 4.4e-5, where 532 of
  the 1000 inference steps lie.

  Attributes:
    features: of the sinusoid; the dense layers have four times as many.
  """

  features: int

  @nn.compact
  def __call__(self, gamma: Float[Array, ' b']) -> Float[Array, 'b d']:
    emb = sinusoid(1000.0 * jnp.sqrt(gamma), self.features)
    emb = blocks.dense(4 * self.features, jnp.float32, 'hidden')(emb)
    return blocks.dense(4 * self.features, jnp.float32, 'out')(nn.silu(emb))
