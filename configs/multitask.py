"""One model for three tasks, in equal shares (Palette, section 5.7; Table 7).

python -m palette_jax.main --config=configs/multitask.py
python -m palette_jax.main --config=configs/multitask.py:uncrop  # a fourth
"""

from configs import common


def get_config(arg: str | None = None):
  task = dict(name='multitask', tasks=('colorization', 'inpainting', 'jpeg'))
  config, variant = common.get_config(arg, task, uncrop=False)
  if variant.uncrop:
    config.task.tasks += ('uncropping',)
  return config
