"""Shows whether the data pipeline's memory stays constant.

  python -m benchmarks.data_memory --folder=/path/to/images [--minutes=60]

Prints the process's resident memory once a minute while the process prepares
batches of the multi-task mixture at 256x256 as fast as it can.
"""

import argparse
import time

import psutil

BATCH = 32


def main() -> None:
  """Prints a line per minute."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--folder', required=True, help='of images')
  parser.add_argument('--minutes', type=int, default=60)
  args = parser.parse_args()

  from palette_jax import tasks
  from palette_jax.data import pipeline, sources

  source = sources.open_source(f'folder:{args.folder}', 'train')
  corrupt = tasks.corruption('multitask')
  data = pipeline.Pipeline(source, corrupt, (256, 256), seed=0)
  batches, count = data.train(BATCH), 0
  process, start = psutil.Process(), time.monotonic()
  for minute in range(1, args.minutes + 1):
    while time.monotonic() < start + 60 * minute:
      next(batches)
      count += BATCH
    resident = process.memory_info().rss / 2**20
    print(f'{minute} min  {count:8d} images  {resident:6.0f} MiB', flush=True)


if __name__ == '__main__':
  main()
