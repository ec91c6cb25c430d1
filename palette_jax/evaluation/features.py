"""Computes features and formulas of images in batches, on all devices."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, Int, Shaped

from palette_jax import console, sharding

Params = TypeVar('Params')  # a tree of arrays
# Arrays [n ...] of as many images, by name.
Values = dict[str, np.ndarray]


class Extractor:
  """A pure function of images, compiled once for all sets of one size."""

  def __init__(
    self,
    measure: Callable[[Params, Mapping[str, Array]], dict[str, Array]],
    params: Params,
    batch: int,
  ) -> None:
    """Prepares the function for this host's devices.

    Args:
      measure: (params, uint8 [b h w 3] by kind) -> values [b ...] by name.
      params: parameters of all networks in it.
      batch: images at a time on this host; rounded up to a multiple of its
        devices.
    """
    mesh = sharding.make_mesh(devices=jax.local_devices())
    self.batch = batch + -batch % mesh.size
    self._mesh = mesh
    self._params = jax.device_put(params, sharding.replicated(mesh))
    self._measure = jax.jit(
      measure,
      out_shardings=sharding.by_batch(mesh),
      compiler_options=sharding.compiler_options(),
    )

  def over(
    self, batches: Iterable[Values], count: int, title: str
  ) -> Iterator[tuple[Values, Values]]:
    """Yields images and their values, batch by batch, and shows progress.

    Args:
      batches: `self.batch` images each. The last one may be padded; the padding
        is not yielded.
      count: number of images, without padding.
      title: title of the progress bar.
    """
    left = count
    shown = jax.process_index() == 0
    with console.Progress(title, count, shown=shown) as progress:
      for images in batches:
        placed = jax.device_put(images, sharding.by_batch(self._mesh))
        values = jax.device_get(self._measure(self._params, placed))
        n = min(self.batch, left)
        yield _first(images, n), _first(values, n)
        left -= n
        progress.advance(n)


def _first(values: Values, n: int) -> Values:
  return {name: array[:n] for name, array in values.items()}


def share_of_host(count: int) -> Int[np.ndarray, ' n']:
  """Returns the indices of this host's share of images; at least one."""
  hosts = jax.process_count()
  return np.arange(jax.process_index(), max(count, hosts), hosts) % count


def gather(parts: list[Values], count: int) -> Values:
  """Collects the values of all hosts, in the order of the images.

  Args:
    parts: values of this host's batches; the last may be padded.
    count: number of images on all hosts.
  """
  share, hosts = len(share_of_host(count)), jax.process_count()
  own = {k: np.concatenate([p[k] for p in parts])[:share] for k in parts[0]}
  if hosts == 1:
    return own
  return {name: _gather(values, count, hosts) for name, values in own.items()}


def _gather(
  values: Shaped[np.ndarray, 'share ...'], count: int, hosts: int
) -> Shaped[np.ndarray, 'count ...']:
  """Collects an array of all hosts.

  Every host pads its share to the longest, and sends bytes: JAX would cut
  64 bits to 32.
  """
  padded = np.resize(values, [-(-count // hosts), *values.shape[1:]])
  raw = padded.view(np.uint8).reshape(len(padded), -1)
  everywhere = np.asarray(multihost_utils.process_allgather(raw))
  in_order = np.swapaxes(everywhere, 0, 1).reshape(-1, raw.shape[1])
  whole = np.ascontiguousarray(in_order).view(values.dtype)
  return whole.reshape(-1, *values.shape[1:])[:count]
