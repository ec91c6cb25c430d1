"""The commands for photos: complete files, whatever happens; and messages."""

import collections
import errno
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT
from fake_model import PASSES, FakeModel, weights_of, write
from PIL import Image, ImageDraw

import palette_jax
from palette_jax import cli, tasks
from palette_jax.diffusion import sampler_config
from palette_jax.photo import (
  command,
  hole,
  limits,
  overview,
  reader,
  recipe,
  writer,
)
from palette_jax.photo import photo as photos

SEEN = ('jpg', 'png', 'bmp', 'gif')


@pytest.fixture
def model(monkeypatch):
  """The model that all commands load."""
  fake = FakeModel()
  monkeypatch.setattr(palette_jax, 'load', lambda source: fake, raising=False)
  return fake


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """The working directory, with photos in `in` and their masks in `masks`."""
  draw = np.random.default_rng(0)
  for i, ending in enumerate(SEEN):
    levels = draw.integers(0, 256, [20, 24 + i, 3], np.uint8)
    path = tmp_path / 'in' / ('ab'[i % 2] + '/' if i < 2 else '') / f'{i}'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(f'{path}.{ending}')
    mask = Image.new('L', (24 + i, 20))
    ImageDraw.Draw(mask).ellipse([3, 4, 12, 14], fill=255)
    below = tmp_path / 'masks' / path.relative_to(tmp_path / 'in')
    below.parent.mkdir(parents=True, exist_ok=True)
    mask.save(f'{below}.png')
  monkeypatch.chdir(tmp_path)
  return tmp_path


def palette(*words):
  """Runs a command; returns its exit code, or the exception with a sentence."""
  try:
    cli.main([str(word) for word in words])
  except SystemExit as stopped:
    return stopped.code if isinstance(stopped.code, int) else stopped
  return 0


def message(stopped):
  """Returns the sentence that a command ended with."""
  assert isinstance(stopped, SystemExit), stopped
  return str(stopped.code)


def contents(root):
  return {
    str(path.relative_to(root)): path.read_bytes()
    for path in sorted(root.rglob('*'))
    if path.is_file()
  }


COMMANDS = {
  'colorize': [],
  'inpaint': ['--mask', 'masks'],
  'uncrop': ['--side', 'all', '--pixels', '4'],
  'restore-jpeg': [],
  'panorama': ['--left', '1', '--right', '2'],
}


@pytest.mark.parametrize('name', COMMANDS)
def test_a_folder_becomes_a_folder(model, folder, capsys, name):
  assert palette(name, 'in', 'out', *COMMANDS[name]) == 0
  stems = {os.path.splitext(file)[0] for file in contents(folder / 'in')}
  assert {f'{stem}.png' for stem in stems} == set(contents(folder / 'out'))
  for file in contents(folder / 'out'):
    assert recipe.read(folder / 'out' / file).checkpoint == model.checkpoint
  assert '4 made' in capsys.readouterr().out


def test_pixels_outside_the_mask_are_those_of_the_photo(model, folder):
  assert palette('inpaint', 'in', 'out', '--mask', 'masks') == 0
  for file in contents(folder / 'in'):
    stem = os.path.splitext(file)[0]
    before = reader.read(folder / 'in' / file).levels
    after = reader.read(folder / f'out/{stem}.png').levels
    detected = hole.from_mask(
      reader.read(folder / f'masks/{stem}.png'), '', *before.shape[:2]
    )
    outside = detected.mask[..., 0] == 0
    assert np.array_equal(before[outside], after[outside])
    assert np.all((before != after).any(-1)[~outside])


def test_each_photo_of_a_folder_has_its_own_noise(model, folder):
  for name in 'ab':  # one photo, one name, two folders
    path = folder / f'same/{name}/photo.png'
    path.parent.mkdir(parents=True)
    Image.open(folder / 'in/2.bmp').save(path)
  assert palette('colorize', 'same', 'out', '--seed', 2**32 - 1) == 0
  results = {
    name: reader.read(folder / f'out/{name}/photo.png') for name in 'ab'
  }
  seeds = {
    name: recipe.read(folder / f'out/{name}/photo.png').seed for name in results
  }
  assert not np.array_equal(results['a'].levels, results['b'].levels)
  (folder / 'same/a/photo.png').unlink()  # the other photos do not matter
  assert palette('colorize', 'same', 'again', '--seed', 0) == 0
  again = recipe.read(folder / 'again/b/photo.png').seed
  assert again == (seeds['b'] + 1) % 2**32
  words = 'colorize', 'same/b/photo.png', 'alone.png', '--seed', seeds['b']
  assert palette(*words) == 0  # the recipe's seed is sufficient
  alone = reader.read(folder / 'alone.png').levels
  assert np.array_equal(alone, results['b'].levels)


