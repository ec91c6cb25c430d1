"""Exports weights to one file: tensors alone, or a whole sampler."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from absl import logging

import palette_jax
from palette_jax import arrays, images, sharding
from palette_jax.diffusion import objective as objectives
from palette_jax.models import unet
from palette_jax.weights import (
  names,
  new_file,
  sampler_file,
  stablehlo,
  tensor_file,
  trained,
)


def write(source: str, path: str, form: str, half: bool = False) -> unet.UNet:
  """Writes weights and their settings.

  Args:
    source: whatever `weights.read` takes.
    path: the new file.
    form: 'safetensors' or 'torch'.
    half: whether they are rounded to float16.

  Returns:
    The network.

  Raises:
    FileNotFoundError: if there are no weights, or no folder for the file.
    ValueError: if the weights are damaged or too large for float16, or the file
      cannot be written.
  """
  found = trained.load(source)
  tensors = names.to_theirs(found.params, found.network)
  if half:
    tensors = {name: _rounded(name, own) for name, own in tensors.items()}
  tensor_file.write(path, form, tensors, found.config)
  return found.network


def _rounded(name, array):
  """A tensor in float16."""
  largest, end = np.abs(array).max(), np.float32(np.finfo(np.float16).max)
  if not largest <= end:  # nor NaN
    raise ValueError(
      f'{name} has the number {largest:g}, float16 ends at {end:g}: export '
      'without --half.'
    )
  return array.astype(np.float16)


def write_sampler(
  source: str, path: str, sampler: str = '', steps: int = 0
) -> dict[str, Any]:
  """Writes a whole sampler.

  The file is written under another name and read back. It must draw what this
  package draws with the same weights; then only does it take its name.

  Args:
    source: whatever `weights.read` takes.
    path: the new file; its name ends in .palette.
    sampler: one of sampler_config.NAMES; '' for the commands' default.
    steps: of it; 0 for as many as they would.

  Returns:
    The file's recipe.

  Raises:
    FileNotFoundError: if there are no weights, or no folder for the file.
    ValueError: if the weights are damaged, the sampler does not fit them, the
      file cannot be written, or draws something else.
  """
  if not path.endswith(sampler_file.ENDING):
    raise ValueError(f'{path}: end its name in {sampler_file.ENDING}.')
  if steps < 0:
    raise ValueError(f'The number of steps must be at least 1; got {steps}.')
  found = trained.load(source)
  objective = found.objective(found.choose(sampler, steps))
  with new_file.whole(path) as partial:
    recipe = _recipe(found, objective)
    logging.info('Making one program of %s.', recipe['sampler']['name'])
    program = stablehlo.trace(found.network, objective)
    canvas = _canvas(recipe['multiple'])
    logging.info(
      'Drawing a few pixels by this package, then by the file, %d passes each.',
      objective.passes(),
    )
    wanted = _own(found, objective, canvas)
    sampler_file.write(
      partial, recipe, program, arrays.leaves_by_path(found.params)
    )
    del found  # before its weights are read back: never two copies
    _check(partial, wanted, canvas)
  return recipe


def _recipe(found: trained.Weights, objective: objectives.Objective):
  """What the file says of itself, for people and for programs."""
  config, multiple = found.config, unet.size_multiple(found.network)
  if isinstance(objective, objectives.Regression):
    sampler = dict(name='regression')
  else:
    sampler = dataclasses.asdict(objective.sampler_config)
    # Whoever takes the weights out of the file starts with the same.
    settings = config['objective'] | dict(sampler=sampler)
    config = config | dict(objective=settings)
  shape = f'float32 [b, {multiple}*h, {multiple}*w, %d], any b, h and w: '
  return dict(
    format=sampler_file.FORMAT,
    what='A sampler of Palette (image-to-image diffusion) with its weights. '
    'loader.py runs it with jax, flatbuffers and safetensors alone.',
    tasks=list(found.tasks),
    trained_on=dict(zip(('height', 'width'), found.size)),
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
    weights_sha256=found.sha256,
    platforms=list(stablehlo.PLATFORMS),
    jax=jax.__version__,
    calling_convention=jax.config.jax_export_calling_convention_version,
    palette_jax=palette_jax.__version__,
  )


def _canvas(multiple):
  """Two small images with holes, neither square: cond, mask, seed."""
  draw = np.random.default_rng(0)
  shape = (2, multiple, 2 * multiple, 1)
  cond = draw.uniform(-1, 1, (*shape[:3], 3)).astype(np.float32)
  mask = (draw.uniform(size=shape) < 0.8).astype(np.float32)
  return cond, mask, 7


def _own(found, objective, canvas):
  """What this package draws."""
  sampler = functools.partial(stablehlo.restored, found.denoise_fn, objective)
  run = jax.jit(sampler, compiler_options=sharding.compiler_options())
  return np.asarray(run(found.params, *canvas))


def _check(partial, wanted, canvas):
  """Compares what is in the file, and what it draws, with what should be.

  Raises:
    ValueError: if it is not the same. Accelerators may choose another way to
      convolve for each program; their pixels may differ by half a level of 8
      bits on average.
  """
  tensors = sampler_file.read_weights(partial)
  recipe = sampler_file.read_recipe(partial)
  if trained.sha256(names.params(tensors)) != recipe['weights_sha256']:
    raise ValueError(
      'The weights that were read back are not those that were written, and '
      'the file was removed. Is the disk sound? Try again on another.'
    )
  drawn = np.asarray(sampler_file.read_program(partial)(tensors, *canvas))
  apart = np.abs(drawn - wanted)
  if not apart.mean() <= images.LEVEL / 2:  # nor NaN
    raise ValueError(
      'The file does not draw what this package draws: the pixels are '
      f'{apart.mean() / images.LEVEL:.2f} of 255 levels apart on average, '
      f'{apart.max() / images.LEVEL:.2f} at most. It was removed. Please '
      f'report it, with this: jax {jax.__version__}, {recipe["config"]}.'
    )
  logging.info(
    'The file draws the same, %s.',
    'bit for bit'
    if np.array_equal(drawn, wanted)
    else f'to {apart.max() / images.LEVEL:.3f} of 255 levels',
  )
