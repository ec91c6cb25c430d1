"""What a run makes of the images that are judged, as files.

  WORKDIR/evaluation/STEP/CASE/
    request.json   what was asked for: other settings need another folder
    originals/     the images, prepared as in training: 8-bit PNG
    inputs/        what the model was given; holes are grey
    holes/         white where it paints, for tasks with holes
    outputs/       what it made; outputs-2/ and so on: further samples

Batches are fixed by the list, so that a run that was stopped goes on with the
batches that are not complete, and ends with the same pixels.
"""

import concurrent.futures
import json
import posixpath
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from etils import epath, epy
from jax.experimental import multihost_utils

from palette_jax import arrays, console, givens, images, sharding
from palette_jax.data import pipeline, sources
from palette_jax.diffusion import process
from palette_jax.evaluation import cases, observations, selection
from palette_jax.evaluation.networks import probe as probes
from palette_jax.training import run as runs

with epy.lazy_imports():
  import tensorflow as tf


class Request(NamedTuple):
  """What is asked of a model.

  Attributes:
    case: what is done to the images.
    pinned: which they are.
    data: where they come from.
    samples: of each.
    batch: images on all devices; further samples are further batches.
    seed: of all noise.
    folder: where the files go.
    meta: of the run and the checkpoint, for request.json.
  """

  case: cases.Case
  pinned: selection.Pinned
  data: pipeline.Pipeline
  samples: int
  batch: int
  seed: int
  folder: epath.Path
  meta: dict[str, Any]


def requests(
  config: ml_collections.ConfigDict, run: runs.Run, step: int, workdir: str
) -> list[Request]:
  """What `config.evaluation` asks for: one request a case.

  Raises:
    ValueError, FileNotFoundError: for what does not fit; before anything is
      drawn.
  """
  asked = config.evaluation
  sharding.check_batch(run.learner.mesh, asked.batch, 'evaluation.batch')
  if asked.source:
    source = sources.open_source(asked.source, 'all')
  else:
    source = run.held_out_data.source
  pinned = selection.pin(source, asked.records)
  model = config.objective.to_dict() | {'size': list(config.data.size)}
  meta = dict(
    step=step,
    images=pinned.digest(),
    samples=asked.samples,
    batch=asked.batch,
    seed=asked.seed,
    **{k: model[k] for k in ('name', 'sample_schedule', 'sampler', 'size')},
  )
  return [
    Request(
      case=case,
      pinned=pinned,
      data=pipeline.Pipeline(
        source=source,
        corrupt=case.corrupt,
        size=tuple(config.data.size),
        seed=asked.seed,
        max_pixels=config.data.max_pixels,
      ),
      samples=asked.samples,
      batch=asked.batch,
      seed=asked.seed,
      folder=epath.Path(workdir, 'evaluation', str(step), case.folder),
      meta=meta | {'case': case.name},
    )
    for case in cases.of_config(config.task.to_dict(), asked.cases)
  ]


def draw(request: Request, run: runs.Run, params: arrays.Params) -> None:
  """Writes all files of a request that are not there yet, on all hosts.

  Raises:
    ValueError: if the folder has the files of another request, or an image
      cannot be read.
  """
  _claim(request)
  count, size = len(request.pinned.names), request.batch
  pending = np.flatnonzero(~_done(request))
  make = _sampler(run)
  progress = console.Progress(
    request.case.name,
    count,
    done=count - sum(len(_rows(request, k)) for k in pending),
    shown=jax.process_index() == 0,
  )
  with progress, concurrent.futures.ThreadPoolExecutor(4) as pool:
    for k, names, examples in _batches(request, pending):
      _write(pool, request.folder, names, _given(examples))
      placed = sharding.put_batch(run.learner.mesh, examples)
      for sample in range(request.samples):
        made = make(params, placed, _key(request.seed, k, sample))
        folder = outputs(request.folder, sample)
        _write(pool, folder.parent, names, {folder.name: _local(made)})
      progress.advance(len(_rows(request, k)))
  multihost_utils.sync_global_devices(f'drawn {request.case.name} {size}')


def outputs(folder: epath.Path, sample: int) -> epath.Path:
  """Where the first, second, ... sample of each image is."""
  return folder / (f'outputs-{sample + 1}' if sample else 'outputs')


def subject(
  drawn: Mapping[str, Request], probe: probes.Probe | None = None
) -> observations.Subject:
  """What was drawn, to be judged.

  Args:
    drawn: by the names of rows; of the same images and the same case.
    probe: a classifier of the labels, if they are not ImageNet's.
  """
  first = next(iter(drawn.values()))
  labels = None
  if first.pinned.labels is not None:
    labels = dict(zip(first.pinned.names, first.pinned.labels.tolist()))
  return observations.Subject(
    rows={
      row: [
        str(outputs(request.folder, sample))
        for sample in range(request.samples)
      ]
      for row, request in drawn.items()
    },
    originals=str(first.folder / 'originals'),
    inputs=str(first.folder / 'inputs'),
    holes=str(first.folder / 'holes') if first.case.hole else None,
    labels=labels,
    probe=probe,
    case=first.case.name,
  )


