"""Colorization (Palette, section 5.1; Table 1).

python -m palette_jax.main --config=configs/colorize.py
"""

from configs import common


def get_config(arg: str | None = None):
  config, _ = common.get_config(arg, dict(name='colorization'))
  return config
