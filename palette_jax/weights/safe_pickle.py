"""Unpickles files of known content; a pickle could otherwise call anything."""

import contextlib
import io
import pathlib
import pickle
from collections.abc import Callable, Generator, Mapping
from typing import Any

# Names that a pickle may ask for: (module, name) -> our replacement.
Known = Mapping[tuple[str, str], Callable[..., Any]]


class Unpickler(pickle.Unpickler):
  """Refuses every class and function that is not known."""

  def __init__(self, file: io.BufferedIOBase, known: Known, noun: str) -> None:
    """Prepares reading one pickle.

    Args:
      file: the pickle begins at its current position.
      known: what the pickle may ask for.
      noun: what the known things describe, for the message: 'tensor'.
    """
    super().__init__(file, encoding='utf-8')
    self._known, self._noun = known, noun

  def find_class(self, module: str, name: str) -> Callable[..., Any]:
    """Returns what stands for a name in the pickle.

    Raises:
      ValueError: if it is not known.
    """
    if (module, name) not in self._known:
      raise ValueError(
        f'it asks for {module}.{name}, which is no {self._noun} and could do '
        'harm'
      )
    return self._known[module, name]


@contextlib.contextmanager
def opened(path: str, form: str) -> Generator[io.BufferedReader]:
  """Opens a file; any failure while it is read becomes one sentence.

  Args:
    path: of the file.
    form: what the file should be, for the message: 'a PyTorch file'.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if reading fails.
  """
  try:
    with pathlib.Path(path).open('rb') as file:
      yield file
  except FileNotFoundError:
    raise FileNotFoundError(f'There is no file {path}.') from None
  except Exception as error:  # a broken pickle can raise anything
    reason = str(error) or type(error).__name__
    raise ValueError(f'{path} cannot be read as {form}: {reason}.') from error
