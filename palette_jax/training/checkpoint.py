"""Checkpoints: what is saved, and never loading what does not fit.

Orbax writes three items a step: `train` (step, params, optimizer, key), `ema`
(the average alone, so that sampling never loads the optimizer), `meta` (the
config, the data's fingerprint, one checksum a leaf: Orbax reads arrays whose
bytes were flipped without complaint).

Next: palette_jax/training/run.py
"""

import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree
from orbax.checkpoint import v1 as ocp

from palette_jax import arrays
from palette_jax.training import state as states

KEEP = 2  # if the newest turns out to be damaged, there is one before it


class Checkpoints:
  """The checkpoints of one run, in workdir/checkpoints."""

  def __init__(self, workdir: str):
    self._folder = _absolute(workdir) + '/checkpoints'
    policies = ocp.training.preservation_policies
    policy = policies.AnyPreservationPolicy(
      [policies.LatestN(KEEP), policies.CustomSteps([0])]  # 0: imported weights
    )
    context = ocp.Context()
    # Devices that hold the same array share the work of writing a large one.
    context.array.saving.min_slice_bytes_for_replica_parallel = 2**20
    self._checkpointer = ocp.training.Checkpointer(
      self._folder, context=context, preservation_policy=policy
    )

  def latest(self) -> int | None:
    """The newest complete checkpoint's step; None if there is none."""
    newest = self._checkpointer.latest
    return None if newest is None else newest.step

  def save(self, state: states.TrainState, meta: dict[str, Any]) -> None:
    """Starts to write the state in the background; once a step.

    Raises:
      RuntimeError: if the save could not be started. An earlier save that
        failed raises here, too: a run never goes on without its checkpoints.
    """
    step = int(state.step)
    if self.latest() == step:
      return
    self._checkpointer.wait()
    train, ema = _split(state)
    sums = {'train': checksums(train), 'ema': checksums(ema)}
    items = {'train': train, 'ema': ema}
    items['meta'] = {'json': json.dumps({**meta, 'checksums': sums})}
    started = self._checkpointer.save_checkpointables_async(
      step, items, force=True
    )
    if started is None:
      raise RuntimeError(f'Checkpoint {step} was not saved in {self._folder}.')

  def close(self) -> None:
    """Waits until everything is on disk."""
    self._checkpointer.close()

  def meta(self, step: int) -> dict[str, Any]:
    """What `save` was given, and the checksums.

    Raises:
      ValueError: if it cannot be read.
    """
    text = self._read(step, {'meta': None})['meta']['json']
    try:
      return json.loads(text)
    except json.JSONDecodeError as error:
      raise _damaged(self._where(step), f'meta: {error}') from error

  def restore(self, step: int, abstract: states.TrainState):
    """The whole state, onto the abstract state's shardings.

    Raises:
      ValueError: if it was saved by another model or its bytes have changed.
    """
    train, ema = _split(abstract)
    loaded = self._load(step, {'train': train, 'ema': ema})
    return abstract.replace(ema_params=loaded['ema'], **loaded['train'])

  def restore_ema(self, step: int, abstract: arrays.Params) -> arrays.Params:
    """The average alone, as `restore`."""
    return self._load(step, {'ema': abstract})['ema']

  def _load(self, step, abstract):
    """Reads items whole, and only if they are what is expected."""
    where = self._where(step)
    for item, expected in abstract.items():
      found = ocp.metadata(where, item).metadata
      if not found:  # Orbax has logged why
        raise _damaged(where, f'the structure of {item} cannot be read')
      _check_shapes(where, found, expected)
    loaded = self._read(step, abstract)
    sums = self.meta(step)['checksums']
    for item, tree in loaded.items():
      for name, found in checksums(tree).items():
        if sums.get(item, {}).get(name) != found:
          raise _damaged(where, f'the bits of {item} {name} have changed')
    return loaded

  def _read(self, step, items):
    try:
      return self._checkpointer.load_checkpointables(step, items)
    except Exception as error:  # Orbax has many kinds for one cause
      raise _damaged(self._where(step), str(error).strip()) from error

  def _where(self, step):
    return f'{self._folder}/{step}'


def _damaged(where: str, why: str) -> ValueError:
  return ValueError(
    f'Checkpoint {where} is damaged, or cannot be reached: {why}\nIf it is '
    'damaged, move that folder away, and the same command goes on from the '
    'checkpoint before it.'
  )


def _absolute(workdir: str) -> str:
  return workdir if '://' in workdir else str(pathlib.Path(workdir).absolute())


def _split(state):
  train = dict(
    step=state.step,
    params=state.params,
    opt_state=state.opt_state,
    key=state.key,
  )
  return train, state.ema_params


def _names(tree) -> dict[str, Any]:
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf
    for path, leaf in leaves
  }


def _check_shapes(where, saved, expected):
  """Compares what is stored with what the config asks for, leaf by leaf."""
  expected = jax.eval_shape(lambda tree: jax.tree.map(_bits, tree), expected)
  saved, expected = _names(saved), _names(expected)
  for name in sorted(saved.keys() | expected.keys()):
    found = getattr(saved.get(name), 'shape', None)
    wanted = getattr(expected.get(name), 'shape', None)
    if name in saved and name in expected and found == wanted:
      continue
    raise ValueError(
      f'Checkpoint {where} belongs to another model: {name} is '
      f'{"missing" if name not in saved else f"{tuple(found)}"} there, and '
      f'{"unknown" if name not in expected else f"{tuple(wanted)}"} to this '
      'config. Use the config that it was trained with, or another --workdir.'
    )


def _bits(array: Array) -> Array:
  """Keys as the numbers that they are on disk; other arrays as they are."""
  key = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
  return jax.random.key_data(array) if key else array


def checksums(tree: PyTree) -> dict[str, int]:
  """A 32-bit sum over the bits of each leaf, by name.

  It weighs each word by its position and wraps, so that it depends on every
  bit and not on how the leaf lies over devices.
  """
  totals = jax.tree.map(_checksum, tree)  # all start before one is awaited
  return {name: int(total) for name, total in _names(totals).items()}


@jax.jit  # leaf by leaf: most have the shape of another, and compile once
def _checksum(array: Array):
  words = jax.lax.bitcast_convert_type(_bits(array), jnp.uint32)
  position = jnp.zeros(words.shape, jnp.uint32)
  for axis, size in enumerate(words.shape):
    position = position * jnp.uint32(size) + jax.lax.broadcasted_iota(
      jnp.uint32, words.shape, axis
    )
  return jnp.sum(words * (2 * position + 1), dtype=jnp.uint32)
