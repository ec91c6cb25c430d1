"""JPEG restoration (Palette, section 5.4; Table 4).

python -m palette_jax.main --config=configs/jpeg.py
"""

import ml_collections

from configs import common
from palette_jax.tasks import jpeg


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """Returns the config for a variant."""
  return common.get_config(common.parse_arg(arg), 'jpeg', quality=jpeg.QUALITY)
