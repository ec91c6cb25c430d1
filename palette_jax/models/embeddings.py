"""Embeddings of the noise level."""

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from palette_jax.models import blocks

MAX_PERIOD = 10_000


def gamma_root(gamma: Float[Array, ' b']) -> Float[Array, ' b']:
  """Returns 1000 sqrt(gamma), this package's choice (benchmarks/README.md).

  It fills the sinusoid's range, as guided-diffusion's time steps do. Below
  4.4e-5, the smallest gamma of training, it is almost constant; 532 of the 1000
  inference steps lie there.
  """
  return 1000.0 * jnp.sqrt(gamma)


def gamma_itself(gamma: Float[Array, ' b']) -> Float[Array, ' b']:
  """Returns gamma itself, as a published PyTorch port of Palette does."""
  return gamma


def time_step(gamma: Float[Array, ' b']) -> Float[Array, ' b']:
  """Returns the time step of guided-diffusion, 0 to 999, that has this gamma.

  guided-diffusion's betas rise linearly from 1e-4 to 0.02 in 1000 steps.
  Between steps, the result is linear in log gamma; beyond the first and the
  last step it is clipped.
  """
  gammas = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000))
  lowest = jnp.float32(gammas[-1])
  return jnp.interp(
    -jnp.log(jnp.maximum(gamma, lowest)),
    jnp.asarray(-np.log(gammas), jnp.float32),
    jnp.arange(1000, dtype=jnp.float32),
  )


# By value of `model.noise_level`. The last two are for imported weights.
POSITIONS = {
  'gamma_root': gamma_root,
  'gamma': gamma_itself,
  'time_step': time_step,
}


def sinusoid(
  position: Float[Array, ' b'], features: int
) -> Float[Array, 'b d']:
  """Returns cosines, then sines, of frequencies from 1 down to 1/10,000."""
  half = features // 2
  frequency = jnp.exp(-math.log(MAX_PERIOD) * jnp.arange(half) / half)
  angle = position[:, None] * frequency[None, :]
  return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


class NoiseLevel(nn.Module):
  """Embeds gamma by a sinusoid and two dense layers, in float32.

  The paper conditions on gamma but does not say in which form.

  Attributes:
    features: features of the sinusoid, a quarter of those of the dense layers.
    position: name in POSITIONS of the map from gamma to a sinusoid's argument.
  """

  features: int
  position: str = 'gamma_root'

  @nn.compact
  def __call__(self, gamma: Float[Array, ' b']) -> Float[Array, 'b d']:
    emb = sinusoid(POSITIONS[self.position](gamma), self.features)
    emb = blocks.dense(4 * self.features, jnp.float32, 'hidden')(emb)
    return blocks.dense(4 * self.features, jnp.float32, 'out')(nn.silu(emb))
