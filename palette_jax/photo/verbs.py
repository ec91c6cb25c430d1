"""The verbs that apply to photos: those of the tasks, and panorama."""

from typing import NamedTuple

from palette_jax import tasks

# These have methods of their own in painting/methods.py; all others fill their
# hole, or restore the whole photo in tiles.
COLORIZE, UNCROP, PANORAMA = 'colorize', 'uncrop', 'panorama'
RESTORE_JPEG = 'restore_jpeg'  # only photos that are JPEGs have a quality
_PANORAMA_SUMMARY = 'continues photos to the left and right, step by step'
_PANORAMA_DESCRIPTION = (
  'Continues a photo to the left and right, half of its height at a time, as '
  "the paper's panoramas."
)


class Verb(NamedTuple):
  """Something that can be done to photos.

  Attributes:
    name: the method of Model, such as 'restore_jpeg'.
    task: the task that weights must have learnt.
    summary: one line of help.
    description: the help of the command.
  """

  name: str
  task: tasks.Task
  summary: str
  description: str

  @property
  def command(self) -> str:
    """Its name on the command line."""
    return self.name.replace('_', '-')

  @property
  def has_mask(self) -> bool:
    """True if a mask, or transparency, marks the hole."""
    return self.task.has_hole and self.name not in (UNCROP, PANORAMA)


def every() -> dict[str, Verb]:
  """Returns all verbs by name, in the order of the paper."""
  verbs = {
    task.verb: Verb(task.verb, task, task.summary, task.description)
    for task in tasks.for_photos()
  }
  if UNCROP in verbs:
    verbs[PANORAMA] = Verb(
      PANORAMA, verbs[UNCROP].task, _PANORAMA_SUMMARY, _PANORAMA_DESCRIPTION
    )
  return verbs
