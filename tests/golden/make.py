"""Writes the golden files by running the original projects, once.

  git clone https://github.com/openai/guided-diffusion
  git clone https://github.com/Janspiry/Palette-Image-to-Image-Diffusion-Models
  python tests/golden/make.py guided-diffusion Palette-Image-to-Image-*

needs PyTorch. It also checks that benchmarks/torch_unet.py gives the same
outputs as both projects: where PyTorch is installed, tests compare with it.
"""

import json
import pathlib
import sys
from typing import Any

import cases
import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from benchmarks import torch_unet  # noqa: E402
from palette_jax.models import unet  # noqa: E402


def to_torch(images: np.ndarray) -> torch.Tensor:
  return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
  return tensor.permute(0, 2, 3, 1).numpy()


def fill(network: torch.nn.Module) -> torch.nn.Module:
  """Sets each weight of a network by its name."""
  for name, parameter in network.named_parameters():
    weight = cases.weight(name, tuple(parameter.shape))
    parameter.data = torch.from_numpy(np.ascontiguousarray(weight))
  return network.eval()


def check_twin(
  model: unet.UNet,
  state_dict: dict[str, torch.Tensor],
  x: torch.Tensor,
  position: torch.Tensor,
  out: torch.Tensor,
  **options: Any,
) -> None:
  twin = torch_unet.UNet(model, **options)
  twin.load_state_dict(state_dict)
  error = (twin(x, position) - out).abs().max()
  print(f'  outputs up to {out.abs().max():.2f}; twin off by {error:.1e}')
  assert error < 1e-5


def unet_of(case: dict[str, Any]) -> unet.UNet:
  return unet.UNet(**cases.fields_of(case))


def guided_diffusion(
  model: unet.UNet,
  channels_in: int,
  channels_out: int,
  new_order: bool = False,
) -> torch.nn.Module:
  from guided_diffusion.unet import UNetModel

  return fill(
    UNetModel(
      image_size=256,
      in_channels=channels_in,
      model_channels=model.channels,
      out_channels=channels_out,
      num_res_blocks=model.num_res_blocks,
      attention_resolutions=[2**level for level in model.attention_levels],
      channel_mult=model.channel_mult,
      num_head_channels=model.head_channels,
      use_scale_shift_norm=True,
      resblock_updown=model.resblock_updown,
      use_new_attention_order=new_order,
    )
  )


def port(model: unet.UNet) -> torch.nn.Module:
  from models.network import Network

  schedule = dict(
    schedule='linear',
    n_timestep=cases.SAMPLER['num_steps'],
    linear_start=cases.SAMPLER['start'],
    linear_end=cases.SAMPLER['end'],
  )
  return fill(
    Network(
      unet=dict(
        image_size=256,
        in_channel=6,
        inner_channel=model.channels,
        out_channel=3,
        res_blocks=model.num_res_blocks,
        attn_res=[2**level for level in model.attention_levels],
        channel_mults=model.channel_mult,
        num_head_channels=model.head_channels,
        resblock_updown=model.resblock_updown,
      ),
      beta_schedule=dict(train=schedule, test=schedule),
      module_name='guided_diffusion',
    )
  )


def save(name: str, **parts: np.ndarray) -> None:
  np.savez_compressed(cases.FOLDER / f'{name}.npz', **parts)


def networks() -> None:
  for name, fields in (cases.GUIDED_DIFFUSION | cases.JANSPIRY).items():
    print(name)
    model = unet_of(fields)
    y_t, cond = cases.images(name, fields['size'], 2)
    x = torch.cat([to_torch(cond[None]), to_torch(y_t[None])], dim=1)
    gamma = torch.from_numpy(cases.gammas(1))
    if name in cases.JANSPIRY:
      network = port(model).denoise_fn
      # Weights depend on the names in a file, which have this prefix.
      network = fill(torch.nn.ModuleDict({'denoise_fn': network})).denoise_fn
      position, emb = gamma, 'cond_embed'
    else:
      new_order = fields.get('new_attention_order', False)
      network = guided_diffusion(model, 6, 3, new_order)
      position, emb = 1000 * gamma.sqrt(), 'time_embed'
    out = network(x, position)
    if not fields.get('new_attention_order'):  # the twin knows one order
      check_twin(model, network.state_dict(), x, position, out, emb=emb)
    save(name, out=to_numpy(out)[0])


