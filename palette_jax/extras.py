"""Optional dependencies: pip install 'palette_jax[train]' and the like.

Without extras, the package restores photos. Code that needs more calls
`require` before it imports anything, so that users get one sentence.
"""

import importlib.util

# Modules without which an extra is not installed.
_MODULES = {
  'train': ('tensorflow', 'tensorflow_datasets', 'clu', 'optax', 'orbax'),
  'evaluation': ('tensorflow', 'optax', 'orbax', 'matplotlib'),
  'serve': ('werkzeug', 'cachetools'),
}


class MissingExtraError(ValueError):
  """An extra is needed and not installed; the message says how to get it."""


def require(extra: str, purpose: str) -> None:
  """Checks that an extra is installed, without importing it.

  Args:
    extra: 'train', 'evaluation' or 'serve'.
    purpose: what needs it, as the subject of a sentence: 'Training'.

  Raises:
    MissingExtraError: if a package of it is missing.
  """
  missing = [
    module
    for module in _MODULES[extra]
    if importlib.util.find_spec(module) is None
  ]
  if missing:
    raise MissingExtraError(
      f'{purpose} needs {", ".join(missing)}: pip install '
      f"'palette_jax[{extra}]' (in a clone: pip install -e '.[{extra}]')."
    )
