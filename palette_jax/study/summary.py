"""Writes the findings of a study as Markdown."""

from palette_jax import markdown
from palette_jax.study import findings, rates


def text(report: findings.Report) -> str:
  """Returns the findings in Markdown."""
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


def _about(report: findings.Report) -> str:
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
    f'catch trials right in less than {findings.LEVEL:.0%} of cases (7 of 8; '
    f'all of 5, 6 or 7). {raters["counted"]} count, '
    f'{len(raters["excluded"])} are excluded.',
  ]
  for rater in raters['excluded']:
    reason = ': stopped early' if rater['stopped_early'] else ''
    lines.append(
      f'- rater {rater["rater"]}: {rater["catch_right"]} of '
      f'{rater["catch_answered"]} catch trials right{reason}; '
      f'{rater["answers"]} answers not counted'
    )
  return '\n'.join(lines)


def _rates_table(report: findings.Report) -> str:
  if not report['fool_rates']:
    return 'No answers count, so there is no fool rate.'
  rows = [
    [
      rate['model'],
      f'{rate["value"]:.1%}',
      f'{rate["low"]:.1%} to {rate["high"]:.1%}',
      rate['answers'],
      rate['raters'],
      rate['images'],
      f'{rate["of_all_raters"]:.1%}',
    ]
    for rate in report['fool_rates']
  ]
  header = 'model', 'fool rate', '95%', 'answers', 'raters', 'originals'
  table = markdown.table([*header, 'with excluded raters'], rows)
  for pair in report['differences']:
    table += (
      f'\n\n{pair["first"]} less {pair["second"]}: '
      f'{100 * pair["value"]:+.1f} points ({100 * pair["low"]:+.1f} to '
      f'{100 * pair["high"]:+.1f}).'
    )
  if report['raters']['counted'] < 10:
    table += '\n\nWith fewer than 10 raters, the intervals are rough.'
  return (
    'Fool rate: the share of trials in which the output was taken for the '
    "camera's; at 50%, outputs cannot be told from photos. Intervals: two-way "
    f'bootstrap over raters and originals, {rates.RESAMPLES:,} draws.\n\n'
    f'{table}'
  )


def _needed_table(report: findings.Report) -> str:
  if not report['fool_rates']:
    return ''
  known = [rate for rate in report['fool_rates'] if rate['needed']]
  if not known:
    return (
      'The raters needed for a given precision are unknown: too few originals '
      'were seen by more than one rater.'
    )
  rows = [
    [
      rate['model'],
      *(f'{max(0, x) ** 0.5:.2f}' for x in rate['components'].values()),
      *map(_needed, rate['needed']),
    ]
    for rate in known
  ]
  header = ['model', 'sd of raters', 'of originals', 'of an answer']
  header += [
    f'±{100 * precision:.0f} points' for precision in findings.PRECISIONS
  ]
  return (
    'Raters that count, needed for an interval of so many points with as many '
    'trials and originals as here; where no number is enough, the originals '
    f'needed:\n\n{markdown.table(header, rows)}'
  )


def _needed(need: findings.Report) -> str:
  if need['raters'] is None:
    return f'{need["originals"]:,} originals'
  return f'{need["raters"]:,}'


def _sides_and_times(report: findings.Report) -> str:
  if report['left'] is None:
    return ''
  left, times = report['left'], report['times']
  text = (
    f'Left was chosen in {left["value"]:.1%} of the trials '
    f'({left["low"]:.1%} to {left["high"]:.1%}); outputs are on either side '
    'equally often.\n\n'
  )
  if times['median'] is not None:
    text += (
      f'An answer took {times["median"]:.1f} s (median; a tenth took less than '
      f'{times["fastest_tenth"]:.1f} s, a tenth more than '
      f'{times["slowest_tenth"]:.1f} s). '
    )
  return text + (
    f'Of {times["answers"]} answers, catch trials included, {times["during"]} '
    f'came while the pair was shown, {times["after"]} after, and '
    f'{times["after_a_reload"]} after the page was reloaded, without a second '
    f'look; they count. {times["never"]} pairs were shown and never answered.'
  )


def _paper_table(report: findings.Report) -> str:
  rows = [
    [row['task'], row['model'], f'{100 * row["fool_rate"]:.4g}%']
    for row in report['paper']
  ]
  header = ['task', "the paper's", 'fool rate']
  return (
    "The paper's fool rates (Tables 1 and 3; its images, its raters, and no "
    'intervals; whether for 3 s or 5 s is not known here):\n\n'
    + markdown.table(header, rows, text_columns=2)
  )
