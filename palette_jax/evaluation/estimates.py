"""Estimates of metrics, with intervals, from the measurements of each image."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from palette_jax.evaluation import intervals, registry
from palette_jax.evaluation.metrics import (
  diversity,
  faithfulness,
  frechet,
  inception_score,
  kernel_distance,
  precision_recall,
)

Values = Mapping[str, np.ndarray]
Moments = Mapping[str, frechet.Moments]
Estimates = dict[str, intervals.Estimate]


class _Names(NamedTuple):
  """Names of the metrics of a network's features."""

  distance: str
  at_infinity: str
  kernel: str
  suffix: str = ''


_BY_NETWORK = {
  'inception': _Names('fid', 'fid_infinity', 'kid'),
  'efficientnet': _Names(
    'fd_efficientnet',
    'fd_infinity_efficientnet',
    'kd_efficientnet',
    '_efficientnet',
  ),
}
NETWORKS = tuple(_BY_NETWORK)  # those with features


def of_originals(
  values: Values, moments: Moments | None, metrics: Collection[str]
) -> Estimates:
  """Estimates the metrics of the originals, as a bound for those of outputs.

  Args:
    values: measurements of the originals, as of an output.
    moments: moments of a reference other than the originals; None for none.
    metrics: names in registry.METRICS; no others are computed.
  """
  estimates = {}
  for network, names in _BY_NETWORK.items():
    if f'{network}/features' not in values:
      continue
    if moments and names.distance in metrics:
      estimates[names.distance] = frechet.estimate(
        values[f'{network}/features'], moments[network]
      )
    if f'is{names.suffix}' in metrics:
      estimates[f'is{names.suffix}'] = _inception_score(values, network)
  if 'colourfulness' in metrics:
    estimates['colourfulness'] = intervals.mean(values['colourfulness'])
  return estimates | _accuracies(values, metrics)


def of_outputs(
  values: Values,
  means: Values,
  originals: Values,
  moments: Moments,
  metrics: Collection[str],
) -> Estimates:
  """Estimates all metrics of a row.

  Args:
    values: measurements of each output, in the originals' order:
      'inception/features' and so on; under a metric's own name where the metric
      is their mean.
    means: `per_image` of them.
    originals: measurements of the originals.
    moments: moments of the reference's features, by network.
    metrics: names in registry.METRICS; no others are computed.

  Raises:
    ValueError: for values that are not finite.
  """
  estimates = {}
  for network in _BY_NETWORK:
    if f'{network}/features' in values:
      estimates |= _of_network(network, values, originals, moments, metrics)
  estimates |= _accuracies(values, metrics)
  for name, of_images in means.items():
    if name in metrics and name not in estimates:
      estimates[name] = intervals.mean(of_images)
  return estimates


def of_differences(
  values: tuple[Values, Values],
  means: tuple[Values, Values],
  moments: Moments,
  metrics: Collection[str],
) -> Estimates:
  """Estimates a row's metrics less those of another row, image by image.

  Args:
    values: measurements of the row and of the other, as in `of_outputs`.
    means: likewise.
    moments: likewise.
    metrics: names in registry.METRICS.

  Returns:
    Estimates, without those of means that are infinite for an image.
  """
  estimates = {}
  for network, names in _BY_NETWORK.items():
    key = f'{network}/features'
    if names.distance in metrics and key in values[0]:
      estimates[names.distance] = frechet.difference(
        values[0][key], values[1][key], moments[network]
      )
  for name in means[0].keys() & means[1].keys() & set(metrics):
    ours, theirs = (side[name] for side in means)
    if np.isfinite(ours).all() and np.isfinite(theirs).all():
      estimates[name] = intervals.paired(ours, theirs)
  return estimates


def of_samples(
  pairs: Values, metrics: Collection[str], others: Values | None = None
) -> Estimates:
  """Estimates how diverse the samples of each input are.

  Args:
    pairs: [pairs n] by 'ms_ssim' and 'lpips_alex'.
    metrics: names in registry.METRICS.
    others: of another row and the same inputs; if given, the estimates are
      differences to it.
  """
  estimates = {}
  for key, values in pairs.items():
    name = f'diversity_{key}'
    if name not in metrics:
      continue
    if others is None:
      estimates[name] = diversity.estimate(values)
    else:
      ours, theirs = (side.mean(axis=0) for side in (values, others[key]))
      estimates[name] = intervals.paired(ours, theirs)
  return estimates


def per_image(values: Values, originals: Values) -> dict[str, np.ndarray]:
  """Returns the metrics that are means over images: [n] by name."""
  means = {k: v for k, v in values.items() if k in registry.METRICS}
  for network, names in _BY_NETWORK.items():
    key = f'{network}/features'
    if key in values:
      difference = values[key].astype(np.float64) - originals[key]
      squares = np.sum(difference**2, axis=1)
      means[f'pd{names.suffix}'] = np.sqrt(squares)
      means[f'pd_squared{names.suffix}'] = squares
  for name, hits in _hits(values):
    means[name] = hits.astype(np.float64)
  drift = faithfulness.colour_drift(_colours(values), _colours(originals))
  for i, channel in enumerate(registry.CHANNELS):
    means[f'mean_{channel}'] = drift.mean[:, i]
    means[f'variance_{channel}'] = drift.variance[:, i]
  return means


def _of_network(
  network: str,
  values: Values,
  originals: Values,
  moments: Moments,
  metrics: Collection[str],
) -> Estimates:
  """Estimates the metrics of features and logits that are not means."""
  key, names = f'{network}/features', _BY_NETWORK[network]
  estimates = {}
  if names.distance in metrics:
    estimates[names.distance] = frechet.estimate(values[key], moments[network])
  if names.at_infinity in metrics:
    estimates[names.at_infinity] = frechet.at_infinity(
      values[key], moments[network]
    )
  if names.kernel in metrics:
    estimates[names.kernel] = kernel_distance.estimate(
      values[key], originals[key]
    )
  pair = f'precision{names.suffix}', f'recall{names.suffix}'
  if set(metrics) & set(pair):
    both = precision_recall.estimate(values[key], originals[key], registry.K)
    estimates |= {k: v for k, v in zip(pair, both) if k in metrics}
  if f'is{names.suffix}' in metrics:
    estimates[f'is{names.suffix}'] = _inception_score(values, network)
  return estimates


def _inception_score(values: Values, network: str) -> intervals.Estimate:
  return inception_score.estimate(values[f'{network}/logits'], registry.SPLITS)


def _colours(values: Values) -> faithfulness.Colours:
  return faithfulness.Colours(values['mean'], values['variance'])


def _accuracies(values: Values, metrics: Collection[str]) -> Estimates:
  return {
    name: intervals.share(hits)
    for name, hits in _hits(values)
    if name in metrics
  }


def _hits(values: Values) -> Iterator[tuple[str, np.ndarray]]:
  """Yields, for each classifier, whether it recognises each image's class."""
  classifiers = dict(
    ca='resnet', ca_resized='resnet_resized', ca_efficientnet='efficientnet'
  )
  if 'probe/top1' in values:
    classifiers = dict(ca_probe='probe')
  if 'label' in values:
    for name, network in classifiers.items():
      if f'{network}/top1' in values:
        yield name, values[f'{network}/top1'] == values['label']