def warm_start() -> None:
  print('warm_start')
  model = unet_of(cases.WARM_START)
  network = guided_diffusion(model, 3, 6)
  steps = torch.tensor(cases.TIME_STEPS)
  x = to_torch(cases.images('warm_start', cases.WARM_START['size'], len(steps)))
  out = network(x, steps)
  options = dict(channels_in=3, channels_out=6)
  check_twin(model, network.state_dict(), x, steps, out, **options)
  save('warm_start', out=to_numpy(out))


def sampler() -> None:
  """Keeps every y_t of the port's restoration with prescribed noise."""
  print('sampler')
  fields = cases.JANSPIRY['port_convolutions']
  size, steps = fields['size'], cases.SAMPLER['num_steps']
  network = port(unet_of(fields))
  network.set_new_noise_schedule(torch.device('cpu'), 'test')
  clean = np.tanh(cases.images('clean', size, 1))
  mask = cases.hole(size)
  cond = np.where(mask > 0.5, cases.images('fill', size, 1), clean)
  noise = iter(to_torch(cases.images('noise', size, steps)).split(1))
  original, torch.randn_like = torch.randn_like, lambda y_t: next(noise)
  _, trajectory = network.restoration(
    to_torch(cond),
    y_t=to_torch(cond),
    y_0=to_torch(clean),
    mask=to_torch(mask),
    sample_num=steps - 1,
  )
  torch.randn_like = original
  trajectory = to_numpy(trajectory)
  print(f'  {len(trajectory) - 1} steps')
  assert len(trajectory) == steps + 1
  save('sampler', trajectory=trajectory)


def files() -> None:
  """Writes small files in both of PyTorch's formats."""
  tensors = {k: torch.from_numpy(v) for k, v in cases.tensors().items()}
  tensors['parameter'] = torch.nn.Parameter(torch.arange(3.0))
  tensors['brain'] = torch.arange(4).bfloat16()
  torch.save(tensors, cases.FOLDER / 'tensors.pth')
  older = cases.FOLDER / 'tensors_older.pth'
  torch.save(tensors, older, _use_new_zipfile_serialization=False)


def published() -> None:
  """Writes the names and shapes of the weights that the projects publish."""

  def shapes(network: torch.nn.Module) -> dict[str, list[int]]:
    return {k: list(v.shape) for k, v in network.state_dict().items()}

  with torch.device('meta'):
    from guided_diffusion.unet import UNetModel
    from models.network import Network

    uncond = UNetModel(
      image_size=256,
      in_channels=3,
      model_channels=256,
      out_channels=6,
      num_res_blocks=2,
      attention_resolutions=(8, 16, 32),
      channel_mult=(1, 1, 2, 2, 4, 4),
      num_head_channels=64,
      use_scale_shift_norm=True,
      resblock_updown=True,
    )
    schedule = dict(schedule='linear', linear_start=1e-6, linear_end=0.01)
    steps = dict(n_timestep=2000)
    palette = Network(
      unet=dict(
        image_size=256,
        in_channel=6,
        inner_channel=64,
        out_channel=3,
        res_blocks=2,
        attn_res=[16],
        channel_mults=(1, 2, 4, 8),
        num_head_channels=32,
        dropout=0.2,
      ),
      beta_schedule=dict(train=schedule | steps),
      module_name='guided_diffusion',
    )
  palette.set_new_noise_schedule(torch.device('cpu'), 'train')
  both = {'guided-diffusion': shapes(uncond), 'janspiry': shapes(palette)}
  (cases.FOLDER / 'published.json').write_text(json.dumps(both))


if __name__ == '__main__':
  if len(sys.argv) != 3:
    sys.exit(__doc__)
  sys.path[:0] = sys.argv[1:]
  with torch.no_grad():
    networks()
    warm_start()
    sampler()
  files()
  published()
