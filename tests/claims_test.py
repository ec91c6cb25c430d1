"""Verdicts on the paper's claims."""

import pytest

from palette_jax.evaluation import report
from palette_jax.evaluation.paper import claims, reported, tables


def _result(value, low, high):
  metric = dict(fd_efficientnet=dict(value=value, low=low, high=high))
  return dict(differences_to_first={'Regression': metric})


@pytest.mark.parametrize(
  ('seeds', 'outcome'),
  [
    ([(2.0, 1.0, 3.0), (1.0, 0.5, 2.0)], 'reproduced'),
    ([(2.0, 1.0, 3.0), (1.0, -0.5, 2.0)], 'not decided'),
    ([(2.0, 1.0, 3.0), (-2.0, -3.0, -1.0)], 'not decided'),
    ([(-2.0, -3.0, -1.0)], 'not reproduced'),
    ([(2.0, None, None)], 'not decided'),
  ],
)
def test_a_claim_needs_every_seed(seeds, outcome):
  claim = claims.Claim('colorization', 'Regression', 'fd_efficientnet', True)
  results = {'colorization': [_result(*seed) for seed in seeds]}
  (verdict,) = claims.judge([claim], results)
  assert verdict.outcome == outcome
  reversed_claim = claim._replace(higher=False)
  opposite = {'reproduced': 'not reproduced', 'not reproduced': 'reproduced'}
  (verdict,) = claims.judge([reversed_claim], results)
  assert verdict.outcome == opposite.get(outcome, outcome)
  assert outcome in claims.table([verdict._replace(outcome=outcome)])


def test_the_paper_s_own_numbers_support_its_claims():
  """Otherwise a claim has the wrong sign, or is of another row."""
  papers = {ours: name for name, ours in report.SUBSTITUTES.items()}
  papers['ca_probe'] = 'ca'
  firsts = {
    name: {case: rows[0].name for case, rows in table.cases.items()}
    for name, table in tables.TABLES.items()
  }
  checked = 0
  for name, of_table in claims.CLAIMS.items():
    numbers = {(r.case, r.model): r.values for r in reported.of_table(name)}
    for claim in of_table:
      case = claim.case
      if (case, claim.row) not in numbers:
        case = case.partition(':')[0]  # where the paper states no holes
      row = numbers.get((case, claim.row), {})
      first = numbers.get((case, firsts[name][claim.case]), {})
      metric = papers.get(claim.metric)
      if metric in row and metric in first:
        assert (row[metric] > first[metric]) == claim.higher, claim
        checked += 1
  assert checked == 3 + 6 + 6 + 4 + 13  # of Tables 1, 4, 5, 6, 7


def test_a_metric_that_was_not_computed_decides_nothing():
  claim = claims.Claim('colorization', 'Regression', 'ca_probe', False)
  results = {'colorization': [_result(1.0, 0.5, 2.0)]}
  assert claims.judge([claim], results) == []
