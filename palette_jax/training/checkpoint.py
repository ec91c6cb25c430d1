"""Checkpoints: what is saved, and never loading what does not fit.

Orbax writes three items a step: `train` (step, params, optimizer, key), `ema`
(the average alone, so that sampling never loads the optimizer), `meta` (the
config, the data's fingerprint, shape and checksum of every leaf: Orbax reads
arrays whose bytes were flipped without complaint). What does not check is
damaged, and the checkpoint before it is used.
"""

import hashlib
import json
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from palette_jax import arrays
from palette_jax.training import checksum
from palette_jax.training import state as states
from palette_jax.training import step as steps

KEEP = 2  # if the newest turns out to be damaged, there is one before it

Loaded = TypeVar('Loaded')


class Damaged(ValueError):
  """A checkpoint that is not, or cannot be shown to be, what was written."""


class Checkpoints:
  """The checkpoints of one run, in workdir/checkpoints."""

  def __init__(self, workdir: str, hold: Callable[[], None] | None = None):
    """Looks at what is there.

    Args:
      workdir: of the run.
      hold: of the run that holds the workdir, asked before every save. That run
        alone removes what a kill has left half written, and moves what is
        damaged; without it nothing is touched.
    """
    self._folder = _absolute(workdir) + '/checkpoints'
    self._hold = hold
    self._writing = False
    policies = ocp.training.preservation_policies
    policy = policies.AnyPreservationPolicy(
      [policies.LatestN(KEEP), policies.CustomSteps([0])]  # 0: imported weights
    )
    context = ocp.Context()
    # Devices that hold the same array share the work of writing a large one.
    context.array.saving.min_slice_bytes_for_replica_parallel = 2**20
    self._checkpointer = ocp.training.Checkpointer(
      self._folder,
      context=context,
      preservation_policy=policy,
      cleanup_tmp_directories=hold is not None,
    )

  def latest(self) -> int | None:
    """The newest complete checkpoint's step; None if there is none."""
    newest = self._checkpointer.latest
    return None if newest is None else newest.step

  def save(self, state: states.TrainState, meta: dict[str, Any]) -> None:
    """Starts to write the state in the background; once a step.

    Raises:
      OSError: if the save could not be started, or an earlier one has failed: a
        run never goes on without its checkpoints.
      NotFinite: if the state is not finite.
      InUse: if another run has taken the workdir over.
    """
    step = int(state.step)
    if self.latest() == step:
      return
    if self._hold is not None:
      self._hold()
    self.wait()
    train, ema = _split(state)
    items = {'train': train, 'ema': ema}
    found = {item: checksum.digests(tree) for item, tree in items.items()}
    _check_finite(step, found)
    record = {
      **meta,
      'shapes': {item: _shapes(tree) for item, tree in items.items()},
      'checksums': {
        item: {name: digest.checksum for name, digest in tree.items()}
        for item, tree in found.items()
      },
    }
    text = json.dumps(record)
    items['meta'] = {'json': text, 'sha256': _sha256(text)}
    try:
      started = self._checkpointer.save_checkpointables_async(
        step, items, force=True
      )
    except Exception as error:  # Orbax has many kinds for one cause
      raise self._not_written(error) from error
    if started is None:
      raise self._not_written('Orbax did not start to')
    self._writing = True

  def check(self) -> None:
    """Raises as `wait` if the save in the background has failed; at once."""
    if self._writing and not self._checkpointer.is_saving_in_progress():
      self._writing = False
      self.wait()

  def wait(self) -> None:
    """Waits until everything is on disk.

    Raises:
      OSError: if it could not be written.
    """
    try:
      self._checkpointer.wait()
    except Exception as error:
      raise self._not_written(error) from error

  def close(self) -> None:
    """Waits until everything is on disk; raises as `wait`."""
    try:
      self._checkpointer.close()
    except Exception as error:
      raise self._not_written(error) from error

  def load_newest(self, load: Callable[[int], Loaded]) -> Loaded | None:
    """`load(step)` of the newest checkpoint that is whole; None without any.

    Damaged ones are passed over, which is said. Who holds the workdir moves
    them to STEP.damaged, but not before another has been read: until then it
    may as well be the storage that cannot be reached.

    Raises:
      Damaged: if none is whole. Imported weights (step 0) do not stand in for
        what was trained on them.
    """
    present = sorted(one.step for one in self._checkpointer.checkpoints)
    trained = [step for step in present if step > 0]
    damaged = {}
    for step in reversed(trained or present):
      try:
        loaded = load(step)
      except Damaged as error:
        damaged[step] = str(error)  # not what it holds on to
        logging.warning('%s', damaged[step])
        continue
      if damaged:
        logging.warning('Checkpoint %d, which is whole, is used.', step)
        self._move_away(damaged)
      return loaded
    if damaged:
      raise Damaged(
        f'None of the checkpoints {sorted(damaged)} in {self._folder} is '
        'whole:\n' + '\n'.join(damaged.values()) + '\nNothing was '
        'changed. If the storage can be reached, restore that folder from a '
        'copy, or start again in another --workdir.'
      )
    return None

  def meta(self, step: int) -> dict[str, Any]:
    """What `save` was given, and shapes and checksums.

    Raises:
      Damaged: if it cannot be read, or has changed.
    """
    stored = self._read(step, {'meta': None})['meta']
    text = stored.get('json', '')
    if stored.get('sha256') != _sha256(text):
      raise Damaged(f'Checkpoint {self._where(step)} is damaged: meta changed.')
    return json.loads(text)

  def restore(self, step: int, abstract: states.TrainState):
    """The whole state, onto the abstract state's shardings.

    Raises:
      Damaged: if it cannot be read, or its bits have changed.
      ValueError: if it was saved by another model.
    """
    train, ema = _split(abstract)
    loaded = self._load(step, {'train': train, 'ema': ema})
    return abstract.replace(ema_params=loaded['ema'], **loaded['train'])

  def restore_ema(self, step: int, abstract: arrays.Params) -> arrays.Params:
    """The average alone, as `restore`."""
    return self._load(step, {'ema': abstract})['ema']

  def _load(self, step, abstract):
    """Reads items whole, and only if they are what is expected."""
    where, meta = self._where(step), self.meta(step)
    for item, expected in abstract.items():
      _check_shapes(where, meta['shapes'][item], _shapes(expected))
    loaded = self._read(step, abstract)
    for item, tree in loaded.items():
      for name, digest in checksum.digests(tree).items():
        if meta['checksums'][item][name] != digest.checksum:
          raise Damaged(
            f'Checkpoint {where} is damaged: the bits of {item} {name} have '
            'changed.'
          )
    return loaded

  def _read(self, step, items):
    """Reads on each host for itself, and fails on all of them or on none."""
    host, loaded, failure = jax.process_index(), {}, None
    context = ocp.Context()
    # No barriers: a host whose part is damaged would not reach them.
    context.multiprocessing.primary_host = host
    context.multiprocessing.active_processes = {host}
    context.multiprocessing.barrier_sync_key_prefix = f'host{host}'
    where = self._where(step)
    try:
      with context:
        for name, tree in items.items():  # one failing leaves none half read
          loaded |= ocp.load_checkpointables(where, {name: tree})
    except Exception as error:  # Orbax has many kinds for one cause
      failure = error
    failed = multihost_utils.process_allgather(np.array(failure is not None))
    if failed.any():
      reason = str(failure).strip() if failure else 'another host says so'
      raise Damaged(
        f'Checkpoint {where} is damaged, or cannot be read: {reason}'
      ) from failure
    return loaded

  def _move_away(self, damaged: Iterable[int]):
    if self._hold is None:
      return
    if jax.process_index() == 0:
      for step in damaged:
        source = epath.Path(self._where(step))
        target = _unused(epath.Path(f'{source}.damaged'))
        source.rename(target)
        logging.warning('What is damaged is now in %s.', target)
    multihost_utils.sync_global_devices('damaged checkpoints are moved')
    self._checkpointer.reload()

  def _where(self, step):
    return f'{self._folder}/{step}'

  def _not_written(self, why):
    return OSError(
      f'A checkpoint could not be written to {self._folder}: {why}\nIs the '
      'disk full? The checkpoints before it are untouched: make room, and the '
      'same command goes on from the newest.'
    )


