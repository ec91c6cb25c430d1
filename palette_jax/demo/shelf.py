"""A store that keeps items for a while, under names that nobody can guess."""

import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import cachetools

SECONDS = 2 * 3600.0  # without a use, after which an item is forgotten
Item = TypeVar('Item')


class Gone(LookupError):
  """There is no item of that name, or it has been forgotten."""


class Shelf(Generic[Item]):
  """A thread-safe store that forgets the least recently used items."""

  def __init__(
    self,
    most_items: int,
    discard: Callable[[Item], None] = lambda item: None,
    most_bytes: int = sys.maxsize,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
  ) -> None:
    """Starts empty.

    Args:
      most_items: the number of items that are kept.
      discard: called with each item that is forgotten.
      most_bytes: of all items together, by the sizes given to `put`; the newest
        item is kept even if it is larger.
      seconds: seconds without a use after which an item is forgotten.
      clock: returns seconds; never goes back.
    """
    self._most_items, self._most_bytes = most_items, most_bytes
    self._discard = discard
    # name -> (item, bytes)
    self._cache: cachetools.TTLCache[str, tuple[Item, int]] = (
      cachetools.TTLCache(most_bytes, seconds, clock, lambda entry: entry[1])
    )
    self._lock = threading.Lock()

  def put(self, item: Item, size: int = 0) -> str:
    """Keeps an item of `size` bytes; returns its name."""
    name = secrets.token_urlsafe(18)
    size = min(size, self._most_bytes)
    with self._lock, self._cache.timer:  # the clock stands still inside
      forgotten = self._expire()
      while self._cache and (
        len(self._cache) >= self._most_items
        or self._cache.currsize + size > self._most_bytes
      ):
        _, (oldest, _) = self._cache.popitem()
        forgotten.append(oldest)
      self._cache[name] = item, size
    self._discard_all(forgotten)
    return name

  def get(self, name: str) -> Item:
    """Returns an item, which counts as a use.

    Raises:
      Gone: if there is none of that name.
    """
    with self._lock, self._cache.timer:
      forgotten = self._expire()
      entry = self._cache.get(name)
      if entry is not None:
        self._cache[name] = entry  # its time starts again
    self._discard_all(forgotten)
    if entry is None:
      raise Gone
    return entry[0]

  def clear(self) -> None:
    """Forgets everything."""
    with self._lock:
      forgotten = self._expire()
      forgotten += [item for item, _ in self._cache.values()]
      self._cache.clear()
    self._discard_all(forgotten)

  def sweep(self) -> None:
    """Forgets items that were not used for too long."""
    with self._lock:
      forgotten = self._expire()
    self._discard_all(forgotten)

  def __len__(self) -> int:
    with self._lock:
      return len(self._cache)

  def _expire(self) -> list[Item]:
    return [item for _, (item, _) in self._cache.expire()]

  def _discard_all(self, items: Iterable[Item]) -> None:
    for item in items:  # without the lock: it may take a while
      self._discard(item)
