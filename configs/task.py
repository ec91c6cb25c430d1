"""Any task of palette_jax/tasks/ by its name, with the paper's recipe.

python -m palette_jax.main --config=configs/task.py:superresolution
python -m palette_jax.main --config=configs/task.py:superresolution,tiny \
  --config.task.factor=2

All options of the task are fields of `config.task`.
"""

import ml_collections

from configs import common
from palette_jax import tasks


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """Returns the config for NAME[,VARIANT,...]."""
  name, _, variant = (arg or '').partition(',')
  options = tasks.get(name).options
  return common.get_config(common.parse_arg(variant), name, **options)