def _unused(path: epath.Path) -> epath.Path:
  """The path, or the first of path.2, path.3 ... that does not exist."""
  number, free = 1, path
  while free.exists():
    number += 1
    free = epath.Path(f'{path}.{number}')
  return free


def _absolute(workdir: str) -> str:
  return workdir if '://' in workdir else str(pathlib.Path(workdir).absolute())


def _sha256(text: str) -> str:
  return hashlib.sha256(text.encode()).hexdigest()


def _split(state):
  train = dict(
    step=state.step,
    params=state.params,
    opt_state=state.opt_state,
    key=state.key,
  )
  return train, state.ema_params


def _shapes(tree) -> dict[str, list[int]]:
  return {
    name: list(leaf.shape) for name, leaf in arrays.leaves_by_path(tree).items()
  }


def _check_shapes(where, saved, expected):
  """Compares what is stored with what the config asks for, leaf by leaf."""
  for name in sorted(saved.keys() | expected.keys()):
    if saved.get(name) == expected.get(name):
      continue
    found, wanted = (
      tuple(shapes[name]) if name in shapes else None
      for shapes in (saved, expected)
    )
    raise ValueError(
      f'Checkpoint {where} belongs to another model: {name} is '
      f'{found or "missing"} there, and {wanted or "unknown"} to this config. '
      'Use the config that it was trained with, or another --workdir.'
    )


def _check_finite(step, found):
  for item, tree in found.items():
    for name, digest in tree.items():
      if not digest.finite:
        raise steps.NotFinite(step, f'{item} {name} is not finite')
