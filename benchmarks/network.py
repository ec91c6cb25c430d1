"""Compares the times of our network and training step with PyTorch's.

  python -m benchmarks.network           # 62.6M parameters, 64x64, batch 4
  python -m benchmarks.network --remat   # our step with and without remat
  python -m benchmarks.network --paper --batch=8             # on a GPU: 552.8M
  python -m benchmarks.network --paper --batch=8 --compile   # torch.compile too
  python -m benchmarks.network --paper --batch=32 --only=ours  # all the memory

Both run with the same shapes, threads and types, in turn in one process, so
that other load on the machine affects them alike. The result is a table.

On a GPU, PyTorch uses autocast where ours is bfloat16, and TF32 where ours is
float32 (XLA's default, too). Its maps have channels last, and cuDNN selects
kernels by trial.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import time
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from palette_jax import arrays, givens, sharding
from palette_jax.diffusion import objective, process, schedule
from palette_jax.models import flops, unet
from palette_jax.training import state, step

if TYPE_CHECKING:  # loaded only where PyTorch takes part
  import torch

LEARNING_RATE, EMA_DECAY = 1e-4, 0.9999
PAUSE = 0.05  # seconds, in which the threads of the previous one fall asleep


def network(channels: int | None, **fields: Any) -> unet.UNet:
  """Returns a network with attention only in the middle."""
  return unet.UNet(
    channels=channels or 64,
    channel_mult=(1, 2, 4, 8),
    attention_levels=(),
    head_channels=32,
    dtype='float32',
    **fields,
  )


def paper(channels: int | None, **fields: Any) -> unet.UNet:
  """Returns the paper's network in bfloat16, or a narrower one."""
  return unet.UNet(channels=channels or 256, **fields)


class Ours:
  """The package's own forward pass and training step, compiled."""

  def __init__(self, model: unet.UNet, size: int, batch: int) -> None:
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

    def denoise_fn(params: arrays.Params, *args: Array) -> Array:
      prediction = model.apply({'params': params}, *args)
      assert isinstance(prediction, jax.Array)  # and no collections beside it
      return prediction

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
    options: dict[str, str | bool] = {**sharding.compiler_options()}
    self._forward = forward.compile(options)
    self._train = train.compile(options)

  def parameters(self) -> int:
    return sum(x.size for x in jax.tree.leaves(self._state.params))

  def temporaries(self) -> int:
    """Returns the bytes that the step needs besides its state and batch."""
    memory = self._train.memory_analysis()
    assert memory, 'this backend does not analyse memory'
    return memory.temp_size_in_bytes

  def peak(self) -> int | None:
    """Returns the peak of the bytes in use, trials of kernels included.

    It is None on devices that do not report it.
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get('peak_bytes_in_use')

  def forward(self) -> None:
    images = *self._images, self._gamma
    jax.block_until_ready(self._forward(self._state.params, *images))

  def step(self) -> None:
    self._state, metrics = self._train(self._state, self._batch)
    jax.block_until_ready((self._state, metrics))


def _state(
  model: unet.UNet, optimizer: optax.GradientTransformation
) -> state.TrainState:
  """Returns a state of small random weights; some initial weights are zero."""
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
  ) -> None:
    # Threads that spin while they wait would delay others on shared cores, and
    # their waiting would count as work.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    import torch

    from benchmarks import torch_unet

    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    self._torch = torch
    self._device = 'cuda' if jax.default_backend() == 'gpu' else 'cpu'
    self._half = model.dtype == 'bfloat16'
    if self._device == 'cuda':
      torch.backends.cudnn.benchmark = True
      torch.set_float32_matmul_precision('high')  # TF32, cuDNN's default
    on_gpu = self._device == 'cuda'
    layout = torch.channels_last if on_gpu else torch.preserve_format
    net = torch_unet.UNet(model).to(self._device)
    if on_gpu:
      net.to(memory_format=torch.channels_last)
    self._params = list(net.parameters())
    self._net = torch.compile(net) if compiled else net
    self._average = [x.detach().clone() for x in self._params]
    self._adam = torch.optim.Adam(self._params, LEARNING_RATE, fused=True)
    shape = batch, 3, size, size
    self._target, self._cond = (
      torch.randn(shape).to(self._device, memory_format=layout)
      for _ in range(2)
    )
    self._gamma = torch.linspace(0.1, 0.9, batch, device=self._device)

  def parameters(self) -> int:
    return sum(x.numel() for x in self._params)

  def peak(self) -> int | None:
    """Returns the peak of the allocated bytes on a GPU, None elsewhere."""
    on_gpu = self._device == 'cuda'
    return self._torch.cuda.max_memory_allocated() if on_gpu else None

  def _predict(self, y_t: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    images = self._torch.cat([self._cond, y_t], dim=1)
    with self._torch.autocast(
      self._device, self._torch.bfloat16, enabled=self._half
    ):
      return self._net(images, 1000 * gamma.sqrt()).float()

  def _wait(self) -> None:
    if self._device == 'cuda':
      self._torch.cuda.synchronize()

  def forward(self) -> None:
    with self._torch.inference_mode():
      self._predict(self._target, self._gamma)
    self._wait()

  def step(self) -> None:
    torch = self._torch
    eps, gamma = torch.randn_like(self._target), torch.rand_like(self._gamma)
    share = gamma[:, None, None, None]
    y_t = share.sqrt() * self._target + (1 - share).sqrt() * eps
    loss = torch.nn.functional.mse_loss(self._predict(y_t, gamma), eps)
    self._adam.zero_grad()
    loss.backward()
    grads = [x.grad for x in self._params if x.grad is not None]
    torch.nn.utils.get_total_norm(grads)
    self._adam.step()
    with torch.no_grad():
      new: list[torch.Tensor] = [*self._params]
      torch._foreach_lerp_(self._average, new, 1 - EMA_DECAY)
    self._wait()


@contextlib.contextmanager
def tolerating_failure(name: str) -> Generator[None]:
  """Prints an error in one line instead of raising it."""
  try:
    yield
  except Exception as error:
    reason = ' '.join(str(error).split())[:200]
    print(f'{name} failed: {type(error).__name__}: {reason}')


def in_turn(
  functions: Mapping[str, Callable[[], None]], repeats: int
) -> dict[str, np.ndarray]:
  """Measures functions, one after another in each round.

  Returns:
    The milliseconds [repeats, 2] of each function, of the clock and of the
    CPUs, without functions that failed.
  """
  times: dict[str, list[np.ndarray]] = {name: [] for name in functions}
  for i in range(repeats + 1):
    for name in list(times):
      rows = times.pop(name)
      with tolerating_failure(name):
        time.sleep(PAUSE)
        start = np.array([time.perf_counter(), time.process_time()])
        functions[name]()
        end = np.array([time.perf_counter(), time.process_time()])
        if i:  # the first one warms up
          rows.append(1000 * (end - start))
        times[name] = rows
  return {name: np.array(rows) for name, rows in times.items()}


def show(times: dict[str, np.ndarray]) -> None:
  """Prints the clock's quartiles, the CPUs' median and ratios of medians.

  Each ratio is of the first row of the same kind (such as "step") to its own.
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
  """Prints images per second and model FLOPs, which are the same for all."""
  needed = dict(
    forward=batch * flops.forward(model, size, size),
    step=flops.training_step(model, size, size, batch),
  )
  for name, rows in times.items():
    seconds = np.median(rows[:, 0]) / 1000
    rate = needed[name.partition(',')[0]] / seconds / 1e12
    share = f', {rate / peak_tflops:.1%} of the peak' if peak_tflops else ''
    print(f'{name:18}{batch / seconds:9.2f} images/s{rate:9.2f} TFLOP/s{share}')


