"""The paper's ablations on inpainting: 500k steps, batch 512 (Tables 5, 6).

python -m palette_jax.main --config=configs/ablations.py        # the base model
python -m palette_jax.main --config=configs/ablations.py:l1     # norm of loss
python -m palette_jax.main --config=configs/ablations.py:local  # attention

:local, :more_blocks and :dilated replace global self-attention.
"""

import ml_collections

from configs import common

ATTENTION = ('local', 'more_blocks', 'dilated')


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """Returns the config for a variant."""
  switches = dict.fromkeys(('l1', *ATTENTION), False)
  variant = common.parse_arg(arg, batch=512, steps=500_000, **switches)
  config = common.get_config(variant, 'inpainting', common.IMAGENET)
  if variant.l1:
    config.objective.norm = 'l1'
  chosen = [name for name in ATTENTION if variant[name]]
  if len(chosen) > 1:
    raise ValueError(
      f'{arg!r} has {len(chosen)} of {", ".join(ATTENTION)}: name at most one.'
    )
  if chosen:
    config.model.attention = chosen[0]
  return config
