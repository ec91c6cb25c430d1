"""Compares the embeddings of the noise level in small training runs.

  python -m benchmarks.noise_level --source=folder:/path/to/images

Trains the tiny colorization network at 16x16 with each embedding and several
seeds. Prints the held-out loss of the averaged weights by noise level; all are
measured on the same examples, noise and levels. After an interruption, it
resumes from the checkpoints in --workdir.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from jaxtyping import Array, Float
from ml_collections import config_dict

from configs import colorize
from palette_jax import arrays
from palette_jax.diffusion import objective as objectives
from palette_jax.diffusion import process
from palette_jax.models import embeddings
from palette_jax.training import loop, step
from palette_jax.training import run as runs

SOURCE = flags.DEFINE_string(
  'source', None, 'Source of the training images.', required=True
)
STEPS = flags.DEFINE_integer('steps', 1500, 'Steps of each run.')
SEEDS = flags.DEFINE_integer('seeds', 3, 'Runs of each embedding.')
BATCH = flags.DEFINE_integer('batch', 8, 'Batch size of training.')
EXAMPLES = flags.DEFINE_integer('examples', 960, 'Held-out examples.')
WORKDIR = flags.DEFINE_string(
  'workdir', 'runs/noise_level', 'Folder of all runs.'
)


def log_snr(gamma: Float[Array, ' b']) -> Float[Array, ' b']:
  """Maps log(gamma / (1 - gamma)) from [-10, 14] to [0, 1000]."""
  ratio = jnp.log(gamma) - jnp.log1p(-gamma)
  return (jnp.clip(ratio, -10.0, 14.0) + 10.0) / 24.0 * 1000.0


# Without the time step's embedding, which is for imported weights only.
CHOICES = {
  'gamma': embeddings.gamma_itself,
  'gamma_root': embeddings.gamma_root,
  'log_snr': log_snr,
}


def make_config(name: str, seed: int) -> config_dict.ConfigDict:
  """Returns the config of a run with an embedding and a seed."""
  arg = f'tiny,size=16,steps={STEPS.value},batch={BATCH.value}'
  config = colorize.get_config(arg)
  config.seed = seed
  config.data.update(source=SOURCE.value, min_crop=1.0)
  config.model.update(channel_mult=(1, 2), attention_levels=(1,))
  config.model.noise_level = name
  config.optimizer.learning_rate = 1e-3
  config.train.update(log_every=250, checkpoint_every=500)
  config.held_out.update(examples=64, every=10**6)
  config.objective.sample_schedule.num_steps = 20
  return config


def measure(name: str, seed: int) -> dict[str, Any]:
  """Trains a network, then measures it on the held-out examples of all runs."""
  config = make_config(name, seed)
  trained = loop.train(config, f'{WORKDIR.value}/{name}-{seed}')
  config.seed = 0
  run = runs.build(config)
  denoise_fn, objective = run.learner.denoise_fn, run.learner.objective
  examples = run.held_out_data.held_out(EXAMPLES.value).examples
  key = jax.random.key(0)
  batch = process.complete(examples, key)

  @jax.jit
  def errors(params: arrays.Params, batch: arrays.Batch) -> objectives.Errors:
    levels = objective.stratified_levels(EXAMPLES.value)
    draws = objective.draw_noise(key, batch, levels)
    return objective.errors(denoise_fn, params, batch, draws)

  @jax.jit
  def below(params: arrays.Params, cond: Array) -> Array:
    """Returns the mean square of eps_hat - y_t where y_t is pure noise."""
    noise = jax.random.normal(key, cond.shape)
    levels = jnp.logspace(-20, -5, len(cond))
    return jnp.mean((denoise_fn(params, noise, cond, levels) - noise) ** 2)

  error = errors(trained.ema_params, batch)
  classes = step.by_gamma(error)
  return dict(
    embedding=name,
    seed=seed,
    loss=float(error.mean()),
    by_gamma=np.asarray(classes['errors'] / classes['counts']).tolist(),
    below=float(below(trained.ema_params, batch.cond[:64])),
  )


def main(argv: Sequence[str]) -> None:
  del argv
  logging.set_verbosity(logging.WARNING)
  embeddings.POSITIONS.update(CHOICES)
  results = pathlib.Path(WORKDIR.value, f'results-{STEPS.value}.jsonl')
  results.parent.mkdir(parents=True, exist_ok=True)
  lines = results.read_text().splitlines() if results.exists() else []
  rows = {(r['embedding'], r['seed']): r for r in map(json.loads, lines)}
  for seed in range(SEEDS.value):
    for name in CHOICES:
      if (name, seed) not in rows:
        rows[name, seed] = measure(name, seed)
        with results.open('a') as file:
          file.write(json.dumps(rows[name, seed]) + '\n')
        print(rows[name, seed], flush=True)
  print_table(rows)


def print_table(rows: dict[tuple[str, int], dict[str, Any]]) -> None:
  edges = step.GAMMA_EDGES
  heads = [f'{low}-{high}' for low, high in zip(edges, edges[1:])]
  print(f'\n{STEPS.value} steps, {SEEDS.value} seeds: mean (deviation)')
  print(f'{"":14}{"loss":>18}', *(f'{head:>9}' for head in heads), '    below')
  for name in CHOICES:
    results = [rows[name, seed] for seed in range(SEEDS.value)]
    losses = np.array([row['loss'] for row in results])
    classes = np.mean([row['by_gamma'] for row in results], axis=0)
    spread = losses.std(ddof=1) if len(losses) > 1 else 0.0
    below = np.mean([row['below'] for row in results])
    print(
      f'{name:14}{losses.mean():9.5f} ({spread:.5f})',
      *(f'{x:9.5f}' for x in classes),
      f'{below:9.5f}',
    )


if __name__ == '__main__':
  app.run(main)