def functions_of(
  contestants: dict[str, Ours | Theirs],
) -> dict[str, Callable[[], None]]:
  """Returns functions by name ('forward, ours'), grouped by kind."""
  return {
    f'{kind}, {name}': getattr(contestant, kind)
    for kind in ('forward', 'step')
    for name, contestant in contestants.items()
  }


def build(
  name: str, model: unet.UNet, args: argparse.Namespace
) -> Ours | Theirs:
  """Builds a contestant."""
  if name == 'ours':
    return Ours(model, args.size, args.batch)
  return Theirs(model, args.size, args.batch, compiled=name == 'compiled')


def compare(
  model: unet.UNet, names: list[str], args: argparse.Namespace
) -> None:
  """Prints the times, rates and memory of all contestants that can be built."""
  count = sum(x.size for x in jax.tree.leaves(unet.shapes(model)))
  contestants = {}
  for name in names:
    with tolerating_failure(name):
      contestant = build(name, model, args)
      assert contestant.parameters() == count, contestant.parameters()
      contestants[name] = contestant
  times = in_turn(functions_of(contestants), args.repeats)
  show(times)
  show_rates(times, model, args.size, args.batch, args.peak_tflops)
  for name, contestant in contestants.items():
    if (memory := contestant.peak()) is not None:
      print(f'{name}: peak memory {memory / 2**30:.2f} GiB')


def compare_remat(
  remat: unet.UNet, plain: unet.UNet, args: argparse.Namespace
) -> None:
  """Prints the time and memory of our step with remat and without."""
  pair = [Ours(model, args.size, args.batch) for model in (remat, plain)]
  functions = {'step, remat': pair[0].step, 'step, plain': pair[1].step}
  show(in_turn(functions, args.repeats))
  needs = [x.temporaries() / 2**20 for x in pair]
  print(
    f'memory besides the state: {needs[0]:.0f} MiB with remat, '
    f'{needs[1]:.0f} MiB without; ratio {needs[0] / needs[1]:.2f}'
  )


def main() -> None:
  # PyTorch needs memory, too. This comes before JAX looks for devices.
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument(
    '--paper', action='store_true', help="the paper's network"
  )
  parser.add_argument(
    '--channels', type=int, help='default: 64, or 256 with --paper'
  )
  parser.add_argument(
    '--size', type=int, help='default: 64, or 256 with --paper'
  )
  parser.add_argument('--batch', type=int, default=4, help='images')
  parser.add_argument('--repeats', type=int, default=20)
  parser.add_argument(
    '--remat',
    action='store_true',
    help='compare our step with and without remat',
  )
  parser.add_argument(
    '--compile', action='store_true', help='add torch.compile'
  )
  parser.add_argument(
    '--only', choices=('ours', 'PyTorch', 'compiled'), help='run one alone'
  )
  parser.add_argument(
    '--peak_tflops', type=float, help='peak of the chip, to print shares of it'
  )
  args = parser.parse_args()
  make_model = paper if args.paper else network
  args.size = args.size or (256 if args.paper else 64)

  model = make_model(args.channels)
  count = sum(x.size for x in jax.tree.leaves(unet.shapes(model)))
  print(
    f'{count:,} parameters, {args.batch} images of '
    f'{args.size}x{args.size}, {model.dtype}, {os.cpu_count()} threads, median '
    f'of {args.repeats}; jax {jax.__version__} on {jax.default_backend()} '
    f'({jax.devices()[0].device_kind})'
  )
  if args.remat:
    compare_remat(make_model(args.channels, remat=True), model, args)
    return
  names = ['ours', 'PyTorch', *['compiled'] * args.compile]
  compare(model, [args.only] if args.only else names, args)


if __name__ == '__main__':
  main()
