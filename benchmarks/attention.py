"""Prints the parameter counts of the attention study: ours and the paper's.

Table 5 of the paper has its counts.

  python -m benchmarks.attention
"""

import math

import jax

from palette_jax.models import unet

PAPER = {'global': 552, 'local': 552, 'more_blocks': 603, 'dilated': 624}


def main() -> None:
  print(f'{"attention":14}{"parameters":>14}{"ours":>8}{"paper":>8}')
  for attention, paper in PAPER.items():
    leaves = jax.tree.leaves(unet.shapes(unet.UNet(attention=attention)))
    count = sum(math.prod(leaf.shape) for leaf in leaves)
    print(f'{attention:14}{count:14,}{count / 1e6:7.0f}M{paper:7}M')


if __name__ == '__main__':
  main()
