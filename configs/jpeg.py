"""JPEG restoration (Palette, section 5.4; Table 4).

python -m palette_jax.main --config=configs/jpeg.py
"""

from configs import common


def get_config(arg: str | None = None):
  quality = (5, 30)  # lowest and highest factor
  return common.get_config(common.parse_arg(arg), 'jpeg', quality=quality)
