"""Who is shown what, and on which side.

A trial of the paper's human study (Palette, section 4): a model's output beside
its original, and the question which one was taken by a camera. Between them are
catch trials, whose fake nobody takes for a photo who looks.

Raters come in groups of twice as many as there are models, and a group is dealt
the same originals. Within it, everyone sees each original once; each model's
output of it is shown twice, once on either side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Seven of eight right are luck in 3.5% of cases: the fewest catch trials that
# forgive a slip and still tell a rater from chance (report.py has the rule).
CATCHES = 8
# As in SR3, by the same group: 50 subjects saw 50 of 100 images each.
TRIALS = 50


class Study(NamedTuple):
  """What all raters of a study have in common.

  Attributes:
    models: names.
    images: names of the originals.
    trials: of a rater, catch trials not counted.
    seconds: for which a pair is shown.
    seed: of what is dealt to whom.
    digest: SHA-256 over the pixels of everything.
  """

  models: tuple[str, ...]
  images: tuple[str, ...]
  trials: int
  seconds: int
  seed: int
  digest: str


class Trial(NamedTuple):
  """One pair: an original, and what stands beside it.

  Attributes:
    image: name of the original.
    model: whose output of it is shown; None in a catch trial.
    fake_left: whether the original is on the right.
  """

  image: str
  model: str | None
  fake_left: bool


def check(
  models: Sequence[str], images: Sequence[str], trials: int | None
) -> int:
  """How many trials a rater gets, catch trials not counted.

  Args:
    models: names.
    images: names of the originals.
    trials: as asked for, or None for TRIALS or as many as there are.

  Raises:
    ValueError: if there are too few originals, or a model is named twice.
  """
  if len(set(models)) < len(models):
    raise ValueError(
      f'Two --outputs have the same name; got {", ".join(models)}.'
    )
  most = len(images) - CATCHES
  if most < 1:
    raise ValueError(
      f'A study needs {CATCHES + 1} originals or more: {CATCHES} for catch '
      f'trials, the others for the models; there are {len(images)}.'
    )
  if trials is None:
    return min(TRIALS, most)
  if not 1 <= trials <= most:
    raise ValueError(
      f'--trials must be between 1 and {most} with {len(images)} originals, '
      f'of which {CATCHES} are left for catch trials; got {trials}.'
    )
  return trials


def session(study: Study, rater: int) -> list[Trial]:
  """All trials of one rater, in order.

  Whatever the number of trials, models differ by one at most in how often the
  rater sees them, and so do sides, over all and for each model. Over whole
  groups of raters both are equal, for each original, too. Originals differ by
  one at most in how often they were dealt. Catch trials are spread evenly.

  Args:
    study: for all raters.
    rater: from 0, in the order in which they come.
  """
  models = len(study.models)
  group, place = divmod(rater, 2 * models)
  hand = _hand(study, group)
  trials = [
    Trial(
      study.images[image],
      study.models[(j + place) % models],
      # Alternates from one to the next of the same model, and from one model to
      # the next; the second half of a group sees the opposite.
      bool((j // models + j % models + place // models) % 2),
    )
    for j, image in enumerate(hand)
  ]
  draw = np.random.default_rng([study.seed, 1, rater])
  trials = [trials[i] for i in draw.permutation(len(trials))]

  others = sorted(set(range(len(study.images))) - set(hand))
  sides = draw.permutation(np.arange(CATCHES) % 2 == 0)
  catches = draw.permutation(others)[:CATCHES]
  ends = np.linspace(0, len(trials) + CATCHES, CATCHES + 1).astype(int)
  for start, end, image, left in zip(ends, ends[1:], catches, sides):
    trial = Trial(study.images[image], None, bool(left))
    trials.insert(int(draw.integers(start, end)), trial)
  return trials


def _hand(study, group):
  """Originals of a group: all are dealt once before any is dealt again."""
  draw = np.random.default_rng([study.seed, 0])
  hand, deck = [], []
  for _ in range(group + 1):
    hand, deck = deck[: study.trials], deck[study.trials :]
    if len(hand) < study.trials:
      fresh = draw.permutation(len(study.images)).tolist()
      held = set(hand)
      more = [image for image in fresh if image not in held]
      more = more[: study.trials - len(hand)]
      deck = [image for image in fresh if image not in set(more)]
      hand = hand + more
  return hand
