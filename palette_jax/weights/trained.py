"""Trained weights from any place: the package, a run's folder, a single file.

Their settings come with them, such as the task that they learned and the size
of its images. A SHA-256 identifies them in any container.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from etils import epath
from jaxtyping import Array, Float

from palette_jax import arrays, tasks
from palette_jax.diffusion import objective as objectives
from palette_jax.diffusion import sampler_config
from palette_jax.models import unet
from palette_jax.tasks import jpeg
from palette_jax.weights import names, sampler_file, tensor_file

SHIPPED = pathlib.Path(__file__).parent
_Tensors = dict[str, np.ndarray]
# Suffix of a file -> its reader, which returns tensors under guided-diffusion's
# names, and their settings.
READERS: dict[str, Callable[[str], tuple[_Tensors, dict[str, Any]]]] = {
  '.safetensors': tensor_file.read,
  '.pt': tensor_file.read,
  '.pth': tensor_file.read,
  sampler_file.SUFFIX: sampler_file.read,
}
# The paper's, for weights that do not state theirs.
_SIZE = (256, 256)
# Steps of the samplers, where neither the weights nor the user set them; for
# ancestral, the weights' own schedule does. The first two are the fewest that
# are no worse than a thousand (docs/results.md).
STEPS = {'dpm_solver': 10, 'ddim': 10, 'imputation': 100, 'repaint': 50}


class Weights(NamedTuple):
  """The weights of a trained network, with its settings.

  Attributes:
    network: the network that they belong to.
    params: the weights, float32.
    config: their settings as JSON has them: model and objective; task and size
      of the data, if it is known what they were trained for; experimental, the
      tasks that their maker does not consider good yet.
    sha256: identifies the weights.
  """

  network: unet.UNet
  params: arrays.Params
  config: dict[str, Any]
  sha256: str

  @property
  def size(self) -> tuple[int, int]:
    """Height and width of the images that they were trained on."""
    height, width = self.config.get('data', {}).get('size', _SIZE)
    return height, width

  @property
  def is_unconditional(self) -> bool:
    """True if they generate images without a condition."""
    name = self.config.get('task', {}).get('name')
    return name in tasks.names() and tasks.get(name).is_unconditional

  @property
  def tasks(self) -> tuple[str, ...]:
    """The tasks for photos that they have learned.

    All, if it is not known what they were trained for. Unconditional weights
    fill holes by imputation.
    """
    task = self.config.get('task')
    if task is None:
      return known_tasks()
    if self.is_unconditional:
      return tuple(task.name for task in tasks.for_photos() if task.has_hole)
    learned = (task['name'], *task.get('tasks', ()))
    return tuple(name for name in known_tasks() if name in learned)

  @property
  def experimental(self) -> tuple[str, ...]:
    """The tasks among `tasks` that they are not good at yet."""
    experimental = self.config.get('experimental', ())
    return tuple(name for name in self.tasks if name in experimental)

  @property
  def jpeg_quality(self) -> tuple[int, int]:
    """The lowest and the highest quality factor of JPEGs that they restore."""
    low, high = self.config.get('task', {}).get('quality', jpeg.QUALITY)
    return low, high

  def denoise_fn(
    self,
    params: arrays.Params,
    y_t: Float[Array, 'b h w 3'],
    cond: Float[Array, 'b h w 3'],
    gamma: Float[Array, ' b'],
  ) -> Float[Array, 'b h w 3']:
    """Applies the network; in float32 on a CPU, where bfloat16 is no faster."""
    is_cpu = jax.default_backend() == 'cpu'
    network = self.network.clone(dtype='float32') if is_cpu else self.network
    image = network.apply({'params': params}, y_t, cond, gamma)
    assert isinstance(image, jax.Array)
    return image

  def objective(
    self, sampler: dict[str, Any] | None = None
  ) -> objectives.Objective:
    """Returns their training objective, with a sampler.

    Args:
      sampler: fields of SamplerConfig that replace the weights' own.

    Raises:
      ValueError: if the settings make no sense.
    """
    settings = objectives.PAPER | self.config['objective']
    fields = objectives.PAPER['sampler'] | settings['sampler']
    settings['sampler'] = fields | (sampler or {})
    return objectives.from_config(ml_collections.ConfigDict(settings))

  def choose(self, name: str = '', steps: int = 0) -> dict[str, Any]:
    """Chooses a sampler, and its number of steps.

    Args:
      name: of the sampler; '' takes the weights' own if they set its steps,
        and otherwise the best in few steps.
      steps: 0 for the usual number.

    Returns:
      All fields of SamplerConfig; none for weights that need a single pass.

    Raises:
      ValueError: if there is no such sampler, or it does not suit the weights.
    """
    objective = self.objective()
    if isinstance(objective, objectives.Regression):
      if name or steps:
        raise ValueError(
          'These weights answer in one pass (regression): they take no sampler '
          'and no steps.'
        )
      return {}
    own, is_unconditional = objective.sampler_config, self.is_unconditional
    suitable = [
      sampler
      for sampler in sampler_config.NAMES
      if (sampler in sampler_config.UNCONDITIONAL) == is_unconditional
    ]
    if name and name not in suitable:
      raise ValueError(
        f'{name!r} is no sampler for these weights: {", ".join(suitable)}.'
      )
    if not name:
      name = 'repaint' if is_unconditional else 'dpm_solver'
      if own.steps and own.name in suitable:
        name = own.name
    if not steps:
      steps = own.steps if own.name == name else 0
      steps = steps or STEPS.get(name, 0)
    choice = dataclasses.replace(own, name=name, steps=steps)
    if steps and choice != own:
      # In few steps the paper's variance leaves grain (docs/results.md).
      choice = dataclasses.replace(choice, variance='posterior')
    return dataclasses.asdict(choice)


def known_tasks() -> tuple[str, ...]:
  """Returns the names of the tasks that weights can learn for photos."""
  return tuple(task.name for task in tasks.for_photos())


def load(source: epath.PathLike = '') -> Weights:
  """Loads weights.

  Args:
    source: '' for those of the package; the folder of a run or an import, for
      the average of its newest intact checkpoint; or a file that `palette
      export` has written.

  Raises:
    FileNotFoundError: if there are none.
    ValueError: if they are damaged, or of an unknown kind.
  """
  path = epath.Path(source) if str(source) else _shipped()
  if not path.exists():
    raise FileNotFoundError(
      f'There are no weights {path}. Give the folder of a run or an import, or '
      'a file that `palette export` has written.'
    )
  if path.is_dir():
    from palette_jax.weights import run_folder  # imports Orbax and Optax

    network, config, params = run_folder.read(str(path))
  elif path.suffix in READERS:
    tensors, config = READERS[path.suffix](str(path))
    network, params = _fit(str(path), tensors, config)
  else:
    raise ValueError(
      f'{path} is no known kind of weights. Give a folder, or a file that ends '
      f'in {", ".join(READERS)}; `palette import` converts those of other '
      'projects.'
    )
  weights = Weights(network, params, config, sha256(params))
  _check_settings(str(path), weights)
  return weights


def _shipped() -> epath.Path:
  """Returns the file of the package's own weights."""
  files = sorted(SHIPPED.glob('*.safetensors'))
  if not files:
    raise FileNotFoundError(
      'This version of palette_jax comes without weights. Name some '
      '(--checkpoint, or palette_jax.load): the folder of a run, trained for '
      'instance by\n  python -m palette_jax.main --config=multitask:uncrop\n'
      'or a file that `palette export` has written.'
    )
  return epath.Path(files[0])


