"""What is seen of each image: by networks and formulas, in one look."""

import functools
import posixpath
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from palette_jax.evaluation import features, matching
from palette_jax.evaluation import networks as nets
from palette_jax.evaluation.metrics import diversity, faithfulness, similarity
from palette_jax.evaluation.networks import probe as probes

Networks = Mapping[str, nets.Network]


class Subject(NamedTuple):
  """What is judged.

  Attributes:
    rows: by name, folders of outputs: the first is judged, and all of them
      together for their diversity.
    originals: a folder.
    inputs: a folder of what the models were given; None if it is not there.
    holes: a folder, white where the models painted; None likewise.
    labels: class by the images' names; None if they are not known.
    probe: a classifier of the labels, if they are not ImageNet's.
    case: what was done, as in cases.py; '' if it is not said.
  """

  rows: dict[str, list[str]]
  originals: str
  inputs: str | None = None
  holes: str | None = None
  labels: dict[str, int] | None = None
  probe: probes.Probe | None = None
  case: str = ''


def match(subject: Subject, row: str) -> matching.Matched:
  """Files of a row and of what belongs to them, by image.

  Raises:
    ValueError, FileNotFoundError: as `folders.match`.
  """
  kinds = dict(output=subject.rows[row][0], original=subject.originals)
  if subject.inputs is not None:
    kinds['input'] = subject.inputs
  if subject.holes is not None:
    kinds['hole'] = subject.holes
  return matching.match(kinds)


def look(
  networks: Networks, size: tuple[int, int], batch: int
) -> features.Pass:
  """The look itself, compiled: what is computed on the device of a batch.

  Args:
    networks: by name; LPIPS's begin with 'lpips'.
    size: height and width of the images.
    batch: images at a time.
  """
  pairwise = [key for key in networks if key.startswith('lpips')]
  single = [key for key in networks if key not in pairwise]
  formulas = [similarity.psnr]
  if min(size) >= similarity.SIDE:
    formulas += [similarity.ssim, similarity.ms_ssim]

  def measure(params, images: Mapping[str, Array]) -> dict[str, Array]:
    judged = images.get('output', images['original'])
    found = {}
    for key in single:
      said = networks[key].apply(params[key], judged)
      if 'features' in said:
        found |= {f'{key}/{name}': said[name] for name in said}
      found[f'{key}/top1'] = jnp.argmax(said['logits'], axis=-1)
    if 'output' in images:
      pair = judged, images['original']
      for key in pairwise:
        found[key] = networks[key].apply(params[key], *pair)
      for formula in formulas:
        found[formula.__name__] = formula(*pair)
    return found

  params = {key: network.params for key, network in networks.items()}
  return features.Pass(measure, params, batch)


def of_row(
  look: features.Pass, matched: matching.Matched, subject: Subject, title: str
) -> dict[str, np.ndarray]:
  """What is seen of every image of a row, or of the originals: [n ...] by name.

  On several hosts each looks at its share, and all get everything.

  Raises:
    ValueError: for an image that is none or has another size, or has no label.
  """
  count = len(matched.names)
  rows = features.rows_of_host(count)
  batches = matching.batches(matched, look.batch, rows)
  parts = [
    found | _on_host(images, subject.case)
    for images, found in look.over(batches, len(rows), title)
  ]
  values = features.gather(parts, count)
  if subject.labels is not None:
    values['label'] = _labels(subject.labels, matched.names)
  if subject.probe and 'efficientnet/features' in values:
    said = subject.probe.classify(values['efficientnet/features'])
    values['probe/top1'] = said
  return values


def of_samples(
  samples: list[str], names: list[str], networks: Networks, batch: int
) -> dict[str, np.ndarray]:
  """How samples of one input differ: [pairs n] by 'ms_ssim', 'lpips_alex'.

  Raises:
    ValueError: if the folders are not of the same images.
  """
  matched = matching.match({str(i): path for i, path in enumerate(samples)})
  if matched.names != names:
    raise ValueError(
      f'{samples[0]} and its further samples are not of the same images.'
    )
  rows = features.rows_of_host(len(names))
  parts = []
  for images in matching.batches(matched, batch, rows):
    stacked = np.stack(list(images.values()))
    found = {}
    if min(stacked.shape[2:4]) >= similarity.SIDE:
      found['ms_ssim'] = diversity.to_first(stacked).T
    if 'lpips_alex' in networks:
      network = networks['lpips_alex']
      distance = functools.partial(network.apply, network.params)
      found['lpips_alex'] = diversity.between_consecutive(stacked, distance).T
    parts.append(found)
  return {k: v.T for k, v in features.gather(parts, len(names)).items()}


def _on_host(images, case):
  """What needs no device: colours, and whether the input is respected."""
  original = images['original']
  judged = images.get('output', original)
  mean, variance = faithfulness.colours(judged)
  found = dict(
    mean=mean,
    variance=variance,
    colourfulness=faithfulness.colourfulness(judged),
  )
  if 'output' not in images:
    return found
  if 'hole' in images:
    mask = images['hole'][..., :1] >= 128
    found['known_changed'] = faithfulness.known_changed(judged, original, mask)
  task, _, setting = case.partition(':')
  if 'input' in images and task == 'colorization':
    found['luma_error'] = faithfulness.luma_error(judged, images['input'])
  if 'input' in images and task == 'jpeg':
    found['jpeg_consistency'] = faithfulness.jpeg_consistency(
      judged, images['input'], int(setting)
    )
  return found


def _labels(labels, names):
  """A list may name files alone, whatever folder they are in."""
  found = [labels.get(n, labels.get(posixpath.basename(n))) for n in names]
  if None in found:
    raise ValueError(
      f'{found.count(None)} of {len(names)} images have no label, such as '
      f'{names[found.index(None)]}. A list has a name and a number a line.'
    )
  return np.array(found)
