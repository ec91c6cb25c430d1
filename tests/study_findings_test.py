"""Reports about the answers of raters."""

import json

import numpy as np
import pytest
from studies import study_of

from palette_jax.study import answers, findings, summary, trials


def answers_of(study, rater, choose, most=None):
  """A session's answers; choose(trial) is whether the rater takes the fake."""
  session = trials.session(study, rater)[:most]
  return [
    answers.Answer(rater, *trial, choose(trial) == trial.fake_left, 1500)
    for trial in session
  ]


def test_raters_who_guess_are_excluded_and_those_who_look_are_not():
  study = study_of(images=58, trials=50)
  draw = np.random.default_rng(0)
  guess = lambda trial: draw.uniform() < 0.5  # noqa: E731

  def look(trial):  # taken in by 2 of 10 outputs, and slips at a catch trial
    return draw.uniform() < (0.02 if trial.model is None else 0.2)

  rows = [
    row
    for rater in range(200)
    for row in answers_of(study, rater, look if rater < 100 else guess)
  ]
  report = findings.compute(study, 200, rows)
  excluded = {each['rater'] for each in report['raters']['excluded']}
  # Guessing passes in 9 of 256 cases, looking fails in 1%.
  assert sum(rater < 100 for rater in excluded) <= 4
  assert sum(rater >= 100 for rater in excluded) >= 90
  for rate in report['fool_rates']:
    assert rate['low'] < 0.215 and rate['value'] < 0.23
    assert rate['of_all_raters'] == pytest.approx(0.35, abs=0.03)


@pytest.mark.parametrize(
  'right,total,expected',
  [(8, 8, True), (7, 8, True), (6, 8, False), (7, 7, True), (6, 7, False)]
  + [(5, 5, True), (4, 5, False), (4, 4, False), (0, 0, False)],
)
def test_the_rule_for_catch_trials(right, total, expected):
  assert findings.is_counted(right, total) is expected


def test_the_report_of_a_known_study():
  study = study_of(images=58, trials=50)
  rows = []
  for rater in range(12):
    rows += answers_of(study, rater, lambda trial: trial.model == 'model-1')
  rows += answers_of(study, 12, lambda trial: trial.fake_left)  # always left
  rows += answers_of(study, 13, lambda trial: False, most=10)  # stopped
  rows.append(rows[0]._replace(chose_left=None, milliseconds=None))
  rows[1] = rows[1]._replace(milliseconds=None)
  rows[2] = rows[2]._replace(milliseconds=3000)
  report = findings.compute(study, 20, rows)
  assert report == json.loads(json.dumps(report))
  assert report['raters']['began'] == 20
  assert report['raters']['answered'] == 14
  assert report['raters']['finished'] == 13
  assert report['raters']['counted'] == 12
  early = {
    each['rater']: each['stopped_early']
    for each in report['raters']['excluded']
  }
  assert early == {12: False, 13: True}
  assert [rate['value'] for rate in report['fool_rates']] == [0, 1]
  (difference,) = report['differences']
  assert difference['value'] == -1
  assert difference['low'] == -1 < difference['high'] < -0.95
  assert report['left']['value'] == 0.5
  times = report['times']
  assert times['answers'] == 12 * 58 and times['never'] == 1
  assert times['after'] == times['after_a_reload'] == 1
  text = summary.text(report)
  assert 'rater 12: 4 of 8' in text and '50 answers' in text
  assert 'stopped early' in text
  assert '| model-1 | 100.0% |' in text
  assert '| colorization | Palette | 47.8% |' in text
  assert '| colorization | ColTran | 36.55% |' in text


def test_a_bias_to_the_left_shows():
  study = study_of(images=58, trials=50)
  draw = np.random.default_rng(0)
  rows = []
  for rater in range(12):
    rows += answers_of(
      study,
      rater,
      lambda t: t.model is not None and (draw.uniform() < 0.7) == t.fake_left,
    )
  left = findings.compute(study, 12, rows)['left']
  assert left['value'] == pytest.approx(0.7, abs=0.05)
  assert left['low'] > 0.55
