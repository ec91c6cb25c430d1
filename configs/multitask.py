"""One model for three tasks, in equal shares (Palette, section 5.7; Table 7).

python -m palette_jax.main --config=configs/multitask.py
python -m palette_jax.main --config=configs/multitask.py:uncrop  # a fourth
"""

from configs import common


def get_config(arg: str | None = None):
  variant = common.parse_arg(arg, uncrop=False)
  tasks = ('colorization', 'inpainting', 'jpeg')
  if variant.uncrop:
    tasks += ('uncropping',)
  return common.get_config(variant, 'multitask', tasks=tasks)
