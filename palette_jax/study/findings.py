"""The findings of a study: fool rates, and how far to trust them.

The fool rate is the share of trials in which a rater took the model's output
for the camera's (Palette, section 4); at 50%, outputs cannot be told from
photos.

Catch trials decide which raters count, by a rule that was fixed before any
answer was seen: a rater counts if guessing would get as many of them right, or
more, in less than 5% of cases. Of 8 catch trials, 7 must be right; of 5 to 7,
as when somebody stopped early, all; with fewer, nobody counts.
"""

import collections
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from palette_jax.evaluation.paper import reported
from palette_jax.study import answers, rates, trials

LEVEL = 0.05
PRECISIONS = (0.10, 0.05, 0.03, 0.02)
Report = dict[str, Any]  # as JSON


def is_counted(right: int, total: int) -> bool:
  """Checks whether a rater counts.

  Args:
    right: catch trials in which the rater chose the original.
    total: catch trials that the rater answered.
  """
  return bool(stats.binom.sf(right - 1, total, 0.5) < LEVEL)


def compute(
  study: trials.Study,
  raters: int,
  shown: Sequence[answers.Answer],
  seed: int = 0,
) -> Report:
  """Returns all figures of the report, as JSON.

  Args:
    study: the study of the answers.
    raters: the number of raters who began.
    shown: every trial that was shown.
    seed: random seed of the bootstraps.
  """
  answered = [answer for answer in shown if answer.chose_left is not None]
  catches = [answer for answer in answered if answer.model is None]
  total = collections.Counter(answer.rater for answer in catches)
  right = collections.Counter(
    answer.rater for answer in catches if not _is_fooled(answer)
  )
  everybody = collections.Counter(answer.rater for answer in answered)
  counted = {
    rater for rater in everybody if is_counted(right[rater], total[rater])
  }
  judged = [answer for answer in answered if answer.model is not None]
  kept = [answer for answer in judged if answer.rater in counted]
  outside_catches = collections.Counter(answer.rater for answer in judged)
  return {
    'study': {
      'models': list(study.models),
      'originals': len(study.images),
      'trials': study.trials,
      'catch_trials': trials.CATCHES,
      'seconds': study.seconds,
      'seed': study.seed,
      'digest': study.digest,
    },
    'raters': {
      'began': raters,
      'answered': len(everybody),
      'finished': sum(
        n == study.trials + trials.CATCHES for n in everybody.values()
      ),
      'counted': len(counted),
      'excluded': [
        {
          'rater': rater,
          'catch_right': right[rater],
          'catch_answered': total[rater],
          'stopped_early': not is_counted(total[rater], total[rater]),
          'answers': outside_catches[rater],
        }
        for rater in sorted(set(everybody) - counted)
      ],
    },
    'fool_rates': [
      _fool_rate(study, model, kept, judged, seed)
      for model in study.models
      if any(answer.model == model for answer in kept)
    ],
    'differences': _differences(study, kept, seed),
    'left': _left(kept, seed),
    'times': _times(study, [a for a in shown if a.rater in counted]),
    'paper': _paper(),
  }


def _paper() -> list[Report]:
  """Returns the fool rates of the paper's Tables 1 and 3.

  It states neither raters, images and intervals, nor whether the pairs were
  shown for 3 s or 5 s.
  """
  return [
    {
      'task': row.case.partition(':')[0],
      'model': row.model,
      'fool_rate': row.values['fool_rate'] / 100,
    }
    for row in reported.rows()
    if 'fool_rate' in row.values
  ]


def _is_fooled(answer: answers.Answer) -> bool:
  return answer.chose_left == answer.fake_left


def _ratings(
  kept: Sequence[answers.Answer],
  is_hit: Callable[[answers.Answer], bool | None] = _is_fooled,
) -> rates.Ratings:
  _, images = np.unique([answer.image for answer in kept], return_inverse=True)
  return rates.Ratings(
    np.array([is_hit(answer) for answer in kept], bool),
    np.array([answer.rater for answer in kept], int),
    images,
  )


def _left(kept: Sequence[answers.Answer], seed: int) -> Report | None:
  if not kept:
    return None
  ratings = _ratings(kept, lambda answer: answer.chose_left)
  return rates.share(ratings, seed)._asdict()


def _fool_rate(
  study: trials.Study,
  model: str,
  kept: Sequence[answers.Answer],
  judged: Sequence[answers.Answer],
  seed: int,
) -> Report:
  ratings = _ratings([answer for answer in kept if answer.model == model])
  everybody = [_is_fooled(answer) for answer in judged if answer.model == model]
  parts = rates.components(ratings)
  trials_each = study.trials / len(study.models)
  return {
    'model': model,
    **rates.share(ratings, seed)._asdict(),
    'of_all_raters': float(np.mean(everybody)),
    'components': parts and parts._asdict(),
    'needed': parts
    and [
      {
        'precision': precision,
        'raters': rates.raters_needed(
          parts, precision, trials_each, len(study.images)
        ),
        'originals': rates.images_needed(parts, precision),
      }
      for precision in PRECISIONS
    ],
  }


def _differences(
  study: trials.Study, kept: Sequence[answers.Answer], seed: int
) -> list[Report]:
  differences = []
  for first, second in itertools.combinations(study.models, 2):
    both = [answer for answer in kept if answer.model in (first, second)]
    if len({answer.model for answer in both}) == 2:
      is_second = np.array([answer.model == second for answer in both])
      share = rates.difference(_ratings(both), is_second, seed)
      differences.append({'first': first, 'second': second, **share._asdict()})
  return differences


def _times(study: trials.Study, shown: Sequence[answers.Answer]) -> Report:
  """Returns how long answers took, in seconds."""
  answered = [answer for answer in shown if answer.chose_left is not None]
  milliseconds = [
    answer.milliseconds
    for answer in answered
    if answer.milliseconds is not None
  ]
  seconds = np.array(milliseconds) / 1000
  quantiles = [None] * 3
  if milliseconds:
    quantiles = np.quantile(seconds, [0.1, 0.5, 0.9]).tolist()
  return {
    'answers': len(answered),
    'during': int((seconds < study.seconds).sum()),
    'after': int((seconds >= study.seconds).sum()),
    'after_a_reload': len(answered) - len(milliseconds),
    'never': len(shown) - len(answered),
    **dict(zip(('fastest_tenth', 'median', 'slowest_tenth'), quantiles)),
  }
