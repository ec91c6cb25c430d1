"""The pairs that raters see, and the sides they are on."""

import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from studies import study_of

from palette_jax.study import trials


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(strategies.data())
def test_every_session_is_balanced_and_repeats_nothing(data):
  images = data.draw(strategies.integers(trials.CATCHES + 1, 60))
  models = data.draw(strategies.integers(1, 5))
  count = data.draw(strategies.integers(1, images - trials.CATCHES))
  rater = data.draw(strategies.integers(0, 40))
  session = trials.session(study_of(images, models, count, rater), rater)

  assert len(session) == count + trials.CATCHES
  assert len({trial.image for trial in session}) == len(session)
  catches = [trial for trial in session if trial.model is None]
  assert len(catches) == trials.CATCHES
  assert sum(trial.fake_left for trial in catches) == trials.CATCHES // 2
  own = [trial for trial in session if trial.model is not None]

  def apart(counts):
    return max(counts) - min(counts)

  names = study_of(images, models).models
  of = {name: [t for t in own if t.model == name] for name in names}
  assert apart([len(of[name]) for name in names]) <= 1
  for these in [own, *of.values()]:
    left = sum(trial.fake_left for trial in these)
    assert apart([left, len(these) - left]) <= 1


@pytest.mark.parametrize('models', [1, 2, 3])
def test_a_group_sees_each_output_once_on_either_side(models):
  study = study_of(images=23, models=models, trials=11)
  for group in range(3):
    raters = range(2 * models * group, 2 * models * (group + 1))
    seen = collections.Counter(
      trial
      for rater in raters
      for trial in trials.session(study, rater)
      if trial.model is not None
    )
    assert set(seen.values()) == {1}
    assert len(seen) == 11 * models * 2
    assert len({trial.image for trial in seen}) == 11


def test_no_original_is_dealt_more_often_than_another():
  study = study_of(images=23, models=1, trials=10)
  dealt = collections.Counter({image: 0 for image in study.images})
  for group in range(12):
    dealt.update(
      t.image for t in trials.session(study, 2 * group) if t.model is not None
    )
    assert max(dealt.values()) - min(dealt.values()) <= 1


def test_catch_trials_are_spread_and_the_order_is_each_raters_own():
  study = study_of(images=60, trials=40)
  first = trials.session(study, 0)
  for part in range(trials.CATCHES):
    assert sum(t.model is None for t in first[6 * part : 6 * part + 6]) == 1
  # Raters of a group share originals, in orders that have nothing in common.
  second = trials.session(study, 1)
  order = {t.image: i for i, t in enumerate(second) if t.model is not None}
  places = [order[t.image] for t in first if t.model is not None]
  assert abs(np.corrcoef(places, range(40))[0, 1]) < 0.5


def test_the_seed_decides():
  assert trials.session(study_of(seed=3), 5) == trials.session(
    study_of(seed=3), 5
  )
  assert trials.session(study_of(seed=3), 5) != trials.session(
    study_of(seed=4), 5
  )


def test_too_few_originals_are_an_error():
  with pytest.raises(ValueError, match='there are 8'):
    trials.per_rater(['a'], [str(i) for i in range(8)], None)
  with pytest.raises(ValueError, match='--trials'):
    trials.per_rater(['a'], [str(i) for i in range(20)], 13)
  with pytest.raises(ValueError, match='--outputs'):
    trials.per_rater(['a', 'a'], [str(i) for i in range(20)], 1)
  assert trials.per_rater(['a'], [str(i) for i in range(20)], None) == 12
  assert (
    trials.per_rater(['a'], [str(i) for i in range(500)], None) == trials.TRIALS
  )
