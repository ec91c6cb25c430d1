"""What is learnt, and how an image is made from it: diffusion or regression.

Two objectives with the same methods. `Diffusion` is Palette: the network
predicts the noise (section 3), images are made by iterative refinement.
`Regression` is the paper's baseline (section 5.1): the same network predicts
the image in a single pass.
"""

import dataclasses
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, Float

from palette_jax import arrays
from palette_jax.diffusion import choice as choices
from palette_jax.diffusion import process, sampler
from palette_jax.diffusion import schedule as schedules

NORMS = {'l1': jnp.abs, 'l2': jnp.square}


class Chance(NamedTuple):
  """What is drawn for a batch, all at once: micro-batches then have the same.

  Attributes:
    gamma: [b], noise levels.
    eps: [b h w 3], noise; None where there is none.
  """

  gamma: Float[Array, ' b']
  eps: Float[Array, 'b h w 3'] | None


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
    sample_schedule: noise levels of the sampler's steps.
    norm: 'l2' (the paper's choice) or 'l1' (its Table 6).
    prediction: what the network says, one of process.PREDICTIONS.
    weighting: of noise levels in the loss, one of process.WEIGHTINGS.
    choice: the sampler.
  """

  train_schedule: schedules.Schedule
  sample_schedule: schedules.Schedule
  norm: str = 'l2'
  prediction: str = 'eps'
  weighting: str = 'uniform'
  choice: choices.Choice = choices.Choice()

  blind_name = 'the noise level alone, at its best'

  def draw(
    self,
    key: Array,
    batch: arrays.Batch,
    gamma: Float[Array, ' b'] | None = None,
  ) -> Chance:
    """Random noise levels, or the given ones, and noise."""
    key_gamma, key_eps = jax.random.split(key)
    if gamma is None:
      size = batch.target.shape[0]
      gamma = schedules.sample_gamma(key_gamma, self.train_schedule, size)
    return Chance(gamma, jax.random.normal(key_eps, batch.target.shape))

  def errors(
    self,
    denoise_fn: arrays.DenoiseFn,
    params: arrays.Params,
    batch: arrays.Batch,
    chance: Chance,
  ) -> Errors:
    """|eps_hat - eps|^p, at the noise levels that were drawn.

    Or, with another prediction or weighting, what takes its place.
    """
    gamma, eps = chance
    y_t = process.add_noise(batch.target, eps, gamma)
    y_t = process.keep_known(y_t, batch.target, batch.mask)
    said = denoise_fn(params, y_t, batch.cond, gamma)
    truth = process.truth(self.prediction, batch.target, eps, gamma)
    errors = masked_errors(said, truth, batch.mask, gamma, self.norm)
    weight = process.weight(self.weighting, self.prediction, gamma)
    return errors._replace(total=weight * errors.total)

  def restore(
    self,
    denoise_fn: arrays.DenoiseFn,
    params: arrays.Params,
    cond: Float[Array, 'b h w 3'],
    mask: Float[Array, 'b h w 1'],
    key: Array,
  ) -> Float[Array, 'b h w 3']:
    """Draws an image for each condition: Algorithm 2, or another sampler."""
    clean_fn = sampler.clean_fn_of(denoise_fn, self.prediction)
    table = self.coefficients()
    return sampler.refine(clean_fn, params, cond, mask, key, table)

  def coefficients(self) -> sampler.Coefficients:
    """The sampler, as a table."""
    return self.choice.coefficients(self.sample_schedule)

  def start(self, key: Array, shape: tuple[int, ...]) -> Float[Array, '...']:
    """What is in the hole at first: y_T, noise."""
    return jax.random.normal(key, shape)

  def passes(self) -> int:
    """How often the network is asked for an image."""
    return self.choice.passes(self.sample_schedule)

  def spread(self, batch: int) -> Float[Array, ' b']:
    """Noise levels for `errors` that follow training's law without chance."""
    return schedules.stratified_gamma(self.train_schedule, batch)

  def blind(self, batch: arrays.Batch) -> arrays.DenoiseFn:
    """The best that can be done by somebody who knows only the noise level.

    The linear estimates of y_0 and eps from y_t itself, with the images' own
    mean and variance: it looks at no neighbour and not at the condition.
    """
    weight = jnp.sum(batch.mask) * 3
    mean = jnp.sum(batch.mask * batch.target) / weight
    variance = jnp.sum(batch.mask * (batch.target - mean) ** 2) / weight

    def denoise_fn(params, y_t, cond, gamma):
      del params, cond
      level = gamma[:, None, None, None]
      surprise = y_t - jnp.sqrt(level) * mean
      surprise /= level * variance + 1 - level
      y_0 = mean + jnp.sqrt(level) * variance * surprise
      eps = jnp.sqrt(1 - level) * surprise
      return process.truth(self.prediction, y_0, eps, gamma)

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

  prediction = 'y_0'
  blind_name = 'the mean colour'

  def draw(
    self,
    key: Array,
    batch: arrays.Batch,
    gamma: Float[Array, ' b'] | None = None,
  ) -> Chance:
    """Nothing: there is no chance in it, and nothing of the target is seen."""
    del key, gamma
    return Chance(jnp.zeros(batch.target.shape[0]), None)

  def errors(
    self,
    denoise_fn: arrays.DenoiseFn,
    params: arrays.Params,
    batch: arrays.Batch,
    chance: Chance,
  ) -> Errors:
    """|prediction - target|^p."""
    gamma = chance.gamma
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

  def coefficients(self) -> sampler.Coefficients:
    """`restore` as a table: one step that takes the estimate as it is."""
    one, none = jnp.ones([1]), jnp.zeros([1])
    return dict(gamma=none, y_0=one, y_t=none)

  def start(self, key: Array, shape: tuple[int, ...]) -> Float[Array, '...']:
    """What is in the hole at first: zeros."""
    del key
    return jnp.zeros(shape)

  def passes(self) -> int:
    """How often the network is asked for an image."""
    return 1

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
    ValueError: for an unknown name or schedule.
  """
  for field, known in (
    ('name', ('diffusion', 'regression')),
    ('norm', tuple(NORMS)),
    ('prediction', process.PREDICTIONS),
    ('weighting', process.WEIGHTINGS),
    ('sampler.name', choices.NAMES),
    ('sampler.variance', sampler.VARIANCES),
  ):
    found = operator.attrgetter(field)(config)
    if found not in known:
      raise ValueError(f'objective.{field}: {found!r} is not in {known}.')
  if config.name == 'regression':
    return Regression(config.norm)
  train_schedule, sample_schedule = (
    schedules.from_config(**config[name])
    for name in ('train_schedule', 'sample_schedule')
  )
  choice = choices.Choice(**config.sampler)
  return Diffusion(
    train_schedule=train_schedule,
    sample_schedule=choice.levels(sample_schedule, train_schedule),
    norm=config.norm,
    prediction=config.prediction,
    weighting=config.weighting,
    choice=choice,
  )
