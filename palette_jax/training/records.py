"""The list of images that a run learns from, in its workdir."""

import gzip
from collections.abc import Sequence

from etils import epath

from palette_jax import files

NAME = 'records.txt.gz'


def write(workdir: str, names: Sequence[str]) -> None:
  """Writes the names, one per line."""
  text = '\n'.join(names).encode()
  files.write(epath.Path(workdir, NAME), gzip.compress(text, mtime=0))


def read(workdir: str) -> list[str]:
  """Reads the names; returns an empty list if there is no file."""
  file = epath.Path(workdir, NAME)
  if not file.exists():
    return []
  return gzip.decompress(file.read_bytes()).decode().split('\n')
