"""docs/results.md says what the files under results/ say."""

import json
import pathlib
import re

import pytest

from palette_jax.weights import trained
from tools import collect, results

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


def test_progress_goes_by_steps(tmp_path):
  """As numbers: 500 before 1000. What was judged once is no progress."""
  for step, case in [(1000, 'a'), (500, 'a'), (4000, 'a'), (4000, 'b')]:
    rows = {
      name: {metric: {'value': value} for metric in collect.BY_STEPS}
      for name, value in {'originals': 0, 'run': step}.items()
    }
    folder = tmp_path / f'run/evaluation/{step}/{case}'
    folder.mkdir(parents=True)
    found = {'step': step, 'images': 3, 'case': case, 'rows': rows}
    (folder / collect.FOUND).write_text(json.dumps(found))
  found = collect.progress(tmp_path / 'run')
  assert list(found) == ['a']
  for one, step in zip(found['a'], [500, 1000, 4000], strict=True):
    assert one['step'] == step
    assert all(one[metric]['value'] == step for metric in collect.BY_STEPS)


def test_progress_is_on_the_page(page):
  """Each of its figures, at its step, and in the plot."""
  files = [*ROOT.glob('results/small/progress/*.json')]
  assert files
  for file in files:
    cases = json.loads(file.read_text())
    for case, points in cases.items():
      for one in points:
        row = re.search(
          rf'^\| {case} \| {one["step"]:,} \| .*$', page.read_text(), re.M
        )
        cells = row[0].split(' | ')[2:]
        for metric, cell in zip(collect.BY_STEPS, cells, strict=True):
          assert float(cell.split()[0]) == pytest.approx(
            one[metric]['value'], rel=0.01
          )
    panels = results.plot_progress(cases).axes
    for metric, panel in zip(collect.BY_STEPS, panels, strict=True):
      for line, (case, points) in zip(panel.lines, cases.items(), strict=True):
        drawn = [(one['step'], one[metric]['value']) for one in points]
        assert line.get_label() == case
        assert [*zip(*line.get_data())] == drawn


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
  assert trained.STEPS[sampler] == min(enough)
