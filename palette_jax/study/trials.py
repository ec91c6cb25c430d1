"""Deals trials to raters: the pairs that they see, and their sides.

A trial of the paper's human study (Palette, section 4) shows a model's output
beside its original, and asks which one was taken by a camera. Between these
trials are catch trials, whose fake is obvious to everybody who looks.

Raters come in groups of twice as many as there are models, and a group is dealt
the same originals. Within it, each rater sees each original once, and each
model's output of it is shown twice, once on either side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Guessing gets seven of eight right in 3.5% of cases: the fewest catch trials
# that forgive a slip and still tell a rater from chance (findings.py).
CATCHES = 8
# As in SR3, by the same group: 50 subjects saw 50 of 100 images each.
TRIALS = 50


class Study(NamedTuple):
  """The properties of a study that all its raters share.

  Attributes:
    models: names.
    images: names of the originals.
    trials: of a rater, without catch trials.
    seconds: for which a pair is shown.
    seed: of the random choices in dealing.
    digest: SHA-256 over the pixels of all images.
  """

  models: tuple[str, ...]
  images: tuple[str, ...]
  trials: int
  seconds: int
  seed: int
  digest: str


class Trial(NamedTuple):
  """An original and the image beside it.

  Attributes:
    image: name of the original.
    model: whose output of it is shown; None in a catch trial.
    fake_left: whether the original is on the right.
  """

  image: str
  model: str | None
  fake_left: bool


def per_rater(
  models: Sequence[str], images: Sequence[str], requested: int | None
) -> int:
  """Returns the number of trials of a rater, without catch trials.

  Args:
    models: names.
    images: names of the originals.
    requested: the number, or None for TRIALS or as many as the originals allow.

  Raises:
    ValueError: if there are too few originals, or two models share a name.
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
  if requested is None:
    return min(TRIALS, most)
  if not 1 <= requested <= most:
    raise ValueError(
      f'--trials must be between 1 and {most} with {len(images)} originals, '
      f'since {CATCHES} are kept for catch trials; got {requested}.'
    )
  return requested


def session(study: Study, rater: int) -> list[Trial]:
  """Returns all trials of a rater, in order.

  For any number of trials, models differ by at most one in how often the rater
  sees them, and so do the sides, over all trials and for each model. Over whole
  groups of raters both are equal, for each original, too. Originals differ by
  at most one in how often they were dealt. Catch trials are spread evenly.

  Args:
    study: of all raters.
    rater: from 0, in order of arrival.
  """
  models = len(study.models)
  group, place = divmod(rater, 2 * models)
  hand = _hand(study, group)
  trials = [
    Trial(
      study.images[image],
      study.models[(j + place) % models],
      # Alternates between trials of the same model, and between models; the
      # second half of a group sees the opposite.
      bool((j // models + j % models + place // models) % 2),
    )
    for j, image in enumerate(hand)
  ]
  generator = np.random.default_rng([study.seed, 1, rater])
  trials = [trials[i] for i in generator.permutation(len(trials))]

  others = sorted(set(range(len(study.images))) - set(hand))
  sides = generator.permutation(np.arange(CATCHES) % 2 == 0)
  catches = generator.permutation(others)[:CATCHES]
  ends = np.linspace(0, len(trials) + CATCHES, CATCHES + 1).astype(int)
  for start, end, image, left in zip(ends, ends[1:], catches, sides):
    trial = Trial(study.images[image], None, bool(left))
    trials.insert(int(generator.integers(start, end)), trial)
  return trials


def _hand(study: Study, group: int) -> list[int]:
  """Deals a group's originals; each is dealt once before any is dealt again."""
  generator = np.random.default_rng([study.seed, 0])
  hand: list[int] = []
  deck: list[int] = []
  for _ in range(group + 1):
    hand, deck = deck[: study.trials], deck[study.trials :]
    if len(hand) < study.trials:
      fresh = generator.permutation(len(study.images)).tolist()
      held = set(hand)
      more = [image for image in fresh if image not in held]
      more = more[: study.trials - len(hand)]
      deck = [image for image in fresh if image not in set(more)]
      hand = hand + more
  return hand
