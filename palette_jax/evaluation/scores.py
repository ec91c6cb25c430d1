"""From what was measured of every image to figures with intervals.

The paper reports FID, IS, CA and PD (section 4); the others are what readers of
such tables ask for. EfficientNet's figures have names of their own: those of
one network do not compare with another's.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from palette_jax.evaluation import intervals
from palette_jax.evaluation.metrics import (
  diversity,
  faithfulness,
  frechet,
  inception_score,
  kernel_distance,
  precision_recall,
  similarity,
)
from palette_jax.evaluation.networks import lpips

Values = Mapping[str, np.ndarray]
CHANNELS = 'red', 'green', 'blue'
SPLITS = 10  # of the Inception Score; the paper does not state its own
K = 3  # the neighbour of precision and recall


class Metric(NamedTuple):
  """How a figure is written.

  Attributes:
    title: in a table.
    better: 'lower', 'higher', or '' where neither is.
    digits: after the point.
    network: that it takes; '' for none.
    least: images, below which there is no figure.
    scale: of what is written: 100 for per cent.
    side: pixels, below which there is none either.
    on_demand: whether it is computed only if it is asked for by name.
  """

  title: str
  better: str
  digits: int
  network: str = ''
  least: int = 1
  scale: float = 1.0
  side: int = 1
  on_demand: bool = False


def _of_features(network, suffix, frechet_name, kernel_name):
  """What a network's features and logits give."""
  ending = f'_{suffix}' if suffix else ''
  words = f'-{suffix}' if suffix else ''
  return {
    frechet_name.lower() + ending: Metric(
      frechet_name + words, 'lower', 2, network, 2
    ),
    kernel_name.lower() + ending: Metric(
      f'{kernel_name}{words} x 1000', 'lower', 2, network, 2, 1000.0
    ),
    f'{frechet_name.lower()}_infinity{ending}': Metric(
      f'{frechet_name}{words}, infinitely many images',
      'lower',
      2,
      network,
      2 * frechet.SIZES,
      on_demand=True,
    ),
    f'is{ending}': Metric(f'IS{words}', 'higher', 1, network, SPLITS),
    f'precision{ending}': Metric(
      f'precision{words}', 'higher', 3, network, K + 1
    ),
    f'recall{ending}': Metric(f'recall{words}', 'higher', 3, network, K + 1),
    f'pd{ending}': Metric(f'PD{words}', 'lower', 2, network),
    f'pd_squared{ending}': Metric(f'PD{words} squared', 'lower', 1, network),
  }


METRICS = {
  **_of_features('inception', '', 'FID', 'KID'),
  'ca': Metric('CA (%)', 'higher', 1, 'resnet', 1, 100.0),
  'ca_resized': Metric(
    'CA, resized (%)', 'higher', 1, 'resnet_resized', 1, 100.0
  ),
  **_of_features('efficientnet', 'efficientnet', 'FD', 'KD'),
  'ca_efficientnet': Metric(
    'CA-efficientnet (%)', 'higher', 1, 'efficientnet', 1, 100.0
  ),
  'ca_probe': Metric('CA-probe (%)', 'higher', 1, 'efficientnet', 1, 100.0),
  'lpips_alex': Metric(
    'LPIPS (alex)', 'lower', 4, 'lpips_alex', side=lpips.SMALLEST['alex']
  ),
  'lpips_vgg': Metric(
    'LPIPS (vgg)', 'lower', 4, 'lpips_vgg', side=lpips.SMALLEST['vgg']
  ),
  'psnr': Metric('PSNR (dB)', 'higher', 2),
  'ssim': Metric('SSIM', 'higher', 4, side=similarity.SIDE),
  'ms_ssim': Metric('MS-SSIM', 'higher', 4, side=similarity.SIDE),
  'known_changed': Metric('known pixels changed', 'lower', 0),
  'luma_error': Metric('luma error (levels)', 'lower', 2),
  'jpeg_consistency': Metric('PSNR, compressed again (dB)', 'higher', 2),
  'colourfulness': Metric('colourfulness', '', 1),
  **{
    f'mean_{channel}': Metric(f'{channel}: mean, drift (levels)', '', 2)
    for channel in CHANNELS
  },
  **{
    f'variance_{channel}': Metric(f'{channel}: variance, drift', '', 0)
    for channel in CHANNELS
  },
  'diversity_ms_ssim': Metric(
    'MS-SSIM of samples', 'lower', 4, side=similarity.SIDE
  ),
  'diversity_lpips_alex': Metric(
    'LPIPS (alex) of samples',
    'higher',
    4,
    'lpips_alex',
    side=lpips.SMALLEST['alex'],
  ),
}
_SUFFIX = {'inception': '', 'efficientnet': '_efficientnet'}
FRECHET = 'fid', 'fid_infinity', 'fd_efficientnet', 'fd_infinity_efficientnet'
_DISTANCE = {
  'inception': ('fid', 'fid_infinity', 'kid'),
  'efficientnet': (
    'fd_efficientnet',
    'fd_infinity_efficientnet',
    'kd_efficientnet',
  ),
}


