"""Imports other projects' weights as a checkpoint.

An import looks like a run at step 0: any task can be sampled with it, or
trained from it.
"""

import contextlib
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging
from etils import epath

from palette_jax import arrays, files
from palette_jax.diffusion import schedule as schedules
from palette_jax.models import unet
from palette_jax.training import checkpoint, optimizer, state
from palette_jax.weights import names, torch_file, trained

# Of the published checkpoints: tensors show neither the heads of attention nor
# the embedding of the noise level.
HEAD_CHANNELS = {'guided-diffusion': 64, 'janspiry': 32}
NOISE_LEVEL = {'guided-diffusion': 'time_step', 'janspiry': 'gamma'}
SPELLING: dict[str, dict[str, Any]] = {
  'janspiry': dict(prefix='denoise_fn.', embedding='cond_embed')
}

Tensors = dict[str, np.ndarray]
# The noise schedule in janspiry's files.
_BUFFERS = (
  'gammas',
  'sqrt_recip_gammas',
  'sqrt_recipm1_gammas',
  'posterior_log_variance_clipped',
  'posterior_mean_coef1',
  'posterior_mean_coef2',
)


def import_weights(
  source: str,
  path: str,
  folder: str,
  head_channels: int | None = None,
  new_attention_order: bool = False,
) -> unet.UNet:
  """Writes the weights of a file as a checkpoint into a new folder.

  Args:
    source: the project that wrote the file.
      guided-diffusion: an unconditional checkpoint, for a warm start. Channels
      for the condition are added with weights of zero, the half of the outputs
      that predicts the noise is kept, and gamma is embedded as its time step in
      the linear schedule of 1,000 steps.
      janspiry: `N_Network_ema.pth` of the PyTorch port of Palette, sampled as
      the port does: with gamma itself, and posterior variance.
      palette: a file of `palette export`, in any format.
    path: the file.
    folder: of the new checkpoint.
    head_channels: channels of an attention head, which tensors do not show; by
      default those of the source's published checkpoints.
    new_attention_order: whether it was trained with use_new_attention_order,
      which tensors do not show either.

  Returns:
    The network of the tensors.

  Raises:
    ValueError: naming the first key that does not fit, if the file is damaged
      or foreign, or if the folder has checkpoints already.
    FileNotFoundError: if there is no such file.
  """
  if epath.Path(folder, 'checkpoints').exists():
    raise ValueError(f'{folder} has checkpoints already. Name a new folder.')
  if source == 'palette':
    weights = trained.load(path)
    model, params, config = weights.network, weights.params, weights.config
  else:
    model, params, config = _foreign(
      source, path, head_channels, new_attention_order
    )
  config = config | dict(model=unet.to_config(model))
  _save(params, folder, config, f'{source}: {pathlib.Path(path).name}')
  return model


def _foreign(
  source: str, path: str, head_channels: int | None, new_attention_order: bool
) -> tuple[unet.UNet, arrays.Params, dict[str, Any]]:
  """Reads another project's file: the network, its weights and settings."""
  tensors = torch_file.tensors(path, torch_file.read(path))
  objective: dict[str, Any] = dict(name='diffusion', prediction='eps')
  if source == 'janspiry':
    tensors = _without_schedule(tensors)
    objective |= dict(sampler=dict(variance='posterior'))
  else:
    tensors = _widen(path, tensors)
  spelling = SPELLING.get(source, {})
  model = _read_model(
    path,
    tensors,
    head_channels=head_channels or HEAD_CHANNELS[source],
    noise_level=NOISE_LEVEL[source],
    **spelling,
  )
  expected = names.tensors(
    model, **spelling, new_attention_order=new_attention_order
  )
  params = names.fit(path, tensors, expected)
  return model, params, dict(objective=objective)


def _widen(path: str, tensors: Tensors) -> Tensors:
  """Adds inputs for a condition to an unconditional network.

  The condition comes first; its weights are zero, so that it has no effect yet.
  Of 6 outputs the first 3 are the noise, the others the variance.
  """
  first, last, bias = 'input_blocks.0.0.weight', 'out.2.weight', 'out.2.bias'
  if 'label_emb.weight' in tensors:
    raise ValueError(
      f"{path}: 'label_emb.weight' does not fit: this is a class-conditional "
      'checkpoint, and only unconditional ones can be a warm start.'
    )
  for key, axis, sizes in (
    (first, 1, (3,)),
    (last, 0, (3, 6)),
    (bias, 0, (3, 6)),
  ):
    shape = tensors[key].shape if key in tensors else ()
    if shape[axis : axis + 1] not in [(size,) for size in sizes]:
      raise ValueError(
        f'{path}: {key!r} does not fit: its shape is {shape or "missing"}, and '
        f'axis {axis} should be {" or ".join(map(str, sizes))}.'
      )
  if tensors[last].shape[0] == 6:
    logging.info(
      'Left out: outputs 3 to 5 of %r and %r, the variance, which Palette does '
      'not learn.',
      last,
      bias,
    )
  zeros = np.zeros_like(tensors[first])
  return tensors | {
    first: np.concatenate([zeros, tensors[first]], axis=1),
    last: tensors[last][:3],
    bias: tensors[bias][:3],
  }


def _without_schedule(tensors: Tensors) -> Tensors:
  """Drops the noise schedule; warns if it is not the paper's."""
  paper = schedules.linear(1e-6, 0.01, 2000).gammas
  gammas = tensors.get('gammas', paper)
  if gammas.shape != paper.shape or not np.allclose(gammas, paper, 1e-3, 1e-6):
    logging.warning(
      'It was trained on another noise schedule than the paper (%d steps, '
      'gamma down to %.3g): set objective.train_schedule before training on.',
      len(gammas),
      gammas[-1],
    )
  buffers = [name for name in tensors if name in _BUFFERS]
  if buffers:
    logging.info(
      'Left out: %s, numbers of its noise schedule.', ', '.join(buffers)
    )
  return {
    name: array for name, array in tensors.items() if name not in _BUFFERS
  }


def _read_model(path: str, tensors: Tensors, **hidden: Any) -> unet.UNet:
  """Infers the network from its tensors; `hidden` as in names.read_model."""
  shapes = {name: array.shape for name, array in tensors.items()}
  try:
    model = names.read_model(shapes, dtype='float32', **hidden)
  except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
    raise ValueError(
      f'{path} is not the U-Net of that project: its first key is '
      f'{next(iter(tensors), None)!r}, and at {error} nothing can be read off.'
    ) from error
  unet.check(model, *[unet.size_multiple(model)] * 2)
  return model


def _save(
  params: arrays.Params, folder: str, config: dict[str, Any], origin: str
) -> None:
  """Saves the state of a run before its first step, with these weights."""
  params = jax.tree.map(jnp.asarray, params)
  adam = ml_collections.ConfigDict(dict(learning_rate=0.0, warmup_steps=0))
  fresh = state.TrainState(
    step=jnp.zeros([], jnp.int32),
    params=params,
    ema_params=params,
    opt_state=optimizer.create(adam).init(params),
    key=state.step_key(seed=0),
  )
  meta = dict(config=config, records=None, origin=origin)
  with contextlib.closing(checkpoint.Checkpoints(folder)) as checkpoints:
    checkpoints.save(fresh, meta)
  text = json.dumps(config, indent=2)
  files.write(epath.Path(folder, 'config.json'), text.encode())
