"""Compares a .palette file with the package: size, memory, seconds.

  python -m benchmarks.sampler_file [--channels=64] [--paper] [--size=64]

Weights are random, since neither size nor time depends on them. The export runs
in a process of its own, whose peak memory is printed. Then fresh processes take
turns: the package with the weights; the file's loader, which imports only jax
and safetensors and leaves XLA's options at their defaults; and the loader with
the options that this package gives XLA on a CPU. Times are medians of the clock
over rounds. The compilation cache is off.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

MIDDLE = dict(
  channel_mult=(1, 2, 4, 4),
  num_res_blocks=2,
  attention_levels=(2, 3),
  head_channels=32,
)
PAPER = dict(channels=256)
# Each script prints [name, seconds since the process started] at every mark.
START = """
import json, os, sys, time
import numpy as np
def mark(name):
  seconds = time.time() - float(os.environ['STARTED'])
  print(json.dumps([name, seconds]), flush=True)
path, side = sys.argv[1], int(sys.argv[2])
photo = np.random.default_rng(0).integers(0, 256, [side, side, 3], np.uint8)
"""
PACKAGE = """
import functools, jax
from palette_jax import images, sharding
from palette_jax.weights import stablehlo, trained
mark('import')
weights = trained.load(path)
objective = weights.objective(weights.choose())
sampler = functools.partial(stablehlo.restored, weights.denoise_fn, objective)
run = jax.jit(sampler, compiler_options=sharding.compiler_options())
params = jax.device_put(weights.params)
mark('read')
def paint(photo):
  mask = np.ones([1, side, side, 1], np.float32)
  result = run(params, images.from_u8(photo)[None], mask, np.uint32(0))
  return images.to_u8(result)[0]
"""
FILE = """
import loader
mark('import')
if len(sys.argv) > 3:
  import functools, jax
  options = json.loads(sys.argv[3])
  loader.jax.jit = functools.partial(jax.jit, compiler_options=options)
paint = loader.load(path)
mark('read')
"""
END = """
paint(photo)
mark('first picture')
for _ in range(3):
  started = time.time()
  paint(photo)
  print(json.dumps(['a picture', time.time() - started]), flush=True)
"""


def main() -> None:
  """Prints the sizes, then a table of times."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--channels', type=int, default=64)
  parser.add_argument(
    '--paper', action='store_true', help="the paper's network"
  )
  parser.add_argument('--size', type=int, default=64, help='side of the image')
  parser.add_argument('--steps', type=int, default=20)
  parser.add_argument('--rounds', type=int, default=3, help='0 only exports')
  args = parser.parse_args()
  settings = PAPER if args.paper else MIDDLE | dict(channels=args.channels)
  with tempfile.TemporaryDirectory() as folder:
    weights = f'{folder}/weights.safetensors'
    python('make', json.dumps(settings), weights, args.steps)
    path = f'{folder}/model.palette'
    seconds, memory = python('export', weights, path)
    sizes = [pathlib.Path(file).stat().st_size for file in (weights, path)]
    print(
      f'export: {seconds:.1f} s, {memory / 1e9:.2f} GB of memory; '
      f'{sizes[0] / 1e6:.2f} MB of weights, {sizes[1] / 1e6:.2f} MB of file'
    )
    if args.rounds:
      compare(folder, weights, path, args)


def compare(
  folder: str, weights: str, path: str, args: argparse.Namespace
) -> None:
  """Prints the times of fresh processes that take turns."""
  from palette_jax import sharding
  from palette_jax.weights import loader

  source = pathlib.Path(loader.__file__).read_text()
  pathlib.Path(folder, 'loader.py').write_text(source)
  options = json.dumps(sharding.compiler_options())
  methods: dict[str, tuple[str, ...]] = {
    'package': (PACKAGE, weights),
    'file': (FILE, path),
    'file, our options': (FILE, path, options),
  }
  seconds: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
  for _ in range(args.rounds):
    for name, (code, file, *more) in methods.items():
      script = pathlib.Path(folder, 'run.py')
      script.write_text(START + code + END)
      command = [str(script), file, str(args.size), *more]
      seconds[name].append(marks(command))
  load = os.getloadavg()[0]
  print(f'{args.size}x{args.size}, load {load:.1f}, {args.rounds} rounds')
  print(f'{"seconds to":18}' + ''.join(f'{name:>20}' for name in methods))
  for mark in seconds['package'][0]:
    row = [
      statistics.median(times[mark] for times in seconds[name])
      for name in methods
    ]
    ratios = [f'{value:9.2f} ({value / row[0]:4.2f})' for value in row]
    print(f'{mark:18}' + ''.join(f'{ratio:>20}' for ratio in ratios))


def marks(command: list[str]) -> dict[str, float]:
  """Returns the seconds of each mark, the least where it occurs repeatedly."""
  root = pathlib.Path(__file__).parents[1]
  output = subprocess.run(
    [sys.executable, *command],
    env=os.environ | {'PYTHONPATH': str(root), 'STARTED': str(time.time())},
    check=True,
    capture_output=True,
    text=True,
  ).stdout
  least: dict[str, float] = {}
  for name, seconds in map(json.loads, output.splitlines()):
    least[name] = min(seconds, least.get(name, seconds))
  return least


def python(name: str, *args: object) -> tuple[float, int]:
  """Runs a function of this file in a process: seconds and peak bytes."""
  start = time.time()
  process = subprocess.Popen(
    [sys.executable, '-m', 'benchmarks.sampler_file', name, *map(str, args)]
  )
  _, status, usage = os.wait4(process.pid, 0)
  assert status == 0, name
  return time.time() - start, usage.ru_maxrss * 1024


def make(settings: str, path: str, steps: str) -> None:
  """Writes random weights with a sampler of few steps."""
  import safetensors.numpy

  from palette_jax.models import unet
  from palette_jax.weights import names

  network = unet.from_config(json.loads(settings) | dict(dtype='float32'))
  draw = np.random.default_rng(0)
  tensors = {
    tensor.theirs: 0.02 * draw.standard_normal(tensor.their_shape(), np.float32)
    for tensor in names.tensors(network)
  }
  config = dict(
    model=unet.to_config(network),
    objective=dict(sampler=dict(name='dpm_solver', steps=int(steps))),
  )
  safetensors.numpy.save_file(tensors, path, {'config': json.dumps(config)})


def export(weights: str, path: str) -> None:
  """Exports a sampler, which `main` measures."""
  from palette_jax.weights import exporter

  exporter.write_sampler(weights, path)


if __name__ == '__main__':
  if sys.argv[1:2] in (['make'], ['export']):
    globals()[sys.argv[1]](*sys.argv[2:])
  else:
    main()
