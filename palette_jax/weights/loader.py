"""Runs a .palette file with jax, flatbuffers and safetensors alone.

  paint = load('model.palette')
  image = paint(photo)            # grey to colour, JPEG to clean; uint8 [h w 3]
  image = paint(photo, hole)      # bool [h w], True where to paint
  image = paint(photo, hole, seed=1)

A grey photo has three equal channels. Each size compiles once. Every .palette
file has a copy of this file, beside recipe.json with all other facts.
"""

import json
import zipfile
from collections.abc import Callable

import jax
import numpy as np
import safetensors.numpy
from jax import export


def load(path: str) -> Callable[..., np.ndarray]:
  """Returns the sampler of a .palette file."""
  with zipfile.ZipFile(path) as file:
    multiple = json.loads(file.read('recipe.json'))['multiple']
    weights = safetensors.numpy.load(file.read('weights.safetensors'))
    program = export.deserialize(bytearray(file.read('sampler.stablehlo')))
  weights, sampler = jax.device_put(weights), jax.jit(program.call)

  def paint(
    photo: np.ndarray, hole: np.ndarray | None = None, seed: int = 0
  ) -> np.ndarray:
    height, width = photo.shape[:2]
    pad = [(0, -height % multiple), (0, -width % multiple), (0, 0)]
    mask = np.ones([height, width]) if hole is None else hole
    mask = np.pad(np.asarray(mask, np.float32)[..., None], pad, 'symmetric')
    cond = np.pad(np.asarray(photo, np.float32), pad, 'symmetric')
    cond = (cond - np.float32(127.5)) * np.float32(2 / 255)
    if hole is not None:  # as in training
      noise = np.random.default_rng(seed).standard_normal(cond.shape, 'f4')
      cond = np.where(mask, noise, cond)
    image = sampler(weights, cond[None], mask[None], np.uint32(seed))[0]
    return np.round((image[:height, :width] + 1) * 127.5).astype(np.uint8)

  return paint
