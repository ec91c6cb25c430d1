"""Our network in PyTorch, written from scratch with guided-diffusion's names.

tests/parity_test.py compares the outputs of the two, benchmarks/network.py the
times. tests/golden/make.py checks that this one gives the same outputs as the
two original projects.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from palette_jax.models import unet


def norm(channels: int) -> nn.GroupNorm:
  return nn.GroupNorm(32, channels)


def conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
  return nn.Conv2d(channels_in, channels_out, 3, stride, padding=1)


def sinusoid(position: torch.Tensor, features: int) -> torch.Tensor:
  """Returns cosines, then sines, of frequencies from 1 down to 1/10,000."""
  half = features // 2
  index = torch.arange(half, device=position.device)
  frequency = torch.exp(index * (-math.log(10_000) / half))
  angle = position.float()[:, None] * frequency
  return torch.cat([angle.cos(), angle.sin()], dim=1)


class ResBlock(nn.Module):
  """Norm, SiLU and convolution, twice, with a shortcut around them."""

  def __init__(
    self,
    channels_in: int,
    channels: int,
    emb: int,
    resample: nn.Module | None = None,
  ) -> None:
    super().__init__()
    self.resample = resample or nn.Identity()
    self.in_layers = nn.Sequential(
      norm(channels_in), nn.SiLU(), conv(channels_in, channels)
    )
    self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, 2 * channels))
    self.out_layers = nn.Sequential(
      norm(channels), nn.SiLU(), nn.Identity(), conv(channels, channels)
    )
    same = channels_in == channels
    self.skip_connection = (
      nn.Identity() if same else nn.Conv2d(channels_in, channels, 1)
    )

  def forward(self, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
    h = self.resample(self.in_layers[:2](x))
    h = self.in_layers[2](h)
    scale, shift = self.emb_layers(emb)[:, :, None, None].chunk(2, dim=1)
    h = self.out_layers[0](h) * (1 + scale) + shift
    return self.skip_connection(self.resample(x)) + self.out_layers[1:](h)


class Attention(nn.Module):
  """Self-attention whose weights have heads before queries, keys and values."""

  def __init__(self, channels: int, head_channels: int) -> None:
    super().__init__()
    self.head_channels = head_channels
    self.norm = norm(channels)
    self.qkv = nn.Conv1d(channels, 3 * channels, 1)
    self.proj_out = nn.Conv1d(channels, channels, 1)

  def forward(self, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
    batch, channels, height, width = x.shape
    qkv = self.qkv(self.norm(x.flatten(2)))
    qkv = qkv.unflatten(1, (-1, 3, self.head_channels)).transpose(3, 4)
    out = functional.scaled_dot_product_attention(*qkv.unbind(2))
    out = out.transpose(2, 3).reshape(batch, channels, height * width)
    return x + self.proj_out(out).unflatten(2, (height, width))


class Downsample(nn.Module):
  def __init__(self, channels: int) -> None:
    super().__init__()
    self.op = conv(channels, channels, stride=2)

  def forward(self, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
    return self.op(x)


class Upsample(nn.Module):
  def __init__(self, channels: int) -> None:
    super().__init__()
    self.conv = conv(channels, channels)

  def forward(self, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
    return self.conv(nn.functional.interpolate(x, scale_factor=2))


class First(nn.Conv2d):
  def forward(
    self, input: torch.Tensor, emb: torch.Tensor | None = None
  ) -> torch.Tensor:
    return super().forward(input)


class Layers(nn.ModuleList):
  """Layers one after another, all of which get the embedding."""

  def forward(self, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
    for layer in self:
      x = layer(x, emb)
    return x


class UNet(nn.Module):
  """The network of a `UNet` of palette_jax.models.unet.

  `forward` takes x [b c h w], with channels in the order of the weights, and
  position [b], the argument of the sinusoid.
  """

  def __init__(
    self,
    model: unet.UNet,
    channels_in: int = 6,
    channels_out: int = 3,
    emb: str = 'time_embed',
  ) -> None:
    super().__init__()
    self.model, self.emb = model, emb
    c = model.channels
    levels = [c * mult for mult in model.channel_mult]
    mlp = nn.Sequential(nn.Linear(c, 4 * c), nn.SiLU(), nn.Linear(4 * c, 4 * c))
    self.add_module(emb, mlp)

    def block(
      channels_in: int, channels: int, resample: nn.Module | None = None
    ) -> ResBlock:
      return ResBlock(channels_in, channels, 4 * c, resample)

    def attention(level: int) -> list[nn.Module]:
      attended = level in model.attention_levels
      return [Attention(levels[level], model.head_channels)] if attended else []

    def down(h: int) -> nn.Module:
      if model.resblock_updown:
        return block(h, h, nn.AvgPool2d(2))
      return Downsample(h)

    def up(h: int) -> nn.Module:
      if model.resblock_updown:
        return block(h, h, nn.Upsample(scale_factor=2))
      return Upsample(h)

    skips, h = [levels[0]], levels[0]
    entries: list[list[nn.Module]] = [[First(channels_in, h, 3, padding=1)]]
    for level, features in enumerate(levels):
      for _ in range(model.num_res_blocks):
        entries.append([block(h, features), *attention(level)])
        h = features
        skips.append(h)
      if level + 1 < len(levels):
        entries.append([down(h)])
        skips.append(h)
    self.input_blocks = nn.ModuleList(Layers(entry) for entry in entries)

    middle = [block(h, h), Attention(h, model.head_channels), block(h, h)]
    self.middle_block = Layers(middle)

    entries = []
    for level, features in reversed(list(enumerate(levels))):
      for i in range(model.num_res_blocks + 1):
        entry = [block(h + skips.pop(), features), *attention(level)]
        h = features
        if level and i == model.num_res_blocks:
          entry.append(up(h))
        entries.append(entry)
    self.output_blocks = nn.ModuleList(Layers(entry) for entry in entries)
    self.out = nn.Sequential(norm(h), nn.SiLU(), conv(h, channels_out))

  def forward(self, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    emb = self.get_submodule(self.emb)(sinusoid(position, self.model.channels))
    h, skips = x, []
    for entry in self.input_blocks:
      h = entry(h, emb)
      skips.append(h)
    h = self.middle_block(h, emb)
    for entry in self.output_blocks:
      h = entry(torch.cat([h, skips.pop()], dim=1), emb)
    return self.out(h)
