"""The forward process: how a clean image becomes noise, and what is kept.

`complete` is where a batch arrives from the host. The network then predicts one
of three things, from each of which, with y_t, the clean image follows:

  eps   the noise (the paper, section 3)
  y_0   the clean image
  v     sqrt(gamma) eps - sqrt(1 - gamma) y_0 (Salimans and Ho 2022)
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from palette_jax import arrays, givens, images

PREDICTIONS = ('eps', 'y_0', 'v')
WEIGHTINGS = ('uniform', 'min_snr')


def complete(examples: arrays.Examples, key: Array) -> arrays.Batch:
  """From 8 bits to [-1, 1], and noise into the holes (Palette, section 5.2).

  The numbers are those of `images.from_u8`, to the bit. The noise is drawn here
  and not on the host, where it would take longer than decoding a photo.

  Args:
    examples: of the host.
    key: of the noise.
  """
  target, cond, given = map(jnp.asarray, examples)
  target, cond = (
    (image.astype(jnp.float32) - 127.5) * images.LEVEL
    for image in (target, cond)
  )
  noise = jax.random.normal(key, cond.shape)
  cond = jnp.where(given == givens.NOISE, noise, cond)
  cond = jnp.where(given == givens.NOTHING, 0.0, cond)
  mask = (given != givens.TRUTH).astype(jnp.float32)
  return arrays.Batch(target, cond, mask)


def add_noise(
  y_0: Float[Array, 'b h w 3'],
  eps: Float[Array, 'b h w 3'],
  gamma: Float[Array, ' b'],
) -> Float[Array, 'b h w 3']:
  """y_t = sqrt(gamma) y_0 + sqrt(1 - gamma) eps (Palette, appendix A)."""
  gamma = gamma[:, None, None, None]
  return jnp.sqrt(gamma) * y_0 + jnp.sqrt(1.0 - gamma) * eps


def truth(
  prediction: str,
  y_0: Float[Array, 'b h w 3'],
  eps: Float[Array, 'b h w 3'],
  gamma: Float[Array, ' b'],
) -> Float[Array, 'b h w 3']:
  """What a perfect network of that kind says."""
  gamma = gamma[:, None, None, None]
  if prediction == 'eps':
    return eps
  if prediction == 'y_0':
    return y_0
  assert prediction == 'v', prediction
  return jnp.sqrt(gamma) * eps - jnp.sqrt(1.0 - gamma) * y_0


def estimate_clean(
  prediction: str,
  y_t: Float[Array, 'b h w 3'],
  said: Float[Array, 'b h w 3'],
  gamma: Float[Array, ' b'],
) -> Float[Array, 'b h w 3']:
  """The clean image, if what the network of that kind said is true."""
  gamma = gamma[:, None, None, None]
  if prediction == 'eps':  # `add_noise` undone
    return (y_t - jnp.sqrt(1.0 - gamma) * said) / jnp.sqrt(gamma)
  if prediction == 'y_0':
    return said
  assert prediction == 'v', prediction
  return jnp.sqrt(gamma) * y_t - jnp.sqrt(1.0 - gamma) * said


def weight(
  weighting: str, prediction: str, gamma: Float[Array, ' b']
) -> Float[Array, ' b']:
  """What an error at this noise level counts.

  'uniform': 1, whatever is predicted (the paper). 'min_snr': the error of y_0
  times min(SNR, 5), SNR = gamma / (1 - gamma) (Hang et al. 2023, section 3.4),
  which is no more than 1 for eps, 5 for y_0 and 5/6 for v.
  """
  if weighting == 'uniform':
    return jnp.ones_like(gamma)
  assert weighting == 'min_snr', weighting
  if prediction == 'eps':  # min(SNR, 5) / SNR
    return jnp.minimum(1.0, 5.0 * (1.0 - gamma) / gamma)
  if prediction == 'y_0':
    return jnp.minimum(gamma / (1.0 - gamma), 5.0)
  assert prediction == 'v', prediction
  return jnp.minimum(gamma, 5.0 * (1.0 - gamma))  # min(SNR, 5) / (SNR + 1)


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
