"""The notebooks, executed at tiny scale: what they promise comes out."""

import json
import os
import pathlib
import sys

import pytest
from conftest import ROOT

BOOKS = sorted((ROOT / 'notebooks').glob('*.ipynb'))
SMALL = (
  '--config.model.channels=32 --config.model.channel_mult=(1,1) '
  '--config.model.num_res_blocks=1 --config.model.attention_levels=() '
  '--config.model.head_channels=32 '
  '--config.objective.sample_schedule.start=1e-3 '
  '--config.objective.sample_schedule.end=0.9 '
  '--config.objective.sample_schedule.num_steps=4 --config.held_out.images=2'
)


def execute(name, folder, **parameters):
  """The outputs of all cells; parameters are set as papermill does."""
  import nbformat
  from nbclient import NotebookClient

  book = nbformat.read(ROOT / f'notebooks/{name}.ipynb', as_version=4)
  nbformat.validate(book)
  (at,) = [
    i
    for i, cell in enumerate(book.cells)
    if 'parameters' in cell.metadata.get('tags', [])
  ]
  unknown = [n for n in parameters if f'\n{n} = ' not in book.cells[at].source]
  assert not unknown
  lines = [f'{key} = {value!r}' for key, value in parameters.items()]
  book.cells.insert(at + 1, nbformat.v4.new_code_cell('\n'.join(lines)))
  NotebookClient(
    book,
    timeout=600,
    kernel_name='python3',
    resources={'metadata': {'path': str(folder)}},
  ).execute()
  return [out for cell in book.cells for out in cell.get('outputs', [])]


def text(outputs):
  return ''.join(out.get('text', '') for out in outputs)


def pictures(outputs):
  return sum('image/png' in out.get('data', {}) for out in outputs)


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
  """A place like a clone's root, where notebooks may write."""
  root = tmp_path_factory.mktemp('clone')
  for entry in ROOT.iterdir():
    if entry.name not in ('.git', 'runs'):
      (root / entry.name).symlink_to(entry)
  (root / 'runs').mkdir()
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('PYTHONPATH', str(ROOT))
    patch.setenv('JAX_PLATFORMS', 'cpu')
    patch.setenv('IPYTHONDIR', str(root / 'runs/ipython'))
    programs = str(pathlib.Path(sys.executable).parent)
    patch.setenv('PATH', f'{programs}:{os.environ["PATH"]}')
    yield root


@pytest.fixture(scope='module')
def trained(clone):
  """The folder that the notebook about training leaves."""
  outputs = execute(
    'train',
    clone,
    CONFIG='configs/multitask.py:tiny,uncrop,size=32,steps=2',
    FLAGS=SMALL,
  )
  return clone, outputs


def test_they_hold_no_outputs_and_are_small():
  assert len(BOOKS) == 4
  for path in BOOKS:
    first, *cells = json.loads(path.read_text())['cells']
    assert first['source'][0].startswith('# ')
    assert path.stat().st_size < 20_000
    for cell in cells:
      assert not cell.get('outputs') and not cell.get('execution_count')


@pytest.mark.slow
def test_training(trained):
  clone, outputs = trained
  assert pictures(outputs) == 2
  assert (clone / 'runs/notebook.safetensors').stat().st_size > 10_000


@pytest.mark.slow
def test_trying(trained):
  clone, _ = trained
  checkpoint = 'runs/notebook.safetensors'
  outputs = execute('try_it', clone, CHECKPOINT=checkpoint, STEPS=2, SAMPLES=2)
  assert pictures(outputs) == 6
  assert 'all other pixels are the same: True' in text(outputs)
  assert 'the same pixels, bit for bit' in text(outputs)


@pytest.mark.slow
def test_evaluating(trained):
  clone, _ = trained
  outputs = execute(
    'evaluate',
    clone,
    CHECKPOINT='runs/notebook',
    SIZE=64,
    STEPS=2,
    METRICS='psnr,ssim',
  )
  assert 'Photos: 15 made.' in text(outputs)
  assert any('PSNR' in str(out.get('data', {})) for out in outputs)


@pytest.mark.slow
def test_the_way_to_a_pod(clone):
  outputs = execute(
    'tpu_pod',
    clone,
    CONFIG='configs/colorize.py:tiny,size=32,steps=2',
    FLAGS=SMALL,
    STEPS=1,
  )
  assert 'gcloud' in text(outputs) and 'GiB' in text(outputs)
