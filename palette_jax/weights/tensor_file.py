"""Weights and their settings in one file, for other programs.

The tensors have guided-diffusion's names and layouts: its UNetModel with 6
channels in and 3 out takes them if the attention is 'global', with the time
steps that embeddings.POSITIONS makes of gamma. The settings go along as JSON
(network, objective, task, size of the training images): `config` in the
metadata of safetensors, or beside `model` in a PyTorch file.
"""

import json
import pathlib
from typing import Any

import numpy as np
from etils import epath
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors

from palette_jax.weights import torch_file

Tensors = dict[str, np.ndarray]


def write(
  path: epath.PathLike, form: str, tensors: Tensors, config: dict[str, Any]
) -> None:
  """Writes tensors and their settings.

  Args:
    path: of the file.
    form: 'safetensors' or 'torch'.
    tensors: contiguous arrays by name.
    config: their settings.

  Raises:
    OSError: if the file cannot be written.
    ValueError: if PyTorch is needed and not installed.
  """
  text = json.dumps(config)
  try:
    if form == 'safetensors':
      safetensors.save_file(tensors, path, {'config': text})
    else:
      _save_torch(path, tensors, text)
  except (SafetensorError, RuntimeError) as error:  # such as a full disk
    raise OSError(str(error)) from error


def _save_torch(path: epath.PathLike, tensors: Tensors, config: str) -> None:
  try:
    import torch
  except ImportError as error:
    raise ValueError(
      "A PyTorch file needs PyTorch: pip install 'palette_jax[torch]', or use "
      '--format=safetensors.'
    ) from error
  model = {name: torch.from_numpy(array) for name, array in tensors.items()}
  torch.save({'model': model, 'config': config}, path)


def read(path: str) -> tuple[Tensors, dict[str, Any]]:
  """Reads a file that `write` has written, in either form.

  Returns:
    Tensors by name, and their settings.

  Raises:
    ValueError: if it is another file, or damaged.
    FileNotFoundError: if there is no such file.
  """
  if not pathlib.Path(path).exists():
    raise FileNotFoundError(f'There is no file {path}.')
  if pathlib.Path(path).suffix != '.safetensors':
    content = torch_file.read(path)
    if not isinstance(content, dict) or content.keys() != {'model', 'config'}:
      keys = list(content)[:1] if isinstance(content, dict) else content
      raise ValueError(f'{path} was not exported by palette: it has {keys}.')
    config = json.loads(content['config'])
    return torch_file.tensors(path, content['model']), config
  try:
    with safe_open(path, framework='np') as file:
      text = (file.metadata() or {}).get('config')
      tensors = {name: file.get_tensor(name) for name in file.keys()}
  except SafetensorError as error:
    raise ValueError(f'{path} is no safetensors file: {error}.') from error
  if text is None:
    raise ValueError(f'{path} was not exported by palette: it has no config.')
  return tensors, json.loads(text)
