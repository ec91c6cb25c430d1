"""Baselines: answers without a model, which any model must beat."""

import concurrent.futures

import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from palette_jax import images, tasks
from palette_jax.evaluation import cases, features, matching


def label(case: str) -> str:
  """Returns the name of the row of a case's baseline in tables."""
  return tasks.get(cases.task_of(case)).baseline_label


def write(
  case: str, inputs: str, holes: str | None, out: epath.PathLike
) -> str:
  """Writes a task's baseline for a folder of inputs; skips existing files.

  On several hosts, each writes its share.

  Args:
    case: name of the case, TASK or TASK:SETTING.
    inputs: folder of the images that models are given.
    holes: folder of masks, white where models paint, for tasks that have them.
    out: folder of the answers, which have the inputs' names.

  Returns:
    The folder of the answers; that of the inputs if the task's baseline is the
    input itself.
  """
  task = tasks.get(cases.task_of(case))
  baseline = task.baseline
  if baseline is None:
    return inputs
  folders = {'input': inputs} | ({'hole': holes} if holes else {})
  matched = matching.match(folders)

  def answer(row: np.integer) -> None:
    file = epath.Path(out, f'{matched.names[row]}.png')
    if file.exists():
      return
    image_u8 = matching.read(matched.files['input'][row])
    mask = np.ones(image_u8.shape[:2], bool)
    if holes:
      mask = matching.read(matched.files['hole'][row])[..., 0] >= 128
    images.write_png(file, baseline(image_u8, mask))

  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    list(pool.map(answer, features.share_of_host(len(matched.names))))
  multihost_utils.sync_global_devices(f'answered {out}')
  return str(out)
