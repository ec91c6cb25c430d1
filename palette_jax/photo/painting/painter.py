"""A network that paints canvases of any size, with the sampler's loop outside.

Noise is drawn for the whole canvas, and each step's arithmetic is done on it;
only the network sees tiles. Its estimates of the clean image are blended before
the step is taken, so that overlapping tiles continue from the same pixels and
cannot diverge.

Blending y_{t-1} would be the same, since it is one linear combination of y_0,
y_t and noise everywhere; blending eps would not, because y_0 is clipped before
it is blended, as for a canvas of one tile (benchmarks/seams.py compares them).

Tiles without a pixel to paint are skipped. The loop is in Python, one pass of
the network at a time, so that callers can watch and cancel it. A canvas of one
tile stays on the device between steps.
"""

import functools
import math
import os
import platform
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from palette_jax import arrays, sharding
from palette_jax.diffusion import objective as objectives
from palette_jax.diffusion import sampler
from palette_jax.photo.painting import tiles

# On the device for canvases of one tile, on the host for cut ones.
Images = Float[Array, '_ _ _ 3'] | Float[np.ndarray, '_ _ _ 3']


class Painter:
  """A network with weights on a device, ready to paint."""

  def __init__(
    self, denoise_fn: arrays.DenoiseFn, params: arrays.Params, batch: int = 0
  ) -> None:
    """Moves the weights to the first device.

    Args:
      denoise_fn: the network.
      params: its weights.
      batch: largest number of tiles in a pass; 0 for what suits the device.
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
    """Describes the device; results are bit-exact on one machine only."""
    device = jax.local_devices()[0]
    cores = f', {os.cpu_count()} cores' if device.platform == 'cpu' else ''
    kind = f'{platform.machine()} {device.device_kind}{cores}'
    return f'{kind}, jax {jax.__version__}'

  @property
  def batch(self) -> int:
    """Largest number of tiles, of one canvas or several, in a pass."""
    return self._batch

  def passes(
    self,
    objective: objectives.Objective,
    mask: Float[np.ndarray, 'h w 1'],
    plan: tiles.Layout,
    samples: int,
  ) -> int:
    """Returns the number of network passes that `paint` takes."""
    active = samples * np.count_nonzero(_has_hole(mask, plan))
    return objective.passes() * math.ceil(active / self._batch)

  def paint(
    self,
    objective: objectives.Objective,
    cond: Float[np.ndarray, 's h w 3'],
    mask: Float[np.ndarray, 'h w 1'],
    plan: tiles.Layout,
    keys: list[Key[Array, '']],
    tick: Callable[[], None] = lambda: None,
  ) -> Float[np.ndarray, 's h w 3']:
    """Paints the hole of each canvas.

    With a plan of one tile this equals `objective.restore` for each key.

    Args:
      objective: the network's prediction, and the sampler.
      cond: conditions, one for each sample.
      mask: 1 where to paint, the same for all samples.
      plan: tiles of the canvas; none is larger than it.
      keys: random keys, one for each sample.
      tick: called after each pass of the network; it may raise to cancel.

    Returns:
      Images in [-1, 1] in the hole, and cond elsewhere.
    """
    table, conds = objective.coefficients(), jnp.asarray(cond)
    starts, steps = zip(*(sampler.split_keys(key, table) for key in keys))
    z = jnp.stack([objective.initial(key, conds.shape[1:]) for key in starts])
    holes = jnp.broadcast_to(mask, [*conds.shape[:3], 1])
    state = _initial_state(table, conds, holes, z)
    active = _has_hole(mask, plan)
    visible = _cut(sampler.visible_condition(table, conds), plan, active)
    for i in range(len(table['gamma'])):
      now = {name: values[i] for name, values in table.items()}
      noise = None
      if 'deviation' in now:
        noise = _noise(jnp.stack([key[i] for key in steps]), conds.shape[1:])
      y_t = _cut(state.y_t, plan, active)
      estimates = self._estimates(objective, y_t, visible, now, tick)
      y_0 = _blend(estimates, plan, active, len(conds))
      state = _advance(now, state, y_0, conds, holes, noise)
    return np.asarray(state.y_t)

  def _estimates(
    self,
    objective: objectives.Objective,
    y_t: Images,
    visible: Images,
    now: sampler.Coefficients,
    tick: Callable[[], None],
  ) -> Images:
    """Returns the estimate of each tile, in batches of one size.

    The last batch is filled up with tiles of the beginning.
    """
    if not len(y_t):
      return y_t
    # Powers of two: compiling for each number of tiles would take longer.
    size = min(self._batch, 2 ** math.ceil(math.log2(len(y_t))))
    estimates = []
    for first in range(0, len(y_t), size):
      rows = np.arange(first, first + size) % len(y_t)
      batch = (y_t, visible)
      if size < len(y_t) or rows[-1] != size - 1:
        batch = (y_t[rows], visible[rows])
      estimates.append(
        self._estimate(
          self._params, *batch, now, prediction=objective.prediction
        )
      )
      jax.block_until_ready(estimates[-1])  # a tick counts a finished pass
      tick()
    if len(estimates) == 1 and size == len(y_t):
      return estimates[0]
    return np.concatenate([np.asarray(y_0) for y_0 in estimates])[: len(y_t)]


def _estimate(
  denoise_fn: arrays.DenoiseFn,
  params: arrays.Params,
  y_t: Float[Array, 'b h w 3'],
  cond: Float[Array, 'b h w 3'],
  now: sampler.Coefficients,
  prediction: str,
) -> Float[Array, 'b h w 3']:
  """Returns y_0; compiled once for all samplers and steps."""
  clean_fn = sampler.make_clean_fn(denoise_fn, prediction)
  return sampler.estimate(clean_fn, params, y_t, cond, now)


_initial_state = jax.jit(sampler.initial_state)
_advance = jax.jit(sampler.advance)


@functools.partial(jax.jit, static_argnames=['shape'])
def _noise(
  keys: Key[Array, ' s'], shape: tuple[int, ...]
) -> Float[Array, 's h w 3']:
  return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def _is_whole(plan: tiles.Layout) -> bool:
  return plan.tile == (plan.height, plan.width)


def _has_hole(
  mask: Float[np.ndarray, 'h w 1'], plan: tiles.Layout
) -> Bool[np.ndarray, ' tiles']:
  """Checks which tiles have a pixel to paint."""
  if _is_whole(plan):
    return np.ones([1], bool)
  return tiles.cut(mask, plan).max(axis=(1, 2, 3)) > 0.5


def _cut(
  canvases: Float[Array, 's h w 3'],
  plan: tiles.Layout,
  active: Bool[np.ndarray, ' tiles'],
) -> Images:
  """Returns the active tiles of all canvases, one canvas after another."""
  if _is_whole(plan):
    return canvases
  parts = [tiles.cut(canvas, plan)[active] for canvas in np.asarray(canvases)]
  return np.concatenate(parts)


def _blend(
  estimates: Images,
  plan: tiles.Layout,
  active: Bool[np.ndarray, ' tiles'],
  count: int,
) -> Images:
  """Returns canvases from their active tiles, with zeros in all others."""
  if _is_whole(plan):
    return estimates
  canvases = []
  for part in np.split(np.asarray(estimates), count):
    every = np.zeros([len(active), *part.shape[1:]], np.float32)
    every[active] = part
    canvases.append(tiles.blend(every, plan))
  return np.stack(canvases)
