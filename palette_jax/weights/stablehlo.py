"""The whole sampler as one StableHLO program, exported by jax.export.

It contains the noise, all steps and the network. Weights are arguments, since a
program with gigabytes of constants can be neither written nor compiled. Batch,
height and width are symbolic (b, 32*h, 32*w): the network halves its images, so
their sides are multiples of a power of two.

The program is lowered once for each platform, in float32 for CPUs, where
bfloat16 is not faster. Noise is threefry's on all of them: a seed has the same
meaning everywhere.
"""

import contextlib
import functools
from collections.abc import Generator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, Float

from palette_jax import arrays, sharding
from palette_jax.diffusion import objective as objectives
from palette_jax.models import unet
from palette_jax.weights import names

PLATFORMS = ('cpu', 'cuda', 'tpu')
SEEDS = (0, 2**32 - 1)  # both included


def trace(model: unet.UNet, objective: objectives.Objective) -> bytes:
  """Traces a program: (weights, cond, mask, seed) -> images.

  Args:
    model: the network.
    objective: its training objective, with a sampler.

  Returns:
    Bytes for `Program`, or `jax.export.deserialize`. The arguments are
      weights: {name: float32 array}, as `arrays.leaves_by_path` names them
      cond, mask: as in `objectives.Diffusion.restore`
      seed: uint32

  Raises:
    ValueError: if the network depends on the size of the image.
  """
  if model.attention == 'dilated':
    raise ValueError(
      'A network with model.attention=dilated cannot become one program for '
      'all sizes: how far its kernels reach depends on the size. Export its '
      'weights alone: --format safetensors.'
    )
  exact = model.clone(dtype='float32')

  def sampler(*inputs: Any) -> Float[Array, 'b h w 3']:
    if model == exact:
      return _sample(model, objective, *inputs)
    return jax.lax.platform_dependent(
      *inputs,
      cpu=functools.partial(_sample, exact, objective),
      default=functools.partial(_sample, model, objective),
    )

  multiple, scope = unet.size_multiple(model), export.SymbolicScope()
  cond, mask = (
    jax.ShapeDtypeStruct(
      export.symbolic_shape(
        f'b, {multiple}*h, {multiple}*w, {channels}', scope=scope
      ),
      jnp.float32,
    )
    for channels in (3, 1)
  )
  weights = {
    name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    for name, leaf in arrays.leaves_by_path(unet.shapes(model)).items()
  }
  seed = jax.ShapeDtypeStruct([], jnp.uint32)
  with _without_folders(), jax.threefry_partitionable(True):
    lower = export.export(jax.jit(sampler), platforms=PLATFORMS)
    return bytes(lower(weights, cond, mask, seed).serialize(vjp_order=0))


def _sample(
  model: unet.UNet,
  objective: objectives.Objective,
  weights: dict[str, Array],
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  seed: Array,
) -> Float[Array, 'b h w 3']:
  """Samples on this platform, with weights in the network's types."""
  dtypes = arrays.leaves_by_path(unet.dtypes(model))
  # Rounded once, not in every step, as in sharding.whole.
  params = names.params(
    {name: array.astype(dtypes[name]) for name, array in weights.items()}
  )

  def denoise_fn(
    params: arrays.Params,
    y_t: Float[Array, 'b h w 3'],
    cond: Float[Array, 'b h w 3'],
    gamma: Float[Array, ' b'],
  ) -> Float[Array, 'b h w 3']:
    image = model.apply({'params': params}, y_t, cond, gamma)
    assert isinstance(image, jax.Array)
    return image

  return restored(denoise_fn, objective, params, cond, mask, seed)


def restored(
  denoise_fn: arrays.DenoiseFn,
  objective: objectives.Objective,
  params: arrays.Params,
  cond: Float[Array, 'b h w 3'],
  mask: Float[Array, 'b h w 1'],
  seed: Array,
) -> Float[Array, 'b h w 3']:
  """Restores images as the program does, with the noise of a seed."""
  key = jax.random.key(seed, impl='threefry2x32')
  return objective.restore(denoise_fn, params, cond, mask, key)


@contextlib.contextmanager
def _without_folders() -> Generator[None]:
  """Strips the folders from the names of source files in the program."""
  name = 'jax_hlo_source_file_canonicalization_regex'
  before = getattr(jax.config, name)
  jax.config.update(name, '.*/')
  try:
    yield
  finally:
    jax.config.update(name, before)


class Program:
  """A traced sampler, ready to run on this machine's devices."""

  def __init__(self, traced: bytes, multiple: int) -> None:
    """Reads a program.

    Args:
      traced: the program, from `trace`.
      multiple: height and width must be multiples of this.

    Raises:
      ValueError: if it cannot be read, or is not for this machine.
    """
    try:
      self._exported = export.deserialize(bytearray(traced))
    except Exception as error:  # flatbuffers and MLIR fail in many ways
      raise ValueError(
        f'Its program cannot be read by jax {jax.__version__}: {error}. JAX '
        'promises to read programs of the last six months; '
        'the weights beside it do not age.'
      ) from error
    platforms = self._exported.platforms
    platform = export.default_export_platform()
    if platform not in platforms:
      raise ValueError(
        f'Its program is for {", ".join(platforms)}, and this machine '
        f'computes on {platform}. JAX_PLATFORMS=cpu makes it use the processor.'
      )
    self.multiple = multiple
    self._run = jax.jit(
      self._exported.call, compiler_options=sharding.compiler_options()
    )

  def __call__(
    self,
    weights: Mapping[str, Array | np.ndarray],
    cond: Float[np.ndarray, 'b h w 3'],
    mask: Float[np.ndarray, 'b h w 1'],
    seed: int,
  ) -> Float[Array, 'b h w 3']:
    """Draws an image for each condition, in [-1, 1]; compiles once a shape.

    Raises:
      ValueError: if height, width or seed do not fit.
    """
    height, width = cond.shape[1:3]
    if height % self.multiple or width % self.multiple:
      raise ValueError(
        f'The network halves the image: height and width must be multiples of '
        f'{self.multiple}; got {height}x{width}. Pad it, and cut the result.'
      )
    if not SEEDS[0] <= seed <= SEEDS[1]:
      raise ValueError(f'The seed must be in {SEEDS}; got {seed}.')
    return self._run(weights, cond, mask, np.uint32(seed))
