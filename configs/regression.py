"""The regression baseline: the same network in one pass (Palette, Table 1).

python -m palette_jax.main --config=configs/regression.py
python -m palette_jax.main --config=configs/regression.py:task=jpeg
"""

from configs import common


def get_config(arg: str | None = None):
  variant = common.parse_arg(arg, task='colorization')
  config = common.get_config(variant, variant.task)
  config.objective.name = 'regression'
  return config
