"""Weights, wherever they lie: in the package, a run's folder, a single file.

What they have learnt, and from pictures of which size, comes along with them.
One SHA-256 says which weights they are, whatever container they came in.
"""

import dataclasses
import hashlib
import json
import pathlib
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
# What a file is read by: -> tensors by guided-diffusion's names, settings.
READERS = {
  '.safetensors': tensor_file.read,
  '.pt': tensor_file.read,
  '.pth': tensor_file.read,
  sampler_file.ENDING: sampler_file.read,
}
# What other projects' weights do not say: the paper's. As configs/common.py.
_OBJECTIVE = dict(
  name='diffusion',
  norm='l2',
  prediction='eps',
  weighting='uniform',
  train_schedule=dict(name='linear', start=1e-6, end=0.01, num_steps=2000),
  sample_schedule=dict(name='linear', start=1e-4, end=0.09, num_steps=1000),
  sampler=dataclasses.asdict(sampler_config.SamplerConfig()),
)
_SIZE = (256, 256)
# Steps of the samplers, where neither weights nor user say how many; ancestral
# takes the schedule of the weights as it is. Of the first two: the fewest that
# are no worse than a thousand of those (docs/results.md).
STEPS = {'dpm_solver': 10, 'ddim': 10, 'imputation': 100, 'repaint': 50}


class Weights(NamedTuple):
  """A network that has learnt something.

  Attributes:
    network: whose weights they are.
    params: the weights, float32.
    config: their settings as JSON has them: model, objective; task and data's
      size, if it is known what they were trained for; experimental, a list of
      tasks of which whoever made the weights says that they are not good yet.
    sha256: of the weights.
  """

  network: unet.UNet
  params: arrays.Params
  config: dict[str, Any]
  sha256: str

  @property
  def size(self) -> tuple[int, int]:
    """Height and width of the pictures that they have learnt from."""
    return tuple(self.config.get('data', {}).get('size', _SIZE))

  @property
  def is_unconditional(self) -> bool:
    """Whether they have learnt to paint whole pictures from nothing."""
    return self.config.get('task', {}).get('name') == 'unconditional'

  @property
  def tasks(self) -> tuple[str, ...]:
    """Those of `known_tasks` that they can be asked for.

    All, if nobody knows what they have learnt. Whoever has learnt to paint from
    nothing fills holes by imputation.
    """
    learnt = self.config.get('task')
    if learnt is None:
      return known_tasks()
    if self.is_unconditional:
      return tuple(task.name for task in tasks.for_photos() if task.has_hole)
    known = (learnt['name'], *learnt.get('tasks', ()))
    return tuple(task for task in known_tasks() if task in known)

  @property
  def experimental(self) -> tuple[str, ...]:
    """Those of the tasks that they are not good at yet."""
    named = self.config.get('experimental', ())
    return tuple(task for task in self.tasks if task in named)

  @property
  def jpeg_quality(self) -> tuple[int, int]:
    """The lowest and the highest quality factor of JPEGs that they restore."""
    return tuple(self.config.get('task', {}).get('quality', jpeg.QUALITY))

  def denoise_fn(
    self,
    params: arrays.Params,
    y_t: Float[Array, 'b h w 3'],
    cond: Float[Array, 'b h w 3'],
    gamma: Float[Array, ' b'],
  ) -> Float[Array, 'b h w 3']:
    """The network; in float32 on a CPU, which has no faster arithmetic."""
    is_cpu = jax.default_backend() == 'cpu'
    network = self.network.clone(dtype='float32') if is_cpu else self.network
    return network.apply({'params': params}, y_t, cond, gamma)

  def objective(
    self, sampler: dict[str, Any] | None = None
  ) -> objectives.Objective:
    """What they have learnt to predict, and how a picture is made of it.

    Args:
      sampler: fields of SamplerConfig that override those of the
        weights' own settings.

    Raises:
      ValueError: for settings that make no sense.
    """
    settings = _OBJECTIVE | self.config['objective']
    before = _OBJECTIVE['sampler'] | settings['sampler']
    settings['sampler'] = before | (sampler or {})
    return objectives.from_config(ml_collections.ConfigDict(settings))

  def choose(self, name: str = '', steps: int = 0) -> dict[str, Any]:
    """The sampler that is meant: all fields of sampler_config.SamplerConfig.

    Args:
      name: of it; '' for the weights' own if they say how many steps it takes,
        otherwise for the best in few steps.
      steps: 0 for as many as usual.

    Returns:
      The fields; none for weights that answer in one pass.

    Raises:
      ValueError: if there is no such sampler, or it is not for these weights.
    """
    objective = self.objective()
    if isinstance(objective, objectives.Regression):
      if name or steps:
        raise ValueError(
          'These weights answer in one pass (regression): they take no sampler '
          'and no steps.'
        )
      return {}
    own, blind = objective.sampler_config, self.is_unconditional
    fitting = [
      one
      for one in sampler_config.NAMES
      if (one in sampler_config.UNCONDITIONAL) == blind
    ]
    if name and name not in fitting:
      raise ValueError(
        f'{name!r} is no sampler for these weights: {", ".join(fitting)}.'
      )
    is_known = own.steps and own.name in fitting
    if not name:
      name = 'repaint' if blind else 'dpm_solver'
      name = own.name if is_known else name
    if not steps:
      steps = own.steps if own.name == name else 0
      steps = steps or STEPS.get(name, 0)
    chosen = dataclasses.replace(own, name=name, steps=steps)
    if steps and chosen != own:
      # In few steps the paper's variance leaves grain (docs/results.md).
      chosen = dataclasses.replace(chosen, variance='posterior')
    return dataclasses.asdict(chosen)


