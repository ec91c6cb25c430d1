"""docs/results.md says what the files under results/ say."""

import json
import pathlib
import re

import pytest

from benchmarks import results
from palette_jax.interop import weights

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  """The page, written anew in another place, beside results/."""
  folder = tmp_path_factory.mktemp('again')
  (folder / 'docs').mkdir()
  (folder / 'results').symlink_to(ROOT / 'results')
  again = folder / 'docs/results.md'
  again.write_text(results.PAGE.read_text())
  results.write(folder / 'results/small', again)
  return again


def test_the_page_is_what_its_command_makes_of_the_results(page):
  text = page.read_text()
  assert text == results.PAGE.read_text()
  pictures = re.findall(r'!\[.*?\]\((.*?)\)', text)
  assert pictures and all((page.parent / one).exists() for one in pictures)


def test_the_verdicts_follow_from_the_intervals(page):
  """As a reader would see it: every seed's interval on one side of zero."""
  row = re.compile(r'^\| .* \| (higher|lower) \| (.*) \| (.*) \|$', re.M)
  found = row.findall(page.read_text())
  assert found
  for wanted, differences, said in found:
    ends = [
      float(end) if wanted == 'higher' else -float(end)
      for interval in re.findall(r'\[(.*?)\]', differences)
      for end in interval.split(', ')
    ]
    assert ends and len(ends) % 2 == 0
    if 0 in ends:  # of which sign, the page's digits do not say
      continue
    above, below = all(e > 0 for e in ends), all(e < 0 for e in ends)
    assert (said == 'reproduced') == above
    assert (said == 'not reproduced') == below
    assert above or below or said == 'not decided'


def test_every_result_is_on_the_page(page):
  text, found = page.read_text(), [*ROOT.glob('results/small/*-*/*.json')]
  assert found
  for file in found:
    kind, _, number = file.parent.name.partition('-')
    start = text.index(f'### {kind.title()} {number}:')
    section = text[start : text.find('\n### ', start + 1)]
    assert f'**{json.loads(file.read_text())["case"]}**' in section


def test_no_two_runs_have_the_same_line():
  """Though there are fewer colours than runs."""
  runs = json.loads((ROOT / 'results/small/runs.json').read_text())
  losses, _ = results.plot_losses(runs).axes
  looks = [(line.get_color(), line.get_linestyle()) for line in losses.lines]
  assert len(set(looks)) == len(looks) > len({colour for colour, _ in looks})


@pytest.mark.parametrize('sampler', ['dpm_solver', 'ddim'])
def test_the_usual_steps_are_the_fewest_that_are_no_worse_than_all(sampler):
  """FD and LPIPS below the paper's 1000 steps', or within noise of it: bold."""
  steps = ROOT / 'results/small/steps-colorization.json'
  found = json.loads(steps.read_text())
  rows = [
    [cell.strip() for cell in line.split('|')[1:-1]]
    for line in found['markdown'].splitlines()[2:]
  ]
  value = lambda cell: float(cell.strip('*').partition(' ')[0])  # noqa: E731
  every = [value(cell) for cell in rows[0][3:5]]  # FD and LPIPS
  enough = [
    int(steps)
    for name, steps, _, *cells in rows[1:]
    if name == sampler
    and all(
      cell.startswith('**') or value(cell) < all_of
      for cell, all_of in zip(cells, every)
    )
  ]
  assert weights.STEPS[sampler] == min(enough)
