"""Profiles of steps, for XProf and TensorBoard."""

import tempfile

import jax
from absl import logging
from etils import epath

from palette_jax import files

FOLDER = 'plugins/profile'  # in the workdir, where TensorBoard looks


class Profiler:
  """Traces a range of steps of a run, on its first host.

  One host represents all, since they run the same program. The trace goes
  to a local disk first, since JAX cannot write to a bucket.
  """

  def __init__(self, workdir: str, steps: tuple[int, int] | None) -> None:
    """Prepares a trace.

    Args:
      workdir: of the run.
      steps: the first and the last step; None for none.
    """
    self._workdir = workdir
    self._first, self._last = steps or (0, -1)
    self._folder: tempfile.TemporaryDirectory | None = None

  def before(self, step: int) -> None:
    """Starts the trace at the first step of its range that is taken."""
    if self._folder or jax.process_index():
      return
    if self._first <= step <= self._last:
      self._folder = tempfile.TemporaryDirectory()
      options = jax.profiler.ProfileOptions()
      options.python_tracer_level = 0  # tracing every call slows Python down
      jax.profiler.start_trace(self._folder.name, profiler_options=options)

  def ends_with(self, step: int) -> bool:
    """Returns True if the trace must be closed once this step is computed."""
    return self._folder is not None and step == self._last

  def close(self) -> None:
    """Ends a trace in progress, and copies it into the workdir."""
    if self._folder is None:
      return
    folder, self._folder = self._folder, None
    jax.profiler.stop_trace()
    with folder as local:
      for file in epath.Path(local, FOLDER).glob('*/*'):
        copy = epath.Path(self._workdir, FOLDER, file.parent.name, file.name)
        files.write(copy, file.read_bytes())
        logging.info('The profile is in %s.', copy.parent)
