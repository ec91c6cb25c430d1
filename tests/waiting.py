"""A clock that tests set, and waiting for other threads."""

import time


class Clock:
  """Returns `now`."""

  now = 0.0

  def __call__(self):
    return self.now


def until(condition):
  """Waits for a condition, at most a minute."""
  end = time.monotonic() + 60
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.002)
