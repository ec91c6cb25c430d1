"""Measures each image by networks and formulas, in one pass."""

import functools
import posixpath
from collections.abc import Mapping, Sequence
from typing import cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from palette_jax import arrays, tasks
from palette_jax.evaluation import cases, features, matching
from palette_jax.evaluation import networks as nets
from palette_jax.evaluation.metrics import diversity, faithfulness, similarity

Networks = Mapping[str, nets.Network]


def extractor(
  networks: Networks, size: tuple[int, int], batch: int
) -> features.Extractor:
  """Returns the function that measures a batch of images on the devices.

  Args:
    networks: networks by name; the names of LPIPS begin with 'lpips'.
    size: height and width of the images.
    batch: images at a time.
  """
  pairwise = [key for key in networks if key.startswith('lpips')]
  single = [key for key in networks if key not in pairwise]
  formulas = [similarity.psnr]
  if min(size) >= similarity.SIDE:
    formulas += [similarity.ssim, similarity.ms_ssim]

  def measure(
    params: Mapping[str, arrays.Params], images: Mapping[str, Array]
  ) -> dict[str, Array]:
    judged = images.get('output', images['original'])
    values = {}
    for key in single:
      answer = networks[key].apply(params[key], judged)
      if 'features' in answer:
        values |= {f'{key}/{name}': answer[name] for name in answer}
      values[f'{key}/top1'] = jnp.argmax(answer['logits'], axis=-1)
    if 'output' in images:
      pair = judged, images['original']
      for key in pairwise:
        distance = networks[key].apply(params[key], *pair)
        values[key] = cast(Array, distance)  # of LPIPS
      for formula in formulas:
        values[formula.__name__] = formula(*pair)
    return values

  params = {key: network.params for key, network in networks.items()}
  return features.Extractor(measure, params, batch)


def of_images(
  extract: features.Extractor,
  matched: matching.Matched,
  comparison: matching.Comparison,
  title: str,
) -> dict[str, np.ndarray]:
  """Measures every output of a row, or every original: [n ...] by name.

  Each of several hosts measures its share, and all get everything.

  Raises:
    ValueError: for a file that cannot be read, another size, or an image
      without a label.
  """
  count = len(matched.names)
  share = features.share_of_host(count)
  batches = matching.batches(matched, extract.batch, share)
  parts = [
    values | _on_host(images, comparison.case)
    for images, values in extract.over(batches, len(share), title)
  ]
  values = features.gather(parts, count)
  if comparison.labels is not None:
    values['label'] = _labels(comparison.labels, matched.names)
  if comparison.probe and 'efficientnet/features' in values:
    values['probe/top1'] = comparison.probe.classify(
      values['efficientnet/features']
    )
  return values


def of_samples(
  samples: Sequence[str],
  names: Sequence[str],
  networks: Networks,
  batch: int,
) -> dict[str, np.ndarray]:
  """Measures the differences between samples of one input.

  Args:
    samples: folders of samples.
    names: names of the images.
    networks: networks by name.
    batch: images at a time.

  Returns:
    [pairs n] by 'ms_ssim', 'lpips_alex'.

  Raises:
    ValueError: if the folders are not of the same images.
  """
  matched = matching.match({str(i): path for i, path in enumerate(samples)})
  if matched.names != names:
    raise ValueError(
      f'{samples[0]} and its further samples are not of the same images.'
    )
  share = features.share_of_host(len(names))
  parts = []
  for images in matching.batches(matched, batch, share):
    stacked = np.stack(list(images.values()))
    values = {}
    if min(stacked.shape[2:4]) >= similarity.SIDE:
      values['ms_ssim'] = diversity.to_first(stacked).T
    if 'lpips_alex' in networks:
      network = networks['lpips_alex']
      distance = functools.partial(network.apply, network.params)
      values['lpips_alex'] = diversity.between_consecutive(stacked, distance).T
    parts.append(values)
  return {k: v.T for k, v in features.gather(parts, len(names)).items()}


def _on_host(
  images: Mapping[str, np.ndarray], case: str
) -> dict[str, np.ndarray]:
  """Measures, on the CPU, colours and faithfulness to the input."""
  original = images['original']
  judged = images.get('output', original)
  mean, variance = faithfulness.colours(judged)
  values = dict(
    mean=mean,
    variance=variance,
    colourfulness=faithfulness.colourfulness(judged),
  )
  if 'output' not in images:
    return values
  if 'hole' in images:
    mask = images['hole'][..., :1] >= 128
    values['known_changed'] = faithfulness.known_changed(judged, original, mask)
  if 'input' not in images or not case:
    return values
  task = tasks.get(cases.task_of(case))
  if 'luma_error' in task.metrics:
    values['luma_error'] = faithfulness.luma_error(judged, images['input'])
  if 'jpeg_consistency' in task.metrics:
    quality = int(case.partition(':')[2])
    values['jpeg_consistency'] = faithfulness.jpeg_consistency(
      judged, images['input'], quality
    )
  return values


def _labels(
  labels: Mapping[str, int], names: Sequence[str]
) -> Int[np.ndarray, ' n']:
  """Returns the images' labels; a list may have file names without folders."""
  classes = [labels.get(n, labels.get(posixpath.basename(n))) for n in names]
  if None in classes:
    raise ValueError(
      f'{classes.count(None)} of {len(names)} images have no label, such as '
      f'{names[classes.index(None)]}. A list has a name and a number a line.'
    )
  return np.array(classes)
