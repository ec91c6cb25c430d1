"""Stand-ins for trained weights: a model of a few lines, and random weights.

The model is fast and deterministic. Run as a program, this file is the
`palette` command with that model.
"""

import json
import os
import threading
import time

import jax
import numpy as np
from safetensors import numpy as safetensors

import palette_jax
from palette_jax import cli
from palette_jax.models import unet
from palette_jax.photo import (
  limits,
  model,
  photo,
  reader,
  recipe,
  replay,
  request,
  verbs,
)
from palette_jax.weights import names, trained

PASSES = 5  # per sample


class FakeModel:
  """Paints with one colour, which follows from the seed and the sample.

  Attributes:
    calls: photos made so far.
    on_pass: called after each pass with the passes made so far, of all photos.
    gate: while it is cleared, every pass waits after it was reported.
  """

  checkpoint = 'cd' * 32
  size = (32, 32)
  experimental = ('inpainting',)
  jpeg_quality = (5, 30)
  tasks = ('colorization', 'inpainting', 'uncropping', 'jpeg')

  def __init__(self, source=''):
    self.calls, self.passes, self.source = 0, 0, source
    self.on_pass = lambda passes: None
    self.gate = threading.Event()
    self.gate.set()

  def recipes_for(self, wanted):
    common = dict(
      task=wanted.verb.task.name,
      config={},
      checkpoint=self.checkpoint,
      sampler={'name': wanted.sampler, 'steps': wanted.steps},
      seed=wanted.seed,
      inputs=recipe.inputs_sha256(wanted.mask_source),
      machine=os.uname().nodename,
    )
    return [
      recipe.for_photo(
        wanted.source, options=wanted.options | {'sample': i}, **common
      )
      for i in range(wanted.samples)
    ]

  def paint(self, wanted, recipes, progress=None):
    self.calls += 1
    results = []
    for this_recipe in recipes:
      for i in range(PASSES):
        time.sleep(float(os.environ.get('FAKE_SECONDS_A_PASS', 0)))
        self.passes += 1
        if progress is not None:
          progress(len(results) * PASSES + i + 1, len(recipes) * PASSES)
        self.on_pass(self.passes)
        assert self.gate.wait(60)
      painted = self._paint(wanted, this_recipe)
      results.append(model.Result(painted, this_recipe))
    return results

  def _paint(self, wanted, this_recipe):
    key = this_recipe.seed, this_recipe.options['sample']
    colour = np.random.default_rng(key).uniform(-1, 1, 3).astype(np.float32)
    source, verb = wanted.photo, wanted.verb.name
    if verb in ('uncrop', 'panorama'):
      step = 1 if verb == 'uncrop' else 16
      sides = {
        side: wanted.options.get(side, 0) * step for side in limits.SIDES
      }
      source, new = photo.widen(source, **sides)
    elif verb == 'inpaint':
      new = wanted.hole.mask
    else:
      shade = photo.luma(source) + 0.1 * colour
      return photo.colour(source, 2 * shade - 1)
    image = np.broadcast_to(colour, [*new.shape[:2], 3])
    return photo.paint(source, image, new, opaque=True)

  def apply(
    self, verb, photo, mask=None, options=None, *, progress=None, **sampling
  ):
    request = request_of(verb, photo, mask, options or {}, **sampling)
    return self.paint(request, self.recipes_for(request), progress)

  def replay(self, path, source, mask=None):
    def make(this_recipe, read, mask):
      assert this_recipe.task == 'colorization'
      return self._paint(request_of('colorize', read), this_recipe)

    return replay.replay(path, source, mask, make)


def request_of(verb, source, mask=None, options=(), **sampling):
  mask = None if mask is None else reader.load(mask)
  return request.Request(
    verbs.every()[verb], reader.load(source), mask, dict(options), **sampling
  )


TINY = dict(
  channels=32,
  channel_mult=(1, 1),
  num_res_blocks=1,
  attention_levels=(),
  head_channels=32,
  dtype='float32',
)
EVERYTHING = dict(
  name='multitask',
  tasks=['colorization', 'inpainting', 'jpeg', 'uncropping'],
)


def weights_of(task=EVERYTHING, objective=None, seed=0, size=16, **more):
  """Random weights of a small network."""
  network = unet.UNet(**TINY)
  leaves, tree = jax.tree.flatten(unet.shapes(network))
  draw = np.random.default_rng(seed)
  params = jax.tree.unflatten(
    tree, [draw.normal(0, 0.1, x.shape).astype(np.float32) for x in leaves]
  )
  config = dict(
    model=unet.to_config(network), objective=objective or {}, **more
  )
  if task:
    config |= dict(task=task, data=dict(size=[size, size]))
  return trained.Weights(network, params, config, trained.sha256(params))


def write(path, weights, **changes):
  """Writes a file as `palette export` does."""
  tensors = names.to_theirs(weights.params, weights.network)
  text = json.dumps(weights.config | changes)
  safetensors.save_file(tensors, path, {'config': text})
  return str(path)


if __name__ == '__main__':
  palette_jax.load = FakeModel
  cli.main()
