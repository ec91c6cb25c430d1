"""Configs shrunk to seconds, and the training command, for tests."""

import os
import subprocess
import sys

import jax
import ml_collections
import numpy as np
from conftest import ROOT

from palette_jax import settings


def load(name, arg=None) -> ml_collections.ConfigDict:
  return settings.load(f'{name}:{arg}' if arg else name).unlock()


def micro(config: ml_collections.ConfigDict, source: str):
  """Shrinks a config to seconds: a network of two levels, images of 16x16."""
  config.data.update(source=source, size=(16, 16))
  config.model.update(
    channels=32,
    channel_mult=(1, 1),
    num_res_blocks=1,
    attention_levels=(),
    head_channels=32,
    dtype='float32',
  )
  config.objective.sample_schedule.update(start=1e-3, end=0.9, num_steps=4)
  config.optimizer.update(learning_rate=1e-3, warmup_steps=1)
  config.train.update(batch=8, steps=4, log_every=2, checkpoint_every=2)
  config.held_out.update(examples=8, images=2, samples=2, every=100)
  return config


def tiny(source='photos', name='inpaint', **train):
  config = micro(load(name), str(source))
  config.train.update(**train)
  return config


def leaves(tree):
  tree = tree.replace(key=jax.random.key_data(tree.key))
  return [np.asarray(x) for x in jax.tree.leaves(tree)]


def same_bits(a, b):
  return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b)))


SMALL = [
  '--config.data.size=(16,16)',
  '--config.model.channel_mult=(1,1)',
  '--config.model.attention_levels=()',
  '--config.held_out.examples=8',
  '--config.held_out.samples=2',
  '--config.objective.sample_schedule.num_steps=5',
  '--config.train.checkpoint_every=5',
]


def command(config, workdir, *more):
  return [
    sys.executable,
    '-m',
    'palette_jax.main',
    f'--config={ROOT / "configs" / config}',
    f'--workdir={workdir}',
    *more,
  ]


def environment(**more):
  kept = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  return {**kept, 'JAX_PLATFORMS': 'cpu', **more}


def run_main(*args, **kwargs):
  return subprocess.run(
    command(*args),
    cwd=ROOT,
    env=environment(**kwargs),
    capture_output=True,
    text=True,
    timeout=600,
  )
