"""docs/results.md and docs/model_card.md are what their tools write."""

import json
import re

import pytest
from conftest import ROOT

from palette_jax.weights import trained
from tools import collect, model_card, result_plots, results


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  """The page on the results, written in another place, beside results/."""
  folder = tmp_path_factory.mktemp('again')
  (folder / 'docs').mkdir()
  (folder / 'results').symlink_to(ROOT / 'results')
  again = folder / 'docs/results.md'
  again.write_text(results.PAGE.read_text())
  results.write(folder / 'results/small', again)
  return again


def test_the_results_page_is_up_to_date(page):
  text = page.read_text()
  assert text == results.PAGE.read_text(), (
    'docs/results.md is stale: python -m tools.results --results=results/small'
  )
  pictures = re.findall(r'!\[.*?\]\((.*?)\)', text)
  assert pictures
  assert all((page.parent / picture).exists() for picture in pictures)


def test_the_model_card_is_up_to_date():
  text = model_card.PAGE.read_text()
  assert text == model_card.rewrite(text, ROOT / 'results'), (
    'docs/model_card.md is stale: python -m tools.model_card'
  )


def test_a_stale_model_card_is_rewritten_between_its_marks():
  text = model_card.PAGE.read_text()
  stale = text.replace('| Grey copy |', '| Grey |') + 'My own words.\n'
  assert stale != text + 'My own words.\n'
  again = model_card.rewrite(stale, ROOT / 'results')
  assert again == text + 'My own words.\n'
  with pytest.raises(ValueError, match='unseen.json'):
    model_card.rewrite('My own words.\n', ROOT / 'results')


def test_the_verdicts_follow_from_the_intervals(page):
  """Every seed's interval lies on one side of zero, as a reader sees it."""
  row = re.compile(r'^\| .* \| (higher|lower) \| (.*) \| (.*) \|$', re.M)
  rows = row.findall(page.read_text())
  assert rows
  for side, differences, outcome in rows:
    ends = [
      float(end) if side == 'higher' else -float(end)
      for interval in re.findall(r'\[(.*?)\]', differences)
      for end in interval.split(', ')
    ]
    assert ends and len(ends) % 2 == 0
    if 0 in ends:  # rounded, without its sign
      continue
    above, below = all(e > 0 for e in ends), all(e < 0 for e in ends)
    assert (outcome == 'reproduced') == above
    assert (outcome == 'not reproduced') == below
    assert above or below or outcome == 'not decided'


def test_every_result_is_on_the_page(page):
  text, paths = page.read_text(), [*ROOT.glob('results/small/*-*/*.json')]
  assert paths
  for path in paths:
    kind, _, number = path.parent.name.partition('-')
    start = text.index(f'### {kind.title()} {number}:')
    section = text[start : text.find('\n### ', start + 1)]
    assert f'**{json.loads(path.read_text())["case"]}**' in section


def test_progress_goes_by_steps(tmp_path):
  """As numbers: 500 before 1000. A case that was judged once is left out."""
  for step, case in [(1000, 'a'), (500, 'a'), (4000, 'a'), (4000, 'b')]:
    rows = {
      name: {metric: {'value': value} for metric in collect.BY_STEPS}
      for name, value in {'originals': 0, 'run': step}.items()
    }
    folder = tmp_path / f'run/evaluation/{step}/{case}'
    folder.mkdir(parents=True)
    result = {'step': step, 'images': 3, 'case': case, 'rows': rows}
    (folder / collect.RESULTS).write_text(json.dumps(result))
  progress = collect.progress(tmp_path / 'run')
  assert list(progress) == ['a']
  for point, step in zip(progress['a'], [500, 1000, 4000], strict=True):
    assert point['step'] == step
    assert all(point[metric]['value'] == step for metric in collect.BY_STEPS)


def test_progress_is_on_the_page(page):
  """Each metric stands at its step, and in the plot."""
  paths = [*ROOT.glob('results/small/progress/*.json')]
  assert paths
  for path in paths:
    cases = json.loads(path.read_text())
    for case, points in cases.items():
      for point in points:
        row = re.search(
          rf'^\| {case} \| {point["step"]:,} \| .*$', page.read_text(), re.M
        )
        cells = row[0].split(' | ')[2:]
        for metric, cell in zip(collect.BY_STEPS, cells, strict=True):
          assert float(cell.split()[0]) == pytest.approx(
            point[metric]['value'], rel=0.01
          )
    panels = result_plots.training_steps(cases).axes
    for metric, panel in zip(collect.BY_STEPS, panels, strict=True):
      for line, (case, points) in zip(panel.lines, cases.items(), strict=True):
        expected = [(point['step'], point[metric]['value']) for point in points]
        assert line.get_label() == case
        assert [*zip(*line.get_data())] == expected


def test_no_two_runs_have_the_same_line():
  """There are fewer colours than runs."""
  runs = json.loads((ROOT / 'results/small/runs.json').read_text())
  losses, _ = result_plots.losses(runs).axes
  looks = [(line.get_color(), line.get_linestyle()) for line in losses.lines]
  assert len(set(looks)) == len(looks) > len({colour for colour, _ in looks})


@pytest.mark.parametrize('sampler', ['dpm_solver', 'ddim'])
def test_the_usual_steps_are_the_fewest_that_are_no_worse_than_all(sampler):
  """FD and LPIPS are below the paper's 1000 steps', or within noise: bold."""
  path = ROOT / 'results/small/steps-colorization.json'
  table = json.loads(path.read_text())['markdown']
  rows = [
    [cell.strip() for cell in line.split('|')[1:-1]]
    for line in table.splitlines()[2:]
  ]

  def value(cell):
    return float(cell.strip('*').partition(' ')[0])

  of_all = [value(cell) for cell in rows[0][3:5]]  # FD and LPIPS
  enough = [
    int(steps)
    for name, steps, _, *cells in rows[1:]
    if name == sampler
    and all(
      cell.startswith('**') or value(cell) < best
      for cell, best in zip(cells, of_all)
    )
  ]
  assert trained.STEPS[sampler] == min(enough)
