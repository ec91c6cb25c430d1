"""The claims of the paper's tables, as comparisons that a small run can decide.

A claim says that a metric of a row is higher, or lower, than that of the
table's first row. For each seed of training there is a 95% interval of the
difference, image by image, and the verdict is one of three:

  reproduced       every seed's interval lies on the side that the paper claims
  not reproduced   every seed's interval lies on the other side
  not decided      anything else
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from palette_jax import markdown
from palette_jax.evaluation import baselines, registry

METRICS = 'fd_efficientnet', 'pd_efficientnet', 'lpips_alex'
OUTCOMES = 'reproduced', 'not reproduced', 'not decided'

# A difference and its interval, which may be missing.
Difference = tuple[float, float | None, float | None]


class Claim(NamedTuple):
  """A claim about a row and the first row of its table.

  Attributes:
    case: the case.
    row: the name of the row.
    metric: a name in registry.METRICS.
    higher: whether the row's metric is claimed to be higher; False for lower.
  """

  case: str
  row: str
  metric: str
  higher: bool


class Verdict(NamedTuple):
  """The verdict on a claim.

  Attributes:
    claim: the claim.
    differences: the row's metric less the first row's, by seed.
    outcome: one of OUTCOMES.
  """

  claim: Claim
  differences: list[Difference]
  outcome: str


def _worse(
  case: str, row: str, metrics: Sequence[str] = METRICS
) -> list[Claim]:
  """Returns claims that a row is worse than the first."""
  return [
    Claim(case, row, metric, registry.METRICS[metric].better == 'lower')
    for metric in metrics
  ]


_WITH_ACCURACY = *METRICS, 'ca_probe'
_HOLES = 'inpainting:20-30%'  # where the paper does not state the holes
CLAIMS = {
  'table-1': [
    *_worse('colorization', 'Regression', _WITH_ACCURACY),
    Claim('colorization', 'Regression', 'colourfulness', False),
  ],
  'table-4': [
    claim
    for quality in (5, 10, 20)
    for claim in _worse(f'jpeg:{quality}', 'Regression')
  ],
  'table-5': [
    claim
    for row in (
      'Dilated convolutions',
      'More ResNet blocks',
      'Local self-attention',
    )
    for claim in _worse(_HOLES, row)
  ],
  'table-6': [
    claim
    for case in (_HOLES, 'colorization')
    for claim in (
      Claim(case, 'L1', 'diversity_lpips_alex', False),
      Claim(case, 'L1', 'pd_efficientnet', False),
    )
  ],
  'table-7': [
    *_worse('inpainting:centre', 'Multi-task', _WITH_ACCURACY),
    *_worse('colorization', 'Multi-task', _WITH_ACCURACY),
    *_worse('colorization', 'Regression', _WITH_ACCURACY),
    *(
      claim._replace(higher=not claim.higher)  # the paper's is better at this
      for claim in _worse('jpeg:5', 'Multi-task')
    ),
    *_worse('jpeg:5', 'Regression'),
  ],
  'figure-9': _worse('inpainting:centre', 'Imputation'),
}


def of_table(name: str, cases: Sequence[str]) -> list[Claim]:
  """Returns a table's claims, then ours that its first rows beat baselines.

  Args:
    name: 'table-4', 'figure-9', ...
    cases: cases of the table.
  """
  beyond = [
    claim for case in cases for claim in _worse(case, baselines.label(case))
  ]
  return [*CLAIMS.get(name, []), *beyond]


def judge(
  claims: Sequence[Claim],
  results: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[Verdict]:
  """Judges claims, except for those whose metrics are missing.

  Args:
    claims: claims of a table.
    results: by case, the contents of results.json for each seed.
  """
  verdicts = []
  for claim in claims:
    by_seed = [
      result['differences_to_first'].get(claim.row, {}).get(claim.metric)
      for result in results[claim.case]
    ]
    if by_seed and None not in by_seed:
      differences = [(d['value'], d['low'], d['high']) for d in by_seed]
      outcome = _outcome(claim, differences)
      verdicts.append(Verdict(claim, differences, outcome))
  return verdicts


def _outcome(claim: Claim, differences: Sequence[Difference]) -> str:
  above = all(low is not None and low > 0 for _, low, _ in differences)
  below = all(high is not None and high < 0 for _, _, high in differences)
  if not above and not below:
    return 'not decided'
  return 'reproduced' if above == claim.higher else 'not reproduced'


def table(verdicts: Sequence[Verdict]) -> str:
  """Returns a table of verdicts in Markdown."""
  header = ['case', 'row', 'metric', 'should be', 'differences', 'verdict']
  rows = []
  for claim, differences, outcome in verdicts:
    metric = registry.METRICS[claim.metric]
    cells = '; '.join(_cell(difference, metric) for difference in differences)
    side = 'higher' if claim.higher else 'lower'
    rows.append([claim.case, claim.row, metric.title, side, cells, outcome])
  return markdown.table(header, rows, text_columns=len(header))


def _cell(difference: Difference, metric: registry.Metric) -> str:
  value, low, high = (
    'none' if x is None else f'{x * metric.scale:+,.{metric.digits}f}'
    for x in difference
  )
  return f'{value} [{low}, {high}]'
