"""The contents of an installation: imported modules, extras, configs."""

import subprocess
import sys

import pytest
from conftest import ROOT

from palette_jax import cli, extras


def python(code, **options):
  subprocess.run([sys.executable, '-c', code], check=True, **options)


COLORIZE = """
import sys
from PIL import Image
import palette_jax
from palette_jax import cli
from palette_jax.photo import command
model = palette_jax.load()
photo = Image.new('RGB', (16, 16), 'grey')
assert RUN is False or model.colorize(photo, steps=1)
unused = 'tensorflow', 'tensorflow_datasets', 'clu', 'orbax', 'optax'
imported = [name for name in unused if name in sys.modules]
assert not imported, imported
"""


def test_weights_are_loaded_without_what_training_needs():
  python(COLORIZE.replace('RUN', 'False'), cwd=ROOT)


@pytest.mark.slow
def test_a_photo_is_coloured_without_what_training_needs():
  python(COLORIZE.replace('RUN', 'True'), cwd=ROOT)


def test_the_help_needs_no_jax():
  python(
    'import sys; from palette_jax import cli; cli.parser().format_help(); '
    "assert 'jax' not in sys.modules",
    cwd=ROOT,
  )


@pytest.mark.parametrize(
  ('command', 'extra'),
  [
    ('demo', 'serve'),
    ('study', 'serve'),
    ('evaluate', 'evaluation'),
    ('inspect a.png', 'train'),
    ('plan --topology=v5e:2x2', 'train'),
  ],
)
def test_a_missing_extra_is_named(command, extra, monkeypatch):
  monkeypatch.setitem(extras._MODULES, extra, ('no_such_module',))
  with pytest.raises(SystemExit, match=rf'palette_jax\[{extra}\]'):
    cli.main(command.split())


@pytest.mark.parametrize('extra', extras._MODULES)
def test_an_installed_extra_is_enough(extra):
  extras.require(extra, 'This test')


@pytest.mark.slow
def test_a_wheel_has_the_configs_of_the_clone(tmp_path):
  pytest.importorskip('setuptools')
  build = [sys.executable, 'setup.py', '-q', 'build', '-b', str(tmp_path)]
  subprocess.run(build, cwd=ROOT, check=True)
  library = tmp_path / 'lib'
  for file in (ROOT / 'configs').glob('*.py'):
    copy = library / 'palette_jax/configs' / file.name
    assert copy.read_bytes() == file.read_bytes()
  code = f"""
import sys; sys.path.insert(0, {str(library)!r})
from palette_jax import settings
assert settings.CONFIGS.is_relative_to({str(library)!r})
assert settings.load('colorize:tiny').task.name == 'colorization'
"""
  python(code, cwd=tmp_path, env={'PATH': ''})
