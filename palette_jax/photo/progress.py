"""Progress over several photos."""

from collections.abc import Callable

from palette_jax import console

_NAME = 30  # characters of a photo's name before the bar


class Progress:
  """A bar over several photos, each of which takes many network passes."""

  def __init__(self, title: str, photos: int) -> None:
    """Shows an empty bar.

    Args:
      title: shown before the bar.
      photos: the number of photos.
    """
    self._title = title
    self._progress = console.Progress(
      title,
      photos,
      unit='photo',
      leave=False,
      bar_format='{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}',
    )
    self._finished = 0

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *error: object) -> None:
    self._progress.__exit__(*error)

  def of(self, name: str) -> Callable[[int, int], None]:
    """Starts a photo; returns the function to call with passes done and all."""
    short = name if len(name) <= _NAME else f'...{name[3 - _NAME :]}'
    self._progress.describe(f'{self._title} {short}')

    def passed(done: int, total: int) -> None:
      self._move_to(
        self._finished + done / total, f'{name}: {done} of {total} passes'
      )

    return passed

  def finish(self) -> None:
    """Counts a photo as done."""
    self._finished += 1
    self._move_to(self._finished)

  def skip(self) -> None:
    """Skips a photo and leaves it out of the ETA."""
    self._progress.skip()

  def say(self, line: str) -> None:
    """Prints a line above the bar, to standard output."""
    self._progress.write(line)

  def _move_to(self, photos: float | int, line: str = '') -> None:
    self._progress.advance(photos - self._progress.done, line)
