"""A classifier of other classes than ImageNet's: a linear layer on features.

Classification accuracy asks whether a classifier that knows the data still sees
in an output what was there. For other data than ImageNet this is one that is
fitted in minutes: ridge regression to one-hot classes on EfficientNet-lite0's
features.

  python -m tools.small_data --probe    # CIFAR-10's
"""

import hashlib
import io
import zipfile
from typing import NamedTuple

import numpy as np
from etils import epath
from jaxtyping import Float, Int

RIDGE = 1e-2  # of the features' mean square, which keeps the solution small


class Probe(NamedTuple):
  """Scores of classes: features @ kernel + bias.

  Attributes:
    kernel: float64 [d classes].
    bias: float64 [classes].
    sha256: of its file; '' of one that has just been fitted.
  """

  kernel: Float[np.ndarray, 'd classes']
  bias: Float[np.ndarray, ' classes']
  sha256: str = ''

  def classify(
    self, features: Float[np.ndarray, 'n d']
  ) -> Int[np.ndarray, ' n']:
    """The class of the highest score."""
    return np.argmax(features @ self.kernel + self.bias, axis=-1)

  def save(self, path: epath.PathLike) -> None:
    """Writes an .npz."""
    with epath.Path(path).open('wb') as file:
      np.savez(file, kernel=self.kernel, bias=self.bias)


def fit(
  features: Float[np.ndarray, 'n d'], labels: Int[np.ndarray, ' n']
) -> Probe:
  """The least squares fit to one-hot labels, 0 to the highest that occurs."""
  features = features.astype(np.float64)
  targets = np.eye(labels.max() + 1)[labels]
  mean, share = features.mean(axis=0), targets.mean(axis=0)
  x, y = features - mean, targets - share
  moments = x.T @ x / len(x)
  ridge = RIDGE * np.trace(moments) / len(moments) * np.eye(len(moments))
  kernel = np.linalg.solve(moments + ridge, x.T @ y / len(x))
  return Probe(kernel, share - mean @ kernel)


def load(path: epath.PathLike) -> Probe:
  """What `Probe.save` wrote.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is another file.
  """
  path = epath.Path(path)
  if not path.exists():
    raise FileNotFoundError(
      f'There is no classifier {path} of the classes that are judged.'
    )
  try:
    encoded = path.read_bytes()
    with np.load(io.BytesIO(encoded)) as found:
      digest = hashlib.sha256(encoded).hexdigest()
      return Probe(found['kernel'], found['bias'], digest)
  except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
    raise ValueError(
      f'{path} is no classifier: an .npz of kernel and bias.'
    ) from error
