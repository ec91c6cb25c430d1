"""What a person sees on the terminal.

Next: palette_jax/settings.py
"""

import logging as std_logging
import pathlib
import traceback

from absl import logging


def simplify_logging() -> None:
  """Time and message; nothing that Orbax and JAX tell their developers."""
  # What fails in Orbax is raised as well, and then told in one sentence.
  least = {'orbax': std_logging.CRITICAL, 'jax': std_logging.WARNING}

  def ours(record: std_logging.LogRecord) -> bool:
    return all(
      record.levelno >= level or f'/{library}/' not in record.pathname
      for library, level in least.items()
    )

  logging.use_absl_handler()  # app.run has done so; the commands have not
  handler = logging.get_absl_handler()
  handler.addFilter(ours)
  handler.setFormatter(
    std_logging.Formatter('%(asctime)s %(message)s', '%H:%M:%S')
  )


def is_for_the_user(error: BaseException) -> bool:
  """Whether the package itself raised it: its message then says what to do."""
  *_, (frame, _) = traceback.walk_tb(error.__traceback__)
  package = pathlib.Path(__file__).parent
  return pathlib.Path(frame.f_code.co_filename).is_relative_to(package)