def known_tasks() -> tuple[str, ...]:
  """Returns the names of the tasks that weights can learn for photos."""
  return tuple(task.name for task in tasks.for_photos())


def load(source: epath.PathLike = '') -> Weights:
  """Reads weights.

  Args:
    source: '' for those inside the package; the folder of a run or an import,
      of whose newest whole checkpoint the average is taken; or a file that
      `palette export` has written.

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
    network, params = _fitted(str(path), tensors, config)
  else:
    raise ValueError(
      f'{path} is no kind of weights that is known here: a folder, or a file '
      f'that ends in {", ".join(READERS)}. Those of other projects are brought '
      'in by `palette import`.'
    )
  found = Weights(network, params, config, sha256(params))
  _check(str(path), found)
  return found


def _shipped():
  """The file of the weights inside the package."""
  files = sorted(SHIPPED.glob('*.safetensors'))
  if not files:
    raise FileNotFoundError(
      'This version of palette_jax comes without weights. Name some '
      '(--checkpoint, or palette_jax.load): the folder of a run that you have '
      'trained, for instance by\n  python -m palette_jax.main '
      '--config=configs/multitask.py:uncrop\nor a file that `palette export` '
      'has written.'
    )
  return epath.Path(files[0])


def _fitted(path, tensors, config):
  """The network that the settings describe, and its weights."""
  try:
    network = unet.from_config(config['model'])
    config['objective'].keys()
  except (KeyError, TypeError, AttributeError) as error:
    raise ValueError(f'{path} has an unknown setting: {error}.') from error
  unet.check(network, *[unet.size_multiple(network)] * 2)
  return network, names.fit(path, tensors, names.tensors(network))


def _check(path, found):
  """Asks settings for all that they will be asked for: JSON holds anything."""
  config = found.config
  try:
    found.objective()
    for field, values, kind in (
      ('data.size', found.size, int),
      ('task.name', [config.get('task', {}).get('name', '')], str),
      ('task.tasks', config.get('task', {}).get('tasks', []), str),
      ('experimental', config.get('experimental', []), str),
    ):
      if not all(isinstance(value, kind) for value in values):
        raise TypeError(f'{field} is {values!r}')
    height, width = found.size
    if min(height, width) < 1:
      raise TypeError(f'data.size is {found.size}')
  except (KeyError, TypeError, AttributeError) as error:
    raise ValueError(f'{path} has an unknown setting: {error}.') from error
  except ValueError as error:
    raise ValueError(f'{path} has an unknown setting: {error}') from error


def sha256(params: arrays.Params) -> str:
  """Which weights they are: of names, types, shapes and numbers, sorted."""
  found = hashlib.sha256()
  for name, leaf in sorted(arrays.leaves_by_path(params).items()):
    array = np.asarray(leaf)
    head = [name, array.dtype.str[1:], list(array.shape)]
    found.update(json.dumps(head).encode())
    little = array.astype(array.dtype.newbyteorder('<'), copy=False)
    found.update(np.ascontiguousarray(little))
  return found.hexdigest()
