"""Checkpoints: saved with checksums, and loaded only if they fit.

Orbax writes three items a step: `train` (step, params, optimizer, key), `ema`
(the average alone, so that sampling never loads the optimizer), `meta` (the
config, the data's fingerprint, shape and checksum of every leaf: Orbax reads
arrays with flipped bits without complaint). A checkpoint that does not match
its checksums is damaged, and the one before it is used.
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
from jaxtyping import PyTree
from orbax.checkpoint import v1 as ocp

from palette_jax import arrays
from palette_jax.training import checksum
from palette_jax.training import state as states
from palette_jax.training import step as steps

KEEP = 2  # one in reserve in case the newest is damaged

Loaded = TypeVar('Loaded')


class Damaged(ValueError):
  """A checkpoint that differs from what was written, or cannot be read."""


class Checkpoints:
  """The checkpoints of one run, in workdir/checkpoints."""

  def __init__(
    self, workdir: str, hold: Callable[[], None] | None = None
  ) -> None:
    """Opens the folder.

    Args:
      workdir: of the run.
      hold: called before every save; it raises if the workdir has been lost.
        Only the run that holds the workdir removes half-written checkpoints
        and moves damaged ones away; without `hold` nothing is touched.
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
      # Orbax's own class does not name its protocol.
      preservation_policy=policy,  # ty: ignore[invalid-argument-type]
      cleanup_tmp_directories=hold is not None,
    )

  def latest(self) -> int | None:
    """Returns the step of the newest complete checkpoint; None without any."""
    newest = self._checkpointer.latest
    return None if newest is None else newest.step

  def save(self, state: states.TrainState, meta: dict[str, Any]) -> None:
    """Starts writing the state in the background, at most once for each step.

    Raises:
      OSError: if the save could not be started, or an earlier one has failed; a
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
    digests = {item: checksum.digests(tree) for item, tree in items.items()}
    _check_finite(step, digests)
    contents = {
      **meta,
      'shapes': {item: _shapes(tree) for item, tree in items.items()},
      'checksums': {
        item: {name: digest.checksum for name, digest in tree.items()}
        for item, tree in digests.items()
      },
    }
    text = json.dumps(contents)
    items['meta'] = {'json': text, 'sha256': _sha256(text)}
    try:
      started = self._checkpointer.save_checkpointables_async(
        step, items, force=True
      )
    except Exception as error:  # Orbax raises many kinds for one cause
      raise self._not_written(error) from error
    if started is None:
      raise self._not_written('Orbax did not start')
    self._writing = True

  def check(self) -> None:
    """Raises as `wait` if a save has failed, without waiting for it."""
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
    """Loads the newest whole checkpoint.

    Logs damaged ones and skips them. The run that holds the workdir moves them
    to STEP.damaged, but not before another one has been read: until then the
    storage itself may be the cause.

    Args:
      load: loads the checkpoint of a step.

    Returns:
      `load(step)`; None if there is no checkpoint.

    Raises:
      Damaged: if none is whole. Imported weights (step 0) do not stand in for
        checkpoints that were trained from them.
    """
    present = sorted(saved.step for saved in self._checkpointer.checkpoints)
    trained = [step for step in present if step > 0]
    damaged: dict[int, str] = {}
    for step in reversed(trained or present):
      try:
        loaded = load(step)
      except Damaged as error:
        damaged[step] = str(error)  # the error itself would keep arrays alive
        logging.warning('%s', damaged[step])
        continue
      if damaged:
        logging.warning('Using checkpoint %d, which is whole.', step)
        self._move_away(damaged)
      return loaded
    if damaged:
      raise Damaged(
        f'None of the checkpoints {sorted(damaged)} in {self._folder} is '
        'whole:\n' + '\n'.join(damaged.values()) + '\nNothing was changed. If '
        'the storage can be reached, restore that folder from a backup, or '
        'start again in another --workdir.'
      )
    return None

  def meta(self, step: int) -> dict[str, Any]:
    """Reads the meta item of a step, with shapes and checksums.

    Raises:
      Damaged: if it cannot be read, or has changed.
    """
    stored = self._read(step, {'meta': None})['meta']
    text = stored.get('json', '')
    if stored.get('sha256') != _sha256(text):
      raise Damaged(f'Checkpoint {self._where(step)} is damaged: meta changed.')
    return json.loads(text)

  def restore(
    self, step: int, abstract: states.TrainState
  ) -> states.TrainState:
    """Restores the whole state onto the shardings of an abstract state.

    Raises:
      Damaged: if it cannot be read, or its bits have changed.
      ValueError: if it was saved by another model.
    """
    train, ema = _split(abstract)
    loaded = self._load(step, {'train': train, 'ema': ema})
    return abstract.replace(ema_params=loaded['ema'], **loaded['train'])

  def restore_ema(self, step: int, abstract: arrays.Params) -> arrays.Params:
    """Restores the average alone; raises as `restore`."""
    return self._load(step, {'ema': abstract})['ema']

  def _load(self, step: int, abstract: dict[str, PyTree]) -> dict[str, PyTree]:
    """Reads items, and checks their shapes and checksums."""
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

  def _read(self, step: int, items: dict[str, PyTree]) -> dict[str, PyTree]:
    """Reads on each host separately; fails on all hosts or on none."""
    host, loaded, failure = jax.process_index(), {}, None
    context = ocp.Context()
    # No barriers: a host with a damaged part would never reach them.
    context.multiprocessing.primary_host = host
    context.multiprocessing.active_processes = {host}
    context.multiprocessing.barrier_sync_key_prefix = f'host{host}'
    where = self._where(step)
    try:
      with context:
        # Separately: if one of several fails, Orbax leaves others half read.
        for name, tree in items.items():
          loaded |= ocp.load_checkpointables(where, {name: tree})
    except Exception as error:  # Orbax raises many kinds for one cause
      failure = error
    failed = multihost_utils.process_allgather(np.array(failure is not None))
    if failed.any():
      reason = str(failure).strip() if failure else 'another host says so'
      raise Damaged(
        f'Checkpoint {where} is damaged, or cannot be read: {reason}'
      ) from failure
    return loaded

  def _move_away(self, damaged: Iterable[int]) -> None:
    if self._hold is None:
      return
    if jax.process_index() == 0:
      for step in damaged:
        source = epath.Path(self._where(step))
        target = _unused(epath.Path(f'{source}.damaged'))
        source.rename(target)
        logging.warning('The damaged checkpoint is now in %s.', target)
    multihost_utils.sync_global_devices('damaged checkpoints are moved')
    self._checkpointer.reload()

  def _where(self, step: int) -> str:
    return f'{self._folder}/{step}'

  def _not_written(self, reason: object) -> OSError:
    return OSError(
      f'A checkpoint could not be written to {self._folder}: {reason}\nIs the '
      'disk full? Earlier checkpoints are untouched: make room, and the same '
      'command goes on from the newest.'
    )


def _unused(path: epath.Path) -> epath.Path:
  """Returns the first of path, path.2, path.3 ... that does not exist."""
  number, free = 1, path
  while free.exists():
    number += 1
    free = epath.Path(f'{path}.{number}')
  return free


def _absolute(workdir: str) -> str:
  return workdir if '://' in workdir else str(pathlib.Path(workdir).absolute())


def _sha256(text: str) -> str:
  return hashlib.sha256(text.encode()).hexdigest()


def _split(
  state: states.TrainState,
) -> tuple[dict[str, PyTree], arrays.Params]:
  """Splits a state into the items `train` and `ema`."""
  train = dict(
    step=state.step,
    params=state.params,
    opt_state=state.opt_state,
    key=state.key,
  )
  return train, state.ema_params


def _shapes(tree: PyTree) -> dict[str, list[int]]:
  return {
    name: list(leaf.shape) for name, leaf in arrays.leaves_by_path(tree).items()
  }


def _check_shapes(
  where: str, saved: dict[str, list[int]], expected: dict[str, list[int]]
) -> None:
  """Compares the stored shapes with those of the config, leaf by leaf."""
  for name in sorted(saved.keys() | expected.keys()):
    if saved.get(name) == expected.get(name):
      continue
    there, here = (
      tuple(shapes[name]) if name in shapes else None
      for shapes in (saved, expected)
    )
    raise ValueError(
      f'Checkpoint {where} belongs to another model: {name} is '
      f'{there or "missing"} there, and {here or "unknown"} to this config. '
      'Use the config that it was trained with, or another --workdir.'
    )


def _check_finite(
  step: int, digests: dict[str, dict[str, checksum.Digest]]
) -> None:
  for item, tree in digests.items():
    for name, digest in tree.items():
      if not digest.finite:
        raise steps.NotFinite(step, f'{item} {name} is not finite')
