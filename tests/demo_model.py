"""Models for the demo: one without a network, and weights that are random.

The first is what `palette_jax.load` returns, keeps to what is promised of known
pixels, and waits where it is told to.
"""

import threading
import time

import fake_model
import numpy as np

from palette_jax.photo import hole, model, recipe
from palette_jax.photo import photo as photos
from palette_jax.photo import reader as pictures
from palette_jax.photo.painting import luminance
from palette_jax.weights import load


class Model:
  """Draws colours from the seed; `gate` holds it after the first pass."""

  size = (32, 32)
  checkpoint = 64 * 'a'
  jpeg_quality = (5, 30)

  def __init__(self, tasks=load.TASKS, experimental=('jpeg',), seconds=0.0):
    self.tasks, self.experimental, self.seconds = tasks, experimental, seconds
    self.gate = threading.Event()
    self.gate.set()
    self.calls, self.threads = [], set()

  def colorize(self, photo, **drawing):
    def make(colours):
      luma = photos.luma(photo)
      coloured = np.tanh(np.repeat(2 * luma - 1, 3, -1) + colours / 2)
      return photos.colour(photo, luminance.merge(luma, coloured))

    return self._several('colorization', photo, make, drawing)

  def inpaint(self, photo, mask, *, invert=False, **drawing):
    drawn = pictures.read(mask)
    assert drawn.levels.shape[:2] == photo.levels.shape[:2]
    found = hole.of(drawn, 'mask', *photo.levels.shape[:2], invert)
    return self._painted('inpainting', photo, found.mask, drawing)

  def uncrop(self, photo, *, left=0, right=0, top=0, bottom=0, **drawing):
    wide, mask = photos.widen(photo, left, right, top, bottom)
    return self._painted('uncropping', wide, mask, drawing)

  def restore_jpeg(self, photo, **drawing):
    mask = np.ones([*photo.levels.shape[:2], 1], np.float32)
    return self._painted('jpeg', photo, mask, drawing)

  def _painted(self, task, photo, mask, drawing):
    def make(colours):
      plain = 0.5 * photos.rgb(photo) + 0.5 * colours
      return photos.paint(photo, plain.astype(np.float32), mask)

    return self._several(task, photo, make, drawing)

  def _several(self, task, photo, make, drawing, total=10):
    self.calls.append((task, drawing))
    self.threads.add(threading.current_thread())
    if drawing['steps'] == 13:
      photos.widen(photo)  # one of the package's own sentences
    if drawing['steps'] == 14:
      raise RuntimeError('secret/path is broken')
    total = drawing['steps'] or total
    for done in range(1, total + 1):
      time.sleep(self.seconds)
      drawing['progress'](done, total)
      assert self.gate.wait(60)
    draw = np.random.default_rng(drawing['seed'])
    several = []
    for i in range(drawing['samples']):
      colours = draw.uniform(-1, 1, 3).astype(np.float32)
      told = recipe.of(
        photo,
        task=task,
        config={},
        checkpoint=self.checkpoint,
        sampler={'name': drawing['sampler'] or 'ddim', 'steps': total},
        seed=drawing['seed'],
        options={'sample': i},
      )
      several.append(model.Made(make(colours), told))
    return several


def write_weights(path):
  """A file as `palette export` writes it; the network has seen nothing."""
  fake_model.write(path, fake_model.weights_of(size=32))
