"""The regression baseline: the same network in one pass (Palette, Table 1).

python -m palette_jax.main --config=configs/regression.py
python -m palette_jax.main --config=configs/regression.py:task=jpeg
"""

import ml_collections

from configs import common


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """Returns the config for a variant."""
  variant = common.parse_arg(arg, task='colorization')
  config = common.get_config(variant, variant.task, common.IMAGENET)
  config.objective.name = 'regression'
  return config
