"""Answers that take no model, and claims that are held against results."""

import numpy as np
import pytest

from palette_jax import images
from palette_jax.evaluation import report, trivial
from palette_jax.evaluation.paper import claims, reported, tables


def _blob(rng, height, width):
  """A hole that touches no edge."""
  mask = np.zeros([height, width], bool)
  mask[3:-4, 5:-3] = rng.random([height - 7, width - 8]) < 0.7
  return mask


def test_diffusion_continues_a_ramp():
  """Linear functions solve Laplace's equation, whatever the hole's shape."""
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:24, :31]
  ramp = np.stack([4 * y + 3 * x, 200 - 2 * x - y, 100 + 0 * x], -1)
  ramp = ramp.astype(np.uint8)
  mask = _blob(rng, 24, 31)
  broken = np.where(mask[..., None], np.uint8(7), ramp)
  np.testing.assert_array_equal(trivial.diffused(broken, mask), ramp)


def test_diffusion_stays_within_what_is_known_and_keeps_it():
  rng = np.random.default_rng(1)
  image = rng.integers(40, 200, [20, 20, 3], dtype=np.uint8)
  mask = rng.random([20, 20]) < 0.5
  found = trivial.diffused(image, mask)
  np.testing.assert_array_equal(found[~mask], image[~mask])
  known = image[~mask]
  assert (found >= known.min(0)).all() and (found <= known.max(0)).all()


def test_replication_repeats_the_last_known_column():
  rng = np.random.default_rng(2)
  image = rng.integers(0, 255, [6, 10, 3], dtype=np.uint8)
  mask = np.zeros([6, 10], bool)
  mask[:, 5:] = True
  found = trivial.replicated(image, mask)
  np.testing.assert_array_equal(found[:, :5], image[:, :5])
  np.testing.assert_array_equal(found[:, 5:], image[:, 4:5].repeat(5, axis=1))


@pytest.mark.parametrize('task', trivial.NAMES)
def test_answers_are_files_beside_the_inputs_and_drawn_once(task, tmp_path):
  rng = np.random.default_rng(3)
  inputs = rng.integers(0, 255, [3, 8, 8, 3], dtype=np.uint8)
  hole = np.zeros([8, 8, 3], np.uint8)
  hole[2:6, 2:6] = 255
  for i, image in enumerate(inputs):
    images.write_png(tmp_path / f'inputs/a/{i}.png', image)
    images.write_png(tmp_path / f'holes/a/{i}.png', hole)
  inputs_folder = str(tmp_path / 'inputs')
  if task not in ('inpainting', 'uncropping'):
    found = trivial.draw(task, inputs_folder, None, tmp_path / 'out')
    assert found == inputs_folder
    return
  arguments = task, inputs_folder, str(tmp_path / 'holes'), tmp_path / 'out'
  assert trivial.draw(*arguments) == str(tmp_path / 'out')
  files = sorted((tmp_path / 'out').rglob('*.png'))
  assert [file.stem for file in files] == ['0', '1', '2']
  before = [file.stat().st_mtime_ns for file in files]
  trivial.draw(*arguments)
  assert [file.stat().st_mtime_ns for file in files] == before


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
  assert verdict.said == said
  turned = claim._replace(higher=False)
  opposite = {'reproduced': 'not reproduced', 'not reproduced': 'reproduced'}
  (verdict,) = claims.judge([turned], results)
  assert verdict.said == opposite.get(said, said)
  assert said in claims.markdown([verdict._replace(said=said)])


def test_the_paper_s_own_figures_bear_its_claims_out():
  """Otherwise a claim has the wrong sign, or is of another row."""
  papers = {stand_in: name for name, stand_in in report.STAND_INS.items()}
  papers['ca_probe'] = 'ca'
  firsts = {
    name: {case: rows[0].row for case, rows in table.cases.items()}
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
