"""The shape of the code: import directions, sizes, and words that hold."""

import ast
import re
import subprocess
import sys

import pytest
from conftest import ROOT
from packaging import requirements, utils

PACKAGE = sorted((ROOT / 'palette_jax').rglob('*.py'))
FORBIDDEN = {
  'arrays': {'flax', 'tensorflow'},
  'images': {'flax', 'tensorflow', 'jax'},
  'web': {'flax', 'tensorflow', 'jax'},
  'masks': {'jax', 'flax'},
  'tasks': {'jax', 'flax', 'palette_jax.data', 'palette_jax.diffusion'},
  'data': {'jax', 'flax', 'palette_jax.training', 'palette_jax.models'},
  'models': {'tensorflow', 'palette_jax.diffusion', 'palette_jax.training'},
  'diffusion': {'flax', 'tensorflow', 'palette_jax.models', 'palette_jax.data'},
  'training': {'palette_jax.main', 'palette_jax.weights'},
  'evaluation': {
    'palette_jax.main',
    'palette_jax.weights.importer',
    'palette_jax.weights.exporter',
  },
  'photo': {
    'tensorflow',
    'palette_jax.data',
    'palette_jax.main',
    'palette_jax.cli',
  },
  'weights': {'tensorflow', 'palette_jax.data', 'palette_jax.main'},
  'cli': {'tensorflow', 'palette_jax.main'},
}


def imports(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield node.module
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


@pytest.mark.parametrize('chapter', FORBIDDEN)
def test_imports_point_one_way(chapter):
  files = [
    p for p in PACKAGE if p.relative_to(ROOT).parts[1].split('.')[0] == chapter
  ]
  assert files
  for path in files:
    for name in imports(path):
      for bad in FORBIDDEN[chapter]:
        assert not f'{name}.'.startswith(f'{bad}.'), f'{path} imports {name}'


def test_the_package_knows_no_configs_and_no_other_folder():
  for path in PACKAGE:
    for name in imports(path):
      assert name.split('.')[0] not in (
        'configs',
        'tests',
        'launch',
        'benchmarks',
        'tools',
      )


def test_tasks_are_prepared_without_tensorflow():
  code = """
import sys, numpy as np
from palette_jax import tasks
for name in tasks.names():
  tasks.get(name)
tasks.get('colorization').prepare(np.zeros([8, 8, 3], np.float32))
assert 'tensorflow' not in sys.modules and 'jax' not in sys.modules
"""
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


def test_files_and_functions_stay_readable():
  for path in PACKAGE:
    text = path.read_text()
    assert len(text.splitlines()) <= 350, path
    for node in ast.walk(ast.parse(text)):
      if isinstance(node, ast.FunctionDef):
        length = node.end_lineno - node.lineno + 1
        assert length <= 75, node.name


def test_the_reading_order_has_every_chapter():
  order = ast.get_docstring(ast.parse(PACKAGE[0].read_text()))
  assert PACKAGE[0].name == '__init__.py'
  chapters = {
    path.name + '/' * path.is_dir()
    for path in (ROOT / 'palette_jax').iterdir()
    if not path.name.startswith('__')
    and (path.suffix == '.py' or (path / '__init__.py').exists())
  }
  listed = set(re.findall(r'[\w]+(?:\.py|/)', order.partition('travels:')[2]))
  assert listed == chapters


def test_every_public_function_is_documented_and_typed():
  for path in PACKAGE:
    for node in ast.parse(path.read_text()).body:
      if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        continue
      if node.name.startswith('_') or node.name == 'main':
        continue
      assert ast.get_docstring(node), f'{path}: {node.name}'
      if isinstance(node, ast.FunctionDef):
        untyped = [a.arg for a in node.args.args if a.annotation is None]
        assert not untyped, f'{path}: {node.name}({untyped})'


def test_requirements_pin_what_setup_asks_for_on_every_python():
  required = re.findall(
    r"^\s+f?'([\w-]+)(?:\[.*\])?>=", (ROOT / 'setup.py').read_text(), re.M
  )
  lines = (ROOT / 'requirements.txt').read_text().splitlines()
  pins = [
    requirements.Requirement(line) for line in lines if not line.startswith('#')
  ]
  optional = {'torch', 'tensorflow'}  # on Linux it is tensorflow-cpu
  assert len(set(required)) > 20
  for version in ('3.11', '3.12', '3.13'):
    here = {'python_version': version, 'python_full_version': f'{version}.0'}
    pinned = [
      utils.canonicalize_name(pin.name)
      for pin in pins
      if pin.marker is None or pin.marker.evaluate(here)
    ]
    assert len(pinned) == len(set(pinned)), version
    missing = {utils.canonicalize_name(name) for name in required} - {*pinned}
    assert missing <= optional, (version, missing)
  assert all(str(pin.specifier).startswith('==') for pin in pins)
