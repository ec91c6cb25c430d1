"""Stand-ins for trained weights: a model of a few lines, and random weights.

The model is fast and deterministic. Run as a program, this file is the
`palette` command with that model.
"""

import functools
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
from palette_jax.photo import hole, model, photo, recipe, replay
from palette_jax.weights import load, names

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

  def recipes(self, verb, source, mask=None, *, seed, samples, **options):
    task = {
      'colorize': 'colorization',
      'inpaint': 'inpainting',
      'restore_jpeg': 'jpeg',
    }.get(verb, 'uncropping')
    sampler = {'name': options.pop('sampler'), 'steps': options.pop('steps')}
    common = dict(
      task=task,
      config={},
      checkpoint=self.checkpoint,
      sampler=sampler,
      seed=seed,
      inputs=recipe.inputs_sha256(mask),
      machine=os.uname().nodename,
    )
    return [
      recipe.for_photo(source, options=options | {'sample': i}, **common)
      for i in range(samples)
    ]

  def _make(self, verb, source, mask=None, *, progress=None, **options):
    self.calls += 1
    results = []
    for this_recipe in self.recipes(verb, source, mask, **options):
      for i in range(PASSES):
        time.sleep(float(os.environ.get('FAKE_SECONDS_A_PASS', 0)))
        self.passes += 1
        if progress is not None:
          done = len(results) * PASSES + i + 1
          progress(done, options['samples'] * PASSES)
        self.on_pass(self.passes)
        assert self.gate.wait(60)
      painted = self._paint(verb, source, mask, this_recipe, options)
      results.append(model.Result(painted, this_recipe))
    return results

  def _paint(self, verb, source, mask, this_recipe, options):
    key = this_recipe.seed, this_recipe.options['sample']
    colour = np.random.default_rng(key).uniform(-1, 1, 3).astype(np.float32)
    if verb in ('uncrop', 'panorama'):
      step = 1 if verb == 'uncrop' else 16
      sides = {k: v * step for k, v in options.items() if k in SIDES}
      source, new = photo.widen(source, **sides)
    elif verb == 'inpaint':
      new = hole.find(source, mask, options.get('invert', False)).mask
    else:
      shade = photo.luma(source) + 0.1 * colour
      return photo.colour(source, 2 * shade - 1)
    image = np.broadcast_to(colour, [*new.shape[:2], 3])
    return photo.paint(source, image, new, opaque=True)

  def replay(self, path, source, mask=None):
    def make(this_recipe, read, mask):
      assert this_recipe.task == 'colorization'
      options = dict(this_recipe.options)
      sample = options.pop('sample')
      results = self._make(
        'colorize',
        read,
        seed=this_recipe.seed,
        samples=sample + 1,
        sampler=this_recipe.sampler['name'],
        steps=this_recipe.sampler['steps'],
        **options,
      )
      return results[sample].photo

    return replay.replay(path, source, mask, make)


SIDES = ('left', 'right', 'top', 'bottom')
for verb in 'colorize', 'inpaint', 'uncrop', 'restore_jpeg', 'panorama':
  method = functools.partialmethod(FakeModel._make, verb)
  setattr(FakeModel, verb, method)


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
  return load.Weights(network, params, config, load.sha256(params))


def write(path, weights, **changes):
  """Writes a file as `palette export` does."""
  tensors = names.to_theirs(weights.params, weights.network)
  text = json.dumps(weights.config | changes)
  safetensors.save_file(tensors, path, {'config': text})
  return str(path)


if __name__ == '__main__':
  palette_jax.load = FakeModel
  cli.main()
