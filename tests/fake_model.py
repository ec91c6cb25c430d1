"""A model of three lines in place of a network: quick, and known to the bit.

Run as a program it is the `palette` command with that model.
"""

import functools
import os
import time
from typing import NamedTuple

import numpy as np

import palette_jax
from palette_jax import cli
from palette_jax.restoration import hole, photo, recipe

PASSES = 5


class Made(NamedTuple):
  photo: photo.Photo
  recipe: recipe.Recipe


class FakeModel:
  """Paints with one colour, which follows from the seed.

  Attributes:
    calls: how often a photo was made.
    on_pass: called with the number of passes made so far, of all photos.
  """

  checkpoint = 'cd' * 32
  size = (32, 32)
  experimental = ('inpainting',)
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
    inputs = {} if mask is None else {'mask': photo.read(mask).sha256}
    common = dict(
      task=task,
      config={},
      checkpoint=self.checkpoint,
      sampler=sampler,
      options=told,
      inputs=inputs,
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
      made.append(Made(self._paint(verb, source, mask, colour, told), how))
    return made

  def _paint(self, verb, source, mask, colour, told):
    if verb in ('uncrop', 'panorama'):
      step = 1 if verb == 'uncrop' else 16
      sides = {k: v * step for k, v in told.items() if k in SIDES}
      source, new = photo.widen(source, **sides)
    elif verb == 'inpaint':
      size = source.levels.shape[:2]
      invert = told['invert']
      found = hole.read(mask, *size, invert) if mask else hole.erased(source)
      new = found.mask
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


if __name__ == '__main__':
  palette_jax.load = FakeModel
  cli.main()