@pytest.mark.parametrize('samples', [1, 3])
def test_a_second_run_makes_only_what_is_missing(
  model, folder, capsys, samples
):
  command = 'inpaint', 'in', 'out', '--mask', 'masks', '-n', samples
  assert palette(*command) == 0 and model.calls == 4
  whole = contents(folder / 'out')
  assert palette(*command) == 0 and model.calls == 4
  assert '4 existed' in capsys.readouterr().out
  # Missing; truncated; with another recipe, photo or mask.
  names = sorted(whole)
  (folder / 'out' / names[0]).unlink()
  cut = [name for name in names if name.startswith('b/')][0]
  (folder / 'out' / cut).write_bytes(whole[cut][:-5])
  assert palette(*command) == 0 and model.calls == 6
  assert contents(folder / 'out') == whole
  Image.new('RGB', (26, 20), 'red').save(folder / 'in/2.bmp')
  Image.open(folder / 'masks/2.png').save(folder / 'masks/2.png')
  assert palette(*command) == 0 and model.calls == 7
  mask = Image.open(folder / 'masks/3.png')
  mask.putpixel((20, 2), 255)
  mask.save(folder / 'masks/3.png')
  assert palette(*command) == 0 and model.calls == 8
  assert palette(*command, '--seed', 1) == 0 and model.calls == 12
  assert palette(*command, '--steps', 3) == 0 and model.calls == 16
  assert palette(*command, '--steps', 3) == 0 and model.calls == 16


@pytest.fixture
def count(monkeypatch):
  """Counts the calls of a function of a module, by its name."""
  calls = collections.Counter()

  def watch(module, name):
    function = getattr(module, name)

    def counted(*args, **kwargs):
      calls[name] += 1
      return function(*args, **kwargs)

    monkeypatch.setattr(module, name, counted)

  watch.calls = calls
  return watch


@pytest.mark.parametrize('is_folder', [False, True])
@pytest.mark.parametrize('samples', [1, 2])
def test_each_photo_is_decoded_once_and_not_at_all_if_it_is_skipped(
  model, folder, count, is_folder, samples
):
  """Its hole is found once, and each of its recipes built once."""
  words = ['inpaint', 'in', 'out', '--mask', 'masks', '-n', samples]
  if not is_folder:
    words[1:5] = 'in/2.bmp', 'new.png', '--mask', 'masks/2.png'
  number = 4 if is_folder else 1
  count(reader, 'decode')
  count(hole, 'find')
  count(recipe, 'for_photo')
  count(photos, 'rgb')
  assert palette(*words) == 0
  assert count.calls['decode'] == 2 * number  # and its mask
  assert count.calls['find'] == number
  assert count.calls['for_photo'] == samples * number
  count.calls.clear()
  assert palette(*words) == 0
  if is_folder:
    assert count.calls == {'for_photo': samples * number}
  else:  # checked before the weights are loaded
    assert count.calls['decode'] == 2 and count.calls['find'] == 1
    assert count.calls['for_photo'] == samples


@pytest.mark.parametrize('at', [1, PASSES, 2 * PASSES + 3, 8 * PASSES])
def test_ctrl_c_leaves_complete_files_and_a_second_run_continues(
  model, folder, capsys, at
):
  words = 'uncrop', 'in', 'out', '--side', 'left', '--pixels', 3, '-n', 2
  assert palette(*words) == 0
  whole = contents(folder / 'out')
  (folder / 'out').rename(folder / 'whole')

  def stop(passes):
    if passes == 8 * PASSES + at:  # the first run made as many
      raise KeyboardInterrupt

  model.on_pass = stop
  assert palette(*words) == command.STOPPED
  shown = capsys.readouterr().out
  done = (at - 1) // (2 * PASSES)
  assert f'{done} of 4' in shown
  existing = contents(folder / 'out')
  assert existing.items() <= whole.items()  # nothing partial or hidden
  assert len(existing) == done * 5

  def stop_at_once(passes):
    raise KeyboardInterrupt

  model.on_pass = stop_at_once
  assert palette(*words) == command.STOPPED
  left = f'{done} of 4 photos are made, {4 - done} are left'
  assert left in capsys.readouterr().out
  calls, model.on_pass = model.calls, lambda passes: None
  assert palette(*words) == 0
  assert model.calls - calls == 4 - done
  assert contents(folder / 'out') == whole


