"""JPEG restoration (Palette, section 5.4; Table 4).

python -m palette_jax.main --config=configs/jpeg.py
"""

from configs import common


def get_config(arg: str | None = None):
  task = dict(name='jpeg', quality=(5, 30))  # lowest, highest
  config, _ = common.get_config(arg, task)
  return config
