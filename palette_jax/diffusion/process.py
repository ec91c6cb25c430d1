"""The forward process: how a clean image becomes noise, and what is kept.

Next: palette_jax/diffusion/sampler.py
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def add_noise(
  y_0: Float[Array, 'b h w 3'],
  eps: Float[Array, 'b h w 3'],
  gamma: Float[Array, ' b'],
) -> Float[Array, 'b h w 3']:
  """y_t = sqrt(gamma) y_0 + sqrt(1 - gamma) eps (Palette, appendix A)."""
  gamma = gamma[:, None, None, None]
  return jnp.sqrt(gamma) * y_0 + jnp.sqrt(1.0 - gamma) * eps


def estimate_clean(
  y_t: Float[Array, 'b h w 3'],
  eps: Float[Array, 'b h w 3'],
  gamma: Float[Array, ' b'],
) -> Float[Array, 'b h w 3']:
  """y_0 = (y_t - sqrt(1 - gamma) eps) / sqrt(gamma), `add_noise` undone."""
  gamma = gamma[:, None, None, None]
  return (y_t - jnp.sqrt(1.0 - gamma) * eps) / jnp.sqrt(gamma)


def keep_known(
  painted: Float[Array, 'b h w 3'],
  known: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
) -> Float[Array, 'b h w 3']:
  """The painted image inside the mask, the known one outside, both exact.

  The network sees clean known pixels around the hole in training (known is the
  target) and in every sampling step (known is cond, which equals the target
  there). The paper does not say whether they are clean or noisy; clean ones are
  what the sampler has. A mask of ones leaves the painted image as it is.
  """
  return jnp.where(mask > 0.5, painted, known)