def test_a_sheet_of_other_samples_is_removed(model, folder):
  words = 'colorize', 'in/2.bmp', 'new.png', '-n', 2
  assert palette(*words) == 0
  old = (folder / 'new-sheet.png').read_bytes()

  def fail(*_):
    raise KeyboardInterrupt

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(overview, 'write', fail)
    assert palette(*words, '--seed', 9) == command.STOPPED
  assert palette(*words, '--seed', 9) == 0
  assert (folder / 'new-sheet.png').read_bytes() != old


def test_the_sheet_begins_with_the_condition(model, folder):
  assert palette('colorize', 'in/2.bmp', 'new.png', '-n', 2) == 0
  given = np.asarray(Image.open('new-sheet.png'))[:20, :26]
  assert np.ptp(given, axis=-1).max() == 0 and given.std() > 10
  words = 'inpaint', 'in/2.bmp', 'filled.png', '--mask', 'masks/2.png'
  assert palette(*words, '-n', 2) == 0 and palette(*words, '--preview') == 0
  given = np.asarray(Image.open('filled-sheet.png'))[:20, :26]
  assert np.array_equal(given, np.asarray(Image.open('filled-preview.png')))


def test_broken_photos_are_named_and_the_others_are_made(model, folder, capsys):
  whole = (folder / 'in/a/0.jpg').read_bytes()
  (folder / 'in/a/0.jpg').write_bytes(whole[: len(whole) // 2])
  (folder / 'in/text.png').write_text('no photo')
  (folder / 'in/gone.tif').symlink_to(folder / 'nowhere.tif')
  assert palette('colorize', 'in', 'out') == 1
  shown = capsys.readouterr()
  assert set(contents(folder / 'out')) == {'b/1.png', '2.png', '3.png'}
  assert '3 made, 3 failed' in shown.out
  for file, why in {
    'a/0.jpg': 'damaged',
    'text.png': 'JPEG, PNG',
    'gone.tif': 'no photo',
  }.items():
    (line,) = [x for x in shown.out.splitlines() if x.startswith(file)]
    assert why in line and f'  {file}' in shown.err


def test_the_end_names_the_first_of_many_failures(model, folder, capsys):
  for i in range(27):
    (folder / f'in/x{i:02}.png').write_text('no photo')
  assert palette('colorize', 'in', 'out') == 1
  *_, before, last = capsys.readouterr().err.rstrip().splitlines()
  assert (before, last) == ('  x19.png', '  and 7 more')


def test_an_unexpected_error_is_shown_in_full(model, folder, capsys):
  def fail(passes):
    if passes == PASSES + 1:
      raise RuntimeError('of the device')

  model.on_pass = fail
  assert palette('colorize', 'in', 'out') == 1
  shown = capsys.readouterr()
  assert '3 made, 1 failed' in shown.out
  assert 'Traceback' in shown.err and 'of the device' in shown.out


@pytest.mark.parametrize(
  'error', [MemoryError(), RuntimeError('RESOURCE_EXHAUSTED: 9 GB of 8 GB')]
)
def test_too_little_memory_is_one_line(model, folder, capsys, error):
  def fail(passes):
    if passes == PASSES + 1:
      raise error

  model.on_pass = fail
  assert palette('colorize', 'in', 'out') == 1
  shown = capsys.readouterr()
  assert 'not enough memory' in shown.out and '3 made, 1 failed' in shown.out
  assert 'Traceback' not in shown.err


def test_what_a_format_cannot_hold_is_reported_once(model, folder, capsys):
  assert palette('colorize', 'in/2.bmp', 'new.jpg', '-n', 3) == 0
  assert capsys.readouterr().out.count('recipe') == 1
  assert sorted(path.name for path in folder.glob('new-?.*')) == [
    'new-1.jpg',
    'new-2.jpg',
    'new-3.jpg',
  ]


def test_a_full_disk_stops_the_command(model, folder, monkeypatch):
  write, count = writer.write, []

  def full(*args, **kwargs):
    count.append(1)
    if len(count) == 3:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return write(*args, **kwargs)

  monkeypatch.setattr(writer, 'write', full)
  text = message(palette('colorize', 'in', 'out'))
  assert 'No space left' in text and '2 of 4 photos are made' in text
  assert len(contents(folder / 'out')) == 2
  assert palette('colorize', 'in', 'out') == 0
  assert len(contents(folder / 'out')) == 4


@pytest.mark.parametrize('words', [[], ['-n', '2']])
def test_files_of_other_programs_are_never_lost(model, folder, words):
  """Nor those that have the name of a sheet."""
  name = 'new-sheet.png' if words else 'new.png'
  Image.new('RGB', (3, 3)).save(folder / name)
  before = (folder / name).read_bytes()
  text = message(palette('colorize', 'in/2.bmp', 'new.png', *words))
  assert name in text and not model.calls
  os.renames(folder / name, folder / 'out' / name.replace('new', '2'))
  assert palette('colorize', 'in', 'out', *words) == 1
  assert (folder / 'out' / name.replace('new', '2')).read_bytes() == before
  # Files of `palette` are replaced.
  assert palette('colorize', 'in/3.gif', 'ours.png', *words) == 0
  assert palette('colorize', 'in/3.gif', 'ours.png', '--seed', 1, *words) == 0


WRONG = [  # refused by argparse, before any file is read
  ['colorize', 'in'],
  ['colorize', 'in', 'out', '-n', '0'],
  ['colorize', 'in', 'out', '-n', '65'],
  ['colorize', 'in', 'out', '-n', 'many'],
  ['colorize', 'in', 'out', '--seed', '-1'],
  ['colorize', 'in', 'out', '--seed', str(2**32)],
  ['colorize', 'in', 'out', '--steps', '0'],
  ['colorize', 'in', 'out', '--steps', '1.5'],
  ['colorize', 'in', 'out', '--sampler', 'euler'],
  ['colorize', 'in', 'out', '--sampler', 'repaint'],
  ['uncrop', 'in', 'out', '--side', 'left'],
  ['uncrop', 'in', 'out', '--side', 'up', '--pixels', '9'],
  ['uncrop', 'in', 'out', '--side', 'left', '--pixels', '-9'],
  ['panorama', 'in', 'out', '--left', '-1'],
  ['replay', 'x.png'],
]


@pytest.mark.parametrize('words', WRONG, ids=' '.join)
def test_wrong_options_are_refused_before_the_weights(folder, words, capsys):
  assert palette(*words) == 2
  assert f'palette {words[0]}: error: ' in capsys.readouterr().err
  assert not (folder / 'out').exists()


LATER = {  # refused with the photo at hand, also before the weights
  'panorama in out': '--left N',
  'inpaint in/2.bmp new.png': 'no transparent part.*give --mask',
  'inpaint in/2.bmp new.png --mask small.png': 'small.png is 9 x 5 pixels',
  'inpaint in/2.bmp new.png --mask grey.png': 'neither black nor white',
  'inpaint in/2.bmp new.png --mask black.png': 'paints nothing.*--invert',
  'colorize text.png new.png': 'JPEG, PNG',
  'colorize in/2.bmp new.xyz': '.xyz',
}


@pytest.mark.parametrize('words', LATER)
def test_mistakes_are_refused_before_the_weights(folder, monkeypatch, words):
  monkeypatch.setattr(palette_jax, 'load', None, raising=False)
  Image.new('L', (9, 5)).save('small.png')
  Image.linear_gradient('L').resize((26, 20)).save('grey.png')
  Image.new('L', (26, 20)).save('black.png')
  (folder / 'text.png').write_text('no photo')
  assert re.search(LATER[words], message(palette(*words.split())))


def test_weights_of_another_task_are_refused_with_what_they_know(model, folder):
  model.tasks = ('jpeg', 'inpainting')
  text = message(palette('colorize', 'in', 'out', '--checkpoint', 'some'))
  assert 'colorization' in text and 'jpeg, inpainting' in text
  assert 'some' in text and not model.calls


def test_experimental_tasks_warn(model, folder, capsys):
  words = 'inpaint', 'in/2.bmp', 'new.png', '--mask', 'masks/2.png'
  assert palette(*words) == 0
  assert 'inpainting is experimental' in capsys.readouterr().err
  assert palette('colorize', 'in/2.bmp', 'other.png') == 0
  assert 'Warning' not in capsys.readouterr().err


def test_a_jpeg_that_needs_no_restoring_gets_a_note(model, folder, capsys):
  whole = Image.open(folder / 'in/b/1.png').convert('RGB')
  for quality in (20, 30, 31, 95):
    whole.save(folder / f'q{quality}.jpg', quality=quality)
    assert palette('restore-jpeg', f'q{quality}.jpg', f'q{quality}.png') == 0
    shown = capsys.readouterr().out
    assert (f'of quality {quality}, ' in shown) == (quality > 30)
    assert ('5 to 30' in shown) == (quality > 30)
  assert palette('colorize', 'q95.jpg', 'grey.png') == 0
  assert 'quality' not in capsys.readouterr().out


def test_the_meaning_of_a_mask_is_shown(model, folder, capsys):
  words = 'inpaint', 'in/2.bmp', 'new.png', '--mask', 'masks/2.png'
  assert palette(*words) == 0
  assert 'white is painted' in capsys.readouterr().out
  assert palette(*words, '--preview') == 0 and model.calls == 1
  seen = np.asarray(Image.open(folder / 'new-preview.png'))
  is_hole = (
    hole.from_mask(reader.read('masks/2.png'), '', 20, 26).mask[..., 0] > 0
  )
  photo = reader.read('in/2.bmp').levels
  assert np.array_equal(seen[~is_hole], photo[~is_hole])
  assert np.all(seen[is_hole][:, 0] > seen[is_hole][:, 1])  # magenta
  assert palette(*words, '--preview', '--invert') == 0  # replaced
  assert 'inverted: one hole' in capsys.readouterr().out


def test_the_exit_code_of_replay(model, folder, capsys):
  assert palette('colorize', 'in/2.bmp', 'new.png', '--seed', 5) == 0
  replay = 'replay', 'new.png', '--input'
  assert palette(*replay, 'in/2.bmp') == 0
  assert 'the same pixels, bit for bit' in capsys.readouterr().out
  assert palette(*replay, 'in/3.gif') == 2
  assert 'SHA-256' in capsys.readouterr().err
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(palette_jax, 'load', lambda source: pytest.fail(source))
    assert palette('replay', 'in/2.bmp', '--input', 'in/2.bmp') == 2
    assert palette('replay', 'nothing.png', '--input', 'in/2.bmp') == 2
  model._paint = lambda *_: reader.read('in/2.bmp')
  assert palette(*replay, 'in/2.bmp') == 1
  assert 'differ' in capsys.readouterr().out


def test_all_samplers_are_offered():
  assert set(limits.HOLE_SAMPLERS) == set(sampler_config.NAMES)
  of_holes = set(limits.HOLE_SAMPLERS) - set(limits.SAMPLERS)
  assert of_holes == set(sampler_config.UNCONDITIONAL)


def test_the_help_groups_the_commands(capsys):
  assert palette('--help') == 0
  shown = capsys.readouterr().out
  groups = [part.split(':')[0] for part in shown.split('\n\n') if ':\n' in part]
  assert groups[-3:] == ['photos', 'research', 'weights']
  for name in [*COMMANDS, 'replay', 'evaluate', 'plan', 'import', 'export']:
    assert f'\n  {name} ' in shown
    assert palette(name, '--help') == 0
  assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
  'words', [['--help'], ['colorize', 'a', 'b', '-n', '0'], ['replay', '--help']]
)
def test_help_and_mistakes_need_no_jax(words):
  code = f"""
import sys
from palette_jax import cli, tasks
try:
  cli.main({words})
except SystemExit:
  loaded = {{'jax', 'tensorflow', 'flax', 'orbax'}} & set(sys.modules)
  sys.exit(f'loaded: {{loaded}}' if loaded else 0)
"""
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


def environment():
  return os.environ | {'PYTHONPATH': str(ROOT)}


def test_a_real_ctrl_c(folder):
  # Background jobs of a script, and their children, ignore Ctrl-C.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  process = subprocess.Popen(
    [sys.executable, ROOT / 'tests/fake_model.py', 'colorize', 'in', 'out'],
    env=environment() | {'FAKE_SECONDS_A_PASS': '0.2'},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  deadline = time.monotonic() + 60
  while not (folder / 'out/2.png').exists():
    assert time.monotonic() < deadline and process.poll() is None
    time.sleep(0.01)
  process.send_signal(signal.SIGINT)
  shown, errors = process.communicate(timeout=60)
  assert process.returncode == 130, errors
  assert '4 photos' in shown and 'Traceback' not in errors
  for file in contents(folder / 'out'):
    assert reader.read(folder / 'out' / file) and not file.startswith('.')


# With a small network of random weights.


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  folder = tmp_path_factory.mktemp('weights')
  return write(folder / 'tiny.safetensors', weights_of())


@pytest.mark.parametrize('name', COMMANDS)
def test_results_are_replayed(folder, checkpoint, capsys, name):
  weights = '--checkpoint', checkpoint
  options = [x.replace('masks', 'masks/2.png') for x in COMMANDS[name]]
  words = name, 'in/2.bmp', 'new.png', *options, '--steps', 2, '-n', 2, *weights
  assert palette(*words) == 0
  capsys.readouterr()
  assert palette(*words) == 0
  assert 'same recipe' in capsys.readouterr().out
  mask = ['--mask', 'masks/2.png'] if name == 'inpaint' else []
  replay = 'replay', 'new-2.png', '--input', 'in/2.bmp', *mask, *weights
  assert palette(*replay) == 0
  first, second = (reader.read(f'new-{i}.png').levels for i in (1, 2))
  assert not np.array_equal(first, second)
  spread = np.asarray(Image.open('new-spread.png'))
  assert np.array_equal(spread.any(-1), (first != second).any(-1))


ADDED = """
import numpy as np

VERB = 'dehaze'
SUMMARY = 'removes haze'
HAS_HOLE = {has_hole}


def corrupt(record, seed):
  raise NotImplementedError


def prepare(photo, mask=None, seed=0):
  if mask is None:
    mask = np.ones_like(photo[..., :1])
  return np.where(mask > 0.5, -photo, photo), mask
"""


@pytest.fixture
def added(tmp_path, monkeypatch):
  """Adds a file to the tasks; returns its name."""

  def add(has_hole):
    name = f'haze_{has_hole}'.lower()
    folder = tmp_path / 'more_tasks'
    folder.mkdir()
    (folder / f'{name}.py').write_text(ADDED.format(has_hole=has_hole))
    monkeypatch.setattr(tasks, '__path__', [*tasks.__path__, str(folder)])
    return name

  return add


@pytest.mark.parametrize('has_hole', [False, True])
def test_a_file_among_the_tasks_is_a_command(folder, capsys, added, has_hole):
  task = added(has_hole)
  checkpoint = write(folder / 'w.safetensors', weights_of(dict(name=task)))
  assert palette('--help') == 0
  assert 'dehaze' in capsys.readouterr().out
  mask = ['--mask', 'masks/2.png'] if has_hole else []
  words = ['dehaze', 'in/2.bmp', 'new.png', '--steps', 2, *mask]
  assert palette(*words, '--checkpoint', checkpoint) == 0
  assert recipe.read('new.png').task == task
  before, after = (reader.read(f) for f in ('in/2.bmp', 'new.png'))
  assert before.levels.shape == after.levels.shape
  painted = np.ones_like(before.levels[..., 0], bool)
  if has_hole:
    detected = hole.find(before, reader.read('masks/2.png'))
    painted = detected.mask[..., 0] > 0
    assert np.array_equal(before.levels[~painted], after.levels[~painted])
  assert (before.levels != after.levels).any(-1)[painted].mean() > 0.9
  replay = ['replay', 'new.png', '--input', 'in/2.bmp', *mask]
  assert palette(*replay, '--checkpoint', checkpoint) == 0
  (again,) = palette_jax.load(checkpoint).dehaze('in/2.bmp', *mask[1:], steps=2)
  assert np.array_equal(again.photo.levels, after.levels)


@pytest.mark.slow
def test_photos_need_no_tensorflow(folder, checkpoint):
  words = ['colorize', 'in/2.bmp', 'new.png', '--steps', '2']
  code = f"""
import sys
from palette_jax import cli, tasks
cli.main({[*words, '--checkpoint', str(checkpoint)]})
loaded = {{'tensorflow', 'tensorboard', 'torch'}} & set(sys.modules)
sys.exit(f'loaded: {{loaded}}' if loaded else 0)
"""
  subprocess.run([sys.executable, '-c', code], env=environment(), check=True)
  assert (folder / 'new.png').exists()
