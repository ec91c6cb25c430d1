"""Exports weights to one file: tensors alone, or a whole sampler."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Generator
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from etils import epath
from jaxtyping import Float

import palette_jax
from palette_jax import arrays, files, images, sharding
from palette_jax.diffusion import objective as objectives
from palette_jax.models import unet
from palette_jax.weights import (
  names,
  sampler_file,
  stablehlo,
  tensor_file,
  trained,
)


def write(source: str, path: str, form: str, half: bool = False) -> unet.UNet:
  """Writes weights and their settings.

  Args:
    source: the weights, as `trained.load` takes them.
    path: the new file.
    form: 'safetensors' or 'torch'.
    half: whether to round to float16.

  Returns:
    The network.

  Raises:
    FileNotFoundError: if there are no weights, or no folder for the file.
    ValueError: if the weights are damaged or too large for float16, or the file
      cannot be written.
  """
  weights = trained.load(source)
  tensors = names.to_theirs(weights.params, weights.network)
  if half:
    tensors = {name: _to_half(name, array) for name, array in tensors.items()}
  with _replacing(path) as partial:
    tensor_file.write(partial, form, tensors, weights.config)
  return weights.network


@contextlib.contextmanager
def _replacing(path: str) -> Generator[epath.Path]:
  """Replaces a file as `files.replacing` does, but in an existing folder.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if the file cannot be written.
  """
  target = pathlib.Path(path).absolute()
  if not target.parent.exists():
    raise FileNotFoundError(f'There is no folder for {path}.')
  if target.is_dir():
    raise ValueError(f'{path} is a folder; name a file that may be written.')
  try:
    with files.replacing(target) as partial:
      yield partial
  except OSError as error:
    reason = error.strerror or error
    raise ValueError(f'{path} cannot be written: {reason}.') from error


def _to_half(name: str, array: np.ndarray) -> np.ndarray:
  """Rounds a tensor to float16."""
  largest, limit = np.abs(array).max(), np.float32(np.finfo(np.float16).max)
  if not largest <= limit:  # nor NaN
    raise ValueError(
      f'{name} has the number {largest:g}, float16 ends at {limit:g}: export '
      'without --half.'
    )
  return array.astype(np.float16)


def write_sampler(
  source: str, path: str, sampler: str = '', steps: int = 0
) -> dict[str, Any]:
  """Writes a whole sampler.

  The file is written under a temporary name and read back. It takes its name
  only if it draws what this package draws with the same weights.

  Args:
    source: the weights, as `trained.load` takes them.
    path: the new file; its name ends in .palette.
    sampler: one of sampler_config.NAMES; '' for that of the photo commands.
    steps: of the sampler; 0 for that of the photo commands.

  Returns:
    The file's recipe.

  Raises:
    FileNotFoundError: if there are no weights, or no folder for the file.
    ValueError: if the weights are damaged, the sampler does not suit them, the
      file cannot be written, or draws something else.
  """
  if not path.endswith(sampler_file.SUFFIX):
    raise ValueError(f'{path}: end its name in {sampler_file.SUFFIX}.')
  if steps < 0:
    raise ValueError(f'The number of steps must be at least 1; got {steps}.')
  weights = trained.load(source)
  objective = weights.objective(weights.choose(sampler, steps))
  with _replacing(path) as partial:
    recipe = _recipe(weights, objective)
    logging.info('Tracing %s into one program.', recipe['sampler']['name'])
    program = stablehlo.trace(weights.network, objective)
    inputs = _test_inputs(recipe['multiple'])
    logging.info(
      'Drawing a few pixels by this package, then by the file, %d passes each.',
      objective.passes(),
    )
    expected = _sample(weights, objective, inputs)
    sampler_file.write(
      partial, recipe, program, arrays.leaves_by_path(weights.params)
    )
    del weights  # before they are read back: never two copies
    _check(partial, expected, inputs)
  return recipe


def _recipe(
  weights: trained.Weights, objective: objectives.Objective
) -> dict[str, Any]:
  """Returns the description of the file, for people and for programs."""
  config, multiple = weights.config, unet.size_multiple(weights.network)
  if isinstance(objective, objectives.Regression):
    sampler = dict(name='regression')
  else:
    sampler = dataclasses.asdict(objective.sampler_config)
    # For programs that take only the weights out of the file.
    settings = config['objective'] | dict(sampler=sampler)
    config = config | dict(objective=settings)
  shape = f'float32 [b, {multiple}*h, {multiple}*w, %d], any b, h and w: '
  convention = 'jax_export_calling_convention_version'
  return dict(
    format=sampler_file.FORMAT,
    what='A sampler of Palette (image-to-image diffusion) with its weights. '
    'loader.py runs it with jax, flatbuffers and safetensors alone.',
    tasks=list(weights.tasks),
    trained_on=dict(zip(('height', 'width'), weights.size)),
    multiple=multiple,
    sampler=sampler | dict(passes=objective.passes()),
    arguments=dict(
      weights=f'all arrays of {sampler_file.WEIGHTS}, by name',
      cond=shape % 3 + 'RGB from -1 to 1, rows first; what the model is '
      'given, and normal noise (mean 0, deviation 1) in the hole',
      mask=shape % 1 + '1 where to paint, 0 where cond is right; 1 everywhere '
      'for colorization and JPEG restoration',
      seed='uint32',
    ),
    returns=shape % 3 + 'from -1 to 1; cond where the mask is 0',
    size=f'Height and width are multiples of {multiple}, since the network '
    'halves them: pad other images, and cut the result.',
    config=config,
    weights_sha256=weights.sha256,
    platforms=list(stablehlo.PLATFORMS),
    jax=jax.__version__,
    calling_convention=getattr(jax.config, convention),
    palette_jax=palette_jax.__version__,
  )


class _Inputs(NamedTuple):
  """Inputs of a sampler."""

  cond: Float[np.ndarray, 'b h w 3']
  mask: Float[np.ndarray, 'b h w 1']
  seed: int


def _test_inputs(multiple: int) -> _Inputs:
  """Returns two small conditions that are not square, with holes."""
  generator = np.random.default_rng(0)
  shape = (2, multiple, 2 * multiple, 1)
  cond = generator.uniform(-1, 1, (*shape[:3], 3)).astype(np.float32)
  mask = (generator.uniform(size=shape) < 0.8).astype(np.float32)
  return _Inputs(cond, mask, 7)


def _sample(
  weights: trained.Weights, objective: objectives.Objective, inputs: _Inputs
) -> Float[np.ndarray, 'b h w 3']:
  """Draws images with this package, not with the file."""
  sampler = functools.partial(stablehlo.restored, weights.denoise_fn, objective)
  run = jax.jit(sampler, compiler_options=sharding.compiler_options())
  return np.asarray(run(weights.params, *inputs))


def _check(
  path: epath.PathLike, expected: Float[np.ndarray, 'b h w 3'], inputs: _Inputs
) -> None:
  """Checks that the file has the right weights and draws the right images.

  Raises:
    ValueError: if they differ. Accelerators may choose another algorithm of
      convolution for each program; their pixels may differ by half a level of
      8 bits on average.
  """
  tensors = sampler_file.read_weights(path)
  recipe = sampler_file.read_recipe(path)
  if trained.sha256(names.params(tensors)) != recipe['weights_sha256']:
    raise ValueError(
      'The weights that were read back are not those that were written, and '
      'the file was removed. Is the disk sound? Try again on another.'
    )
  sampled = np.asarray(sampler_file.read_program(path)(tensors, *inputs))
  difference = np.abs(sampled - expected)
  if not difference.mean() <= images.LEVEL / 2:  # nor NaN
    raise ValueError(
      'The file does not draw what this package draws: the pixels are '
      f'{difference.mean() / images.LEVEL:.2f} of 255 levels apart on average, '
      f'{difference.max() / images.LEVEL:.2f} at most. It was removed. Please '
      f'report it, with this: jax {jax.__version__}, {recipe["config"]}.'
    )
  logging.info(
    'The file draws the same, %s.',
    'bit for bit'
    if np.array_equal(sampled, expected)
    else f'to {difference.max() / images.LEVEL:.3f} of 255 levels',
  )
