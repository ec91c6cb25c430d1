"""Which embedding of the noise level learns best, in small runs.

  python -m benchmarks.noise_level --source=folder:/path/to/images

Trains the tiny colorization network at 16x16 with each embedding and several
seeds, and prints the held-out loss of the averaged weights by noise level, on
the same examples, noise and levels for all. Stopped, it goes on from the
checkpoints in --workdir.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from configs import colorize
from palette_jax.models import embeddings
from palette_jax.training import loop, step
from palette_jax.training import run as runs

SOURCE = flags.DEFINE_string('source', None, 'Images to learn from.')
STEPS = flags.DEFINE_integer('steps', 1500, 'Of each run.')
SEEDS = flags.DEFINE_integer('seeds', 3, 'Runs of each embedding.')
BATCH = flags.DEFINE_integer('batch', 8, 'Of training.')
EXAMPLES = flags.DEFINE_integer('examples', 960, 'Held-out examples.')
WORKDIR = flags.DEFINE_string('workdir', 'runs/noise_level', 'Of all runs.')


def log_snr(gamma):
  """log(gamma / (1 - gamma)) from -10 to 14, as in training, on 0 to 1000."""
  ratio = jnp.log(gamma) - jnp.log1p(-gamma)
  return (jnp.clip(ratio, -10.0, 14.0) + 10.0) / 24.0 * 1000.0


# The time step's embedding is there for imported weights only.
CHOICES = {
  'gamma': embeddings.gamma_itself,
  'gamma_root': embeddings.gamma_root,
  'log_snr': log_snr,
}


def config_of(name: str, seed: int):
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


def measure(name: str, seed: int) -> dict:
  """Trains, then measures on held-out examples that are the same for all."""
  config = config_of(name, seed)
  trained = loop.train(config, f'{WORKDIR.value}/{name}-{seed}')
  config.seed = 0
  run = runs.build(config)
  denoise_fn, objective = run.learner.denoise_fn, run.learner.objective
  examples = run.held_out_data.held_out(EXAMPLES.value).examples
  key = jax.random.key(0)

  @jax.jit
  def errors(params, examples):
    levels = objective.stratified_levels(EXAMPLES.value)
    chance = objective.draw_noise(key, examples, levels)
    return objective.errors(denoise_fn, params, examples, chance)

  @jax.jit
  def below(params, cond):
    """Mean square of eps_hat - y_t, where y_t is nothing but noise."""
    noise = jax.random.normal(key, cond.shape)
    levels = jnp.logspace(-20, -5, len(cond))
    return jnp.mean((denoise_fn(params, noise, cond, levels) - noise) ** 2)

  found = errors(trained.ema_params, examples)
  classes = step.by_gamma(found)
  return dict(
    embedding=name,
    seed=seed,
    loss=float(found.mean()),
    by_gamma=np.asarray(classes['errors'] / classes['counts']).tolist(),
    below=float(below(trained.ema_params, examples.cond[:64])),
  )


def main(argv):
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


def print_table(rows: dict) -> None:
  edges = step.GAMMA_EDGES
  heads = [f'{low}-{high}' for low, high in zip(edges, edges[1:])]
  print(f'\n{STEPS.value} steps, {SEEDS.value} seeds: mean (deviation)')
  print(f'{"":14}{"loss":>18}', *(f'{head:>9}' for head in heads), '    below')
  for name in CHOICES:
    mine = [rows[name, seed] for seed in range(SEEDS.value)]
    losses = np.array([row['loss'] for row in mine])
    classes = np.mean([row['by_gamma'] for row in mine], axis=0)
    spread = losses.std(ddof=1) if len(losses) > 1 else 0.0
    below = np.mean([row['below'] for row in mine])
    print(
      f'{name:14}{losses.mean():9.5f} ({spread:.5f})',
      *(f'{x:9.5f}' for x in classes),
      f'{below:9.5f}',
    )


if __name__ == '__main__':
  flags.mark_flag_as_required('source')
  app.run(main)
