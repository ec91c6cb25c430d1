"""Measures images per second of each task, and of PyTorch's DataLoader.

  python -m benchmarks.data --folder=/path/to/images [--cores=1] [--rounds=3]

Both prepare the same files at 256x256 on the same cores: they crop a random
square as large as possible, shrink it by area means, apply the task's
corruption and build batches of 32 float32 examples. PyTorch's loader runs once
with as many worker processes as cores and once with none; the faster counts.
The runs of a round follow one another. The table shows medians over rounds, of
images per second and of ratios.

  ceiling   TensorFlow's decoding and resizing alone, without corruption
  cached    ours from the second epoch on, with data.cache
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # loaded once the process has its cores
  import numpy as np
  import tensorflow as tf

  from palette_jax.data import cache, records

TASKS = 'inpainting', 'uncropping', 'colorization', 'jpeg'
SIZE = (256, 256)
BATCH = 32
WARM_UP = 3  # batches


def main() -> None:
  """Prints a line for each task."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--folder', required=True, help='of images')
  parser.add_argument('--cores', type=int, default=1)
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--batches', type=int, default=8, help='per timing')
  args = parser.parse_args()
  # Threads and workers inherit it, so it comes before any of them starts.
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])

  print(f'{args.cores} core(s), medians of {args.rounds}; images per second')
  print(
    f'{"task":13} {"ceiling":>8} {"PyTorch":>8} {"ours":>8} {"ratio":>6}'
    f' {"cached":>8} {"to PyTorch":>11} {"to ours":>8}'
  )
  for task in TASKS:
    with tempfile.TemporaryDirectory() as folder:
      rates = measure(task, args, folder)
    theirs = [max(pair) for pair in zip(rates['workers'], rates['none'])]
    ours, cached = rates['ours'], rates['cached']
    median = statistics.median
    print(
      f'{task:13} {median(rates["ceiling"]):8.0f} {median(theirs):8.0f}'
      f' {median(ours):8.0f} {ratio(ours, theirs):6.2f} {median(cached):8.0f}'
      f' {ratio(cached, theirs):11.2f} {ratio(cached, ours):8.2f}',
      flush=True,
    )


def measure(
  task: str, args: argparse.Namespace, cache_folder: str
) -> dict[str, list[float]]:
  """Returns the images per second of each round, by what is measured."""
  import torch

  from benchmarks import torch_data
  from palette_jax.data import cache, sources

  torch.set_num_threads(1)
  source = sources.open_source(f'folder:{args.folder}', 'train')
  paths = [os.path.join(args.folder, name) for name in source.names]
  memo = cache.Cache(cache_folder, source, SIZE)
  first = len(source) // BATCH + 1
  with contextlib.closing(our_batches(source, task, memo)) as batches:
    for _ in range(first):
      next(batches)
  runs = {
    'ceiling': lambda: uncorrupted_batches(paths),
    'ours': lambda: our_batches(source, task),
    'cached': lambda: our_batches(source, task, memo, first),
    'workers': lambda: torch_data.batches(paths, task, BATCH, args.cores),
    'none': lambda: torch_data.batches(paths, task, BATCH, 0),
  }
  rates = {name: [] for name in runs}
  for _ in range(args.rounds):
    for name, start in runs.items():
      rates[name].append(rate(start(), args.batches))
  return rates


def our_batches(
  source: records.Source,
  task: str,
  memo: cache.Cache | None = None,
  start: int = 0,
) -> Generator[Any]:
  """Yields batches of our pipeline from a step on."""
  from palette_jax import tasks
  from palette_jax.data import pipeline

  corrupt = tasks.corruption(task)
  data = pipeline.Pipeline(source, corrupt, SIZE, seed=0, cache=memo)
  yield from data.train(BATCH, start)


def uncorrupted_batches(paths: list[str]) -> Generator[np.ndarray]:
  """Yields batches of images that are decoded and resized, nothing more."""
  import tensorflow as tf

  from palette_jax.data import crop

  def prepare(path: tf.Tensor) -> tf.Tensor:
    encoded = tf.io.read_file(path)
    shape = tf.image.extract_jpeg_shape(encoded)
    box = crop.box(shape[:2], SIZE, None)
    image = tf.image.decode_and_crop_jpeg(encoded, box, channels=3)
    return tf.image.resize(image, SIZE, 'area')

  dataset = tf.data.Dataset.from_tensor_slices(paths).repeat()
  dataset = dataset.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
  yield from dataset.batch(BATCH).prefetch(2).as_numpy_iterator()


def rate(batches: Generator[Any], count: int) -> float:
  """Returns images per second after a warm-up."""
  with contextlib.closing(batches):
    for _ in range(WARM_UP):
      next(batches)
    start = time.perf_counter()
    for _ in range(count):
      next(batches)
    return count * BATCH / (time.perf_counter() - start)


def ratio(above: list[float], below: list[float]) -> float:
  """Returns the median of the rounds' ratios."""
  return statistics.median(a / b for a, b in zip(above, below))


if __name__ == '__main__':
  main()
