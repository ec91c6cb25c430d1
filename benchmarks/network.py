"""Times the network and its training step beside the same in PyTorch.

  python -m benchmarks.network           # 62.6M parameters, 64x64, batch 4
  python -m benchmarks.network --remat   # our step with and without remat

Same shapes, threads and float32, in turn in one process, so that whatever else
the machine does meets all of them. No time is asserted: a table is printed.
"""

import argparse
import functools
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from palette_jax import arrays, givens, sharding
from palette_jax.diffusion import objective, process, schedule
from palette_jax.models import unet
from palette_jax.training import state, step

LEARNING_RATE, EMA_DECAY = 1e-4, 0.9999
PAUSE = 0.05  # seconds in which the threads of the one before go to sleep


def network(channels: int, **fields) -> unet.UNet:
  """A guided-diffusion network without attention above the last level."""
  return unet.UNet(
    channels=channels,
    channel_mult=(1, 2, 4, 8),
    attention_levels=(),
    head_channels=32,
    dtype='float32',
    **fields,
  )


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
    images = self._batch.target, self._batch.cond, self._gamma

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

  def __init__(self, model: unet.UNet, size: int, batch: int):
    # Threads that wait for others by spinning stand still where cores are
    # shared, and their waiting would count as work.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    import torch

    from benchmarks import torch_unet

    torch.set_num_threads(os.cpu_count())
    torch.manual_seed(0)
    self._torch = torch
    self._net = torch_unet.UNet(model)
    self._params = list(self._net.parameters())
    self._average = [x.detach().clone() for x in self._params]
    self._adam = torch.optim.Adam(self._params, LEARNING_RATE, fused=True)
    self._target = torch.randn(batch, 3, size, size)
    self._cond = torch.randn(batch, 3, size, size)
    self._gamma = torch.linspace(0.1, 0.9, batch)

  def parameters(self) -> int:
    return sum(x.numel() for x in self._params)

  def _predict(self, y_t, gamma):
    images = self._torch.cat([self._cond, y_t], dim=1)
    return self._net(images, 1000 * gamma.sqrt())

  def forward(self):
    with self._torch.inference_mode():
      self._predict(self._target, self._gamma)

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


def in_turn(functions: dict, repeats: int) -> dict[str, np.ndarray]:
  """Milliseconds [repeats, 2] of each function, on the clock and of the CPUs.

  One after the other each time.
  """
  times = {name: [] for name in functions}
  for i in range(repeats + 1):
    for name, function in functions.items():
      time.sleep(PAUSE)
      start = np.array([time.perf_counter(), time.process_time()])
      function()
      end = np.array([time.perf_counter(), time.process_time()])
      if i:  # the first one warms up
        times[name].append(1000 * (end - start))
  return {name: np.array(rows) for name, rows in times.items()}


def show(times: dict[str, np.ndarray]) -> None:
  """Prints the clock's quartiles, the CPUs' median, and ratios of medians."""
  titles = 'quarter', 'median', '3/4', 'ratio', 'CPU', 'ratio'
  print(f'{"ms":18}' + ''.join(f'{title:>9}' for title in titles))
  medians = [np.median(rows, axis=0) for rows in times.values()]
  for i, (name, rows) in enumerate(times.items()):
    quarter, _, three = np.percentile(rows[:, 0], [25, 50, 75])
    clock, cpu = medians[i]
    ratios = '', ''
    if i % 2 == 0:  # rows come in pairs: to the next one
      ratios = [f'{ratio:.2f}' for ratio in medians[i] / medians[i + 1]]
    print(
      f'{name:18}{quarter:9.0f}{clock:9.0f}{three:9.0f}{ratios[0]:>9}'
      f'{cpu:9.0f}{ratios[1]:>9}'
    )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--channels', type=int, default=64)
  parser.add_argument('--size', type=int, default=64)
  parser.add_argument('--batch', type=int, default=4)
  parser.add_argument('--repeats', type=int, default=20)
  parser.add_argument('--remat', action='store_true', help='ours, both ways')
  args = parser.parse_args()

  ours = Ours(network(args.channels), args.size, args.batch)
  print(
    f'{ours.parameters():,} parameters, {args.batch} images of '
    f'{args.size}x{args.size}, float32, {os.cpu_count()} threads, median of '
    f'{args.repeats}; jax {jax.__version__} on {jax.default_backend()}'
  )
  if args.remat:
    model = network(args.channels, remat=True)
    remat = Ours(model, args.size, args.batch)
    show(in_turn({'remat': remat.step, 'plain': ours.step}, args.repeats))
    needs = [x.temporaries() / 2**20 for x in (remat, ours)]
    print(
      f'memory beside the state: {needs[0]:.0f} MiB with remat, '
      f'{needs[1]:.0f} MiB without; ratio {needs[0] / needs[1]:.2f}'
    )
    return
  theirs = Theirs(network(args.channels), args.size, args.batch)
  assert theirs.parameters() == ours.parameters()
  functions = {
    'forward, ours': ours.forward,
    'forward, PyTorch': theirs.forward,
    'step, ours': ours.step,
    'step, PyTorch': theirs.step,
  }
  show(in_turn(functions, args.repeats))


if __name__ == '__main__':
  main()
