"""Reproductions of the paper's tables, as a whole."""

import json
import pathlib
import re
import shlex

import jax
import pytest
from PIL import Image
from runs import load, micro

from palette_jax import sharding
from palette_jax.evaluation import cases, protocol
from palette_jax.evaluation.paper import reported, reproduction, tables
from tools import collect, results


@pytest.fixture
def quick(monkeypatch):
  """Trains networks in seconds, on one device, without published weights."""

  def small(row, scale, seed):
    name, _, variant = row.config.partition(':')
    config = micro(load(name.removesuffix('.py'), variant or None), 'photos')
    config.update_from_flattened_dict(
      {k: v for k, v in row.changes if k != 'data.source'}
    )
    sampling = {k.rpartition('.')[2]: v for k, v in row.sampling}
    if 'name' in sampling:
      config.objective.sampler.name = sampling['name']
      config.objective.sampler.update(jump=2, resamplings=2)
    config.seed = seed
    return config

  monkeypatch.setattr(tables.Row, 'load', small)
  monkeypatch.setattr(protocol, 'loaders', lambda dialect: {})
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  monkeypatch.setattr(sharding, 'make_mesh', lambda fsdp=1, devices=(): mesh)


def test_every_table_s_configs_and_cases_exist(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)  # it does not matter
  for name, table in tables.TABLES.items():
    assert table.images in reported.IMAGES
    for case, rows in table.cases.items():
      for row in rows:
        config = row.load('tiny', 7)
        assert config.seed == 7
        chosen = cases.of_config(config.task.to_dict(), [case])
        assert chosen[0].name == case, (name, row)
        assert row.load('paper', 0).train.steps >= 500_000
      known = {row.case for row in reported.of_table(name)}
      known = known or {'inpainting:centre'}  # of a figure
      assert case in known or case.partition(':')[0] in known


def test_the_small_scale_names_the_tool_that_writes_its_images(
  quick, tmp_path, monkeypatch
):
  quickly = tables.Row.load

  def elsewhere(row, scale, seed):
    config = quickly(row, scale, seed)
    config.data.source = f'folder:{tmp_path}/none'
    return config

  monkeypatch.setattr(tables.Row, 'load', elsewhere)
  with pytest.raises(FileNotFoundError, match='tools.small_data'):
    reproduction.reproduce(
      'table-3', reproduction.Scale('small', str(tmp_path))
    )


@pytest.mark.slow
def test_a_table_is_trained_drawn_and_judged(quick, tmp_path, capsys):
  """Table 4: two models at three qualities, side by side."""
  scale = reproduction.Scale('tiny', str(tmp_path))
  folder = reproduction.reproduce('table-4', scale)
  rows = {'originals', 'Regression', 'Palette', 'The JPEG'}
  for quality in (5, 10, 20):
    file = pathlib.Path(folder, f'jpeg-{quality}', 'results.json')
    result = json.loads(file.read_text())
    assert set(result['rows']) == rows
    assert result['table'] == 'table-4' and result['scale'] == 'tiny'
    assert result['rows']['Palette']['jpeg_consistency']['n'] == 3
    assert 'psnr' in result['differences_to_first']['Regression']
    assert result['rows']['The JPEG']['psnr']['value'] > 20
  assert "paper's Palette" in capsys.readouterr().out

  page = tmp_path / 'docs/page.md'
  page.parent.mkdir()
  page.write_text('The plan.\n')
  run = 'jpeg-tiny-steps-20'
  collect.collect(tmp_path, tmp_path / 'results', [run])
  (sheet,) = tmp_path.glob('results/sheets/*.png')  # and of no other run
  assert sheet.name.startswith(f'{run}-')
  for _ in range(2):  # the second rewrites the first
    results.write(tmp_path / 'results', page)
  text = page.read_text()
  assert text.startswith('The plan.') and text.count('### Table 4') == 1
  assert "the paper's Palette" in text and '**The JPEG**' in text
  pictures = re.findall(r'!\[.*\]\((.*)\)', text)
  assert len(pictures) == 4  # of each quality, and the losses
  for picture in pictures:
    Image.open(page.parent / picture).verify()


@pytest.mark.slow
def test_fool_rates_are_left_to_people(quick, tmp_path, capsys):
  """The command that is printed serves what was drawn."""
  scale = reproduction.Scale('tiny', str(tmp_path), source='photos')
  reproduction.reproduce('table-3', scale)
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


@pytest.mark.slow
def test_rows_share_a_run_and_claims_take_every_seed(quick, tmp_path):
  """Figure 9: three samplers, two models, each trained twice."""
  scale = reproduction.Scale('tiny', str(tmp_path), source='photos', seeds=2)
  folder = reproduction.reproduce('figure-9', scale)
  runs = {path.parent.name for path in tmp_path.glob('*/config.json')}
  names = 'inpaint-tiny-steps-20', 'unconditional-tiny-steps-20'
  assert runs == {*names, *(f'{name}-seed-1' for name in names)}
  results_of_seeds = [
    json.loads(pathlib.Path(folder, case, 'results.json').read_text())
    for case in ('inpainting-centre', 'inpainting-centre-seed-1')
  ]
  assert [result['seed'] for result in results_of_seeds] == [0, 1]
  images = [result['images'] for result in results_of_seeds]
  assert images == [15, 15]  # all of --source
  for result in results_of_seeds:
    rows = 'originals', 'Conditional', 'Imputation', 'RePaint', 'Diffusion fill'
    assert tuple(result['rows']) == rows
    for row in rows[1:]:
      assert result['rows'][row]['known_changed']['value'] == 0
  psnr = {
    result['rows'][row]['psnr']['value']
    for row in rows[1:]
    for result in results_of_seeds
  }
  assert len(psnr) == 7  # of 3 samplers and 2 seeds, and of no model
  assert (folder / 'claims.md').exists()
  collect.collect(tmp_path, tmp_path / 'results', [])
  kept = {file.name for file in (tmp_path / 'results/figure-9').iterdir()}
  first, second = 'inpainting-centre', 'inpainting-centre-seed-1.json'
  assert kept == {f'{first}.json', f'{first}.png', second}


def test_missing_images_and_runs_are_named_before_anything_runs(tmp_path):
  scale = reproduction.Scale('paper', str(tmp_path))
  with pytest.raises(ValueError, match='list:/path/ctest10k.txt'):
    reproduction.reproduce('table-4', scale)
  with pytest.raises(ValueError, match='categories:FILE'):
    reproduction.reproduce('table-10', scale)
  with pytest.raises(ValueError) as caught:
    reproduction.reproduce('table-6', scale._replace(records='first:9'))
  for words in (
    '4 trained models',
    '--config=ablations:l1 --workdir',
    '--config=colorize --config.objective.norm=l1 --workdir',
  ):
    assert words in str(caught.value)
