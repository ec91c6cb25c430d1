"""Images a second of every task, beside PyTorch's DataLoader.

  python -m benchmarks.data --folder=/path/to/images [--cores=1] [--rounds=3]

Both prepare the same files at 256x256 on the same cores: a random square of the
largest side, made small by area means, the task's corruption, batches of 32
float32 examples. PyTorch's loader runs with as many worker processes as cores,
and without any; the faster of the two counts. The runs of a round follow one
another; printed are medians over rounds, of images a second and of ratios.

  ceiling   TensorFlow decoding and resizing alone, no corruption
  kept      ours from the second epoch on, with data.cache
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time

TASKS = 'inpainting', 'uncropping', 'colorization', 'jpeg'
SIZE = (256, 256)
BATCH = 32
WARM_UP = 3  # batches


def main():
  """Prints a line for every task."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--folder', required=True)
  parser.add_argument('--cores', type=int, default=1)
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--batches', type=int, default=8, help='of one timing')
  args = parser.parse_args()
  # Before anything starts threads, which inherit it, as workers do.
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])

  print(f'{args.cores} core(s), medians of {args.rounds}; images a second')
  print(
    f'{"task":13} {"ceiling":>8} {"PyTorch":>8} {"ours":>8} {"ratio":>6}'
    f' {"kept":>8} {"to PyTorch":>11} {"to ours":>8}'
  )
  for task in TASKS:
    with tempfile.TemporaryDirectory() as folder:
      measured = measure(task, args, folder)
    theirs = [max(pair) for pair in zip(measured['workers'], measured['none'])]
    ours, kept = measured['ours'], measured['kept']
    print(
      f'{task:13} {middle(measured["ceiling"]):8.0f} {middle(theirs):8.0f}'
      f' {middle(ours):8.0f} {ratio(ours, theirs):6.2f} {middle(kept):8.0f}'
      f' {ratio(kept, theirs):11.2f} {ratio(kept, ours):8.2f}',
      flush=True,
    )


def measure(task, args, cache_folder):
  """Images a second in each round, by what is measured."""
  import torch

  from benchmarks import torch_data
  from palette_jax.data import cache, sources

  torch.set_num_threads(1)
  source = sources.open_source(f'folder:{args.folder}', 'train')
  paths = [os.path.join(args.folder, name) for name in source.names]
  kept = cache.Cache(cache_folder, source, SIZE)
  first = len(source) // BATCH + 1
  with contextlib.closing(ours(source, task, kept)) as batches:
    for _ in range(first):
      next(batches)
  runs = {
    'ceiling': lambda: ceiling(paths),
    'ours': lambda: ours(source, task),
    'kept': lambda: ours(source, task, kept, first),
    'workers': lambda: torch_data.batches(paths, task, BATCH, args.cores),
    'none': lambda: torch_data.batches(paths, task, BATCH, 0),
  }
  rates = {name: [] for name in runs}
  for _ in range(args.rounds):
    for name, start in runs.items():
      rates[name].append(rate(start(), args.batches))
  return rates


def ours(source, task, kept=None, start=0):
  """Our batches, from a step on."""
  from palette_jax import tasks
  from palette_jax.data import pipeline

  corrupt = tasks.corruption(task)
  data = pipeline.Pipeline(source, corrupt, SIZE, seed=0, cache=kept)
  return data.train(BATCH, start)


def ceiling(paths):
  """Batches of images that are decoded and made small, and no more."""
  import tensorflow as tf

  from palette_jax.data import crop

  def one(path):
    encoded = tf.io.read_file(path)
    shape = tf.image.extract_jpeg_shape(encoded)
    box = crop.box(shape[:2], SIZE, None)
    image = tf.image.decode_and_crop_jpeg(encoded, box, channels=3)
    return tf.image.resize(image, SIZE, 'area')

  dataset = tf.data.Dataset.from_tensor_slices(paths).repeat()
  dataset = dataset.map(one, num_parallel_calls=tf.data.AUTOTUNE)
  yield from dataset.batch(BATCH).prefetch(2).as_numpy_iterator()


def rate(batches, count):
  """Images a second, after a warm-up."""
  with contextlib.closing(batches):
    for _ in range(WARM_UP):
      next(batches)
    began = time.perf_counter()
    for _ in range(count):
      next(batches)
    return count * BATCH / (time.perf_counter() - began)


def middle(values):
  return statistics.median(values)


def ratio(above, below):
  """Median of the rounds' ratios."""
  return middle([a / b for a, b in zip(above, below)])


if __name__ == '__main__':
  main()
