"""Compares the random draws of the tasks with the paper's distributions.

  python -m benchmarks.corruptions [--draws=2000]

Palette's appendix B asks for these. Inpainting: 60% brush strokes and 40%
rectangles, one to five of them over 10% to 40% of the image. Uncropping: one
side or all four, half the image. JPEG: quality in (5, 30) with p(Q)
proportional to exp(-Q / 10). For brush strokes the paper cites Yu et al. 2019,
whose generator was drawn from 1,500 times for the coverage below.
"""

import argparse

import numpy as np

STROKES = {5: 4, 25: 9, 50: 14, 75: 20, 95: 30}  # percentile: % covered


def main() -> None:
  """Prints expected | drawn, with the standard error of a random share."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--draws', type=int, default=2000, help='of each task')
  count = parser.parse_args().draws

  from palette_jax import masks

  print(f'{count} draws of each, seeds 0 to {count - 1}; shares in %')
  values = draw('inpainting', count)
  strokes, rectangles = values['strokes'] > 0, values['rectangles']
  print_share('inpainting: brush strokes', 60, strokes)
  coverage = 100 * values['painted'][strokes]
  for percentile, expected in STROKES.items():
    actual = np.percentile(coverage, percentile)
    print(
      f'  strokes, percentile {percentile} of coverage: '
      f'{expected} | {actual:.1f}'
    )
  for n in range(1, masks.MAX_RECTANGLES + 1):
    inside = rectangles[~strokes] == n
    print_share(f'  {n} rectangles, of these', 20, inside)
  area = 100 * values['painted'][~strokes]
  print(f'  rectangles cover: 10 to 40 | {area.min():.2f} to {area.max():.2f}')

  values = draw('uncropping', count)
  for side in masks.SIDES:
    print_share(f'uncropping: {side}', 20, values['side'] == side.encode())
  area = 100 * values['painted']
  print(f'  covers: 50 | {area.min():.2f} to {area.max():.2f}')

  quality = draw('jpeg', count)['quality']
  law = np.exp(-np.arange(5, 31) / 10)
  law *= 100 / law.sum()
  for low, high in [(5, 5), (6, 10), (11, 15), (16, 20), (21, 25), (26, 30)]:
    expected = law[low - 5 : high - 4].sum()
    inside = (low <= quality) & (quality <= high)
    print_share(f'JPEG: quality {low} to {high}', expected, inside)


def draw(task: str, count: int) -> dict[str, np.ndarray]:
  """Returns a task's draws and the painted share, arrays [count] by name."""
  import tensorflow as tf

  from palette_jax import tasks

  record = {'image': tf.zeros([256, 256, 3], tf.uint8)}

  def draw_once(i: tf.Tensor) -> dict[str, tf.Tensor]:
    seed = tf.cast(tf.stack([i, 0]), tf.int32)
    _, _, given = tasks.corruption(task)(record, seed)
    painted = tf.reduce_mean(tf.cast(given > 0, tf.float32))
    return tasks.draws(task)(seed) | {'painted': painted}

  draw_once = tf.autograph.experimental.do_not_convert(draw_once)
  dataset = tf.data.Dataset.range(count).map(draw_once, tf.data.AUTOTUNE)
  rows = list(dataset.as_numpy_iterator())
  return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def print_share(label: str, expected: float, holds: np.ndarray) -> None:
  """Prints the share of draws for which something holds."""
  share = 100 * np.mean(holds)
  error = np.sqrt(expected * (100 - expected) / len(holds))
  print(f'{label}: {expected:.3g} | {share:.1f} +- {error:.1f}')


if __name__ == '__main__':
  main()
