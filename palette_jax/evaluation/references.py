"""Statistics of the images that a Frechet distance is measured against.

They are computed once for a set of images, a network and its preprocessing, and
cached in ~/.cache/palette_jax/references under a hash of all three. The set is
never held in memory: it may be ImageNet's whole validation set, as in the
paper.
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
from jaxtyping import Array, Int

from palette_jax import arrays, console, files
from palette_jax.data import pipeline, records, sources
from palette_jax.evaluation import cases, features
from palette_jax.evaluation import networks as nets
from palette_jax.evaluation.metrics import frechet

CACHE = pathlib.Path('~/.cache/palette_jax/references').expanduser()


class Reference(NamedTuple):
  """The images that distances are measured against.

  Attributes:
    name: a description of the images.
    moments: moments of their features, by network.
  """

  name: str
  moments: dict[str, frechet.Moments]


def of_source(
  name: str,
  size: tuple[int, int],
  networks: Mapping[str, nets.Network],
  batch: int,
) -> Reference:
  """Measures all images of a source, prepared as those that are judged.

  Args:
    name: a source as in data.source, or a folder.
    size: height and width; images are cropped in the middle and resized.
    networks: networks with features, by name.
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
  paths = {key: CACHE / f'{_sha256(abouts[key])}.npz' for key in networks}
  missing = {k: networks[k] for k in networks if not _is_cached(paths[k])}
  computed = {}
  if missing:
    logging.info('Statistics of %d images of %s.', len(source), name)
    computed = _compute(source, size, missing, batch)
    for key, moments in computed.items():
      write(paths[key], moments, abouts[key])
  cached = {
    key: read(paths[key], network)
    for key, network in networks.items()
    if key not in computed
  }
  return Reference(f'{name} ({len(source):,} images)', cached | computed)


def _is_cached(path: pathlib.Path) -> bool:
  """Checks that all hosts have a file; otherwise all compute it together."""
  cached = multihost_utils.process_allgather(np.array(path.exists()))
  return bool(np.all(cached))


def of_file(path: str, networks: Mapping[str, nets.Network]) -> Reference:
  """Reads statistics of one network from FILE.npz and FILE.json.

  Raises:
    FileNotFoundError: if there are no such files.
    ValueError: if they are of other features, or there are two networks.
  """
  if len(networks) != 1:
    raise ValueError(
      f'{path} is of one network; these metrics take {", ".join(networks)}. '
      'Ask for one of them: --metrics fid.'
    )
  ((key, network),) = networks.items()
  moments = read(pathlib.Path(path), network)
  name = f'{pathlib.Path(path).name} ({moments.count:,} images)'
  return Reference(name, {key: moments})


def identity(network: nets.Network) -> dict[str, str]:
  """Identifies a feature extractor."""
  return dict(
    network=network.name,
    weights=network.weights,
    preparation=network.preparation,
  )


def write(
  path: pathlib.Path,
  moments: frechet.Moments,
  about: Mapping[str, object],
) -> None:
  """Writes a description of statistics, then the statistics.

  In this order, a kill between the two leaves nothing that is read.
  """
  encoded = json.dumps(about, indent=2).encode()
  files.write(path.with_suffix('.json'), encoded)
  moments.save(path)


def read(path: pathlib.Path, network: nets.Network) -> frechet.Moments:
  """Reads statistics that `write` wrote.

  Raises:
    FileNotFoundError: if one of the two files is missing.
    ValueError: if they are of other features than the network's.
  """
  description = path.with_suffix('.json')
  if not path.exists() or not description.exists():
    raise FileNotFoundError(
      f'Statistics are two files, {path} and {description.name}; one is '
      'missing.'
    )
  about = json.loads(description.read_text())
  for name, value in identity(network).items():
    if about.get(name) != value:
      raise ValueError(
        f'{path} has {name} = {about.get(name)!r}; this evaluation has '
        f'{value!r}. Distances between the two mean nothing: give the images '
        'instead, and their statistics are computed.'
      )
  return frechet.Moments.load(path)


def _compute(
  source: records.Source,
  size: tuple[int, int],
  networks: Mapping[str, nets.Network],
  batch: int,
) -> dict[str, frechet.Moments]:
  """Computes the moments of all images, on all hosts."""

  def measure(
    params: Mapping[str, arrays.Params], images: Mapping[str, Array]
  ) -> dict[str, Array]:
    return {
      key: network.apply(params[key], images['original'])['features']
      for key, network in networks.items()
    }

  params = {key: network.params for key, network in networks.items()}
  extract = features.Extractor(measure, params, batch)
  count = len(source)
  share = features.share_of_host(count)
  moments = {key: frechet.Moments() for key in networks}
  images = _images(source, size, share, extract.batch)
  for _, values in extract.over(images, len(share), 'reference'):
    for key, of_network in values.items():
      moments[key].add(of_network)
  return {key: _over_hosts(of_host) for key, of_host in moments.items()}


def _over_hosts(moments: frechet.Moments) -> frechet.Moments:
  """Merges the moments of all hosts, in the same order on each."""
  if jax.process_count() == 1:
    return moments
  d = len(moments.mean)
  packed = np.concatenate(
    [[moments.count], moments.mean, moments.scatter.reshape(-1)]
  )
  # As pairs of 32 bits: JAX would round float64.
  everywhere = multihost_utils.process_allgather(packed.view(np.uint32))
  merged = frechet.Moments()
  for host in np.asarray(everywhere).view(np.float64):
    count, mean, scatter = host[0], host[1 : d + 1], host[d + 1 :]
    merged.merge(frechet.Moments(int(count), mean, scatter.reshape(d, d)))
  return merged


def _images(
  source: records.Source,
  size: tuple[int, int],
  indices: Int[np.ndarray, ' n'],
  batch: int,
) -> Iterator[dict[str, np.ndarray]]:
  """Yields batches of prepared images; the last one is padded."""
  data = pipeline.Pipeline(
    source=source,
    corrupt=cases.keep,
    size=size,
    seed=0,
  )
  padded = np.resize(indices, len(indices) + -len(indices) % batch)
  for decoded in data.listed(padded, batch):
    data.check_readable(decoded)
    yield {'original': np.asarray(decoded.examples.target)}


def _digest(source: records.Source) -> str:
  """Hashes the content of all files: names alone do not identify images."""
  chunks = records.read_all(
    lambda *record: source.read(*record)['image'],
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
      for encoded in chunk:
        digest.update(hashlib.sha256(encoded).digest())
      progress.advance(len(chunk))
  return digest.hexdigest()


def _sha256(about: Mapping[str, object]) -> str:
  text = json.dumps(about, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()
