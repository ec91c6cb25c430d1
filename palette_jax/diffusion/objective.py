"""Objectives: losses, and the samplers that belong to them.

Two objectives with the same methods. `Diffusion` is Palette: the network
predicts the noise (section 3), and images are drawn by iterative refinement.
`Regression` is the paper's baseline (section 5.1): the same network predicts
the image in a single pass.
"""

import dataclasses
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, Float

from palette_jax import arrays
from palette_jax.diffusion import process, sampler
from palette_jax.diffusion import sampler_config as samplers
from palette_jax.diffusion import schedule as schedules

NORMS = {'l1': jnp.abs, 'l2': jnp.square}


class Noise(NamedTuple):
  """Noise of a whole batch, drawn before it is cut into micro-batches.

  Attributes:
    gamma: noise levels.
    eps: standard Gaussian noise; None where the objective has none.
  """

  gamma: Float[Array, ' b']
  eps: Float[Array, 'b h w 3'] | None


class Errors(NamedTuple):
  """Sums of errors inside the masks, one for each example.

  Dividing the global sum by the global count makes one device, eight devices
  and accumulated micro-batches agree, and weights holes by their pixels.

  Attributes:
    total: sum of |prediction - target|^p over masked values.
    count: number of masked values.
    gamma: noise level of the example.
  """

  total: Float[Array, ' b']
  count: Float[Array, ' b']
  gamma: Float[Array, ' b']

  def mean(self) -> Float[Array, '']:
    """Returns the mean error of a masked value; 0 if nothing is masked."""
    return jnp.sum(self.total) / jnp.maximum(jnp.sum(self.count), 1.0)


def masked_errors(
  prediction: Float[Array, 'b h w 3'],
  truth: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  gamma: Float[Array, ' b'],
  norm: str,
) -> Errors:
  """Returns errors where the mask is 1, and ignores the rest (section 5.2)."""
  error = NORMS[norm](prediction - truth)
  channels = truth.shape[-1]
  return Errors(
    total=jnp.sum(mask * error, axis=(1, 2, 3)),
    count=jnp.sum(mask, axis=(1, 2, 3)) * channels,
    gamma=gamma,
  )


@dataclasses.dataclass(frozen=True)
class Diffusion:
  """Palette: predicts eps and refines iteratively.

  Attributes:
    train_schedule: noise levels of training.
    sample_schedule: noise levels of the sampler's steps.
    norm: 'l2' (the paper's choice) or 'l1' (its Table 6).
    prediction: the network's prediction, one of process.PREDICTIONS.
    weighting: weighting of noise levels in the loss, one of
      process.WEIGHTINGS.
    sampler_config: name and parameters of the sampler.
    blind_name: description of `blind_denoise_fn`, for the report of losses.
  """

  train_schedule: schedules.Schedule
  sample_schedule: schedules.Schedule
  norm: str = 'l2'
  prediction: str = 'eps'
  weighting: str = 'uniform'
  sampler_config: samplers.SamplerConfig = samplers.SamplerConfig()

  blind_name = 'the best predictor that sees only the noise level'

  def draw_noise(
    self,
    key: Array,
    batch: arrays.Batch,
    gamma: Float[Array, ' b'] | None = None,
  ) -> Noise:
    """Draws noise levels, unless they are given, and noise."""
    key_gamma, key_eps = jax.random.split(key)
    if gamma is None:
      size = batch.target.shape[0]
      gamma = schedules.sample_gamma(key_gamma, self.train_schedule, size)
    return Noise(gamma, jax.random.normal(key_eps, batch.target.shape))

  def errors(
    self,
    denoise_fn: arrays.DenoiseFn,
    params: arrays.Params,
    batch: arrays.Batch,
    noise: Noise,
  ) -> Errors:
    """Returns |eps_hat - eps|^p, or that of another prediction, weighted."""
    gamma, eps = noise
    assert eps is not None, 'noise of another objective'
    y_t = process.add_noise(batch.target, eps, gamma)
    y_t = process.keep_known(y_t, batch.target, batch.mask)
    output = denoise_fn(params, y_t, batch.cond, gamma)
    truth = process.prediction_target(self.prediction, batch.target, eps, gamma)
    errors = masked_errors(output, truth, batch.mask, gamma, self.norm)
    weight = process.loss_weight(self.weighting, self.prediction, gamma)
    return errors._replace(total=weight * errors.total)

  def restore(
    self,
    denoise_fn: arrays.DenoiseFn,
    params: arrays.Params,
    cond: Float[Array, 'b h w 3'],
    mask: Float[Array, 'b h w 1'],
    key: Array,
  ) -> Float[Array, 'b h w 3']:
    """Draws an image for each condition, by Algorithm 2 or another sampler."""
    clean_fn = sampler.make_clean_fn(denoise_fn, self.prediction)
    table = self.coefficients()
    return sampler.refine(clean_fn, params, cond, mask, key, table)

  def coefficients(self) -> sampler.Coefficients:
    """Returns the sampler as a table."""
    return self.sampler_config.coefficients(self.sample_schedule)

  def initial(self, key: Array, shape: tuple[int, ...]) -> Float[Array, '...']:
    """Returns the initial values of the hole: y_T, pure noise."""
    return jax.random.normal(key, shape)

  def passes(self) -> int:
    """Returns the number of network passes for an image."""
    return self.sampler_config.passes(self.sample_schedule)

  def stratified_levels(self, batch: int) -> Float[Array, ' b']:
    """Returns evenly spread noise levels with the distribution of training."""
    return schedules.stratified_gamma(self.train_schedule, batch)

  def blind_denoise_fn(self, batch: arrays.Batch) -> arrays.DenoiseFn:
    """Returns the best predictor that sees only the noise level.

    It estimates y_0 and eps linearly from y_t, with the mean and variance of
    the images, and sees neither neighbouring pixels nor the condition.
    """
    weight = jnp.sum(batch.mask) * 3
    mean = jnp.sum(batch.mask * batch.target) / weight
    variance = jnp.sum(batch.mask * (batch.target - mean) ** 2) / weight

    def denoise_fn(
      params: arrays.Params,
      y_t: Float[Array, 'b h w 3'],
      cond: Float[Array, 'b h w 3'],
      gamma: Float[Array, ' b'],
    ) -> Float[Array, 'b h w 3']:
      del params, cond
      level = gamma[:, None, None, None]
      surprise = y_t - jnp.sqrt(level) * mean
      surprise /= level * variance + 1 - level
      y_0 = mean + jnp.sqrt(level) * variance * surprise
      eps = jnp.sqrt(1 - level) * surprise
      return process.prediction_target(self.prediction, y_0, eps, gamma)

    return denoise_fn


