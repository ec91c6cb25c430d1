"""One model for three tasks, in equal shares (Palette, section 5.7; Table 7).

python -m palette_jax.main --config=configs/multitask.py
python -m palette_jax.main --config=configs/multitask.py:uncrop  # a fourth
"""

import ml_collections

from configs import common
from palette_jax.tasks import multitask


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """Returns the config for a variant."""
  variant = common.parse_arg(arg, uncrop=False)
  tasks = multitask.TASKS
  if variant.uncrop:
    tasks += ('uncropping',)
  return common.get_config(variant, 'multitask', tasks=tasks)