def _fit(
  path: str, tensors: _Tensors, config: dict[str, Any]
) -> tuple[unet.UNet, arrays.Params]:
  """Builds the network of the settings, and converts the tensors to it."""
  try:
    network = unet.from_config(config['model'])
    config['objective'].keys()
  except (KeyError, TypeError, AttributeError) as error:
    raise ValueError(f'{path} has an unknown setting: {error}.') from error
  multiple = unet.size_multiple(network)
  unet.check(network, multiple, multiple)
  return network, names.fit(path, tensors, names.tensors(network))


def _check_settings(path: str, weights: Weights) -> None:
  """Reads every setting once, since JSON may hold anything."""
  config = weights.config
  try:
    weights.objective()
    for field, values, kind in (
      ('data.size', weights.size, int),
      ('task.name', [config.get('task', {}).get('name', '')], str),
      ('task.tasks', config.get('task', {}).get('tasks', []), str),
      ('experimental', config.get('experimental', []), str),
    ):
      if not all(isinstance(value, kind) for value in values):
        raise TypeError(f'{field} is {values!r}')
    if min(weights.size) < 1:
      raise TypeError(f'data.size is {weights.size}')
  except (KeyError, TypeError, AttributeError) as error:
    raise ValueError(f'{path} has an unknown setting: {error}.') from error
  except ValueError as error:
    raise ValueError(f'{path} has an unknown setting: {error}') from error


def sha256(params: arrays.Params) -> str:
  """Identifies weights: hashes sorted names, types, shapes and numbers."""
  digest = hashlib.sha256()
  for name, leaf in sorted(arrays.leaves_by_path(params).items()):
    array = np.asarray(leaf)
    head = [name, array.dtype.str[1:], list(array.shape)]
    digest.update(json.dumps(head).encode())
    little = array.astype(array.dtype.newbyteorder('<'), copy=False)
    digest.update(np.ascontiguousarray(little).data)
  return digest.hexdigest()
