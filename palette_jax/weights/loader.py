"""Runs a .palette file, with jax, flatbuffers and safetensors and no more.

  paint = load('model.palette')
  image = paint(photo)            # grey to colour, JPEG to clean; uint8 [h w 3]
  image = paint(photo, hole)      # bool [h w], True where to paint
  image = paint(photo, hole, seed=1)

A grey photo is given three times. Each size compiles once. A copy of this file
lies in each .palette file; recipe.json there says what else is to know.
"""

import json
import zipfile
from collections.abc import Callable

import jax
import numpy as np
import safetensors.numpy
from jax import export


def load(path: str) -> Callable[..., np.ndarray]:
  """The sampler of a .palette file."""
  with zipfile.ZipFile(path) as file:
    multiple = json.loads(file.read('recipe.json'))['multiple']
    weights = safetensors.numpy.load(file.read('weights.safetensors'))
    program = export.deserialize(bytearray(file.read('sampler.stablehlo')))
  weights, sampler = jax.device_put(weights), jax.jit(program.call)

  def paint(photo, hole=None, seed=0):
    height, width = photo.shape[:2]
    pad = [(0, -height % multiple), (0, -width % multiple), (0, 0)]
    mask = np.ones([height, width]) if hole is None else hole
    mask = np.pad(np.float32(mask)[..., None], pad, 'symmetric')
    cond = np.pad(np.float32(photo), pad, 'symmetric')
    cond = (cond - np.float32(127.5)) * np.float32(2 / 255)
    if hole is not None:  # noise is what it has learnt to see there
      noise = np.random.default_rng(seed).standard_normal(cond.shape, 'f4')
      cond = np.where(mask, noise, cond)
    image = sampler(weights, cond[None], mask[None], np.uint32(seed))[0]
    return np.uint8(np.round((image[:height, :width] + 1) * 127.5))

  return paint
