"""A profile of some steps, which XProf and TensorBoard open."""

import tempfile

import jax
from absl import logging
from etils import epath

KEPT = 'plugins/profile'  # in the workdir, where TensorBoard looks


class Profiler:
  """Traces steps FIRST to LAST of a run, on its first host.

  One host shows what all do. The trace goes to a local disk first: JAX writes
  to no bucket.
  """

  def __init__(self, workdir: str, steps: tuple[int, int] | None):
    """Starts nothing yet.

    Args:
      workdir: of the run.
      steps: the first and the last step; None for none.
    """
    self._workdir, self._steps = workdir, steps
    self._folder: tempfile.TemporaryDirectory | None = None

  def before(self, step: int) -> None:
    """Starts the trace if this is the first of its steps, or between them."""
    if self._steps is None or self._folder or jax.process_index():
      return
    first, last = self._steps
    if first <= step <= last:
      self._folder = tempfile.TemporaryDirectory()
      options = jax.profiler.ProfileOptions()
      options.python_tracer_level = 0  # every call of Python would slow it down
      jax.profiler.start_trace(self._folder.name, profiler_options=options)

  def ends_with(self, step: int) -> bool:
    """Whether a trace is to be closed once this step is computed."""
    return self._folder is not None and step == self._steps[1]

  def close(self) -> None:
    """Ends a trace that is under way, and keeps it with the run."""
    if self._folder is None:
      return
    folder, self._folder = self._folder, None
    jax.profiler.stop_trace()
    with folder as local:
      for file in epath.Path(local, KEPT).glob('*/*'):
        kept = epath.Path(self._workdir, KEPT, file.parent.name, file.name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(file.read_bytes())
        logging.info('The profile is in %s.', kept.parent)
