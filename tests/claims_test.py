"""The paper's claims, held against results."""

import pytest

from palette_jax.evaluation import report
from palette_jax.evaluation.paper import claims, reported, tables


def _result(value, low, high):
  metric = dict(fd_efficientnet=dict(value=value, low=low, high=high))
  return dict(differences_to_first={'Regression': metric})


@pytest.mark.parametrize(
  ('seeds', 'said'),
  [
    ([(2.0, 1.0, 3.0), (1.0, 0.5, 2.0)], 'reproduced'),
    ([(2.0, 1.0, 3.0), (1.0, -0.5, 2.0)], 'not decided'),
    ([(2.0, 1.0, 3.0), (-2.0, -3.0, -1.0)], 'not decided'),
    ([(-2.0, -3.0, -1.0)], 'not reproduced'),
    ([(2.0, None, None)], 'not decided'),
  ],
)
def test_a_claim_needs_every_seed(seeds, said):
  claim = claims.Claim('colorization', 'Regression', 'fd_efficientnet', True)
  results = {'colorization': [_result(*one) for one in seeds]}
  (verdict,) = claims.judge([claim], results)
  assert verdict.outcome == said
  turned = claim._replace(higher=False)
  opposite = {'reproduced': 'not reproduced', 'not reproduced': 'reproduced'}
  (verdict,) = claims.judge([turned], results)
  assert verdict.outcome == opposite.get(said, said)
  assert said in claims.table([verdict._replace(outcome=said)])


def test_the_paper_s_own_figures_bear_its_claims_out():
  """Otherwise a claim has the wrong sign, or is of another row."""
  papers = {stand_in: name for name, stand_in in report.SUBSTITUTES.items()}
  papers['ca_probe'] = 'ca'
  firsts = {
    name: {case: rows[0].name for case, rows in table.cases.items()}
    for name, table in tables.TABLES.items()
  }
  checked = 0
  for name, own in claims.CLAIMS.items():
    figures = {(r.case, r.model): r.values for r in reported.of_table(name)}
    for claim in own:
      case = claim.case
      if (case, claim.row) not in figures:
        case = case.partition(':')[0]  # where the paper states no holes
      one = figures.get((case, claim.row), {})
      first = figures.get((case, firsts[name][claim.case]), {})
      metric = papers.get(claim.metric)
      if metric in one and metric in first:
        assert (one[metric] > first[metric]) == claim.higher, claim
        checked += 1
  assert checked == 3 + 6 + 6 + 4 + 13  # of Tables 1, 4, 5, 6, 7


def test_a_figure_that_was_not_computed_decides_nothing():
  claim = claims.Claim('colorization', 'Regression', 'ca_probe', False)
  results = {'colorization': [_result(1.0, 0.5, 2.0)]}
  assert claims.judge([claim], results) == []
