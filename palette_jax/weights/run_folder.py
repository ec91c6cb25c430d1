"""Reads the averaged weights of a run or an import from its folder."""

import contextlib
from typing import Any

import jax
from etils import epath

from palette_jax import arrays
from palette_jax.models import unet
from palette_jax.training import checkpoint


def read(folder: str) -> tuple[unet.UNet, dict[str, Any], arrays.Params]:
  """Reads the newest intact checkpoint.

  Returns:
    The network, its settings, and its averaged weights. The settings are those
    that travel with weights: model and objective; task and size of the data, if
    it is known what they were trained for; experimental.

  Raises:
    FileNotFoundError: if there is no checkpoint.
    ValueError: if none is intact.
  """
  if not epath.Path(folder, 'checkpoints').exists():
    raise FileNotFoundError(f'There is no checkpoint in {folder}.')

  def load(step: int) -> tuple[unet.UNet, dict[str, Any], arrays.Params]:
    saved = checkpoints.meta(step)['config']
    parts = 'model', 'objective', 'task', 'experimental'
    config = {part: saved[part] for part in parts if part in saved}
    if 'data' in saved:
      config['data'] = dict(size=saved['data']['size'])
    model = unet.from_config(config['model'])
    placement = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=placement
      ),
      unet.shapes(model),
    )
    return model, config, checkpoints.restore_ema(step, abstract)

  with contextlib.closing(checkpoint.Checkpoints(folder)) as checkpoints:
    loaded = checkpoints.load_newest(load)
  if loaded is None:
    raise FileNotFoundError(f'There is no checkpoint in {folder}.')
  return loaded
