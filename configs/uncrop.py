"""Uncropping (Palette, section 5.3; Table 3).

python -m palette_jax.main --config=configs/uncrop.py
"""

import ml_collections

from configs import common


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """Returns the config for a variant."""
  return common.get_config(common.parse_arg(arg), 'uncropping')
