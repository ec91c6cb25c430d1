"""What the demo keeps, for a while, under names that nobody can guess."""

import secrets
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

SECONDS = 2 * 3600.0  # after which what nobody uses is forgotten
Thing = TypeVar('Thing')


class Gone(LookupError):
  """There is nothing of that name, or no longer."""


class Shelf(Generic[Thing]):
  """So many things, for so long; the one not used for longest goes first."""

  def __init__(
    self,
    most: int,
    seconds: float,
    discard: Callable[[Thing], None] = lambda thing: None,
    most_bytes: int | None = None,
    clock: Callable[[], float] = time.monotonic,
  ):
    """An empty shelf; any number of threads may use it.

    Args:
      most: things that are kept.
      seconds: for which one is kept after its last use.
      discard: called with what is no longer kept.
      most_bytes: of all things together, as `put` is told; None: no limit.
      clock: seconds that only grow.
    """
    self._most, self._seconds, self._discard = most, seconds, discard
    self._most_bytes, self._clock = most_bytes, clock
    self._things = {}  # name -> (thing, bytes, last use), the latest last
    self._lock = threading.Lock()

  def put(self, thing: Thing, size: int = 0) -> str:
    """Keeps a thing, of so many bytes; returns its name."""
    name = secrets.token_urlsafe(18)
    with self._lock:
      self._things[name] = thing, size, self._clock()
      gone = self._sweep()
    self._throw_away(gone)
    return name

  def get(self, name: str) -> Thing:
    """The thing of that name, which counts as a use.

    Raises:
      Gone: if there is none.
    """
    with self._lock:
      gone = self._sweep()
      found = self._things.pop(name, None)
      if found is not None:
        self._things[name] = (*found[:2], self._clock())
    self._throw_away(gone)
    if found is None:
      raise Gone
    return found[0]

  def clear(self) -> None:
    """Keeps nothing any more."""
    with self._lock:
      gone, self._things = [thing for thing, *_ in self._things.values()], {}
    self._throw_away(gone)

  def sweep(self) -> None:
    """Forgets what is old, also while nobody asks for anything."""
    with self._lock:
      gone = self._sweep()
    self._throw_away(gone)

  def _sweep(self):
    """Takes what is old, or too much, off the shelf; the newest stays."""
    oldest, gone = self._clock() - self._seconds, []
    total = sum(size for _, size, _ in self._things.values())
    for name, (thing, size, used) in list(self._things.items()):
      too_many = len(self._things) > self._most
      too_large = self._most_bytes is not None and total > self._most_bytes
      if used > oldest and not (
        (too_many or too_large) and len(self._things) > 1
      ):
        break  # all that follow were used later
      del self._things[name]
      total -= size
      gone.append(thing)
    return gone

  def _throw_away(self, gone):
    for thing in gone:
      self._discard(thing)
