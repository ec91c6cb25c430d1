"""Inpainting (Palette, section 5.2; Table 2).

python -m palette_jax.main --config=configs/inpaint.py
"""

from configs import common


def get_config(arg: str | None = None):
  return common.get_config(
    common.parse_arg(arg), 'inpainting', common.IMAGENET_AND_PLACES
  )
