"""What is learnt, and how an image is made from it: diffusion or regression.

Two objectives with the same three methods. `Diffusion` is Palette: the network
predicts the noise (section 3), images are made by iterative refinement.
`Regression` is the paper's baseline (section 5.1): the same network predicts
the image in a single pass.

Next: palette_jax/sharding.py
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, Float

from palette_jax import arrays
from palette_jax.diffusion import process, sampler
from palette_jax.diffusion import schedule as schedules

NORMS = {'l1': jnp.abs, 'l2': jnp.square}


class Errors(NamedTuple):
  """Errors inside the masks, one entry an example, not yet divided.

  Dividing the global sum by the global count makes one device, eight devices
  and accumulated micro-batches agree, and holes of all sizes weigh by pixel.

  Attributes:
    total: [b], sum of |prediction - truth|^p over masked values.
    count: [b], number of masked values.
    gamma: [b], the noise level at which the example was seen.
  """

  total: Float[Array, ' b']
  count: Float[Array, ' b']
  gamma: Float[Array, ' b']

  def mean(self) -> Float[Array, '']:
    """The mean error of a masked value; 0 if nothing is masked."""
    return jnp.sum(self.total) / jnp.maximum(jnp.sum(self.count), 1.0)


def masked_errors(
  prediction: Float[Array, 'b h w 3'],
  truth: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  gamma: Float[Array, ' b'],
  norm: str,
) -> Errors:
  """Errors where the mask is 1; the rest does not count (section 5.2)."""
  error = NORMS[norm](prediction - truth)
  channels = truth.shape[-1]
  return Errors(
    total=jnp.sum(mask * error, axis=(1, 2, 3)),
    count=jnp.sum(mask, axis=(1, 2, 3)) * channels,
    gamma=gamma,
  )


@dataclasses.dataclass(frozen=True)
class Diffusion:
  """Palette: predict eps, refine iteratively.

  Attributes:
    train_schedule: noise levels seen in training.
    sample_schedule: noise levels of the sampler.
    norm: 'l2' (the paper's choice) or 'l1' (its Table 6).
  """

  train_schedule: schedules.Schedule
  sample_schedule: schedules.Schedule
  norm: str = 'l2'

  blind_name = 'the noise level alone, at its best'

  def errors(
    self,
    denoise_fn: arrays.DenoiseFn,
    params: arrays.Params,
    batch: arrays.Batch,
    key: Array,
    gamma: Float[Array, ' b'] | None = None,
  ) -> Errors:
    """|eps_hat - eps|^p at random noise levels, or at the given ones."""
    key_gamma, key_eps = jax.random.split(key)
    if gamma is None:
      size = batch.target.shape[0]
      gamma = schedules.sample_gamma(key_gamma, self.train_schedule, size)
    eps = jax.random.normal(key_eps, batch.target.shape)
    y_t = process.add_noise(batch.target, eps, gamma)
    y_t = process.keep_known(y_t, batch.target, batch.mask)
    eps_hat = denoise_fn(params, y_t, batch.cond, gamma)
    return masked_errors(eps_hat, eps, batch.mask, gamma, self.norm)

  def restore(
    self,
    denoise_fn: arrays.DenoiseFn,
    params: arrays.Params,
    cond: Float[Array, 'b h w 3'],
    mask: Float[Array, 'b h w 1'],
    key: Array,
  ) -> Float[Array, 'b h w 3']:
    """Draws an image for each condition (Algorithm 2)."""
    schedule = self.sample_schedule
    return sampler.refine(denoise_fn, params, cond, mask, key, schedule)

  def spread(self, batch: int) -> Float[Array, ' b']:
    """Noise levels for `errors` that follow training's law without chance."""
    return schedules.stratified_gamma(self.train_schedule, batch)

  def blind(self, batch: arrays.Batch) -> arrays.DenoiseFn:
    """The best that can be done by somebody who knows only the noise level.

    The linear estimate of eps from y_t, with the images' own mean and variance:
    it looks at no neighbour and not at the condition.
    """
    weight = jnp.sum(batch.mask) * 3
    mean = jnp.sum(batch.mask * batch.target) / weight
    variance = jnp.sum(batch.mask * (batch.target - mean) ** 2) / weight

    def denoise_fn(params, y_t, cond, gamma):
      del params, cond
      gamma = gamma[:, None, None, None]
      gain = jnp.sqrt(1 - gamma) / (gamma * variance + 1 - gamma)
      return gain * (y_t - jnp.sqrt(gamma) * mean)

    return denoise_fn


@dataclasses.dataclass(frozen=True)
class Regression:
  """The baseline: predict the image itself, in one pass.

  The slot of the noisy image holds zeros in the hole and the known pixels
  around it; gamma is 0: nothing of the target can be seen.

  Attributes:
    norm: 'l2' (the paper's choice) or 'l1'.
  """

  norm: str = 'l2'

  blind_name = 'the mean colour'

  def errors(
    self,
    denoise_fn: arrays.DenoiseFn,
    params: arrays.Params,
    batch: arrays.Batch,
    key: Array,
    gamma: Float[Array, ' b'] | None = None,
  ) -> Errors:
    """|prediction - target|^p. There is no chance in it."""
    del key, gamma
    gamma = jnp.zeros(batch.target.shape[0])
    image = _one_pass(denoise_fn, params, batch.cond, batch.mask)
    return masked_errors(image, batch.target, batch.mask, gamma, self.norm)

  def restore(
    self,
    denoise_fn: arrays.DenoiseFn,
    params: arrays.Params,
    cond: Float[Array, 'b h w 3'],
    mask: Float[Array, 'b h w 1'],
    key: Array,
  ) -> Float[Array, 'b h w 3']:
    """Predicts an image for each condition; the key is not used."""
    del key
    image = _one_pass(denoise_fn, params, cond, mask)
    return process.keep_known(jnp.clip(image, -1.0, 1.0), cond, mask)

  def spread(self, batch: int) -> Float[Array, ' b']:
    """Noise levels for `errors`: nothing of the target can be seen."""
    return jnp.zeros(batch)

  def blind(self, batch: arrays.Batch) -> arrays.DenoiseFn:
    """The best constant image: what is left without looking at anything."""
    weight = jnp.sum(batch.mask, axis=(0, 1, 2))
    mean = jnp.sum(batch.mask * batch.target, axis=(0, 1, 2)) / weight

    def denoise_fn(params, y_t, cond, gamma):
      del params, cond, gamma
      return jnp.broadcast_to(mean, y_t.shape)

    return denoise_fn


def _one_pass(denoise_fn, params, cond, mask):
  slot = process.keep_known(jnp.zeros_like(cond), cond, mask)
  return denoise_fn(params, slot, cond, jnp.zeros(cond.shape[0]))


Objective = Diffusion | Regression


def from_config(config: ml_collections.ConfigDict) -> Objective:
  """Builds the objective that `config.objective` describes.

  Raises:
    ValueError: for an unknown name, norm or schedule.
  """
  if config.norm not in NORMS:
    raise ValueError(f'objective.norm: {config.norm!r} is not l1 or l2.')
  if config.name == 'regression':
    return Regression(config.norm)
  if config.name != 'diffusion':
    raise ValueError(
      f'objective.name: {config.name!r} is not diffusion or regression.'
    )
  return Diffusion(
    train_schedule=schedules.linear(**config.train_schedule),
    sample_schedule=schedules.linear(**config.sample_schedule),
    norm=config.norm,
  )
