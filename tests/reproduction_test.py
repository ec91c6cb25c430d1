"""The paper's tables, driven as a whole; and what is missing, said at once."""

import json
import pathlib
import shlex

import jax
import pytest
from configs_test import load
from conftest import ROOT, micro

from palette_jax import sharding
from palette_jax.evaluation import cases, paper, protocol, reproduction

pytestmark = pytest.mark.filterwarnings(
  'ignore:the load_module:DeprecationWarning'  # ml_collections
)


@pytest.fixture
def quick(monkeypatch):
  """Networks of seconds, on one device; no weights of others."""

  def small(entry, scale):
    name, _, variant = entry.config.removesuffix('.py').partition(':')
    config = micro(load(name.removesuffix('.py'), variant or None), 'photos')
    config.update_from_flattened_dict(
      {k: v for k, v in entry.changes if k != 'data.source'}
    )
    return config

  monkeypatch.setattr(reproduction.Entry, 'load', small)
  monkeypatch.setattr(protocol, 'loaders', lambda dialect: {})
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  monkeypatch.setattr(sharding, 'make_mesh', lambda fsdp=1, devices=(): mesh)


def test_every_table_s_configs_and_cases_exist(monkeypatch):
  monkeypatch.chdir(ROOT)
  for number, table in reproduction.TABLES.items():
    assert table.images in paper.IMAGES
    for case, entries in table.cases.items():
      for entry in entries:
        config = entry.load('tiny')
        found = cases.of_config(config.task.to_dict(), [case])
        assert found[0].name == case, (number, entry)
        assert entry.load('paper').train.steps >= 500_000
      known = {row.case for row in paper.of_table(number)}
      assert case in known or case.partition(':')[0] in known


@pytest.mark.slow
def test_a_table_is_trained_drawn_and_judged(quick, tmp_path, capsys):
  """Table 4: two models at three qualities, side by side."""
  scale = reproduction.Scale('tiny', str(tmp_path))
  folder = reproduction.reproduce(4, scale)
  for quality in (5, 10, 20):
    file = pathlib.Path(folder, f'jpeg-{quality}', 'results.json')
    found = json.loads(file.read_text())
    assert set(found['rows']) == {'originals', 'Regression', 'Palette'}
    assert found['table'] == 4 and found['scale'] == 'tiny'
    assert found['rows']['Palette']['jpeg_consistency']['n'] == 3
    assert 'psnr' in found['differences_to_first']['Palette']
  assert "paper's Palette" in capsys.readouterr().out


@pytest.mark.slow
def test_fool_rates_are_left_to_people(quick, tmp_path, capsys):
  """The command that is printed serves what was drawn."""
  scale = reproduction.Scale('tiny', str(tmp_path), source='photos')
  reproduction.reproduce(3, scale)
  line = next(
    line
    for line in capsys.readouterr().out.splitlines()
    if line.strip().startswith('palette study')
  )
  words = shlex.split(line)
  folder = pathlib.Path(words[words.index('--originals') + 1])
  assert len(list(folder.glob('*.png'))) == 15
  _, model, outputs = words[words.index('--outputs') :][:3]
  assert model == 'Palette' and len(list(pathlib.Path(outputs).iterdir())) == 15


def test_what_is_missing_is_said_before_anything_runs(tmp_path, monkeypatch):
  monkeypatch.chdir(ROOT)
  scale = reproduction.Scale('paper', str(tmp_path))
  with pytest.raises(ValueError, match='list:/path/ctest10k.txt'):
    reproduction.reproduce(4, scale)
  with pytest.raises(ValueError, match='categories:FILE'):
    reproduction.reproduce(10, scale)
  with pytest.raises(ValueError) as caught:
    reproduction.reproduce(6, scale._replace(records='first:9'))
  for words in (
    'takes 4 trained models',
    'configs/ablations.py:l1 --workdir',
    'configs/colorize.py --config.objective.norm=l1 --workdir',
  ):
    assert words in str(caught.value)
