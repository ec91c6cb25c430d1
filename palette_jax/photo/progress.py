"""How far it is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable

import tqdm

_NAME = 30  # characters of a photo's name before the bar
EVERY = 30.0  # seconds between two lines where there is no terminal


class Progress:
  """Of several photos, each of which takes many passes of the network.

  Attributes:
    done: photos that were made, or could not be.
  """

  def __init__(self, title: str, photos: int):
    """Shows nothing before the first pass.

    Args:
      title: before the bar.
      photos: how many there are.
    """
    self.done, self._title = 0, title
    self._bar = tqdm.tqdm(
      total=photos,
      desc=title,
      disable=None,  # where there is no terminal
      leave=False,
      bar_format='{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}',
    )
    self._said = time.monotonic()

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *_) -> None:
    self._bar.close()

  def of(self, name: str) -> Callable[[int, int], None]:
    """What is called after each pass: passes done, and all of them."""
    short = name if len(name) <= _NAME else f'...{name[3 - _NAME :]}'
    self._bar.set_description_str(f'{self._title} {short}')

    def passed(done: int, total: int) -> None:
      self._to(self.done + done / total)
      now = time.monotonic()
      if self._bar.disable and now - self._said > EVERY:
        print(f'{name}: {done} of {total} passes', file=sys.stderr, flush=True)
        self._said = now

    return passed

  def finish(self) -> None:
    """One photo is done."""
    self.done += 1
    self._to(self.done)

  def skip(self) -> None:
    """One was there: it tells nothing of how long the others take."""
    self._bar.total -= 1
    self._bar.refresh()

  def say(self, line: str) -> None:
    """A line that stays, on standard output."""
    self._bar.write(line, file=sys.stdout)
    sys.stdout.flush()
    self._said = time.monotonic()

  def _to(self, photos):
    if not self._bar.disable:
      self._bar.update(photos - self._bar.n)
