"""Times the network and its training step beside the same in PyTorch.

  python -m benchmarks.network           # 62.6M parameters, 64x64, batch 4
  python -m benchmarks.network --remat   # our step with and without remat
  python -m benchmarks.network --paper --batch=8             # on a GPU: 552.8M
  python -m benchmarks.network --paper --batch=8 --compile   # torch.compile too
  python -m benchmarks.network --paper --batch=32 --only=ours  # all the memory

Same shapes, threads and types, in turn in one process, so that whatever else
the machine does meets all of them. No time is asserted: a table is printed.

On a GPU PyTorch computes by autocast where ours is bfloat16, in TF32 where it
is float32 (as XLA by default), channels last; cuDNN chooses kernels by trial.
"""

import argparse
import contextlib
import functools
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from palette_jax import arrays, givens, sharding
from palette_jax.diffusion import objective, process, schedule
from palette_jax.models import flops, unet
from palette_jax.training import state, step

LEARNING_RATE, EMA_DECAY = 1e-4, 0.9999
PAUSE = 0.05  # seconds in which the threads of the one before go to sleep


def network(channels: int | None, **fields) -> unet.UNet:
  """A guided-diffusion network without attention above the last level."""
  return unet.UNet(
    channels=channels or 64,
    channel_mult=(1, 2, 4, 8),
    attention_levels=(),
    head_channels=32,
    dtype='float32',
    **fields,
  )


def paper(channels: int | None, **fields) -> unet.UNet:
  """The paper's network, in bfloat16; narrower for a trial."""
  return unet.UNet(channels=channels or 256, **fields)


class Ours:
  """Forward pass and the package's own training step, compiled."""

  def __init__(self, model: unet.UNet, size: int, batch: int):
    keys = jax.random.split(jax.random.key(0), 3)
    levels = schedule.linear(1e-6, 0.01, 2000)
    optimizer = optax.adam(LEARNING_RATE)
    shape = [batch, size, size, 3]
    self._batch = arrays.Examples(
      target=jax.random.bits(keys[0], shape, jnp.uint8),
      cond=jax.random.bits(keys[1], shape, jnp.uint8),
      given=jnp.full([*shape[:3], 1], givens.DEGRADED, jnp.uint8),
    )
    floats = process.complete(self._batch, keys[2])
    self._images = floats.target, floats.cond
    self._gamma = jnp.linspace(0.1, 0.9, batch)
    self._state = _state(model, optimizer)

    def denoise_fn(params, *args):
      return model.apply({'params': params}, *args)

    function = functools.partial(
      step.train_step,
      mesh=sharding.make_mesh(devices=jax.devices()[:1]),
      accumulation=1,
      denoise_fn=denoise_fn,
      objective=objective.Diffusion(levels, levels),
      optimizer=optimizer,
      ema_decay=EMA_DECAY,
    )
    images = *self._images, self._gamma
    forward = jax.jit(denoise_fn).lower(self._state.params, *images)
    train = jax.jit(function, donate_argnums=0).lower(self._state, self._batch)
    options = sharding.compiler_options()
    self._forward = forward.compile(options)
    self._train = train.compile(options)

  def parameters(self) -> int:
    return sum(x.size for x in jax.tree.leaves(self._state.params))

  def temporaries(self) -> int:
    """Bytes that the step needs beside its state and batch."""
    return self._train.memory_analysis().temp_size_in_bytes

  def peak(self) -> int | None:
    """Bytes in use at most, trials of kernels included; None if nobody says."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get('peak_bytes_in_use')

  def forward(self):
    images = *self._images, self._gamma
    jax.block_until_ready(self._forward(self._state.params, *images))

  def step(self):
    self._state, metrics = self._train(self._state, self._batch)
    jax.block_until_ready((self._state, metrics))


def _state(model, optimizer) -> state.TrainState:
  """Small random weights: fresh ones are zeros in places, PyTorch's are not."""
  draw = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: jnp.asarray(0.02 * draw.standard_normal(x.shape, np.float32)),
    unet.shapes(model),
  )
  return state.TrainState(
    step=jnp.zeros([], jnp.int32),
    params=params,
    ema_params=jax.tree.map(jnp.copy, params),
    opt_state=optimizer.init(params),
    key=jax.random.key(0),
  )


