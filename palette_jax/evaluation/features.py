"""Images -> what networks and formulas say of them, in batches, on all devices.

Next: palette_jax/evaluation/references.py
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import tqdm
from jax.experimental import multihost_utils
from jaxtyping import Array

from palette_jax import sharding

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
    batches: Iterator[Mapping[str, np.ndarray]],
    count: int,
    title: str,
  ) -> Iterator[dict[str, np.ndarray]]:
    """What is measured, batch by batch, of `count` images; shows progress.

    Args:
      batches: of `self.batch` images each; the last one may be filled up.
      count: how many images there are.
      title: of the progress bar.
    """
    quiet = None if jax.process_index() == 0 else True
    with tqdm.tqdm(total=count, desc=title, unit='image', disable=quiet) as bar:
      for images in batches:
        placed = jax.device_put(images, sharding.by_batch(self._mesh))
        found = jax.device_get(self._measure(self._params, placed))
        wanted = min(self.batch, count - bar.n)
        yield {name: values[:wanted] for name, values in found.items()}
        bar.update(wanted)


def rows_of_host(count: int) -> np.ndarray:
  """Which of `count` images this host looks at; at least one."""
  hosts = jax.process_count()
  return np.arange(jax.process_index(), max(count, hosts), hosts) % count


def gather(parts: list[dict[str, np.ndarray]], count: int) -> dict:
  """This host's batches -> all hosts' values, in the images' order.

  Args:
    parts: what `Pass.over` gave for `rows_of_host(count)`.
    count: of all images.
  """
  names = parts[0] if parts else {}
  own = {k: np.concatenate([part[k] for part in parts]) for k in names}
  hosts = jax.process_count()
  if hosts == 1:
    return own
  # Every host sends as many rows as the one that has most.
  most = -(-count // hosts)
  padded = {k: np.resize(v, [most, *v.shape[1:]]) for k, v in own.items()}
  gathered = multihost_utils.process_allgather(padded)
  return {
    k: np.swapaxes(v, 0, 1).reshape(-1, *v.shape[2:])[:count]
    for k, v in gathered.items()
  }
