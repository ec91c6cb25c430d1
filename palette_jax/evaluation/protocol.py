"""The protocol of the paper, for any model's outputs: folders in, metrics out.

All networks and formulas measure every image in one pass, and all metrics are
computed from these measurements. The network's own output is judged, as it was
written to its file.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from palette_jax import tasks
from palette_jax.evaluation import (
  cases,
  estimates,
  features,
  matching,
  measurements,
  references,
  registry,
)
from palette_jax.evaluation import networks as nets
from palette_jax.evaluation.metrics import frechet
from palette_jax.evaluation.networks import (
  efficientnet,
  inception,
  lpips,
  resnet,
)

BATCH = 16  # images at a time on a host
ORIGINAL = 'originals'  # the row of the originals themselves


class Results(NamedTuple):
  """Metrics of all rows.

  Attributes:
    comparison: the rows.
    count: number of images.
    size: their height and width.
    reference: a description of the reference of Frechet distances.
    networks: the networks that were used, by name.
    rows: estimates by metric, by row; the originals' own are under ORIGINAL.
    differences: the differences of each row but the first to the first.
    diversity: MS-SSIM and LPIPS of samples of one input, [pairs n], by row.
    per_image: the values behind the means, [n] by metric, by row.
    names: names of the images.
    absent: for metrics that could not be computed, the reason.
  """

  comparison: matching.Comparison
  count: int
  size: tuple[int, int]
  reference: str
  networks: dict[str, nets.Network]
  rows: dict[str, estimates.Estimates]
  differences: dict[str, estimates.Estimates]
  diversity: dict[str, dict[str, np.ndarray]]
  per_image: dict[str, dict[str, np.ndarray]]
  names: list[str]
  absent: dict[str, str]


def loaders(dialect: str = 'tf1') -> dict[str, Callable[[], nets.Network]]:
  """Returns functions that load the networks that metrics take."""
  return {
    'inception': functools.partial(inception.load, dialect),
    'resnet': functools.partial(resnet.load, 'centre'),
    'resnet_resized': functools.partial(resnet.load, 'resize'),
    'efficientnet': efficientnet.load,
    'lpips_alex': functools.partial(lpips.load, 'alex'),
    'lpips_vgg': functools.partial(lpips.load, 'vgg'),
  }


def load_networks(
  metrics: Sequence[str] | None, dialect: str = 'tf1'
) -> tuple[dict[str, nets.Network], dict[str, str]]:
  """Loads the networks of some metrics, or all whose weights are available.

  Args:
    metrics: names in registry.METRICS; None for all that can be computed.
    dialect: dialect of FID's resizing, one of inception.DIALECTS.

  Returns:
    Networks by name, and the reasons why others are missing.

  Raises:
    FileNotFoundError: if a metric was requested by name and its network's
      weights are missing; says where to get them.
  """
  requested = registry.METRICS if metrics is None else metrics
  needed = {registry.METRICS[name].network for name in requested} - {''}
  networks, missing = {}, {}
  for name, load in loaders(dialect).items():
    if name not in needed:
      continue
    try:
      networks[name] = load()
    except FileNotFoundError as error:
      if metrics is not None:
        raise
      missing[name] = str(error)
  return networks, missing


class _Plan(NamedTuple):
  """Everything that is checked before images are measured.

  Attributes:
    matched: the files of each row.
    size: height and width of all images.
    networks: the networks that metrics take, by name.
    metrics: the metrics to compute.
    absent: for other metrics, the reason.
  """

  matched: dict[str, matching.Matched]
  size: tuple[int, int]
  networks: dict[str, nets.Network]
  metrics: set[str]
  absent: dict[str, str]

  @property
  def names(self) -> list[str]:
    return next(iter(self.matched.values())).names

  @property
  def originals(self) -> matching.Matched:
    files = next(iter(self.matched.values())).files
    return matching.Matched(self.names, {'original': files['original']})


def _plan(
  comparison: matching.Comparison, metrics: Sequence[str] | None, dialect: str
) -> _Plan:
  """Checks all files, loads networks and chooses metrics."""
  matched = {row: comparison.match(row) for row in comparison.rows}
  _check_same(matched)
  size = _size(matched)
  count = len(next(iter(matched.values())).names)
  networks, missing = load_networks(metrics, dialect)
  chosen, absent = _choose(metrics, missing, count, size, comparison)
  used = {k: networks[k] for k in networks if _is_used(k, chosen)}
  return _Plan(matched, size, used, chosen, absent)


def judge(
  comparison: matching.Comparison,
  metrics: Sequence[str] | None = None,
  reference: str = '',
  dialect: str = 'tf1',
  batch: int = BATCH,
) -> Results:
  """Computes the metrics of every row; each of several hosts takes a share.

  Args:
    comparison: the rows.
    metrics: names in registry.METRICS; None for all that can be computed, with
      a reason for each that cannot.
    reference: a source, folder or file of statistics for Frechet distances; ''
      for the originals.
    dialect: dialect of FID's resizing, one of inception.DIALECTS.
    batch: images at a time.

  Raises:
    ValueError: for images without partners or of different sizes, values that
      are not finite, and too few images for a requested metric.
    FileNotFoundError: for missing folders and weights.
  """
  plan = _plan(comparison, metrics, dialect)
  names, size, chosen = plan.names, plan.size, plan.metrics
  extract = measurements.extractor(plan.networks, size, batch)
  originals = measurements.of_images(
    extract, plan.originals, comparison, ORIGINAL
  )
  against = _reference(reference, size, plan.networks, extract.batch, originals)
  moments = against.moments
  rows = {
    ORIGINAL: estimates.of_originals(
      originals, moments if reference else None, chosen
    )
  }
  differences, per_image, first_values = {}, {}, {}
  first = next(iter(comparison.rows))
  for row, matched in plan.matched.items():
    values = measurements.of_images(extract, matched, comparison, row)
    per_image[row] = estimates.per_image(values, originals)
    rows[row] = estimates.of_outputs(
      values, per_image[row], originals, moments, chosen
    )
    if row == first:
      first_values = values
    else:
      pair = per_image[row], per_image[first]
      differences[row] = estimates.of_differences(
        (values, first_values), pair, moments, chosen
      )
  diversity = _diversity(comparison, names, plan.networks, batch)
  for row, pairs in diversity.items():
    rows[row] |= estimates.of_samples(pairs, chosen)
    if row != first and first in diversity:
      differences[row] |= estimates.of_samples(pairs, chosen, diversity[first])
  return Results(
    comparison=comparison,
    count=len(names),
    size=size,
    reference=against.name,
    networks=plan.networks,
    rows=rows,
    differences=differences,
    diversity=diversity,
    per_image=per_image,
    names=names,
    absent=plan.absent,
  )


def _diversity(
  comparison: matching.Comparison,
  names: Sequence[str],
  networks: measurements.Networks,
  batch: int,
) -> dict[str, dict[str, np.ndarray]]:
  """Compares the samples of each input, for rows with several."""
  return {
    row: measurements.of_samples(samples, names, networks, batch)
    for row, samples in comparison.rows.items()
    if len(samples) > 1
  }


def _check_same(matched: Mapping[str, matching.Matched]) -> None:
  """Checks that all rows have the same images."""
  first, *others = matched
  for name in others:
    different = set(matched[first].names) ^ set(matched[name].names)
    if different:
      raise ValueError(
        f'{first} and {name} have different images: {len(different)} are in '
        f'one of them only, such as {min(different)}. Judge the same images of '
        'both.'
      )


def _size(matched: Mapping[str, matching.Matched]) -> tuple[int, int]:
  """Returns the size of the images of all rows."""
  sizes = {row: matching.size(of_row) for row, of_row in matched.items()}
  first, *others = sizes
  for row in others:
    if sizes[row] != sizes[first]:
      raise ValueError(
        f'{first} has images of {sizes[first]}, {row} of {sizes[row]}: judge '
        'images of one size.'
      )
  return sizes[first]


def _choose(
  requested: Sequence[str] | None,
  missing: Mapping[str, str],
  count: int,
  size: tuple[int, int],
  comparison: matching.Comparison,
) -> tuple[set[str], dict[str, str]]:
  """Returns the metrics to compute, and the reasons against others."""
  chosen, absent = set(), {}
  names = requested
  if names is None:
    names = [k for k, v in registry.METRICS.items() if not v.on_demand]
  for name in names:
    metric = registry.METRICS[name]
    if metric.network in missing:
      reason = missing[metric.network]
    elif count < metric.least:
      reason = f'{metric.title} needs {metric.least} images, not {count}.'
    elif min(size) < metric.side:
      reason = f'{metric.title} needs {metric.side} pixels, not {min(size)}.'
    else:
      reason = _lacking(name, comparison)
    if not reason:
      chosen.add(name)
    elif requested is None:
      absent[name] = reason
    else:
      raise ValueError(f'{reason} Or leave {name} out of --metrics.')
  return chosen, absent


def _lacking(name: str, comparison: matching.Comparison) -> str:
  """Names the input that a metric lacks; '' for none."""
  title = registry.METRICS[name].title
  if name == 'ca_probe' and not comparison.probe:
    return f'{title} takes a classifier of these classes: --probe FILE.'
  if name in registry.ACCURACIES:
    if name != 'ca_probe' and comparison.probe:
      return f"{title}: the classes are the probe's, not ImageNet's."
    if comparison.labels is None:
      return f"{title} takes the images' classes: --labels FILE."
  if name == 'known_changed' and comparison.holes is None:
    return f'{title} takes the holes: --holes DIR, white where a model paints.'
  task = cases.task_of(comparison.case)
  of_tasks = [other.name for other in tasks.every() if name in other.metrics]
  if of_tasks and (task not in of_tasks or comparison.inputs is None):
    return f'{title} takes --case={of_tasks[0]} and --inputs DIR.'
  if name.startswith('diversity') and all(
    len(samples) == 1 for samples in comparison.rows.values()
  ):
    return f'{title} takes more than one sample of each input.'
  return ''


def _is_used(network: str, metrics: Iterable[str]) -> bool:
  """Checks whether a metric that can be computed takes a network."""
  return any(registry.METRICS[name].network == network for name in metrics)


def _reference(
  name: str,
  size: tuple[int, int],
  networks: measurements.Networks,
  batch: int,
  originals: features.Values,
) -> references.Reference:
  """Returns the reference of Frechet distances."""
  chosen = {k: networks[k] for k in networks if k in estimates.NETWORKS}
  if chosen and name.endswith('.npz'):
    return references.of_file(name, chosen)
  if chosen and name:
    return references.of_source(name, size, chosen, batch)
  moments = {
    key: frechet.Moments().add(originals[f'{key}/features']) for key in chosen
  }
  return references.Reference('the originals', moments)
