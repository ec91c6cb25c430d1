"""The parts of a run, built and checked before anything is computed."""

import dataclasses
from typing import NamedTuple

import ml_collections

from palette_jax import sharding, tasks
from palette_jax.data import cache as caches
from palette_jax.data import pipeline, sources
from palette_jax.training import learner as learners


class Run(NamedTuple):
  """The parts of a run.

  Attributes:
    config: of configs/.
    learner: network, objective and optimizer, on all devices.
    train_data: examples to learn from.
    held_out_data: examples of photos that are never learned from.
  """

  config: ml_collections.ConfigDict
  learner: learners.Learner
  train_data: pipeline.Pipeline
  held_out_data: pipeline.Pipeline


def build(config: ml_collections.ConfigDict) -> Run:
  """Builds all parts of a run.

  Raises:
    ValueError, FileNotFoundError: if a setting does not fit the others, the
      machine or the data.
  """
  mesh = sharding.make_mesh(config.mesh.fsdp)
  learner = learners.build(config, mesh)
  sharding.check_batch(mesh, config.held_out.examples, 'held_out.examples')
  corrupt = tasks.corruption(**config.task)
  train_source, held_out_source = (
    sources.open_source(config.data.source, split)
    for split in ('train', 'held_out')
  )
  cache = None
  if config.data.cache:
    cache = caches.Cache(config.data.cache, train_source, learner.size)
  train_data = pipeline.Pipeline(
    source=train_source,
    corrupt=corrupt,
    size=learner.size,
    seed=config.seed,
    min_crop=config.data.min_crop,
    max_pixels=config.data.max_pixels,
    cache=cache,
  )
  held_out_data = dataclasses.replace(
    train_data, source=held_out_source, cache=None
  )
  return Run(config, learner, train_data, held_out_data)
