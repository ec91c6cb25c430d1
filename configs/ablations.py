"""The paper's ablations on inpainting: 500k steps, batch 512 (Tables 5, 6).

python -m palette_jax.main --config=configs/ablations.py        # the base model
python -m palette_jax.main --config=configs/ablations.py:l1     # norm of loss

and :local, :more_blocks, :dilated for what takes the place of global attention.
"""

from configs import common


def get_config(arg: str | None = None):
  config, variant = common.get_config(
    arg,
    dict(name='inpainting'),
    steps=500_000,
    batch=512,
    l1=False,
    local=False,
    more_blocks=False,
    dilated=False,
  )
  if variant.l1:
    config.objective.norm = 'l1'
  return config
