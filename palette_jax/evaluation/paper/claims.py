"""What the paper's tables say, as comparisons that a small run can decide.

Every claim is about a row and the first row of a table: its figure is higher,
or lower. With the 95% interval of the difference, image by image, and one
result for each seed of training, the answer is one of three:

  reproduced       every seed's interval lies on the side that the paper says
  not reproduced   every seed's interval lies on the other side
  not decided      anything else
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from palette_jax.evaluation import baselines, scores

FIGURES = 'fd_efficientnet', 'pd_efficientnet', 'lpips_alex'


class Claim(NamedTuple):
  """The row's figure is higher, or lower, than that of the first row.

  Attributes:
    case: what is done to the images.
    row: its name.
    metric: a name in scores.METRICS.
    higher: than the first row's; False for lower.
  """

  case: str
  row: str
  metric: str
  higher: bool


class Verdict(NamedTuple):
  """What came of a claim.

  Attributes:
    claim: what the paper says.
    differences: value, low and high, the row's less the first's, by seed.
    said: 'reproduced', 'not reproduced' or 'not decided'.
  """

  claim: Claim
  differences: list[tuple[float, float, float]]
  said: str


def _worse(case, row, metrics=FIGURES):
  return [
    Claim(case, row, metric, scores.METRICS[metric].better == 'lower')
    for metric in metrics
  ]


_CLASSES = *FIGURES, 'ca_probe'
_HOLES = 'inpainting:20-30%'  # where the paper does not state them
CLAIMS = {
  'table-1': [
    *_worse('colorization', 'Regression', _CLASSES),
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
    *_worse('inpainting:centre', 'Multi-task', _CLASSES),
    *_worse('colorization', 'Multi-task', _CLASSES),
    *_worse('colorization', 'Regression', _CLASSES),
    *(
      claim._replace(higher=not claim.higher)  # the paper's is better at this
      for claim in _worse('jpeg:5', 'Multi-task')
    ),
    *_worse('jpeg:5', 'Regression'),
  ],
  'figure-9': _worse('inpainting:centre', 'Imputation'),
}


def of_table(name: str, cases: Sequence[str]) -> list[Claim]:
  """The paper's claims, then that every first row beats what takes no model.

  Args:
    name: 'table-4', 'figure-9', ...
    cases: of the table.
  """
  beyond = [
    claim for case in cases for claim in _worse(case, baselines.label(case))
  ]
  return [*CLAIMS.get(name, []), *beyond]


def judge(
  claims: Sequence[Claim], results: Mapping[str, Sequence[dict]]
) -> list[Verdict]:
  """What each claim has come to; those of figures that are missing left out.

  Args:
    claims: of a table.
    results: of each case, what results.json holds, one for each seed.
  """
  found = []
  for claim in claims:
    seeds = [
      one['differences_to_first'].get(claim.row, {}).get(claim.metric)
      for one in results[claim.case]
    ]
    if seeds and None not in seeds:
      differences = [(d['value'], d['low'], d['high']) for d in seeds]
      found.append(Verdict(claim, differences, _said(claim, differences)))
  return found


def _said(claim, differences):
  if any(low is None for _, low, _ in differences):
    return 'not decided'
  above = all(low > 0 for _, low, _ in differences)
  below = all(high < 0 for _, _, high in differences)
  if not above and not below:
    return 'not decided'
  return 'reproduced' if above == claim.higher else 'not reproduced'


def markdown(verdicts: Sequence[Verdict]) -> str:
  """A table of the verdicts."""
  lines = [
    '| case | row | metric | should be | differences | verdict |',
    '|---|---|---|---|---|---|',
  ]
  for claim, differences, said in verdicts:
    metric = scores.METRICS[claim.metric]
    cells = [_cell(numbers, metric) for numbers in differences]
    side = 'higher' if claim.higher else 'lower'
    lines.append(
      f'| {claim.case} | {claim.row} | {metric.title} | {side} | '
      f'{"; ".join(cells)} | {said} |'
    )
  return '\n'.join(lines) + '\n'


def _cell(numbers, metric):
  value, low, high = (
    'none' if x is None else f'{x * metric.scale:+,.{metric.digits}f}'
    for x in numbers
  )
  return f'{value} [{low}, {high}]'
