"""What the answers of a study say: fool rates, and how far to trust them.

The fool rate is the share of trials in which the model's output was said to be
the camera's (Palette, section 4); 50% is what nobody can tell from photos.

Who counts is decided by catch trials, by a rule that was fixed before any
answer was seen: a rater counts if guessing would get as many right, or more, in
less than 5% of cases. With 8 catch trials that is 7 right; with 5 to 7, as when
somebody stopped early, all; below 5, nobody counts.
"""

import collections
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from palette_jax.evaluation.paper import reported
from palette_jax.study import answers as stores
from palette_jax.study import rates
from palette_jax.study import trials as plan

LEVEL = 0.05
PRECISIONS = (0.10, 0.05, 0.03, 0.02)


def counts(right: int, total: int) -> bool:
  """Whether a rater with so many right catch trials counts.

  Args:
    right: catch trials with the original chosen.
    total: catch trials answered.
  """
  luck = sum(math.comb(total, k) for k in range(right, total + 1)) / 2**total
  return luck < LEVEL


def make(
  study: plan.Study, raters: int, rows: Sequence[stores.Row], seed: int = 0
) -> dict[str, Any]:
  """Everything that the report says, as JSON has it.

  Args:
    study: of the answers.
    raters: how many began.
    rows: every trial that was shown.
    seed: of the bootstraps.
  """
  answered = [row for row in rows if row.chose_left is not None]
  caught = collections.defaultdict(lambda: [0, 0])
  given, everything = collections.Counter(), collections.Counter()
  for row in answered:
    everything[row.rater] += 1
    given[row.rater] += row.model is not None
    if row.model is None:
      caught[row.rater][0] += row.chose_left != row.fake_left
      caught[row.rater][1] += 1
  counted = {rater for rater in everything if counts(*caught[rater])}
  trials = [row for row in answered if row.model is not None]
  kept = [row for row in trials if row.rater in counted]
  return {
    'study': {
      'models': list(study.models),
      'originals': len(study.images),
      'trials': study.trials,
      'catch_trials': plan.CATCHES,
      'seconds': study.seconds,
      'seed': study.seed,
      'digest': study.digest,
    },
    'raters': {
      'began': raters,
      'answered': len(everything),
      'finished': sum(
        n == study.trials + plan.CATCHES for n in everything.values()
      ),
      'counted': len(counted),
      'excluded': [
        {
          'rater': rater,
          'catch_right': caught[rater][0],
          'catch_answered': caught[rater][1],
          'stopped_early': not counts(*caught[rater][1:] * 2),
          'answers': given[rater],
        }
        for rater in sorted(set(everything) - counted)
      ],
    },
    'fool_rates': [
      _fool_rate(study, model, kept, trials, len(counted), seed)
      for model in study.models
      if any(row.model == model for row in kept)
    ],
    'differences': _differences(study, kept, seed),
    'left': _share(kept, [row.chose_left for row in kept], seed)._asdict()
    if kept
    else None,
    'times': _times(study, [row for row in rows if row.rater in counted]),
    'paper': _paper(),
  }


def _paper():
  """Tables 1 and 3. Raters, images and intervals are not in the text that we
  have, nor whether the pairs were shown for 3 s or 5 s."""
  return [
    {
      'task': row.case.partition(':')[0],
      'model': row.model,
      'fool_rate': row.values['fool_rate'] / 100,
    }
    for row in reported.rows()
    if 'fool_rate' in row.values
  ]


def _fooled(rows):
  return [row.chose_left == row.fake_left for row in rows]


def _share(rows, hits, seed):
  return rates.share(*_arrays(rows, hits), seed)


def _arrays(rows, hits):
  names = {name: i for i, name in enumerate({row.image for row in rows})}
  return (
    np.array(hits, bool),
    np.array([row.rater for row in rows], int),
    np.array([names[row.image] for row in rows], int),
  )


def _fool_rate(study, model, kept, trials, raters, seed):
  kept = [row for row in kept if row.model == model]
  everybody = _fooled(row for row in trials if row.model == model)
  rate = {
    'model': model,
    **_share(kept, _fooled(kept), seed)._asdict(),
    'of_all_raters': float(np.mean(everybody)),
  }
  parts = rates.components(*_arrays(kept, _fooled(kept)))
  rate['components'] = parts and parts._asdict()
  each = study.trials / len(study.models)
  rate['needed'] = parts and [
    {
      'precision': precision,
      'raters': rates.raters_needed(parts, precision, each, len(study.images)),
      'originals': rates.images_needed(parts, precision),
    }
    for precision in PRECISIONS
  ]
  return rate


def _differences(study, kept, seed):
  found = []
  for first, second in itertools.combinations(study.models, 2):
    rows = [row for row in kept if row.model in (first, second)]
    if len({row.model for row in rows}) == 2:
      share = rates.difference(
        *_arrays(rows, _fooled(rows)),
        np.array([row.model == second for row in rows]),
        seed,
      )
      found.append({'first': first, 'second': second, **share._asdict()})
  return found


def _times(study, rows):
  """How long answers took, in seconds, and those of which nobody knows."""
  answered = [row for row in rows if row.chose_left is not None]
  timed = [row for row in answered if row.milliseconds is not None]
  seconds = np.array([row.milliseconds for row in timed]) / 1000
  quantiles = np.quantile(seconds, [0.1, 0.5, 0.9]) if timed else [None] * 3
  return {
    'answers': len(answered),
    'during': int((seconds < study.seconds).sum()),
    'after': int((seconds >= study.seconds).sum()),
    'after_a_reload': len(answered) - len(timed),
    'never': len(rows) - len(answered),
    **{
      name: value if value is None else float(value)
      for name, value in zip(
        ('fastest_tenth', 'median', 'slowest_tenth'), quantiles
      )
    },
  }


