"""A model that is given nothing (Palette, Figure 9): for imputation.

python -m palette_jax.main --config=configs/unconditional.py
"""

from configs import common


def get_config(arg: str | None = None):
  return common.get_config(common.parse_arg(arg), 'unconditional')
