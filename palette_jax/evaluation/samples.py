"""Draws a run's samples of the judged images, and writes them as files.

  WORKDIR/evaluation/STEP/CASE/
    request.json   the request; another one needs another folder
    originals/     the images, prepared as in training: 8-bit PNG
    inputs/        what the model is given; holes are grey
    holes/         white where it paints, for tasks with holes
    outputs/       its samples; outputs-2/ and so on: further samples

Batches depend on the list of images alone: after a stop, drawing continues with
the incomplete batches and ends with the same pixels.
"""

import concurrent.futures
import json
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import ml_collections
import numpy as np
from etils import epath, epy
from jax.experimental import multihost_utils
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt8

from palette_jax import arrays, console, files, givens, images, sharding
from palette_jax.data import pipeline, sources
from palette_jax.diffusion import process
from palette_jax.evaluation import cases, matching, selection
from palette_jax.evaluation.networks import probe as probes
from palette_jax.training import run as runs

with epy.lazy_imports():
  import tensorflow as tf


class Request(NamedTuple):
  """Samples that are requested of a model.

  Attributes:
    case: the case.
    selection: the images.
    data: their pipeline.
    samples: samples of each image.
    batch: images on all devices; further samples are further batches.
    seed: seed of all noise.
    folder: folder of the files.
    meta: conditions for request.json: the run, the checkpoint, the images.
  """

  case: cases.Case
  selection: selection.Selection
  data: pipeline.Pipeline
  samples: int
  batch: int
  seed: int
  folder: epath.Path
  meta: dict[str, object]

  def names_of(self, k: int) -> list[str]:
    """Returns the names of the k-th batch, without those of padding."""
    return self.selection.names[k * self.batch : (k + 1) * self.batch]


def requests(
  config: ml_collections.ConfigDict, run: runs.Run, step: int, workdir: str
) -> list[Request]:
  """Returns the requests of `config.evaluation`, one for each case.

  Raises:
    ValueError, FileNotFoundError: for a config that does not fit, before
      anything is drawn.
  """
  options = config.evaluation
  sharding.check_batch(run.learner.mesh, options.batch, 'evaluation.batch')
  if options.source:
    source = sources.open_source(options.source, 'all')
  else:
    source = run.held_out_data.source
  selected = selection.select(source, options.records)
  model = config.objective.to_dict() | {'size': list(config.data.size)}
  meta = dict(
    step=step,
    images=selected.digest(),
    samples=options.samples,
    batch=options.batch,
    seed=options.seed,
    **{k: model[k] for k in ('name', 'sample_schedule', 'sampler', 'size')},
  )
  return [
    Request(
      case=case,
      selection=selected,
      data=pipeline.Pipeline(
        source=source,
        corrupt=case.corrupt,
        size=tuple(config.data.size),
        seed=options.seed,
        max_pixels=config.data.max_pixels,
      ),
      samples=options.samples,
      batch=options.batch,
      seed=options.seed,
      folder=epath.Path(workdir, 'evaluation', str(step), case.folder),
      meta=meta | {'case': case.name},
    )
    for case in cases.of_config(config.task.to_dict(), options.cases)
  ]


def draw(request: Request, run: runs.Run, params: arrays.Params) -> None:
  """Writes the files of a request that do not exist, on all hosts.

  Raises:
    ValueError: if the folder has the files of another request, or an image
      cannot be read.
  """
  _claim(request)
  count = len(request.selection.names)
  pending = np.flatnonzero(~_done(request)).tolist()
  sample = _sampler(run)
  progress = console.Progress(
    request.case.name,
    count,
    done=count - sum(len(request.names_of(k)) for k in pending),
    shown=jax.process_index() == 0,
  )
  with progress, concurrent.futures.ThreadPoolExecutor(4) as pool:
    for k, names, examples in _batches(request, pending):
      _write(pool, request.folder, names, _inputs(examples))
      placed = sharding.put_batch(run.learner.mesh, examples)
      for number in range(request.samples):
        result = sample(params, placed, _key(request.seed, k, number))
        folder = outputs(request.folder, number)
        _write(pool, folder.parent, names, {folder.name: _local(result)})
      progress.advance(len(request.names_of(k)))
  multihost_utils.sync_global_devices(
    f'drawn {request.case.name} {request.batch}'
  )


def outputs(folder: epath.Path, sample: int) -> epath.Path:
  """Returns the folder of the first, second, ... sample of each image."""
  return folder / (f'outputs-{sample + 1}' if sample else 'outputs')


def comparison(
  requests_by_row: Mapping[str, Request], probe: probes.Probe | None = None
) -> matching.Comparison:
  """Returns the samples of requests as a comparison, to be judged.

  Args:
    requests_by_row: requests of the same images and the same case.
    probe: a classifier of the labels, if they are not ImageNet's.
  """
  first = next(iter(requests_by_row.values()))
  labels = None
  if first.selection.labels is not None:
    classes = first.selection.labels.tolist()
    labels = dict(zip(first.selection.names, classes))
  return matching.Comparison(
    rows={
      row: [
        str(outputs(request.folder, sample))
        for sample in range(request.samples)
      ]
      for row, request in requests_by_row.items()
    },
    originals=str(first.folder / 'originals'),
    inputs=str(first.folder / 'inputs'),
    holes=str(first.folder / 'holes') if first.case.hole else None,
    labels=labels,
    probe=probe,
    case=first.case.name,
  )


