"""The command itself, in processes of its own."""

import contextlib
import json
import re
import signal
import subprocess
import time

import pytest
from conftest import ROOT
from PIL import Image
from runs import SMALL, command, environment, run_main

from palette_jax import main
from palette_jax.training import checkpoint


def sums(workdir, step):
  with contextlib.closing(checkpoint.Checkpoints(str(workdir))) as saved:
    return saved.meta(step)['checksums']


@pytest.mark.parametrize(
  ('config', 'workdir'),
  [
    ('configs/colorize.py', 'runs/colorize'),
    ('configs/colorize.py:tiny', 'runs/colorize-tiny'),
    ('inpaint:size=64,batch=8', 'runs/inpaint-size-64-batch-8'),
  ],
)
def test_a_run_has_a_folder_of_its_own(config, workdir):
  assert main.default_workdir(config) == workdir


@pytest.mark.slow
def test_without_imagenet_the_default_config_says_what_to_do(tmp_path):
  done = run_main('colorize.py', tmp_path, TFDS_DATA_DIR=str(tmp_path))
  assert done.returncode != 0
  for part in (
    'imagenet2012 is not in',
    'ILSVRC2012_img_train.tar',
    'download_and_prepare()',
    '--config.data.source=folder:/path',
    ':tiny',
  ):
    assert part in done.stderr
  assert 'Traceback' not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
  ('config', 'more', 'message'),
  [
    ('colorize.py:tiny', ['--config.train.bach=8'], 'Did you mean.*batch'),
    ('colorize.py:tiny', ['--config.trai.batch=8'], 'Did you mean.*train'),
    ('colorize.py:tiny', ['--config.train.batch=many'], 'train.batch=many'),
    ('colorize.py:tiny', ['--config.task.name=ipeg'], "Did you mean 'jpeg'"),
    ('colorize.py:tiny', ['--config.data.size=(60,64)'], '8; got 60x64'),
    ('colorize.py:tiny', ['--config.data.source=folder:/no'], 'no folder /no'),
    ('colorize.py:tiny', ['stray'], 'Unknown arguments.*stray'),
    ('colorize.py:tiny', ['--profile=9'], 'profile=9: write FIRST:LAST'),
    (
      'colorize.py:tiny',
      ['--profile=90:110'],
      'profile=90:110.* 1 to 100 .* got --',
    ),
    ('jpeg.py:tiny', ['--profile=1:2', '--mode=sample'], 'got --mode=sample'),
    ('colorize.py:tyny', [], "^\nUnknown variant.*Did you mean 'tiny'"),
    ('colourise.py', ['--config.seed=1'], "colourise.py.*'colorize'"),
  ],
)
def test_wrong_input_ends_in_one_clear_sentence(
  tmp_path, config, more, message
):
  done = run_main(config, tmp_path, *more)
  assert done.returncode != 0
  assert re.search(message, done.stderr, re.S), done.stderr
  assert 'Traceback' not in done.stderr


@pytest.mark.slow
def test_a_mistake_inside_a_config_file_keeps_its_traceback(tmp_path):
  path = tmp_path / 'mine.py'
  path.write_text("def get_config():\n  return {}['nowhere']\n")
  done = run_main(path, tmp_path)  # an absolute path replaces configs/
  assert done.returncode != 0 and f'"{path}", line 2' in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
  'config',
  [
    'colorize',
    'inpaint',
    'uncrop',
    'jpeg',
    'multitask',
    'regression',
    'unconditional',
  ],
)
def test_every_config_trains_and_samples(config, tmp_path):
  trained = run_main(f'{config}.py:tiny,steps=6', tmp_path, *SMALL)
  assert trained.returncode == 0, trained.stderr
  assert re.search(r'step 6/6|ETA|Compiling', trained.stderr)
  picture = tmp_path / 'samples/6.png'
  assert str(picture) in trained.stdout
  # Three photos: input | 2 samples | original, with two pixels between.
  with Image.open(picture) as sheet:
    assert sheet.size == (4 * 16 + 3 * 2, 3 * 16 + 2 * 2)
  picture.unlink()
  sampled = run_main(
    f'{config}.py:tiny,steps=6', tmp_path, *SMALL, '--mode=sample'
  )
  assert sampled.returncode == 0, sampled.stderr
  assert picture.exists()
  assert json.loads((tmp_path / 'config.json').read_text())['seed'] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
  ('config', 'cases'), [('multitask', 6), ('unconditional', 1)]
)
def test_a_run_is_judged_at_each_of_its_tasks(config, cases, tmp_path):
  """Stopped and started again, it goes on; the scores are the same."""
  trained = run_main(f'{config}.py:tiny,steps=6', tmp_path, *SMALL)
  assert trained.returncode == 0, trained.stderr
  judgements = []
  for _ in range(2):
    judged = run_main(
      f'{config}.py:tiny,steps=6', tmp_path, *SMALL, '--mode=evaluate'
    )
    assert judged.returncode == 0, judged.stderr
    assert 'this model' in judged.stdout
    assert judged.stdout.count('## All metrics') == cases
    files = sorted((tmp_path / 'evaluation/6').glob('*/results.json'))
    assert len(files) == cases
    judgements.append([json.loads(file.read_text()) for file in files])
    assert len(list((tmp_path / 'evaluation/6').glob('*/examples-*.png'))) == (
      cases
    )
    for lost in (tmp_path / 'evaluation/6').glob('*/outputs/china.png'):
      lost.unlink()
  assert judgements[0] == judgements[1]
  for results in judgements[0]:
    assert results['images'] == 3 and 'ssim' in results['rows'][tmp_path.name]


@pytest.mark.slow
def test_a_killed_run_resumes_as_if_nothing_had_happened(tmp_path):
  """kill -9 twice, Ctrl-C between; every checksum of every leaf at the end."""
  config = 'inpaint.py:tiny,steps=40'
  whole = run_main(config, tmp_path / 'whole', *SMALL)
  assert whole.returncode == 0, whole.stderr
  killed = 0
  # A script's background jobs are started deaf to Ctrl-C, and so are theirs.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  moments = {5: signal.SIGKILL, 15: signal.SIGINT, 25: signal.SIGKILL}
  for wait, how in moments.items():
    process = subprocess.Popen(
      command(config, tmp_path / 'killed', *SMALL),
      cwd=ROOT,
      env=environment(),
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
    )
    folder = tmp_path / 'killed/checkpoints' / str(wait)
    deadline = time.monotonic() + 300
    while not folder.exists() and process.poll() is None:
      assert time.monotonic() < deadline
      time.sleep(0.01)
    if process.poll() is None:
      process.send_signal(how)
      killed += 1
    _, log = process.communicate(timeout=300)
    if how == signal.SIGINT:
      # Orbax, if it was writing, has more to say.
      assert 'The same command goes on from the newest checkpoint.' in log
  assert killed >= 2
  last = run_main(config, tmp_path / 'killed', *SMALL)
  assert last.returncode == 0, last.stderr
  assert 'Going on from step' in last.stderr
  assert sums(tmp_path / 'killed', 40) == sums(tmp_path / 'whole', 40)
