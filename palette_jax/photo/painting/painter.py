"""A network that paints canvases of any size, the sampler's loop outside.

All chance is drawn for the whole canvas, and each step's arithmetic is done on
it. Only the network sees tiles. What it says of the clean image in each is
blended before the step is taken: tiles that overlap then go on from the same
pixels, and cannot tell different stories.

Which quantity is blended matters little: y_{t-1} is the same combination of
y_0, y_t and noise everywhere, so that blending it is blending y_0; eps is
another one, but for the clip of y_0, which here comes first, as it does in a
picture of one tile (benchmarks/seams.py measures all of it).

Tiles without a pixel to paint are not looked at. The loop is Python's, a pass
of the network at a time, so that whoever waits sees it go on and can stop it.
"""

import functools
import math
import os
import platform
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from palette_jax import arrays, sharding
from palette_jax.diffusion import objective as objectives
from palette_jax.diffusion import sampler
from palette_jax.photo.painting import tiles


class Painter:
  """Weights on a device, ready to paint."""

  def __init__(
    self, denoise_fn: arrays.DenoiseFn, params: arrays.Params, batch: int = 0
  ):
    """Moves the weights to the first device.

    Args:
      denoise_fn: the network.
      params: its weights.
      batch: tiles that it sees at a time, at most; 0 for what suits the device.
    """
    device = jax.local_devices()[0]
    self._params = jax.device_put(params, device)
    self._batch = batch or (1 if device.platform == 'cpu' else 8)
    self._estimate = jax.jit(
      functools.partial(_estimate, denoise_fn),
      static_argnames=['prediction'],
      compiler_options=sharding.compiler_options(),
    )

  @property
  def machine(self) -> str:
    """Where it paints, in words: bits belong to a machine."""
    device = jax.local_devices()[0]
    cores = f', {os.cpu_count()} cores' if device.platform == 'cpu' else ''
    kind = f'{platform.machine()} {device.device_kind}{cores}'
    return f'{kind}, jax {jax.__version__}'

  @property
  def together(self) -> int:
    """Tiles, of one canvas or of several, that are worth painting at once."""
    return self._batch

  def passes(
    self,
    objective: objectives.Objective,
    mask: Float[np.ndarray, 'h w 1'],
    plan: tiles.Layout,
    samples: int,
  ) -> int:
    """How often `paint` asks the network."""
    looked_at = samples * np.count_nonzero(_has_holes(mask, plan))
    return objective.passes() * math.ceil(looked_at / self._batch)

  def paint(
    self,
    objective: objectives.Objective,
    cond: Float[np.ndarray, 's h w 3'],
    mask: Float[np.ndarray, 'h w 1'],
    plan: tiles.Layout,
    keys: list[Array],
    tick: Callable[[], None] = lambda: None,
  ) -> Float[np.ndarray, 's h w 3']:
    """Paints the hole of each canvas.

    With a plan of one tile this is `objective.restore`, for each key.

    Args:
      objective: what the network predicts, and the sampler.
      cond: what the network is given, of each sample.
      mask: 1 where to paint, of all samples.
      plan: the tiles; of the canvas's size, and none larger than it.
      keys: of all chance, one a sample.
      tick: called after each pass of the network; what it raises ends it all.

    Returns:
      In [-1, 1] in the hole; cond elsewhere.
    """
    table, cond = objective.coefficients(), jnp.asarray(cond)
    starts, steps = zip(*(sampler.split_keys(key, table) for key in keys))
    draw = functools.partial(objective.initial, shape=cond.shape[1:])
    holes = jnp.broadcast_to(mask, [*cond.shape[:3], 1])
    stage = _begin(table, cond, holes, jnp.stack([draw(k) for k in starts]))
    active = _has_holes(mask, plan)
    shown = _cut(
      np.asarray(sampler.visible_condition(table, cond)), plan, active
    )
    for i in range(len(table['gamma'])):
      now = {name: values[i] for name, values in table.items()}
      z = None
      if 'deviation' in now:
        z = _noise(jnp.stack([key[i] for key in steps]), cond.shape[1:])
      y_t = _cut(np.asarray(stage.y_t), plan, active)
      said = self._look(objective, y_t, shown, now, tick)
      y_0 = _blend(said, plan, active, len(cond))
      stage = _advance(now, stage, y_0, cond, holes, z)
    return np.asarray(stage.y_t)

  def _look(self, objective, y_t, shown, now, tick):
    """The estimate of each tile; in batches of one size, the last filled up."""
    if not len(y_t):
      return y_t
    # Powers of two: compiling for each number of tiles would take longer.
    size = min(self._batch, 2 ** math.ceil(math.log2(len(y_t))))
    said = []
    for first in range(0, len(y_t), size):
      which = np.arange(first, first + size) % len(y_t)
      part = y_t[which], shown[which], now
      y_0 = self._estimate(self._params, *part, prediction=objective.prediction)
      said.append(np.asarray(y_0))
      tick()
    return np.concatenate(said)[: len(y_t)]


def _estimate(denoise_fn, params, y_t, cond, now, prediction):
  """y_0; compiled once for all samplers and steps."""
  clean_fn = sampler.make_clean_fn(denoise_fn, prediction)
  return sampler.estimate(clean_fn, params, y_t, cond, now)


_begin = jax.jit(sampler.initial_state)
_advance = jax.jit(sampler.advance)


@functools.partial(jax.jit, static_argnames=['shape'])
def _noise(keys, shape):
  return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def _is_whole(plan):
  return plan.tile == (plan.height, plan.width)


def _has_holes(mask, plan):
  """bool [tiles]."""
  if _is_whole(plan):
    return np.ones([1], bool)
  return tiles.cut(mask, plan).max(axis=(1, 2, 3)) > 0.5


def _cut(canvases, plan, active):
  """The tiles to be looked at of all canvases, one canvas after another."""
  if _is_whole(plan):
    return canvases
  return np.concatenate([tiles.cut(one, plan)[active] for one in canvases])


def _blend(said, plan, active, count):
  """Canvases from their tiles; where no tile was looked at, anything."""
  if _is_whole(plan):
    return said
  made = []
  for part in np.split(said, count):
    every = np.zeros([len(active), *part.shape[1:]], np.float32)
    every[active] = part
    made.append(tiles.blend(every, plan))
  return np.stack(made)
