"""What the tasks draw, beside what the paper says they should.

  python -m benchmarks.corruptions [--draws=2000]

Palette, appendix B: 60% brush strokes and 40% rectangles, one to five of these
on 10% to 40% of the image; one side or all four, half of the image; JPEG
quality in (5, 30) with p(Q) proportional to exp(-Q / 10). Of brush strokes the
paper cites Yu et al. 2019; their generator's coverage is from 1,500 draws.
"""

import argparse

import numpy as np

STROKES = {5: 4, 25: 9, 50: 14, 75: 20, 95: 30}  # percentile: % covered


def main():
  """Prints stated | drawn, and the standard error where it is one of chance."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--draws', type=int, default=2000)
  count = parser.parse_args().draws

  from palette_jax import masks

  print(f'{count} draws of each, seeds 0 to {count - 1}; shares in %')
  drawn = draws('inpainting', count)
  strokes, rectangles = drawn['strokes'] > 0, drawn['rectangles']
  row('inpainting: brush strokes', 60, strokes)
  coverage = 100 * drawn['painted'][strokes]
  for percentile, stated in STROKES.items():
    found = np.percentile(coverage, percentile)
    print(
      f'  strokes, percentile {percentile} of coverage: {stated} | {found:.1f}'
    )
  for n in range(1, masks.MAX_RECTANGLES + 1):
    inside = rectangles[~strokes] == n
    row(f'  {n} rectangles, of these', 20, inside)
  area = 100 * drawn['painted'][~strokes]
  print(f'  rectangles cover: 10 to 40 | {area.min():.2f} to {area.max():.2f}')

  drawn = draws('uncropping', count)
  for side in masks.SIDES:
    row(f'uncropping: {side}', 20, drawn['side'] == side.encode())
  area = 100 * drawn['painted']
  print(f'  covers: 50 | {area.min():.2f} to {area.max():.2f}')

  quality = draws('jpeg', count)['quality']
  law = np.exp(-np.arange(5, 31) / 10)
  law *= 100 / law.sum()
  for low, high in [(5, 5), (6, 10), (11, 15), (16, 20), (21, 25), (26, 30)]:
    stated = law[low - 5 : high - 4].sum()
    inside = (low <= quality) & (quality <= high)
    row(f'JPEG: quality {low} to {high}', stated, inside)


def draws(task, count):
  """What a task draws, and the share that it paints: arrays [count] by name."""
  import tensorflow as tf

  from palette_jax import tasks

  record = {'image': tf.zeros([256, 256, 3], tf.uint8)}

  def one(i):
    seed = tf.cast(tf.stack([i, 0]), tf.int32)
    _, _, given = tasks.corruption(task)(record, seed)
    painted = tf.reduce_mean(tf.cast(given > 0, tf.float32))
    return tasks.draws(task)(seed) | {'painted': painted}

  one = tf.autograph.experimental.do_not_convert(one)
  dataset = tf.data.Dataset.range(count).map(one, tf.data.AUTOTUNE)
  rows = list(dataset.as_numpy_iterator())
  return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def row(what, stated, holds):
  """One share, of all those for which `holds` is given."""
  share = 100 * np.mean(holds)
  error = np.sqrt(stated * (100 - stated) / len(holds))
  print(f'{what}: {stated:.3g} | {share:.1f} +- {error:.1f}')


if __name__ == '__main__':
  main()
