"""Uncropping (Palette, section 5.3; Table 3).

python -m palette_jax.main --config=configs/uncrop.py
"""

from configs import common


def get_config(arg: str | None = None):
  return common.get_config(
    common.parse_arg(arg), 'uncropping', common.IMAGENET_AND_PLACES
  )