def text(report: dict[str, Any]) -> str:
  """The report in Markdown."""
  return '\n\n'.join(
    part
    for part in (
      _about(report),
      _rates_table(report),
      _needed_table(report),
      _sides_and_times(report),
      _paper_table(report),
    )
    if part
  )


def _about(report):
  study, raters = report['study'], report['raters']
  lines = [
    '# Which image was taken by a camera?',
    '',
    f'{raters["began"]} raters began, {raters["answered"]} answered, '
    f'{raters["finished"]} finished. Each: {study["trials"]} trials of '
    f'{len(study["models"])} models and {study["catch_trials"]} catch trials, '
    f'from {study["originals"]} originals, shown for {study["seconds"]} s '
    f'(seed {study["seed"]}).',
    '',
    'Rule, fixed in advance: a rater counts if guessing would get as many '
    f'catch trials right in less than {LEVEL:.0%} of cases (7 of 8; all of 5, '
    f'6 or 7). {raters["counted"]} count, {len(raters["excluded"])} are '
    'excluded.',
  ]
  for one in raters['excluded']:
    why = ': stopped early' if one['stopped_early'] else ''
    lines.append(
      f'- rater {one["rater"]}: {one["catch_right"]} of '
      f'{one["catch_answered"]} catch trials right{why}; {one["answers"]} '
      'answers not counted'
    )
  return '\n'.join(lines)


def _rates_table(report):
  if not report['fool_rates']:
    return 'No answers count, so there is no fool rate.'
  rows = [
    [
      one['model'],
      f'{one["value"]:.1%}',
      f'{one["low"]:.1%} to {one["high"]:.1%}',
      one['answers'],
      one['raters'],
      one['images'],
      f'{one["of_all_raters"]:.1%}',
    ]
    for one in report['fool_rates']
  ]
  head = 'model', 'fool rate', '95%', 'answers', 'raters', 'originals'
  table = _table([*head, 'with excluded raters'], rows)
  for one in report['differences']:
    table += (
      f'\n\n{one["first"]} less {one["second"]}: {100 * one["value"]:+.1f} '
      f'points ({100 * one["low"]:+.1f} to {100 * one["high"]:+.1f}).'
    )
  if report['raters']['counted'] < 10:
    table += '\n\nWith fewer than 10 raters, the intervals are rough.'
  return (
    'Fool rate: the share of trials in which the output was taken for the '
    "camera's; 50% cannot be told from photos. Intervals: two-way bootstrap "
    f'over raters and originals, {rates.RESAMPLES:,} draws.\n\n{table}'
  )


def _needed_table(report):
  known = [one for one in report['fool_rates'] if one['needed']]
  if not known:
    return report['fool_rates'] and (
      'How many raters a precision needs cannot be said: too few originals '
      'were seen by more than one.'
    )
  rows = [
    [
      one['model'],
      *(f'{max(0, x) ** 0.5:.2f}' for x in one['components'].values()),
      *map(_needed, one['needed']),
    ]
    for one in known
  ]
  head = ['model', 'sd of raters', 'of originals', 'of an answer']
  head += [f'±{100 * precision:.0f} points' for precision in PRECISIONS]
  return (
    'Raters that count, needed for an interval of so many points, with as many '
    'trials and originals as here; and where no number is enough, the '
    'originals that are:\n\n' + _table(head, rows)
  )


def _needed(one):
  if one['raters'] is None:
    return f'{one["originals"]:,} originals'
  return f'{one["raters"]:,}'


def _sides_and_times(report):
  if report['left'] is None:
    return ''
  left, times = report['left'], report['times']
  words = (
    f'Left was chosen in {left["value"]:.1%} of the trials '
    f'({left["low"]:.1%} to {left["high"]:.1%}); outputs are on either side '
    'equally often.\n\n'
  )
  if times['median'] is not None:
    words += (
      f'An answer took {times["median"]:.1f} s (median; a tenth took less than '
      f'{times["fastest_tenth"]:.1f} s, a tenth more than '
      f'{times["slowest_tenth"]:.1f} s). '
    )
  return words + (
    f'Of {times["answers"]} answers, catch trials included, {times["during"]} '
    f'came while the pair was shown, {times["after"]} after, and '
    f'{times["after_a_reload"]} after the page was loaded anew, without a '
    f'second look; they count. {times["never"]} pairs were shown and never '
    'answered.'
  )


def _paper_table(report):
  rows = [
    [one['task'], one['model'], f'{100 * one["fool_rate"]:.4g}%']
    for one in report['paper']
  ]
  return (
    "The paper's fool rates (Tables 1 and 3; its images, its raters, and no "
    'intervals; whether for 3 s or 5 s is not known here):\n\n'
    + _table(['task', "the paper's", 'fool rate'], rows)
  )


def _table(head, rows):
  lines = [head, ['---', *['---:'] * (len(head) - 1)], *rows]
  cells = ([str(x).replace('|', '\\|') for x in line] for line in lines)
  return '\n'.join(f'| {" | ".join(line)} |' for line in cells)
