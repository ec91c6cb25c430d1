"""Palette: image-to-image diffusion models (Saharia et al. 2022), in JAX.

  import palette_jax
  model = palette_jax.load()  # or the folder of a run, or an exported file
  made, = model.colorize('old.jpg')
  made.save('new.png')

The package reads like a book, in the order in which an image travels:

  arrays.py, givens.py    the words: Examples, Batch, DenoiseFn, TRUTH, NOISE
  images.py               pixels and files
  tasks/, masks.py        clean image -> target, cond, given
  data/                   file or record -> batch of examples, by (seed, step)
  models/                 the network
  diffusion/              schedules, noising, loss, sampler: pure mathematics
  chips.py                what accelerators can do
  sharding.py             one host's rows -> one array over all devices
  training/               state, step, checkpoints, held-out photos, the loop
  evaluation/             the protocol of the paper
  web.py                  what pages in a browser have in common
  interop/                weights from other projects, and ours for them
  planning/               runs compiled before their machine is rented
  restoration/            somebody's own photo: read, cut up, written
  console.py, settings.py what the terminal shows, and says
  cli.py                  the `palette` command
  hosts.py                the other hosts of a run, found
  main.py                 python -m palette_jax.main --config=...
"""

import os
from typing import TYPE_CHECKING, Any

# Before TensorFlow loads: no chatter, and decoding that is the same everywhere.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

if TYPE_CHECKING:
  from palette_jax.restoration.model import Made as Made
  from palette_jax.restoration.model import Model as Model
  from palette_jax.restoration.model import load as load

__version__ = '0.1.0'

_FROM_MODEL = (
  'Made',
  'Model',
  'load',
)  # imported when asked for: they need JAX


def __getattr__(name: str) -> Any:
  if name not in _FROM_MODEL:
    raise AttributeError(f'palette_jax has no {name!r}.')
  from palette_jax.restoration import model

  return getattr(model, name)


def __dir__() -> list[str]:
  return sorted([*globals(), *_FROM_MODEL])
