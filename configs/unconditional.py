"""A model that is given nothing (Palette, Figure 9): for imputation.

python -m palette_jax.main --config=configs/unconditional.py
"""

from configs import common


def get_config(arg: str | None = None):
  config, _ = common.get_config(arg, dict(name='unconditional'))
  return config
