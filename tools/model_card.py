"""Writes the measured parts of docs/model_card.md from results/.

  python -m tools.model_card

The measured parts are the sentences and tables between marks; other text stays.
`benchmarks.unseen` wrote results/unseen.json, and `benchmarks.photo_steps`
results/photo_steps/.
"""

import json
import pathlib
from collections.abc import Callable
from typing import Any

from palette_jax import files, markdown, tasks
from palette_jax.evaluation import baselines

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / 'docs/model_card.md'
ROW = 'Palette'  # of the weights, in the results
NO_MODEL = 'no model'
BEGIN = '<!-- Written by `python -m tools.model_card`: {}. -->'
END = '<!-- End of what is written. -->'


def against_no_model(results: pathlib.Path) -> str:
  """Returns the table of the weights and the answers without a model."""
  judged = json.loads((results / 'unseen.json').read_text())
  rows = []
  for task, of_task in judged['tasks'].items():
    difference = of_task['trivial_less_model']['lpips_alex']
    value, low, high = (difference[k] for k in ('value', 'low', 'high'))
    rows.append(
      [
        tasks.get(task).label,
        of_task['trivial'],
        f'{_lpips(of_task["rows"][of_task["trivial"]]):.3f}',
        f'{_lpips(of_task["rows"][ROW]):.3f}',
        f'{value:+.3f} [{low:+.3f}, {high:+.3f}]',
      ]
    )
  header = ['task', NO_MODEL, 'LPIPS of that', 'LPIPS of these weights']
  return (
    f'On {judged["photos"]} photos that it never saw: squares of '
    f'{judged["side"]} pixels, one sample each, each with\nnoise of its own; '
    'LPIPS (AlexNet), lower is better, with 95% intervals over photos:\n\n'
    + markdown.table([*header, 'better by'], rows, text_columns=2)
  )


def by_steps(results: pathlib.Path) -> str:
  """Returns the table of quality by sampling steps."""
  judged = json.loads((results / 'unseen.json').read_text())
  rows: dict[str, list[str]] = {}
  photos = set()
  for task in judged['tasks']:
    of_task = json.loads((results / f'photo_steps/{task}.json').read_text())
    if of_task['weights'] != judged['weights']:
      raise ValueError(f'photo_steps/{task}.json is of other weights.')
    photos.add(of_task['photos'])
    for row, of_row in of_task['rows'].items():
      name = NO_MODEL if row == baselines.label(task) else row
      distance = of_row['fd_efficientnet']['value']
      cell = f'{_lpips(of_row):.3f} ({distance:.1f})'
      rows.setdefault(name, []).append(cell)
  (count,) = photos
  labels = [tasks.get(task).label for task in judged['tasks']]
  return (
    f'**Sampler.** {judged["steps"]} {judged["sampler"]} steps with the '
    f"posterior's variance, chosen on {count} other\nphotos of that size. "
    'LPIPS, and in brackets FD by EfficientNet-lite0:\n\n'
    + markdown.table(['steps', *labels], [[k, *v] for k, v in rows.items()])
  )


def _lpips(row: dict[str, Any]) -> float:
  return row['lpips_alex']['value']


PARTS: dict[str, Callable[[pathlib.Path], str]] = {
  'results/unseen.json': against_no_model,
  'results/photo_steps': by_steps,
}


def rewrite(text: str, results: pathlib.Path) -> str:
  """Returns the page with its measured parts written again.

  Raises:
    ValueError: if the marks of a part are missing.
  """
  for name, part in PARTS.items():
    begin = f'{BEGIN.format(name)}\n'
    above, _, rest = text.partition(begin)
    _, end, below = rest.partition(END)
    if not end:
      raise ValueError(f'The page needs the lines {begin} and {END}.')
    text = f'{above}{begin}\n{part(results)}\n\n{end}{below}'
  return text


def main() -> None:
  """Writes the page."""
  text = rewrite(PAGE.read_text(), ROOT / 'results')
  print(files.write(PAGE, text.encode()))


if __name__ == '__main__':
  main()