class Theirs:
  """The same work in PyTorch: loss, gradients, their norm, Adam, average."""

  def __init__(
    self, model: unet.UNet, size: int, batch: int, compiled: bool = False
  ):
    # Threads that wait for others by spinning stand still where cores are
    # shared, and their waiting would count as work.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    import torch

    from benchmarks import torch_unet

    torch.set_num_threads(os.cpu_count())
    torch.manual_seed(0)
    self._torch = torch
    self._device = 'cuda' if jax.default_backend() == 'gpu' else 'cpu'
    self._half = model.dtype == 'bfloat16'
    move = dict(device=self._device)
    if self._device == 'cuda':
      torch.backends.cudnn.benchmark = True
      torch.set_float32_matmul_precision('high')  # TF32; cuDNN's is so anyway
      move['memory_format'] = torch.channels_last
    net = torch_unet.UNet(model).to(**move)
    self._params = list(net.parameters())
    self._net = torch.compile(net) if compiled else net
    self._average = [x.detach().clone() for x in self._params]
    self._adam = torch.optim.Adam(self._params, LEARNING_RATE, fused=True)
    self._target = torch.randn(batch, 3, size, size).to(**move)
    self._cond = torch.randn(batch, 3, size, size).to(**move)
    self._gamma = torch.linspace(0.1, 0.9, batch, device=self._device)

  def parameters(self) -> int:
    return sum(x.numel() for x in self._params)

  def peak(self) -> int | None:
    """As of ours."""
    on_gpu = self._device == 'cuda'
    return self._torch.cuda.max_memory_allocated() if on_gpu else None

  def _predict(self, y_t, gamma):
    images = self._torch.cat([self._cond, y_t], dim=1)
    with self._torch.autocast(
      self._device, self._torch.bfloat16, enabled=self._half
    ):
      return self._net(images, 1000 * gamma.sqrt()).float()

  def _wait(self):
    if self._device == 'cuda':
      self._torch.cuda.synchronize()

  def forward(self):
    with self._torch.inference_mode():
      self._predict(self._target, self._gamma)
    self._wait()

  def step(self):
    torch = self._torch
    eps, gamma = torch.randn_like(self._target), torch.rand_like(self._gamma)
    share = gamma[:, None, None, None]
    y_t = share.sqrt() * self._target + (1 - share).sqrt() * eps
    loss = torch.nn.functional.mse_loss(self._predict(y_t, gamma), eps)
    self._adam.zero_grad()
    loss.backward()
    torch.nn.utils.get_total_norm([x.grad for x in self._params])
    self._adam.step()
    with torch.no_grad():
      torch._foreach_lerp_(self._average, self._params, 1 - EMA_DECAY)
    self._wait()


@contextlib.contextmanager
def sturdy(name: str):
  """Says in one line why something failed, and lets the others go on."""
  try:
    yield
  except Exception as error:
    reason = ' '.join(str(error).split())[:200]
    print(f'{name} failed: {type(error).__name__}: {reason}')


def in_turn(functions: dict, repeats: int) -> dict[str, np.ndarray]:
  """Milliseconds [repeats, 2] of each function, on the clock and of the CPUs.

  One after the other each time; without those that failed.
  """
  times = {name: [] for name in functions}
  for i in range(repeats + 1):
    for name in list(times):
      rows = times.pop(name)
      with sturdy(name):
        time.sleep(PAUSE)
        start = np.array([time.perf_counter(), time.process_time()])
        functions[name]()
        end = np.array([time.perf_counter(), time.process_time()])
        if i:  # the first one warms up
          rows.append(1000 * (end - start))
        times[name] = rows
  return {name: np.array(rows) for name, rows in times.items()}


def show(times: dict[str, np.ndarray]) -> None:
  """Prints the clock's quartiles, the CPUs' median, and ratios of medians.

  A ratio is of the first of the same kind ("step") to the one in its row.
  """
  titles = 'quarter', 'median', '3/4', 'ratio', 'CPU', 'ratio'
  print(f'{"ms":18}' + ''.join(f'{title:>9}' for title in titles))
  firsts = {}
  for name, rows in times.items():
    quarter, _, three = np.percentile(rows[:, 0], [25, 50, 75])
    clock, cpu = median = np.median(rows, axis=0)
    first = firsts.setdefault(name.partition(',')[0], median)
    ratios = '', ''
    if first is not median:
      ratios = [f'{ratio:.2f}' for ratio in first / median]
    digits = 0 if clock >= 1000 else 1
    print(
      f'{name:18}{quarter:9.{digits}f}{clock:9.{digits}f}{three:9.{digits}f}'
      f'{ratios[0]:>9}{cpu:9.{digits}f}{ratios[1]:>9}'
    )


