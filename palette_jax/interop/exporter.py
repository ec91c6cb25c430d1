"""Our weights in one file, for other programs and for the way back.

The tensors have guided-diffusion's names and layouts, so that its UNetModel
with 6 channels in and 3 out takes them (if the attention is 'global'); its time
steps are then what embeddings.POSITIONS makes of gamma. The settings of network
and objective, the task and the size of the images that it was learnt from go
along as JSON: `config` in safetensors' metadata, or beside `model` in PyTorch's
file.

Next: palette_jax/interop/importer.py
"""

import contextlib
import json
import pathlib
from typing import Any

import jax
import numpy as np
from etils import epath
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors

from palette_jax import arrays
from palette_jax.interop import names, sampler_file, torch_file
from palette_jax.models import unet
from palette_jax.training import checkpoint

# Of a config: what else whoever uses the weights must know. Imports lack it.
LEARNT = ('task', 'data', 'experimental')


def write(workdir: str, path: str, form: str) -> unet.UNet:
  """Writes the newest checkpoint's average to one file.

  Args:
    workdir: of a run or an import.
    path: the new file.
    form: 'safetensors' or 'torch'.

  Returns:
    The network.

  Raises:
    FileNotFoundError: if there is no checkpoint.
    ValueError: if it is damaged, or if PyTorch is needed and not installed.
  """
  if not pathlib.Path(path).absolute().parent.exists():
    raise FileNotFoundError(f'There is no folder for {path}.')
  model, config, params = newest(workdir)
  tensors = _to_theirs(params, model)
  text = json.dumps(config)
  if form == 'safetensors':
    safetensors.save_file(tensors, path, {'config': text})
    return model
  try:
    import torch
  except ImportError as error:
    raise ValueError(
      "A PyTorch file needs PyTorch: pip install 'palette_jax[torch]', or use "
      '--format=safetensors.'
    ) from error
  loaded = {name: torch.from_numpy(array) for name, array in tensors.items()}
  torch.save({'model': loaded, 'config': text}, path)
  return model


def newest(
  workdir: str,
) -> tuple[unet.UNet, dict[str, Any], arrays.Params]:
  """The network, its settings and the average of the newest checkpoint.

  Args:
    workdir: of a run or an import.

  Raises:
    FileNotFoundError: if there is no checkpoint.
    ValueError: if none is whole.
  """
  if not epath.Path(workdir, 'checkpoints').exists():
    raise FileNotFoundError(f'There is no checkpoint in {workdir}.')

  def load(step):
    saved = checkpoints.meta(step)['config']
    config = {part: saved[part] for part in ('model', 'objective')}
    if 'task' in saved:
      config |= dict(task=saved['task'], data=dict(size=saved['data']['size']))
    model = unet.from_config(config['model'])
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here),
      unet.shapes(model),
    )
    return model, config, checkpoints.restore_ema(step, abstract)

  with contextlib.closing(checkpoint.Checkpoints(workdir)) as checkpoints:
    found = checkpoints.load_newest(load)
  if found is None:
    raise FileNotFoundError(f'There is no checkpoint in {workdir}.')
  return found


def read(path: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
  """What `write` or `sampler_export.write` wrote: tensors and settings.

  Raises:
    ValueError: if it is another file, or damaged.
    FileNotFoundError: if there is no such file.
  """
  if not pathlib.Path(path).exists():
    raise FileNotFoundError(f'There is no file {path}.')
  if pathlib.Path(path).suffix == sampler_file.ENDING:
    return sampler_file.read(path)
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


def _to_theirs(
  params: arrays.Params, model: unet.UNet
) -> dict[str, np.ndarray]:
  leaves = jax.tree_util.tree_leaves_with_path(params)
  named = {
    jax.tree_util.keystr(path, simple=True, separator='/'): np.asarray(leaf)
    for path, leaf in leaves
  }
  return {
    tensor.theirs: np.array(tensor.to_theirs(named[tensor.ours]), order='C')
    for tensor in names.tensors(model)
  }
