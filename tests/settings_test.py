"""Configs are found by name anywhere, and bring nothing else along."""

import importlib.util
import pathlib
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT
from runs import load

from palette_jax import settings


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
  """A working directory with a jax.py that must not be imported."""
  (tmp_path / 'jax.py').write_text("raise SystemExit('the stray jax.py ran')")
  monkeypatch.chdir(tmp_path)
  return tmp_path


@pytest.mark.parametrize(
  ('text', 'variant'),
  [('inpaint', None), ('inpaint:tiny,steps=5', 'tiny,steps=5')],
)
def test_a_config_is_found_by_name_in_any_folder(elsewhere, text, variant):
  before = list(sys.path)
  config, rest = settings.take([f'--config={text}', '--config.seed=3', 'file'])
  expected = load('inpaint', variant)
  expected.seed = 3
  assert config.to_dict() == expected.to_dict() and rest == ['file']
  assert sys.path == before


def test_a_config_is_found_by_path(monkeypatch):
  monkeypatch.chdir(ROOT)
  for text in ('configs/jpeg.py:small', f'{ROOT}/configs/jpeg.py:small'):
    config, _ = settings.take([f'--config={text}'])
    assert config.to_dict() == load('jpeg', 'small').to_dict()


def test_a_config_of_one_s_own_shares_what_all_configs_share(elsewhere):
  """Its neighbours come first, also one that is called as a shared file."""
  mine = 'from configs import {0}\ndef get_config():\n  return {0}.get_config('
  pathlib.Path('mine.py').write_text(
    mine.format('common') + "common.parse_arg('tiny'), 'jpeg')"
  )
  config, _ = settings.take(['--config=mine.py'])
  assert config.task.name == 'jpeg' and config.data.source == 'photos'
  pathlib.Path('next.py').write_text(
    'import ml_collections\n'
    'def get_config():\n  return ml_collections.ConfigDict({"seed": 7})'
  )
  pathlib.Path('mine.py').write_text(mine.format('next') + ')')
  config, _ = settings.take(['--config=mine.py'])
  assert config.to_dict() == {'seed': 7}
  assert importlib.util.find_spec('configs.next') is None


def test_a_stray_jax_in_the_working_directory_is_not_executed(elsewhere):
  """Neither by any of the commands that take a config."""
  script = 'import sys; from palette_jax import cli; cli.main(sys.argv[1:])'
  for arguments in (
    ['evaluate', '--config=colorize:tiny', '--workdir=none'],
    ['inspect', '--config=colorize:tiny', '--rows=0', 'x.png'],
    ['plan', '--config=colorize:tiny', '--topology=none'],
  ):
    done = subprocess.run(
      [sys.executable, '-P', '-c', script, *arguments],
      env={'PYTHONPATH': str(ROOT), 'HOME': str(elsewhere), 'PATH': ''},
      capture_output=True,
      text=True,
    )
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'the stray jax.py ran' not in done.stderr, arguments


def test_a_wheel_has_its_configs_inside(tmp_path):
  package = tmp_path / 'palette_jax'
  only_code = shutil.ignore_patterns('__pycache__', '*.safetensors', 'photos')
  shutil.copytree(ROOT / 'palette_jax', package, ignore=only_code)
  shutil.copytree(ROOT / 'configs', package / 'configs', ignore=only_code)
  (tmp_path / 'configs').mkdir()  # a neighbour in site-packages
  (tmp_path / 'configs/common.py').write_text('raise SystemExit')
  code = """
from palette_jax import settings
print(settings.CONFIGS, settings.load('jpeg:tiny').task.name)
"""
  done = subprocess.run(
    [sys.executable, '-P', '-c', code],
    cwd=tmp_path,
    env={'PYTHONPATH': str(tmp_path), 'PATH': ''},
    capture_output=True,
    text=True,
  )
  assert done.stdout == f'{package}/configs jpeg\n', done.stderr


@pytest.mark.parametrize(
  ('text', 'token'),
  [
    ('colourise:tiny', "'colorize'"),
    ('configs/none.py', 'configs/none.py'),
    ('.', 'uncrop'),
    ('colorize:tyny', "'tiny'"),
  ],
)
def test_a_missing_config_is_named_beside_those_that_exist(text, token):
  with pytest.raises(SystemExit, match=token):
    settings.take([f'--config={text}', '--config.seed=1'])


def test_a_task_without_a_config_of_its_own_is_found_by_name(elsewhere):
  config, _ = settings.take(['--config=paired:tiny', '--config.seed=1'])
  expected = load('task', 'paired,tiny')
  expected.seed = 1
  assert config.to_dict() == expected.to_dict()
  assert config.task.name == 'paired'
  assert settings.load('jpeg').to_dict() == load('jpeg').to_dict()


def test_the_names_are_those_of_the_files():
  assert 'colorize' in settings.names() and 'common' not in settings.names()
  for name in settings.names():
    assert settings.find(name) == ROOT / f'configs/{name}.py'
