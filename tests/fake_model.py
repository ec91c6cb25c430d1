"""In place of what has learnt: a model of three lines, and random weights.

The model is quick, and known to the bit; run as a program, this file is the
`palette` command with it.
"""

import functools
import json
import os
import time

import jax
import numpy as np
from safetensors import numpy as safetensors

import palette_jax
from palette_jax import cli
from palette_jax.models import unet
from palette_jax.photo import hole, model, photo, recipe
from palette_jax.weights import load, names

PASSES = 5


class FakeModel:
  """Paints with one colour, which follows from the seed.

  Attributes:
    calls: how often a photo was made.
    on_pass: called with the number of passes made so far, of all photos.
  """

  checkpoint = 'cd' * 32
  size = (32, 32)
  experimental = ('inpainting',)
  jpeg_quality = (5, 30)
  tasks = ('colorization', 'inpainting', 'uncropping', 'jpeg')

  def __init__(self, source=''):
    self.calls, self.passes, self.source = 0, 0, source
    self.on_pass = lambda passes: None

  def recipes(self, verb, source, mask=None, *, seed, samples, **told):
    task = {
      'colorize': 'colorization',
      'inpaint': 'inpainting',
      'restore_jpeg': 'jpeg',
    }.get(verb, 'uncropping')
    sampler = {'name': told.pop('sampler'), 'steps': told.pop('steps')}
    common = dict(
      task=task,
      config={},
      checkpoint=self.checkpoint,
      sampler=sampler,
      options=told,
      inputs=recipe.inputs_of(mask),
      machine=os.uname().nodename,
    )
    return [recipe.of(source, seed=seed + i, **common) for i in range(samples)]

  def _make(self, verb, source, mask=None, *, progress=None, **told):
    self.calls += 1
    made = []
    for how in self.recipes(verb, source, mask, **told):
      for i in range(PASSES):
        time.sleep(float(os.environ.get('FAKE_SECONDS_A_PASS', 0)))
        self.passes += 1
        self.on_pass(self.passes)
        if progress is not None:
          progress(len(made) * PASSES + i + 1, told['samples'] * PASSES)
      colour = np.random.default_rng(how.seed).uniform(-1, 1, 3)
      made.append(
        model.Made(self._paint(verb, source, mask, colour, told), how)
      )
    return made

  def _paint(self, verb, source, mask, colour, told):
    if verb in ('uncrop', 'panorama'):
      step = 1 if verb == 'uncrop' else 16
      sides = {k: v * step for k, v in told.items() if k in SIDES}
      source, new = photo.widen(source, **sides)
    elif verb == 'inpaint':
      new = hole.found(source, mask, told['invert']).mask
    else:
      shade = photo.luma(source) + 0.1 * colour.astype(np.float32)
      return photo.colour(source, 2 * shade - 1)
    image = np.broadcast_to(colour.astype(np.float32), [*new.shape[:2], 3])
    return photo.paint(source, image, new, opaque=True)

  def replay(self, path, source, mask=None):
    def make(how, read):
      assert how.task == 'colorization'
      told = dict(seed=how.seed, samples=1, **how.options)
      drawn = self._make(
        'colorize', read, sampler=how.sampler['name'], steps=0, **told
      )
      return drawn[0].photo

    return recipe.replay(path, source, make)


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
  """A network that has learnt nothing, but answers."""
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


def write(path, found, **changes):
  """A file as `palette export` writes it."""
  tensors = names.to_theirs(found.params, found.network)
  text = json.dumps(found.config | changes)
  safetensors.save_file(tensors, path, {'config': text})
  return str(path)


if __name__ == '__main__':
  palette_jax.load = FakeModel
  cli.main()
