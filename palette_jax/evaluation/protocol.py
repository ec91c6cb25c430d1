"""The protocol of the paper, for any model's outputs: folders in, scores out.

Every image is looked at once by every network and formula; what they say of it
is kept, and all figures are made of that. The network's own output is judged,
as it was written to its file.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from palette_jax.evaluation import (
  intervals,
  matching,
  observations,
  references,
  scores,
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


class Results(NamedTuple):
  """What came out.

  Attributes:
    subject: what was judged.
    count: images.
    size: their height and width.
    reference: of Frechet distances, in words.
    networks: those that were here, by name.
    rows: scores by metric, by row; the originals' own are under ORIGINAL.
    differences: of each row but the first to the first.
    diversity: MS-SSIM and LPIPS of samples of one input, [pairs n], by row.
    per_image: values behind the means, [n] by metric, by row.
    names: of the images.
    absent: metrics that could not be had, and why.
  """

  subject: observations.Subject
  count: int
  size: tuple[int, int]
  reference: str
  networks: dict[str, nets.Network]
  rows: dict[str, dict[str, intervals.Estimate]]
  differences: dict[str, dict[str, intervals.Estimate]]
  diversity: dict[str, dict[str, np.ndarray]]
  per_image: dict[str, dict[str, np.ndarray]]
  names: list[str]
  absent: dict[str, str]


ORIGINAL = 'originals'


def loaders(dialect: str = 'tf1') -> dict[str, Callable[[], nets.Network]]:
  """How to get each network that a metric takes."""
  return {
    'inception': functools.partial(inception.load, dialect),
    'resnet': functools.partial(resnet.load, 'centre'),
    'resnet_resized': functools.partial(resnet.load, 'resize'),
    'efficientnet': efficientnet.load,
    'lpips_alex': functools.partial(lpips.load, 'alex'),
    'lpips_vgg': functools.partial(lpips.load, 'vgg'),
  }


def load_networks(
  wanted: Sequence[str] | None, dialect: str = 'tf1'
) -> tuple[dict[str, nets.Network], dict[str, str]]:
  """The networks of some metrics, or of all whose weights are here.

  Args:
    wanted: names in scores.METRICS; None for all that can be had.
    dialect: of FID's resizing, one of inception.DIALECTS.

  Returns:
    Networks by name, and why others are missing.

  Raises:
    FileNotFoundError: if a metric was asked for by name and its network's
      weights are not here; says where to get them.
  """
  metrics = scores.METRICS if wanted is None else wanted
  needed = {scores.METRICS[name].network for name in metrics} - {''}
  found, missing = {}, {}
  for name, load in loaders(dialect).items():
    if name not in needed:
      continue
    try:
      found[name] = load()
    except FileNotFoundError as error:
      if wanted is not None:
        raise
      missing[name] = str(error)
  return found, missing


def judge(
  subject: observations.Subject,
  wanted: Sequence[str] | None = None,
  reference: str = '',
  dialect: str = 'tf1',
  batch: int = BATCH,
) -> Results:
  """Scores every row; on several hosts, each looks at its share.

  Args:
    subject: what is judged.
    wanted: names in scores.METRICS; None for all that can be had, in which
      case what cannot is said and not an error.
    reference: a source, folder or file of statistics for Frechet distances; ''
      for the originals.
    dialect: of FID's resizing, one of inception.DIALECTS.
    batch: images at a time.

  Raises:
    ValueError: for images without partners or of other sizes, values that are
      not finite, and fewer images than a metric that was asked for needs.
    FileNotFoundError: for folders and weights that are missing.
  """
  first = next(iter(subject.rows))
  matched = {name: observations.match(subject, name) for name in subject.rows}
  _check_same(matched)
  names, size = matched[first].names, _size(matched)
  networks, missing = load_networks(wanted, dialect)
  metrics, absent = _metrics(wanted, missing, len(names), size, subject)
  networks = {k: networks[k] for k in networks if _is_used(k, metrics)}
  look = observations.look(networks, size, batch)

  only = matching.Matched(names, {'original': matched[first].files['original']})
  originals = observations.of_row(look, only, subject, ORIGINAL)
  against = _reference(reference, size, networks, look.batch, originals)
  rows = {
    ORIGINAL: scores.of_originals(
      originals, against.moments if reference else None, metrics
    )
  }
  differences, drawn, per_image, baseline = {}, {}, {}, None
  for name in subject.rows:
    values = observations.of_row(look, matched[name], subject, name)
    means = per_image[name] = scores.per_image(values, originals)
    rows[name] = scores.of_outputs(
      values, means, originals, against.moments, metrics
    )
    if baseline is None:
      baseline = values
    else:
      differences[name] = scores.of_differences(
        (values, baseline), (means, per_image[first]), against.moments, metrics
      )
    if len(subject.rows[name]) > 1:
      drawn[name] = observations.of_samples(
        subject.rows[name], names, networks, batch
      )
      rows[name] |= scores.of_samples(drawn[name], metrics)
      if name != first and first in drawn:
        differences[name] |= scores.of_samples(
          drawn[name], metrics, drawn[first]
        )
  return Results(
    subject=subject,
    count=len(names),
    size=size,
    reference=against.name,
    networks=networks,
    rows=rows,
    differences=differences,
    diversity=drawn,
    per_image=per_image,
    names=names,
    absent=absent,
  )


def _check_same(matched):
  """Rows are compared image by image."""
  first, *others = matched
  for name in others:
    apart = set(matched[first].names) ^ set(matched[name].names)
    if apart:
      raise ValueError(
        f'{first} and {name} are of other images: {len(apart)} are in one of '
        f'them only, such as {min(apart)}. Judge the same images of both.'
      )


def _size(matched):
  """Of all rows."""
  sizes = {name: matching.size(one) for name, one in matched.items()}
  size = next(iter(sizes.values()))
  for name, other in sizes.items():
    if other != size:
      raise ValueError(f'{next(iter(sizes))} is of {size}, {name} of {other}.')
  return size


def _metrics(wanted, missing, count, size, subject):
  """Which metrics there will be, and why others will not."""
  metrics, absent = set(), {}
  usual = [k for k, metric in scores.METRICS.items() if not metric.on_demand]
  for name in usual if wanted is None else wanted:
    metric = scores.METRICS[name]
    if metric.network in missing:
      reason = missing[metric.network]
    elif count < metric.least:
      reason = f'{metric.title} needs {metric.least} images, not {count}.'
    elif min(size) < metric.side:
      reason = f'{metric.title} needs {metric.side} pixels, not {min(size)}.'
    else:
      reason = _lacking(name, subject)
    if not reason:
      metrics.add(name)
    elif wanted is None:
      absent[name] = reason
    else:
      raise ValueError(f'{reason} Or leave {name} out of --metrics.')
  return metrics, absent


def _lacking(name, subject):
  """What was not given that a metric takes."""
  task = subject.case.partition(':')[0]
  title = scores.METRICS[name].title
  if name == 'ca_probe' and not subject.probe:
    return f'{title} takes a classifier of these classes: --probe FILE.'
  if name in ('ca', 'ca_resized', 'ca_efficientnet') and subject.probe:
    return f"{title}: the classes are the probe's, not ImageNet's."
  if name.startswith('ca') and subject.labels is None:
    return f"{title} takes the images' classes: --labels FILE."
  if name == 'known_changed' and subject.holes is None:
    return f'{title} takes the holes: --holes DIR, white where a model paints.'
  for metric, of in (
    ('luma_error', 'colorization'),
    ('jpeg_consistency', 'jpeg'),
  ):
    if name == metric and (task != of or subject.inputs is None):
      return f'{title} takes --case={of} and --inputs DIR.'
  if name.startswith('diversity') and all(
    len(samples) == 1 for samples in subject.rows.values()
  ):
    return f'{title} takes more than one sample of each input.'
  return ''


def _is_used(network, metrics):
  """Images may be too small, or too few, for all that takes a network."""
  return any(scores.METRICS[name].network == network for name in metrics)


def _with_features(networks):
  return [key for key in networks if key in ('inception', 'efficientnet')]


def _reference(name, size, networks, batch, originals):
  """What Frechet distances are measured against."""
  chosen = {key: networks[key] for key in _with_features(networks)}
  if chosen and name.endswith('.npz'):
    return references.of_file(name, chosen)
  if chosen and name:
    return references.of_source(name, size, chosen, batch)
  moments = {
    key: frechet.Moments().add(originals[f'{key}/features']) for key in chosen
  }
  return references.Reference('the originals', moments)
