"""A file that is there whole, or not at all."""

import contextlib
import pathlib
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def whole(path: str) -> Iterator[pathlib.Path]:
  """Another name in the same folder, to write to.

  If the block ends well, what was written takes the file's name, in the place
  of an older one; if not, it is gone, and an older one still there.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if it cannot be written.
  """
  target = pathlib.Path(path).absolute()
  if not target.parent.exists():
    raise FileNotFoundError(f'There is no folder for {path}.')
  if target.is_dir():
    raise ValueError(f'{path} is a folder; name a file that may be written.')
  partial = target.parent / f'.{target.name}.{uuid.uuid4().hex}'
  try:
    yield partial
    partial.replace(target)
  except OSError as error:
    reason = error.strerror or error
    raise ValueError(f'{path} cannot be written: {reason}.') from error
  finally:
    partial.unlink(missing_ok=True)
