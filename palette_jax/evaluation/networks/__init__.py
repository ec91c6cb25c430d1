"""Networks of the metrics, with weights that others have published.

published.py     files of weights: located, verified, cached as safetensors
numpy_file.py    reads a pickle of NumPy arrays without executing anything
converter.py     from PyTorch's names and layouts to ours
resize.py        the resizing dialects that make published figures differ
inception.py     the network of FID: features and logits
resnet.py        the classifier of the paper
efficientnet.py  a classifier whose weights come in a package
lpips.py         a perceptual distance between two images
probe.py         a linear classifier for other classes, on features

All preprocessing of 8-bit images, resizing included, is inside a network's
`apply`. Compile it with `sharding.compiler_options()`.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array

from palette_jax import arrays


class Network(NamedTuple):
  """A network with its weights and their origin.

  Attributes:
    name: 'inception-2015-12-05', 'resnet50-v1', 'efficientnet-lite0',
      'lpips-alex' or 'lpips-vgg'.
    weights: SHA-256 of the published file.
    preparation: describes the preprocessing; figures with different
      preprocessing must not be compared.
    params: the weights.
    apply: a pure function (params, uint8 [b h w 3]) -> float32 arrays by name:
      'features' [b d], 'logits' [b classes], or both. For LPIPS, (params, a, b)
      -> [b].
  """

  name: str
  weights: str
  preparation: str
  params: arrays.Params
  apply: Callable[..., dict[str, Array] | Array]


def check_images(images: Array) -> None:
  """Checks that images are uint8 [b h w 3], and not floats in [-1, 1].

  Raises:
    ValueError: if they are not.
  """
  if images.dtype != 'uint8' or images.ndim != 4 or images.shape[-1] != 3:
    raise ValueError(
      f'The images are {images.dtype} {tuple(images.shape)}; networks take '
      'uint8, (batch, height, width, 3). images.to_u8 converts [-1, 1].'
    )