def _claim(request: Request) -> None:
  """Claims the folder for this request.

  Raises:
    ValueError: if it belongs to another request.
  """
  file = request.folder / 'request.json'
  if jax.process_index() == 0 and not file.exists():
    files.write(file, json.dumps(request.meta, indent=2).encode())
  multihost_utils.sync_global_devices(f'claimed {request.case.name}')
  before = json.loads(file.read_text())
  now = json.loads(json.dumps(request.meta))
  for name in now:
    if before.get(name) != now[name]:
      raise ValueError(
        f'{request.folder} has samples with {name} = {before.get(name)}; this '
        f'request has {now[name]}. Move the folder away, or request the same.'
      )


def _done(request: Request) -> Bool[np.ndarray, ' batches']:
  """Checks which batches are complete.

  The outputs of a batch are written last. The first host checks for all hosts,
  so that they agree.
  """
  done = np.ones(-(-len(request.selection.names) // request.batch), bool)
  if jax.process_index() == 0:
    for sample in range(request.samples):
      folder = outputs(request.folder, sample)
      existing = {
        posixpath.join(parent, name)
        for parent, _, names in tf.io.gfile.walk(str(folder))
        for name in names
      }
      for k in range(len(done)):
        needed = {str(_file(folder, name)) for name in request.names_of(k)}
        done[k] &= needed <= existing
  return np.asarray(multihost_utils.broadcast_one_to_all(done))


def _file(folder: epath.Path, name: str) -> epath.Path:
  return folder / f'{name}.png'


def _batches(
  request: Request, pending: Sequence[int]
) -> Iterator[tuple[int, list[str], arrays.Examples]]:
  """Yields the number, names and examples of this host's part of each batch.

  The last batch is padded with examples that have no name.
  """
  names, size = request.selection.names, request.batch
  rows = np.arange(len(names) + -len(names) % size)
  rows = rows.reshape(-1, jax.process_count(), size // jax.process_count())
  rows = rows[pending, jax.process_index()]
  if not rows.size:
    return
  records = request.selection.records[rows % len(names)]
  decoded = request.data.listed(records.reshape(-1), rows.shape[1])
  for k, own, batch in zip(pending, rows, decoded):
    request.data.check_readable(batch)
    padded = [names[i % len(names)] for i in own]
    named = padded[: np.count_nonzero(own < len(names))]
    yield k, named, _cut(request.case, padded, batch.examples)


def _cut(
  case: cases.Case, names: Sequence[str], examples: arrays.Examples
) -> arrays.Examples:
  """Cuts the holes of a task that has them."""
  if case.hole is None:
    return examples
  _, height, width, _ = examples.target.shape
  cut = [
    cases.with_hole(target, case.hole(posixpath.basename(name), height, width))
    for name, target in zip(names, examples.target)
  ]
  cond, given = map(np.stack, zip(*cut))
  return arrays.Examples(examples.target, cond, given)


def _inputs(
  examples: arrays.Examples,
) -> dict[str, UInt8[np.ndarray, 'b h w 3']]:
  """Returns the images of a model's inputs, by the name of their folder."""
  empty = examples.given >= givens.NOISE
  cond = np.where(empty, np.uint8(pipeline.GREY), np.asarray(examples.cond))
  folders = {'originals': np.asarray(examples.target), 'inputs': cond}
  if np.any(examples.given == givens.TRUTH):
    painted = np.where(examples.given == givens.TRUTH, 0, 255)
    folders['holes'] = np.repeat(painted.astype(np.uint8), 3, axis=-1)
  return folders


def _write(
  pool: concurrent.futures.Executor,
  folder: epath.Path,
  names: Sequence[str],
  batches: Mapping[str, np.ndarray],
) -> None:
  """Writes the named images of batches by folder, and waits for all files."""
  jobs = [
    pool.submit(images.write_png, _file(folder / kind, name), image)
    for kind, batch in batches.items()
    for name, image in zip(names, batch)
  ]
  for job in jobs:
    job.result()


def _sampler(
  run: runs.Run,
) -> Callable[
  [arrays.Params, arrays.Examples, PRNGKeyArray], Float[Array, 'b h w 3']
]:
  """Returns (params, examples, key) -> images, split over all devices."""

  def sample(
    params: arrays.Params, examples: arrays.Examples, key: PRNGKeyArray
  ) -> Float[Array, 'b h w 3']:
    key_holes, key_steps = jax.random.split(key)
    batch = process.complete(examples, key_holes)
    return run.learner.restore(params, batch.cond, batch.mask, key_steps)

  return jax.jit(
    sample,
    out_shardings=sharding.by_batch(run.learner.mesh),
    compiler_options=sharding.compiler_options(),
  )


def _key(seed: int, batch: int, sample: int) -> PRNGKeyArray:
  key = jax.random.fold_in(jax.random.key(seed), batch)
  return jax.random.fold_in(key, sample)


def _local(images_on_devices: jax.Array) -> Float[np.ndarray, 'b h w 3']:
  """Returns this host's part of a batch, in its order."""
  shards = sorted(
    images_on_devices.addressable_shards,
    key=lambda shard: shard.index[0].start or 0,
  )
  return np.concatenate([np.asarray(shard.data) for shard in shards])
