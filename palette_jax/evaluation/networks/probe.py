"""A linear classifier for classes other than ImageNet's, on features.

Classification accuracy asks whether a classifier that knows the data still
recognises the original in an output. For data other than ImageNet, this one is
fitted in minutes: ridge regression to one-hot classes on the features of
EfficientNet-lite0.

  python -m tools.small_data --probe    # for CIFAR-10
"""

import hashlib
import io
import zipfile
from typing import NamedTuple

import numpy as np
from etils import epath
from jaxtyping import Float, Int

from palette_jax import files

RIDGE = 1e-2  # relative to the features' mean square


class Probe(NamedTuple):
  """Scores of classes, features @ kernel + bias.

  Attributes:
    kernel: float64 [d classes].
    bias: float64 [classes].
    sha256: SHA-256 of its file; '' for one that has just been fitted.
  """

  kernel: Float[np.ndarray, 'd classes']
  bias: Float[np.ndarray, ' classes']
  sha256: str = ''

  def classify(
    self, features: Float[np.ndarray, 'n d']
  ) -> Int[np.ndarray, ' n']:
    """Returns the class with the highest score."""
    return np.argmax(features @ self.kernel + self.bias, axis=-1)

  def save(self, path: epath.PathLike) -> None:
    """Writes an .npz file."""
    encoded = io.BytesIO()
    np.savez(encoded, kernel=self.kernel, bias=self.bias)
    files.write(path, encoded.getvalue())


def fit(
  features: Float[np.ndarray, 'n d'], labels: Int[np.ndarray, ' n']
) -> Probe:
  """Fits one-hot labels, 0 to the highest that occurs, by ridge regression."""
  features = features.astype(np.float64)
  targets = np.eye(labels.max() + 1)[labels]
  mean, share = features.mean(axis=0), targets.mean(axis=0)
  x, y = features - mean, targets - share
  moments = x.T @ x / len(x)
  ridge = RIDGE * np.trace(moments) / len(moments) * np.eye(len(moments))
  kernel = np.linalg.solve(moments + ridge, x.T @ y / len(x))
  return Probe(kernel, share - mean @ kernel)


def load(path: epath.PathLike) -> Probe:
  """Reads a file that `Probe.save` wrote.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is of another kind.
  """
  path = epath.Path(path)
  if not path.exists():
    raise FileNotFoundError(
      f'There is no classifier {path} for the classes to be judged.'
    )
  try:
    encoded = path.read_bytes()
    with np.load(io.BytesIO(encoded)) as arrays:
      digest = hashlib.sha256(encoded).hexdigest()
      return Probe(arrays['kernel'], arrays['bias'], digest)
  except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
    raise ValueError(
      f'{path} is not a classifier: expected an .npz of kernel and bias.'
    ) from error
