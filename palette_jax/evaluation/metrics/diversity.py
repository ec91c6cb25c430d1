"""Diversity of a model's samples for the same input (Palette, section 5.6).

The paper draws several samples of each input and compares the first with all
others by MS-SSIM (its Figure 8), and each with the next by LPIPS. Neither
measures quality: noise is diverse. The paper does not state how many samples it
drew.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from palette_jax.evaluation import intervals
from palette_jax.evaluation.metrics import similarity

_BINS = 30  # of the histogram; the paper does not state its own
_BATCH = 16  # pairs: MS-SSIM of 256x256 takes 10 MB for each
_ms_ssim = jax.jit(similarity.ms_ssim)

# (uint8 [b h w 3], uint8 [b h w 3]) -> [b]
Distance = Callable[[np.ndarray, np.ndarray], Any]


def to_first(
  samples_u8: UInt8[np.ndarray, 'k n h w 3'],
) -> Float[np.ndarray, 'pairs n']:
  """Returns the MS-SSIM of each input's first sample with each other sample.

  Args:
    samples_u8: k samples of each of n inputs.

  Returns:
    float64 [k - 1 n]: 1 where two samples are equal, lower where they differ.

  Raises:
    ValueError: if there are fewer than two samples, or sides below 11 pixels.
  """
  _check_samples(samples_u8)
  return _stacked(_ms_ssim, [(samples_u8[0], x) for x in samples_u8[1:]])


def between_consecutive(
  samples_u8: UInt8[np.ndarray, 'k n h w 3'], distance: Distance
) -> Float[np.ndarray, 'pairs n']:
  """Returns a distance (the paper's is LPIPS) between each sample and the next.

  Args:
    samples_u8: k samples of each of n inputs.
    distance: such as LPIPS with its parameters bound; it is called with at most
      16 pairs at a time.

  Returns:
    float64 [k - 1 n]: 0 where two samples are equal.

  Raises:
    ValueError: if there are fewer than two samples.
  """
  _check_samples(samples_u8)
  return _stacked(distance, zip(samples_u8, samples_u8[1:]))


def estimate(
  pairs: Float[np.ndarray, 'pairs n'], seed: int = 0
) -> intervals.Estimate:
  """Estimates the mean over pairs and inputs, with an interval over inputs.

  More samples of an input are not new inputs.

  Args:
    pairs: result of `to_first` or `between_consecutive`.
    seed: random seed of the bootstrap.
  """
  return intervals.mean(pairs.mean(axis=0), seed)


def histograms(
  rows: Mapping[str, Float[np.ndarray, '...']],
) -> tuple[Float[np.ndarray, ' edges'], dict[str, Int[np.ndarray, ' bins']]]:
  """Counts the pairs of each row by bin (Figure 8).

  The bins range from the lowest to the highest value of all rows, since small
  images differ much less than large ones.

  Returns:
    The edges of the bins, which all rows share, and the counts of each row.
  """
  together = np.concatenate([np.ravel(values) for values in rows.values()])
  edges = np.histogram_bin_edges(together, _BINS)
  return edges, {
    row: np.histogram(values, edges)[0] for row, values in rows.items()
  }


def _stacked(
  distance: Distance, pairs: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Float[np.ndarray, 'pairs n']:
  def in_batches(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    starts = range(0, len(a), _BATCH)
    parts = [distance(a[i : i + _BATCH], b[i : i + _BATCH]) for i in starts]
    return np.concatenate([np.asarray(part) for part in parts])

  return np.stack([in_batches(a, b) for a, b in pairs]).astype(np.float64)


def _check_samples(samples_u8: UInt8[np.ndarray, 'k n h w 3']) -> None:
  if len(samples_u8) < 2:
    raise ValueError(
      f'Diversity needs 2 samples of each input, not {len(samples_u8)}: draw '
      'more, with other seeds.'
    )