def show_rates(
  times: dict[str, np.ndarray],
  model: unet.UNet,
  size: int,
  batch: int,
  peak_tflops: float | None,
) -> None:
  """Prints images a second, and model FLOPs: the same ones for everybody."""
  needed = dict(
    forward=batch * flops.forward(model, size, size),
    step=flops.training_step(model, size, size, batch),
  )
  for name, rows in times.items():
    seconds = np.median(rows[:, 0]) / 1000
    rate = needed[name.partition(',')[0]] / seconds / 1e12
    share = f', {rate / peak_tflops:.1%} of the peak' if peak_tflops else ''
    print(f'{name:18}{batch / seconds:9.2f} images/s{rate:9.2f} TFLOP/s{share}')


def functions_of(contestants: dict) -> dict:
  """'forward, ours' and so on, those to be compared next to each other."""
  return {
    f'{kind}, {name}': getattr(contestant, kind)
    for kind in ('forward', 'step')
    for name, contestant in contestants.items()
  }


def make(name: str, model: unet.UNet, args):
  """One contestant."""
  if name == 'ours':
    return Ours(model, args.size, args.batch)
  return Theirs(model, args.size, args.batch, compiled=name == 'compiled')


def compare(model: unet.UNet, names: list[str], args) -> None:
  """Prints times, rates and memory of all that can be built."""
  wanted = sum(x.size for x in jax.tree.leaves(unet.shapes(model)))
  contestants = {}
  for name in names:
    with sturdy(name):
      contestant = make(name, model, args)
      assert contestant.parameters() == wanted, contestant.parameters()
      contestants[name] = contestant
  times = in_turn(functions_of(contestants), args.repeats)
  show(times)
  show_rates(times, model, args.size, args.batch, args.peak_tflops)
  for name, contestant in contestants.items():
    if (memory := contestant.peak()) is not None:
      print(f'{name}: peak memory {memory / 2**30:.2f} GiB')


def compare_remat(remat: unet.UNet, plain: unet.UNet, args) -> None:
  """Our step both ways, in time and in memory."""
  ways = [Ours(model, args.size, args.batch) for model in (remat, plain)]
  functions = {'step, remat': ways[0].step, 'step, plain': ways[1].step}
  show(in_turn(functions, args.repeats))
  needs = [x.temporaries() / 2**20 for x in ways]
  print(
    f'memory beside the state: {needs[0]:.0f} MiB with remat, '
    f'{needs[1]:.0f} MiB without; ratio {needs[0] / needs[1]:.2f}'
  )


def main() -> None:
  # Before JAX looks for devices: PyTorch needs some of the memory, too.
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--paper', action='store_true', help="Palette's network")
  parser.add_argument('--channels', type=int, help='64; 256 with --paper')
  parser.add_argument('--size', type=int, help='64; 256 with --paper')
  parser.add_argument('--batch', type=int, default=4)
  parser.add_argument('--repeats', type=int, default=20)
  parser.add_argument('--remat', action='store_true', help='ours, both ways')
  parser.add_argument(
    '--compile', action='store_true', help='torch.compile as well'
  )
  parser.add_argument('--only', choices=('ours', 'PyTorch', 'compiled'))
  parser.add_argument(
    '--peak_tflops', type=float, help="the chip's, to give shares of it"
  )
  args = parser.parse_args()
  build = paper if args.paper else network
  args.size = args.size or (256 if args.paper else 64)

  model = build(args.channels)
  count = sum(x.size for x in jax.tree.leaves(unet.shapes(model)))
  print(
    f'{count:,} parameters, {args.batch} images of '
    f'{args.size}x{args.size}, {model.dtype}, {os.cpu_count()} threads, median '
    f'of {args.repeats}; jax {jax.__version__} on {jax.default_backend()} '
    f'({jax.devices()[0].device_kind})'
  )
  if args.remat:
    compare_remat(build(args.channels, remat=True), model, args)
    return
  names = ['ours', 'PyTorch', *['compiled'] * args.compile]
  compare(model, [args.only] if args.only else names, args)


if __name__ == '__main__':
  main()
