"""Weights and their settings in one file, as other programs take them.

The tensors have guided-diffusion's names and layouts, so that its UNetModel
with 6 channels in and 3 out takes them (if the attention is 'global'); its time
steps are then what embeddings.POSITIONS makes of gamma. The settings of network
and objective, the task and the size of the images that it was learnt from go
along as JSON: `config` in safetensors' metadata, or beside `model` in PyTorch's
file.
"""

import json
import pathlib
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors

from palette_jax.weights import new_file, torch_file

Tensors = dict[str, np.ndarray]


def write(
  path: str, form: str, tensors: Tensors, config: dict[str, Any]
) -> None:
  """Writes a new file.

  Args:
    path: of it.
    form: 'safetensors' or 'torch'.
    tensors: contiguous, by their names.
    config: what is to be known of them.

  Raises:
    FileNotFoundError: if there is no folder for it.
    ValueError: if it cannot be written, or needs PyTorch, which is not here.
  """
  text = json.dumps(config)
  try:
    with new_file.whole(path) as partial:
      if form == 'safetensors':
        safetensors.save_file(tensors, partial, {'config': text})
      else:
        _save_torch(partial, tensors, text)
  except (SafetensorError, RuntimeError) as error:  # theirs for a full disk
    raise ValueError(f'{path} cannot be written: {error}.') from error


def _save_torch(path, tensors, text):
  try:
    import torch
  except ImportError as error:
    raise ValueError(
      "A PyTorch file needs PyTorch: pip install 'palette_jax[torch]', or use "
      '--format=safetensors.'
    ) from error
  loaded = {name: torch.from_numpy(array) for name, array in tensors.items()}
  torch.save({'model': loaded, 'config': text}, path)


def read(path: str) -> tuple[Tensors, dict[str, Any]]:
  """What `write` wrote, in either form: tensors by name, and the settings.

  Raises:
    ValueError: if it is another file, or damaged.
    FileNotFoundError: if there is no such file.
  """
  if not pathlib.Path(path).exists():
    raise FileNotFoundError(f'There is no file {path}.')
  if pathlib.Path(path).suffix != '.safetensors':
    found = torch_file.read(path)
    if not isinstance(found, dict) or found.keys() != {'model', 'config'}:
      keys = list(found)[:1] if isinstance(found, dict) else found
      raise ValueError(f'{path} was not exported by palette: it has {keys}.')
    config = json.loads(found['config'])
    return torch_file.tensors(path, found['model']), config
  try:
    with safe_open(path, framework='np') as file:
      config = (file.metadata() or {}).get('config')
      tensors = {name: file.get_tensor(name) for name in file.keys()}
  except SafetensorError as error:
    raise ValueError(f'{path} is no safetensors file: {error}.') from error
  if config is None:
    raise ValueError(f'{path} was not exported by palette: it has no config.')
  return tensors, json.loads(config)