@dataclasses.dataclass(frozen=True)
class Regression:
  """The paper's baseline: predicts the image itself, in one pass.

  The noisy image is replaced by zeros in the hole and the known pixels around
  it; gamma is 0, the level at which nothing of the target is visible.

  Attributes:
    norm: 'l2' (the paper's choice) or 'l1'.
    prediction: the network's prediction, as for `Diffusion`; always the image.
    blind_name: description of `blind_denoise_fn`, for the report of losses.
  """

  norm: str = 'l2'

  prediction = 'y_0'
  blind_name = 'the mean colour'

  def draw_noise(
    self,
    key: Array,
    batch: arrays.Batch,
    gamma: Float[Array, ' b'] | None = None,
  ) -> Noise:
    """Returns noise level 0 and no noise: regression is deterministic."""
    del key, gamma
    return Noise(jnp.zeros(batch.target.shape[0]), None)

  def errors(
    self,
    denoise_fn: arrays.DenoiseFn,
    params: arrays.Params,
    batch: arrays.Batch,
    noise: Noise,
  ) -> Errors:
    """Returns |prediction - target|^p."""
    gamma = noise.gamma
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
    """Returns `restore` as a table: one step that returns the estimate."""
    zero = jnp.zeros([1])
    return dict(gamma=zero, y_0=jnp.ones([1]), y_t=zero)

  def initial(self, key: Array, shape: tuple[int, ...]) -> Float[Array, '...']:
    """Returns the initial values of the hole: zeros."""
    del key
    return jnp.zeros(shape)

  def passes(self) -> int:
    """Returns the number of network passes for an image."""
    return 1

  def stratified_levels(self, batch: int) -> Float[Array, ' b']:
    """Returns noise level 0 for all examples."""
    return jnp.zeros(batch)

  def blind_denoise_fn(self, batch: arrays.Batch) -> arrays.DenoiseFn:
    """Returns the best predictor that sees nothing: a constant image."""
    weight = jnp.sum(batch.mask, axis=(0, 1, 2))
    mean = jnp.sum(batch.mask * batch.target, axis=(0, 1, 2)) / weight

    def denoise_fn(
      params: arrays.Params,
      y_t: Float[Array, 'b h w 3'],
      cond: Float[Array, 'b h w 3'],
      gamma: Float[Array, ' b'],
    ) -> Float[Array, 'b h w 3']:
      del params, cond, gamma
      return jnp.broadcast_to(mean, y_t.shape)

    return denoise_fn


def _one_pass(
  denoise_fn: arrays.DenoiseFn,
  params: arrays.Params,
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
) -> Float[Array, 'b h w 3']:
  y_t = process.keep_known(jnp.zeros_like(cond), cond, mask)
  return denoise_fn(params, y_t, cond, jnp.zeros(cond.shape[0]))


Objective = Diffusion | Regression


# The paper's objective, for weights that do not state theirs; configs/common.py
# has the same values, with comments.
PAPER: dict[str, Any] = dict(
  name='diffusion',
  norm='l2',
  prediction='eps',
  weighting='uniform',
  train_schedule=dict(name='linear', start=1e-6, end=0.01, num_steps=2000),
  sample_schedule=dict(name='linear', start=1e-4, end=0.09, num_steps=1000),
  sampler=dataclasses.asdict(samplers.SamplerConfig()),
)


def from_config(config: ml_collections.ConfigDict) -> Objective:
  """Builds the objective that `config.objective` describes.

  Raises:
    ValueError: if a name is unknown or a schedule is out of range.
  """
  for field, known in (
    ('name', ('diffusion', 'regression')),
    ('norm', tuple(NORMS)),
    ('prediction', process.PREDICTIONS),
    ('weighting', process.WEIGHTINGS),
    ('sampler.name', samplers.NAMES),
    ('sampler.variance', sampler.VARIANCES),
  ):
    value = operator.attrgetter(field)(config)
    if value not in known:
      raise ValueError(f'objective.{field}: {value!r} is not in {known}.')
  if config.name == 'regression':
    return Regression(config.norm)
  train_schedule, sample_schedule = (
    schedules.from_config(**config[name])
    for name in ('train_schedule', 'sample_schedule')
  )
  sampler_config = samplers.SamplerConfig(**config.sampler)
  return Diffusion(
    train_schedule=train_schedule,
    sample_schedule=sampler_config.schedule(sample_schedule, train_schedule),
    norm=config.norm,
    prediction=config.prediction,
    weighting=config.weighting,
    sampler_config=sampler_config,
  )
