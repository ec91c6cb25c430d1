"""Colorization (Palette, section 5.1; Table 1).

python -m palette_jax.main --config=configs/colorize.py
"""

import ml_collections

from configs import common


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """Returns the config for a variant."""
  return common.get_config(common.parse_arg(arg), 'colorization')