def _claim(request):
  """One folder, one request."""
  file = request.folder / 'request.json'
  if jax.process_index() == 0:
    request.folder.mkdir(parents=True, exist_ok=True)
    if not file.exists():
      file.write_text(json.dumps(request.meta, indent=2))
  multihost_utils.sync_global_devices(f'claimed {request.case.name}')
  before = json.loads(file.read_text())
  now = json.loads(json.dumps(request.meta))
  for name in now:
    if before.get(name) != now[name]:
      raise ValueError(
        f'{request.folder} was made with {name} = {before.get(name)}, this '
        f'asks for {now[name]}. Move the folder away, or ask for the same.'
      )


def _rows(request, k):
  """Names of the k-th batch, without those that fill up the last one."""
  return request.pinned.names[k * request.batch : (k + 1) * request.batch]


def _done(request):
  """Which batches are whole; the first host looks, so that all agree.

  Outputs are written after all else of a batch.
  """
  whole = np.ones(-(-len(request.pinned.names) // request.batch), bool)
  if jax.process_index() == 0:
    for sample in range(request.samples):
      folder = outputs(request.folder, sample)
      found = {
        posixpath.join(where, file)
        for where, _, files in tf.io.gfile.walk(str(folder))
        for file in files
      }
      for k in range(len(whole)):
        files = {str(_file(folder, name)) for name in _rows(request, k)}
        whole[k] &= files <= found
  return multihost_utils.broadcast_one_to_all(whole)


def _file(folder, name):
  return folder / f'{name}.png'


def _batches(request, pending):
  """This host's rows of each batch: its number, names, examples.

  The last batch is filled up with rows that have no name.
  """
  names, size = request.pinned.names, request.batch
  rows = np.arange(len(names) + -len(names) % size)
  rows = rows.reshape(-1, jax.process_count(), size // jax.process_count())
  rows = rows[pending, jax.process_index()]
  if not rows.size:
    return
  records = request.pinned.records[rows % len(names)]
  read = request.data.listed(records.reshape(-1), rows.shape[1])
  for k, own, batch in zip(pending, rows, read):
    request.data.check_readable(batch)
    filled = [names[i % len(names)] for i in own]
    named = filled[: np.count_nonzero(own < len(names))]
    yield k, named, _cut(request.case, filled, batch.examples)


def _cut(case, names, examples):
  """The holes of a task that has them."""
  if case.hole is None:
    return examples
  _, height, width, _ = examples.target.shape
  cut = [
    cases.with_hole(target, case.hole(posixpath.basename(name), height, width))
    for name, target in zip(names, examples.target)
  ]
  cond, given = map(np.stack, zip(*cut))
  return arrays.Examples(examples.target, cond, given)


def _given(examples):
  """Folders of what a model is given: name -> uint8 [b, h, w, 3]."""
  empty = examples.given >= givens.NOISE
  shown = {
    'originals': examples.target,
    'inputs': np.where(empty, np.uint8(pipeline.GREY), examples.cond),
  }
  if np.any(examples.given == givens.TRUTH):
    painted = np.where(examples.given == givens.TRUTH, 0, 255)
    shown['holes'] = np.repeat(painted.astype(np.uint8), 3, axis=-1)
  return shown


def _write(pool, folder, names, shown):
  """Files of a batch's named rows; waits until all are there."""
  jobs = [
    pool.submit(images.write_png, _file(folder / kind, name), image)
    for kind, batch in shown.items()
    for name, image in zip(names, batch)
  ]
  for job in jobs:
    job.result()


def _sampler(run):
  """(params, examples, key) -> images in [-1, 1], split over all devices."""

  def make(params, examples, key):
    key_holes, key_steps = jax.random.split(key)
    batch = process.complete(examples, key_holes)
    return run.learner.restore(params, batch.cond, batch.mask, key_steps)

  return jax.jit(
    make,
    out_shardings=sharding.by_batch(run.learner.mesh),
    compiler_options=sharding.compiler_options(),
  )


def _key(seed, batch, sample):
  key = jax.random.fold_in(jax.random.key(seed), int(batch))
  return jax.random.fold_in(key, sample)


def _local(made):
  """This host's rows, in their order."""
  shards = sorted(made.addressable_shards, key=lambda s: s.index[0].start or 0)
  return np.concatenate([np.asarray(shard.data) for shard in shards])
