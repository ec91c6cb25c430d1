"""Shares, and intervals that cover as they should."""

import numpy as np
import pytest
from scipy import stats
from studies import study_of

from palette_jax.study import rates, trials


def simulate(draw, raters, images, sd_raters, sd_images, mean=-0.1):
  """Returns a function that draws ratings by a probit model, and their mean."""
  study = study_of(images=images, models=2, trials=min(50, images - 8))
  pairs = [
    (rater, int(trial.image[-3:]))
    for rater in range(raters)
    for trial in trials.session(study, rater)
    if trial.model == 'model-0'
  ]
  rater, image = np.array(pairs).T

  def once():
    lean = draw.normal(0, sd_raters, raters)[rater]
    ease = draw.normal(0, sd_images, images)[image]
    hits = draw.normal(mean, 1, len(pairs)) + lean + ease > 0
    return rates.Ratings(hits, rater, image)

  total = np.sqrt(1 + sd_raters**2 + sd_images**2)
  return once, float(stats.norm.cdf(mean / total))


@pytest.mark.parametrize(
  'raters,sd_raters,sd_images',
  [
    (12, 0.3, 0.4),
    (30, 0.3, 0.4),
    (30, 0.0, 0.0),
    (20, 0.7, 0.1),
    (20, 0.1, 0.7),
  ],
)
def test_the_interval_covers(monkeypatch, raters, sd_raters, sd_images):
  """As often as it says, whichever of the two varies: in 400 simulated studies.

  By chance alone, 95% would come out between 92% and 98%.
  """
  monkeypatch.setattr(rates, 'RESAMPLES', 400)
  draw = np.random.default_rng(0)
  once, truth = simulate(draw, raters, 100, sd_raters, sd_images)
  covered = independent = 0
  for seed in range(400):
    share = rates.share(once(), seed)
    covered += share.low <= truth <= share.high
    p, n = share.value, share.answers
    independent += abs(p - truth) < 1.96 * np.sqrt(p * (1 - p) / n)
  assert 0.92 <= covered / 400 <= 0.98
  if max(sd_raters, sd_images) > 0.5:
    assert independent / 400 < 0.85


def test_intervals_stay_within_their_range():
  rater, image = np.arange(40) % 8, np.arange(40) // 8
  none = rates.share(rates.Ratings(np.zeros(40, bool), rater, image))
  assert none.low == none.value == 0
  assert none.high == pytest.approx(1 - 0.025 ** (1 / 40))
  every = rates.share(rates.Ratings(np.ones(40, bool), rater, image))
  assert every.high == 1 and every.low == pytest.approx(1 - none.high)
  one = rates.share(rates.Ratings(np.arange(40) == 3, rater, image))
  assert 0 <= one.low < one.value == 1 / 40 < one.high
  assert (one.answers, one.raters, one.images) == (40, 8, 5)


def test_raters_and_images_without_any_difference():
  """Half of each rater's answers and half of each image's are hits."""
  rater, image = np.divmod(np.arange(36), 6)
  share = rates.share(rates.Ratings((rater + image) % 2 == 0, rater, image))
  half = 1.96 * np.sqrt(0.25 / 36)
  assert share.high - 0.5 == pytest.approx(half, rel=0.15)
  assert 0.5 - share.low == pytest.approx(half, rel=0.15)


def test_one_rater_has_an_interval():
  each = np.arange(40)
  share = rates.share(rates.Ratings(each % 4 == 0, np.zeros(40, int), each))
  assert share.low < 0.25 < share.high and share.raters == 1


def test_names_of_raters_and_images_do_not_matter():
  draw = np.random.default_rng(0)
  once, _ = simulate(draw, 8, 40, 0.5, 0.5)
  ratings = once()
  renamed = ratings._replace(
    raters=7 * ratings.raters + 3, images=1000 * ratings.images
  )
  assert rates.share(ratings, 1) == rates.share(renamed, 1)
  assert rates.share(ratings, 1) != rates.share(ratings, 2)


def test_a_difference_is_paired():
  """Raters who are all taken in by both models: the difference is certain."""
  draw = np.random.default_rng(0)
  lean = draw.uniform(0.05, 0.95, 12)
  rater = np.repeat(np.arange(12), 60)
  image = np.tile(np.arange(60), 12)
  second = (rater + image) % 2 == 1
  hits = draw.uniform(size=720) < lean[rater]
  ratings = rates.Ratings(hits, rater, image)
  paired = rates.difference(ratings, second)
  single = rates.share(rates.Ratings(*(x[second] for x in ratings)))
  assert paired.low < 0 < paired.high
  assert paired.high - paired.low < 0.6 * (single.high - single.low)
  swapped = rates.difference(ratings, ~second)
  assert swapped.value == pytest.approx(-paired.value)


def test_components_of_a_known_variance():
  draw = np.random.default_rng(0)
  rater, image = np.divmod(np.arange(200 * 150), 150)
  people, photos = draw.normal(0, 0.15, 200), draw.normal(0, 0.08, 150)
  chance = 0.5 + people[rater] + photos[image]
  hits = draw.uniform(size=len(rater)) < chance
  parts = rates.components(rates.Ratings(hits, rater, image))
  assert parts.rater == pytest.approx(people.var(), rel=0.1)
  assert parts.image == pytest.approx(photos.var(), rel=0.2)
  assert sum(parts) == pytest.approx(0.25, rel=0.02)
  # Nothing was seen twice: images cannot be told from chance.
  once = np.arange(20)
  assert rates.components(rates.Ratings(hits[:20], once % 4, once)) is None


def test_the_raters_needed_give_the_precision(monkeypatch):
  monkeypatch.setattr(rates, 'RESAMPLES', 500)
  draw = np.random.default_rng(1)
  once, _ = simulate(draw, 60, 100, 0.4, 0.3)
  many = [rates.components(once()) for _ in range(20)]
  parts = rates.Components(*np.mean(many, 0).tolist())
  needed = rates.raters_needed(parts, 0.05, 25, 100)
  once, _ = simulate(draw, needed, 100, 0.4, 0.3)
  halves = []
  for _ in range(20):
    share = rates.share(once())
    halves.append((share.high - share.low) / 2)
  assert np.mean(halves) == pytest.approx(0.05, rel=0.15)
  # Images that differ much set a limit that raters cannot move.
  parts = rates.Components(rater=0.01, image=0.09, answer=0.15)
  assert rates.raters_needed(parts, 0.05, 25, 100) is None
  enough = rates.images_needed(parts, 0.05)
  assert rates.raters_needed(parts, 0.05, 25, enough) is not None
