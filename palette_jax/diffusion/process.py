"""The forward process, from a clean image to noise.

`complete` receives a batch from the host. The network then predicts one of
three quantities, each of which determines the clean image together with y_t:

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
  """Converts 8 bits to [-1, 1] and fills holes with noise (section 5.2).

  Values equal those of `images.from_u8`, to the bit. Noise is drawn here and
  not on the host, where it would take longer than decoding a photo.

  Args:
    examples: a batch from the host.
    key: random key of the noise.
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
  """Returns y_t = sqrt(gamma) y_0 + sqrt(1 - gamma) eps (appendix A)."""
  gamma = gamma[:, None, None, None]
  return jnp.sqrt(gamma) * y_0 + jnp.sqrt(1.0 - gamma) * eps


def prediction_target(
  prediction: str,
  y_0: Float[Array, 'b h w 3'],
  eps: Float[Array, 'b h w 3'],
  gamma: Float[Array, ' b'],
) -> Float[Array, 'b h w 3']:
  """Returns the value that the network should predict."""
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
  output: Float[Array, 'b h w 3'],
  gamma: Float[Array, ' b'],
) -> Float[Array, 'b h w 3']:
  """Returns the clean image that follows from the network's output."""
  gamma = gamma[:, None, None, None]
  if prediction == 'eps':  # the inverse of `add_noise`
    return (y_t - jnp.sqrt(1.0 - gamma) * output) / jnp.sqrt(gamma)
  if prediction == 'y_0':
    return output
  assert prediction == 'v', prediction
  return jnp.sqrt(gamma) * y_t - jnp.sqrt(1.0 - gamma) * output


def loss_weight(
  weighting: str, prediction: str, gamma: Float[Array, ' b']
) -> Float[Array, ' b']:
  """Returns the weight of an error at a noise level.

  'uniform' is 1 for every prediction (the paper). 'min_snr' weights the error
  of y_0 by min(SNR, 5), SNR = gamma / (1 - gamma) (Hang et al. 2023, section
  3.4): at most 1 for eps, 5 for y_0 and 5/6 for v.
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
  """Returns the painted image inside the mask and the known one outside.

  Both are exact. Around a hole the network sees clean known pixels, in training
  (`known` is the target) and in every sampling step (`known` is the condition,
  which equals the target there). The paper does not say whether they are clean
  or noisy; clean ones are what the sampler has. With a mask of ones, the
  painted image is returned as it is.
  """
  return jnp.where(mask > 0.5, painted, known)
