"""Palette: image-to-image diffusion models (Saharia et al. 2022), in JAX.

  import palette_jax
  model = palette_jax.load()  # or the folder of a run, or an exported file
  result, = model.colorize('old.jpg')
  result.save('new.png')

Read the package in the order in which an image travels:

  arrays.py, givens.py    the terms: Examples, Batch, DenoiseFn, TRUTH, NOISE
  images.py               pixels, sheets, grids
  files.py                atomic writes; names that belong together
  markdown.py             tables of text
  tasks/                  clean image -> target, condition, given
  masks.py, holes.py      holes of the training, and of the evaluation
  data/                   file or record -> batch of examples, by (seed, step)
  models/                 the network
  diffusion/              schedules, noising, loss, sampler: pure mathematics
  chips.py, sharding.py   accelerators; arrays laid out over devices
  training/               state, step, checkpoints, held-out photos, the loop
  planning/               runs compiled before their machine is rented
  weights/                weights of any origin, and ours for other programs
  photo/                  users' photos: read, painted, written
  evaluation/             the protocol of the paper: metrics, networks, tables
  web.py, demo/, study/   the two pages
  console.py, settings.py, extras.py
                          the terminal, the configs, optional dependencies
  cli.py                  the `palette` command
  hosts.py, main.py       python -m palette_jax.main --config=...
"""

import os
from typing import TYPE_CHECKING, Any

# Before TensorFlow loads: fewer log lines, and the same pixels everywhere.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

if TYPE_CHECKING:
  from palette_jax.photo.model import Model as Model
  from palette_jax.photo.model import Result as Result
  from palette_jax.photo.model import load as load

__version__ = '0.2.0'

# Imported on first use: they need JAX.
_FROM_MODEL = ('Result', 'Model', 'load')


def __getattr__(name: str) -> Any:
  if name not in _FROM_MODEL:
    raise AttributeError(f'palette_jax has no {name!r}.')
  from palette_jax.photo import model

  return getattr(model, name)


def __dir__() -> list[str]:
  return sorted([*globals(), *_FROM_MODEL])
