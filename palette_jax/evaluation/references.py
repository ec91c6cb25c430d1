"""Statistics of the images that a Frechet distance is measured against.

They are computed once for a set of images, a network and a preparation, and
kept in ~/.cache/palette_jax/references under a hash of all three. The set is
never in memory: it may be ImageNet's whole validation set, as the paper's is.
"""

import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from palette_jax import console
from palette_jax.data import pipeline, sources, tfds_builds
from palette_jax.evaluation import cases, features
from palette_jax.evaluation import networks as nets
from palette_jax.evaluation.metrics import frechet

CACHE = pathlib.Path('~/.cache/palette_jax/references').expanduser()


class Reference(NamedTuple):
  """What a distance is measured against.

  Attributes:
    name: of the images, in words.
    moments: of their features, by network.
  """

  name: str
  moments: dict[str, frechet.Moments]


def of_source(
  name: str,
  size: tuple[int, int],
  networks: Mapping[str, nets.Network],
  batch: int,
) -> Reference:
  """All images of a source, prepared as those that are judged.

  Args:
    name: of data.source, or a folder.
    size: height and width; images are cropped in the middle and resized.
    networks: by name, those with features.
    batch: images at a time.

  Raises:
    ValueError: if an image cannot be read.
    FileNotFoundError: if there is no such source.
  """
  if name != 'photos' and not name.startswith(('folder:', 'list:', 'tfds:')):
    name = f'folder:{name}'
  source = sources.open_source(name, 'all')
  images = dict(
    images=_digest(source), count=len(source), size=[int(n) for n in size]
  )
  abouts = {key: images | identity(net) for key, net in networks.items()}
  files = {key: CACHE / f'{_sha256(abouts[key])}.npz' for key in networks}
  missing = {key: networks[key] for key in networks if not _is_kept(files[key])}
  made = {}
  if missing:
    logging.info('Statistics of %d images of %s.', len(source), name)
    made = _compute(source, size, missing, batch)
    for key, moments in made.items():
      write(files[key], moments, abouts[key])
  kept = {
    key: read(files[key], networks[key]) for key in networks if key not in made
  }
  return Reference(f'{name} ({len(source):,} images)', kept | made)


def _is_kept(file):
  """By all hosts: what one of them lacks, all compute together."""
  kept = multihost_utils.process_allgather(np.array(file.exists()))
  return bool(np.all(kept))


def of_file(file: str, networks: Mapping[str, nets.Network]) -> Reference:
  """Statistics of one network, as this module keeps them: FILE.npz, FILE.json.

  Raises:
    FileNotFoundError: if it is not there.
    ValueError: if they are of other features, or there are two networks.
  """
  if len(networks) != 1:
    raise ValueError(
      f'{file} is of one network; these metrics take {", ".join(networks)}. '
      'Ask for one of them: --metrics fid.'
    )
  ((key, network),) = networks.items()
  moments = read(pathlib.Path(file), network)
  name = f'{pathlib.Path(file).name} ({moments.count:,} images)'
  return Reference(name, {key: moments})


def identity(network: nets.Network) -> dict[str, str]:
  """What makes features the same features."""
  return dict(
    network=network.name,
    weights=network.weights,
    preparation=network.preparation,
  )


def write(file: pathlib.Path, moments: frechet.Moments, about: Mapping) -> None:
  """Writes statistics, and before them what they are statistics of.

  So that a kill between the two leaves nothing that is looked at.
  """
  file.parent.mkdir(parents=True, exist_ok=True)
  file.with_suffix('.json').write_text(json.dumps(about, indent=2))
  moments.save(file)


def read(file: pathlib.Path, network: nets.Network) -> frechet.Moments:
  """Reads what `write` wrote.

  Raises:
    FileNotFoundError: if it is not there.
    ValueError: if they are of other features than the network's.
  """
  described = file.with_suffix('.json')
  if not file.exists() or not described.exists():
    raise FileNotFoundError(
      f'Statistics are two files, {file} and {described.name}; one is missing.'
    )
  about, wanted = json.loads(described.read_text()), identity(network)
  for name, value in wanted.items():
    if about.get(name) != value:
      raise ValueError(
        f'{file} has {name} = {about.get(name)!r}; this evaluation has '
        f'{value!r}. Distances between the two mean nothing: give the images '
        'instead, and they are computed anew.'
      )
  return frechet.Moments.load(file)


def _compute(source, size, networks, batch):
  """Moments of all images, on all hosts."""

  def measure(params, images):
    return {
      key: network.apply(params[key], images['original'])['features']
      for key, network in networks.items()
    }

  params = {key: network.params for key, network in networks.items()}
  look = features.Pass(measure, params, batch)
  count = len(source)
  rows = features.rows_of_host(count)
  moments = {key: frechet.Moments() for key in networks}
  images = _images(source, size, rows, look.batch)
  for _, found in look.over(images, len(rows), 'reference'):
    for key, values in found.items():
      moments[key].add(values)
  return {key: _over_hosts(one) for key, one in moments.items()}


def _over_hosts(moments):
  """Merged, in the same order on every host."""
  if jax.process_count() == 1:
    return moments
  d = len(moments.mean)
  packed = np.concatenate(
    [[moments.count], moments.mean, moments.scatter.reshape(-1)]
  )
  # As pairs of 32 bits: JAX would round float64.
  everywhere = multihost_utils.process_allgather(packed.view(np.uint32))
  merged = frechet.Moments()
  for row in np.asarray(everywhere).view(np.float64):
    count, mean, scatter = row[0], row[1 : d + 1], row[d + 1 :]
    merged.merge(frechet.Moments(int(count), mean, scatter.reshape(d, d)))
  return merged


def _images(source, size, rows, batch) -> Iterator[dict[str, np.ndarray]]:
  """Prepared images of those records; the last batch is filled up."""
  data = pipeline.Pipeline(
    source=source,
    corrupt=cases.keep,
    size=tuple(size),
    seed=0,
  )
  filled = np.resize(rows, len(rows) + -len(rows) % batch)
  for one in data.listed(filled, batch):
    data.check_readable(one)
    yield {'original': one.examples.target}


def _digest(source):
  """Of all files' bytes: other images of the same names are other images."""
  chunks = tfds_builds.whole(
    lambda *one: source.read(*one)['image'],
    source.fetch,
    len(source),
    pipeline.CHUNK,
  )
  digest = hashlib.sha256()
  with console.Progress(
    'reference: which images',
    len(source),
    shown=jax.process_index() == 0,
    leave=False,
  ) as progress:
    for chunk in chunks.as_numpy_iterator():
      for one in chunk:
        digest.update(hashlib.sha256(one).digest())
      progress.advance(len(chunk))
  return digest.hexdigest()


def _sha256(about):
  text = json.dumps(about, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()
