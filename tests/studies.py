"""Studies with made-up names."""

from palette_jax.study import trials as study_trials


def study_of(images=20, models=2, trials=10, seed=0, seconds=3):
  """Returns a study; no image of it exists."""
  return study_trials.Study(
    tuple(f'model-{i}' for i in range(models)),
    tuple(f'photo-{i:03}' for i in range(images)),
    trials,
    seconds,
    seed,
    'digest',
  )