def of_originals(
  values: Values,
  moments: Mapping[str, frechet.Moments] | None,
  wanted: set[str],
) -> dict[str, intervals.Estimate]:
  """What the originals themselves score, which no output need exceed.

  Args:
    values: of the originals, as of an output.
    moments: of a reference that is not the originals; None for none.
    wanted: names in METRICS; the others are not computed.
  """
  found = {}
  for network, suffix in _SUFFIX.items():
    if f'{network}/features' not in values:
      continue
    name = _DISTANCE[network][0]
    if moments and name in wanted:
      found[name] = frechet.estimate(
        values[f'{network}/features'], moments[network]
      )
    if f'is{suffix}' in wanted:
      found[f'is{suffix}'] = _inception_score(values, network)
  if 'colourfulness' in wanted:
    found['colourfulness'] = intervals.mean(values['colourfulness'])
  return found | _accuracy(values, wanted)


def of_outputs(
  values: Values,
  means: Values,
  originals: Values,
  moments: Mapping[str, frechet.Moments],
  wanted: set[str],
) -> dict[str, intervals.Estimate]:
  """All figures of a set of outputs.

  Args:
    values: of each output, in the originals' order: 'inception/features' and
      so on; a metric's own name for what is a mean over images.
    means: what `per_image` makes of them.
    originals: as values.
    moments: of the reference's features, by network.
    wanted: names in METRICS; the others are not computed.

  Raises:
    ValueError: for values that are not finite.
  """
  found = {}
  for network in _SUFFIX:
    if f'{network}/features' in values:
      found |= _of_network(network, values, originals, moments, wanted)
  found |= _accuracy(values, wanted)
  for name, one in means.items():
    if name in wanted and name not in found:
      found[name] = intervals.mean(one)
  return found


def of_differences(
  values: tuple[Values, Values],
  means: tuple[Values, Values],
  moments: Mapping[str, frechet.Moments],
  wanted: set[str],
) -> dict[str, intervals.Estimate]:
  """How much more one set of outputs scores than another, image by image.

  Args:
    values: of the one and of the other, as in `of_outputs`.
    means: likewise.
    moments: likewise.
    wanted: names in METRICS.

  Returns:
    Estimates; none of means that are infinite for an image.
  """
  found = {}
  for network, (name, *_) in _DISTANCE.items():
    key = f'{network}/features'
    if name in wanted and key in values[0]:
      found[name] = frechet.difference(
        *(side[key] for side in values), moments[network]
      )
  for name in means[0].keys() & means[1].keys() & wanted:
    ours, theirs = (side[name] for side in means)
    if np.isfinite(ours).all() and np.isfinite(theirs).all():
      found[name] = intervals.paired(ours, theirs)
  return found


def of_samples(
  pairs: Values, wanted: set[str], others: Values | None = None
) -> dict[str, intervals.Estimate]:
  """How diverse the samples of each input are, or how much more than others.

  Args:
    pairs: [pairs n] by 'ms_ssim' and 'lpips_alex'.
    wanted: names in METRICS.
    others: of the same inputs, which are taken off.
  """
  found = {}
  for key, values in pairs.items():
    name = f'diversity_{key}'
    if name not in wanted:
      continue
    if others is None:
      found[name] = diversity.estimate(values)
    else:
      means = (side.mean(axis=0) for side in (values, others[key]))
      found[name] = intervals.paired(*means)
  return found


def per_image(values: Values, originals: Values) -> dict[str, np.ndarray]:
  """The metrics that are means over images: [n] by name."""
  found = {k: v for k, v in values.items() if k in METRICS}
  for network, suffix in _SUFFIX.items():
    key = f'{network}/features'
    if key in values:
      apart = values[key].astype(np.float64) - originals[key]
      squares = np.sum(apart**2, axis=1)
      found[f'pd{suffix}'] = np.sqrt(squares)
      found[f'pd_squared{suffix}'] = squares
  for name, hits in _hits(values):
    found[name] = hits.astype(np.float64)
  drift = faithfulness.colour_drift(
    *(
      faithfulness.Colours(v['mean'], v['variance'])
      for v in (values, originals)
    )
  )
  for i, channel in enumerate(CHANNELS):
    found[f'mean_{channel}'] = drift.mean[:, i]
    found[f'variance_{channel}'] = drift.variance[:, i]
  return found


def _of_network(network, values, originals, moments, wanted):
  """What its features and logits give, but for means over images."""
  key, suffix = f'{network}/features', _SUFFIX[network]
  distance, at_infinity, kernel = _DISTANCE[network]
  found = {}
  if distance in wanted:
    found[distance] = frechet.estimate(values[key], moments[network])
  if at_infinity in wanted:
    found[at_infinity] = frechet.at_infinity(values[key], moments[network])
  if kernel in wanted:
    found[kernel] = kernel_distance.estimate(values[key], originals[key])
  pair = f'precision{suffix}', f'recall{suffix}'
  if wanted & set(pair):
    both = precision_recall.estimate(values[key], originals[key], K)
    found |= {k: v for k, v in zip(pair, both) if k in wanted}
  if f'is{suffix}' in wanted:
    found[f'is{suffix}'] = _inception_score(values, network)
  return found


def _inception_score(values, network):
  return inception_score.estimate(values[f'{network}/logits'], SPLITS)


def _accuracy(values, wanted):
  return {
    name: intervals.share(hits)
    for name, hits in _hits(values)
    if name in wanted
  }


def _hits(values) -> Iterable[tuple[str, np.ndarray]]:
  """Whether each classifier names each image's class."""
  classifiers = dict(
    ca='resnet', ca_resized='resnet_resized', ca_efficientnet='efficientnet'
  )
  if 'probe/top1' in values:
    classifiers = dict(ca_probe='probe')
  if 'label' in values:
    for name, network in classifiers.items():
      if f'{network}/top1' in values:
        yield name, values[f'{network}/top1'] == values['label']
