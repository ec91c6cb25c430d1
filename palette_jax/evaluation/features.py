"""Features of images by networks and formulas, in batches, on all devices."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array

from palette_jax import console, sharding

# Images of a batch, uint8 [b h w 3] by kind -> values [b ...] by name.
Measure = Callable[[Any, Mapping[str, Array]], dict[str, Array]]


class Pass:
  """One look at a set of images, compiled once for all sets of one size."""

  def __init__(self, measure: Measure, params: Any, batch: int):
    """Prepares the pass on this host's devices.

    Args:
      measure: (params, images) -> values; pure.
      params: of all networks in it.
      batch: images at a time on this host; rounded up to its devices.
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
    self,
    batches: Iterable[dict[str, np.ndarray]],
    count: int,
    title: str,
  ) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Images, and what is measured of them, batch by batch; shows progress.

    Args:
      batches: of `self.batch` images each; the last one may be filled up, and
        is given back without what filled it.
      count: how many images there are.
      title: of the progress bar.
    """
    left = count
    with console.Progress(
      title, count, shown=jax.process_index() == 0
    ) as progress:
      for images in batches:
        placed = jax.device_put(images, sharding.by_batch(self._mesh))
        found = jax.device_get(self._measure(self._params, placed))
        rows = min(self.batch, left)
        yield tuple(
          {name: values[:rows] for name, values in one.items()}
          for one in (images, found)
        )
        left -= rows
        progress.advance(rows)


def rows_of_host(count: int) -> np.ndarray:
  """Which of `count` images this host looks at; at least one."""
  hosts = jax.process_count()
  return np.arange(jax.process_index(), max(count, hosts), hosts) % count


def gather(parts: list[dict[str, np.ndarray]], count: int) -> dict:
  """This host's batches -> all hosts' values, in the images' order.

  Args:
    parts: of batches of `rows_of_host(count)`; the last may be filled up.
    count: of all images.
  """
  rows, hosts = len(rows_of_host(count)), jax.process_count()
  own = {k: np.concatenate([p[k] for p in parts])[:rows] for k in parts[0]}
  if hosts == 1:
    return own
  return {name: _gather(values, count, hosts) for name, values in own.items()}


def _gather(values, count, hosts):
  """Every host sends as many rows as the one that has most.

  As bytes: JAX would make 32 bits of 64.
  """
  filled = np.resize(values, [-(-count // hosts), *values.shape[1:]])
  raw = filled.view(np.uint8).reshape(len(filled), -1)
  everywhere = np.asarray(multihost_utils.process_allgather(raw))
  in_order = np.swapaxes(everywhere, 0, 1).reshape(-1, raw.shape[1])
  whole = np.ascontiguousarray(in_order).view(values.dtype)
  return whole.reshape(-1, *values.shape[1:])[:count]
