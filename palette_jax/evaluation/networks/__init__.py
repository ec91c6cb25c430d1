"""Networks that look at images, with the weights that others published.

weights.py       a file of weights: found, checked, kept as safetensors
numpy_file.py    a pickle of NumPy arrays, with nothing in it executed
converter.py     PyTorch's names and layouts -> ours
resize.py        the resizing dialects that published figures differ by
inception.py     FID's network: features and logits
resnet.py        the classifier of the paper
efficientnet.py  another, whose weights are in a package
lpips.py         a distance between two images
probe.py         a classifier of other classes, on features

Everything that a network does to an image after its 8 bits, resizing included,
is inside its `apply`: compile it with `sharding.compiler_options()`.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array

from palette_jax import arrays


class Network(NamedTuple):
  """A network, its weights, and where they are from.

  Attributes:
    name: 'inception-2015-12-05', 'resnet50-v1', 'efficientnet-lite0',
      'lpips-alex' or 'lpips-vgg'.
    weights: sha256 of the published file.
    preparation: what happens to an image before the network, in words; figures
      of different preparations must not be compared.
    params: the weights.
    apply: pure. (params, uint8 [b h w 3]) -> float32 arrays by name: 'features'
      [b d], 'logits' [b classes], or both. Of LPIPS: (params, a, b) -> [b].
  """

  name: str
  weights: str
  preparation: str
  params: arrays.Params
  apply: Callable[..., dict[str, Array] | Array]


def check_images(images: Array) -> None:
  """Refuses what is not uint8 [b h w 3], floats in [-1, 1] above all.

  Raises:
    ValueError: saying what was given instead.
  """
  if images.dtype != 'uint8' or images.ndim != 4 or images.shape[-1] != 3:
    raise ValueError(
      f'The images are {images.dtype} {tuple(images.shape)}; networks take '
      'uint8, (batch, height, width, 3). images.to_u8 makes it of [-1, 1].'
    )
