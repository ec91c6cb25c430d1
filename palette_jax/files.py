"""Files: atomic writes, and pairing by name."""

import contextlib
import os
import posixpath
import uuid
from collections.abc import Generator, Iterable

from etils import epath


def write(path: epath.PathLike, content: bytes) -> epath.Path:
  """Writes a file; readers see the old content or the new, never a part.

  Args:
    path: local or gs://; missing folders are created.
    content: the whole file.

  Returns:
    The path.

  Raises:
    OSError: if it cannot be written; an older file is then still there.
  """
  with replacing(path) as partial:
    partial.write_bytes(content)
  return epath.Path(path)


@contextlib.contextmanager
def replacing(path: epath.PathLike) -> Generator[epath.Path]:
  """Yields a temporary path in the same folder; on success it replaces `path`.

  A local file is on disk before it gets its name: a power cut leaves the old
  file or the new one. If the block raises, the temporary file is removed and
  an older file at `path` stays.

  Raises:
    OSError: if the folder or the file cannot be written.
  """
  path = epath.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.parent / f'.{path.name}.{uuid.uuid4().hex}'
  try:
    yield partial
    _sync(partial)
    partial.replace(path)
    _sync(path.parent)
  finally:
    partial.unlink(missing_ok=True)


def _sync(path: epath.Path) -> None:
  """Waits until a local file or folder is on disk."""
  if '://' in str(path) or os.name != 'posix':
    return
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def check_writable(folder: epath.PathLike) -> None:
  """Creates a folder, and checks that files can be created in it.

  Raises:
    ValueError: if not.
  """
  folder = epath.Path(folder)
  probe = folder / f'.{uuid.uuid4().hex}'
  try:
    folder.mkdir(parents=True, exist_ok=True)
    probe.write_bytes(b'')
    probe.unlink()
  except OSError as error:
    raise ValueError(
      f'Nothing can be written to {folder}: {error.strerror}. Name a folder '
      'that can be written to.'
    ) from error


def by_stem(names: Iterable[str], folder: str) -> dict[str, str]:
  """Maps names without their suffix to whole names: a/1 -> a/1.png.

  Args:
    names: relative paths.
    folder: where they are, for the message.

  Raises:
    ValueError: if two names differ in their suffix alone.
  """
  stems: dict[str, str] = {}
  for name in names:
    stem = posixpath.splitext(name)[0]
    if stem in stems:
      raise ValueError(
        f'{folder} has both {stems[stem]} and {name}, which differ in their '
        'suffix alone: remove or rename one of them.'
      )
    stems[stem] = name
  return stems
