"""Does the data pipeline's memory stay flat?

  python -m benchmarks.data_memory --folder=/path/to/images [--minutes=60]

Prints the process's resident memory once a minute while it makes batches of the
multi-task mixture at 256x256, as fast as it can.
"""

import argparse
import time

import psutil

BATCH = 32


def main():
  """Prints a line a minute."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--folder', required=True)
  parser.add_argument('--minutes', type=int, default=60)
  args = parser.parse_args()

  from palette_jax import tasks
  from palette_jax.data import pipeline, sources

  source = sources.open_source(f'folder:{args.folder}', 'train')
  corrupt = tasks.corruption('multitask')
  data = pipeline.Pipeline(source, corrupt, (256, 256), seed=0)
  batches, made = data.train(BATCH), 0
  process, began = psutil.Process(), time.monotonic()
  for minute in range(1, args.minutes + 1):
    while time.monotonic() < began + 60 * minute:
      next(batches)
      made += BATCH
    resident = process.memory_info().rss / 2**20
    print(f'{minute} min  {made:8d} images  {resident:6.0f} MiB', flush=True)


if __name__ == '__main__':
  main()
