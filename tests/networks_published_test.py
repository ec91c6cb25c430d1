"""Files of weights: the right ones, whole, found, and read without harm."""

import hashlib
import os
import pickle
import subprocess
import sys
from importlib import metadata

import jax
import numpy as np
import pytest
from conftest import ROOT

from palette_jax.evaluation.networks import (
  efficientnet,
  inception,
  lpips,
  numpy_file,
  resnet,
)
from palette_jax.evaluation.networks import published as weights

ARRAYS = {
  'outer': {
    'kernel': np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    'by_columns': np.asfortranarray(np.arange(6.0).reshape(2, 3)),
  },
  'bias': np.array([1, -2], np.int64),
  'empty': np.zeros([0, 2], np.float16),
}
SHAPES = {'layer': {'kernel': np.zeros([2, 3], np.float32)}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """The user's folder, empty."""
  monkeypatch.setenv(weights.FOLDER, str(tmp_path / 'weights'))
  return tmp_path / 'weights'


@pytest.fixture
def published(tmp_path):
  """A file of somebody's, outside of all folders, and its description."""
  path = tmp_path / 'somebody.bin'
  path.write_bytes(b'six\x00\x01\x02')
  sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
  names = ('somebody.bin', 'the-same.bin')
  return path, weights.Published(names, sha256, 'Somebody (a shelf)')


class Convert:
  """Makes weights of any file, and counts how often."""

  def __init__(self):
    self.paths = []

  def __call__(self, path):
    self.paths.append(path)
    return jax.tree.map(lambda x: x + 5, SHAPES)


def load(published, convert, path=None):
  return weights.load(published, 'net', SHAPES, convert, path)


# Where a file is found.


def test_what_is_found_is_kept_and_then_enough(folder, published):
  path, description = published
  folder.mkdir()
  lying = folder / 'the-same.bin'  # under its other name
  lying.write_bytes(path.read_bytes())
  convert = Convert()
  params, sha256 = load(description, convert)
  assert convert.paths == [str(lying)] and sha256 == description.sha256
  assert np.array_equal(params['layer']['kernel'], np.full([2, 3], 5.0))
  lying.unlink()
  kept, again = load(description, convert)
  assert len(convert.paths) == 1 and again == sha256
  assert jax.tree.all(jax.tree.map(np.array_equal, kept, params))
  # Nothing half-written is left behind.
  assert [p.name for p in folder.iterdir()] == [f'net-{sha256[:8]}.safetensors']


def test_a_path_is_where_it_says_or_an_error(folder, published, tmp_path):
  path, description = published
  convert = Convert()
  load(description, convert, str(path))
  load(description, convert, str(path))
  assert convert.paths == [str(path)]
  with pytest.raises(FileNotFoundError, match='nowhere.bin'):
    load(description, convert, str(tmp_path / 'nowhere.bin'))


def test_eight_digits_are_enough_and_all_are_returned(folder, published):
  path, description = published
  short = description._replace(sha256=description.sha256[:8])
  for _ in range(2):  # converted, and kept
    _, sha256 = load(short, Convert(), str(path))
    assert sha256 == description.sha256


def test_what_is_missing_is_named_with_its_project_and_a_place(folder):
  for load_network, words in (
    (inception.load, ('pt_inception-2015-12-05-6726825d.pth', 'pytorch-fid')),
    (resnet.load, ('resnet50-0676ba61.pth', 'torchvision')),
  ):
    with pytest.raises(FileNotFoundError) as caught:
      load_network()
    for word in (*words, '$PALETTE_WEIGHTS'):
      assert word in str(caught.value)
    # Reports quote it, and they are published.
    assert str(folder) not in str(caught.value)


@pytest.mark.parametrize('network', [efficientnet, lpips])
def test_a_missing_package_is_named_with_its_version(
  network, folder, monkeypatch
):
  def missing(name):
    raise metadata.PackageNotFoundError(name)

  monkeypatch.setattr(metadata, 'distribution', missing)
  with pytest.raises(FileNotFoundError, match='==0.1.0'):
    network.load()


# What is wrong with a file.


def test_another_file_is_not_opened_and_both_hashes_are_said(
  folder, published, tmp_path
):
  _, description = published
  other = tmp_path / 'other.bin'
  other.write_bytes(b'seven')
  convert, digest = Convert(), hashlib.sha256(b'seven').hexdigest()
  with pytest.raises(ValueError, match=digest):
    load(description, convert, str(other))
  assert not convert.paths and not folder.exists()


@pytest.mark.parametrize('damage', ['bit', 'cut', 'nothing', 'other'])
def test_what_is_kept_is_made_anew_if_it_is_damaged(damage, folder, published):
  path, description = published
  convert = Convert()
  load(description, convert, str(path))
  (kept,) = folder.iterdir()
  raw = bytearray(kept.read_bytes())
  if damage == 'bit':
    raw[-3] ^= 4
  elif damage == 'other':  # of a file that has another hash
    raw = raw.replace(description.sha256.encode(), b'0' * 64)
  kept.write_bytes(raw[: {'cut': -4, 'nothing': 0}.get(damage)])
  params, _ = load(description, convert, str(path))
  assert len(convert.paths) == 2
  assert np.array_equal(params['layer']['kernel'], np.full([2, 3], 5.0))
  load(description, convert)
  assert len(convert.paths) == 2  # and whole again


def test_kept_weights_of_another_shape_are_not_used(folder, published):
  path, description = published
  load(description, Convert(), str(path))
  with pytest.raises(FileNotFoundError, match='somebody.bin'):
    shapes = {'layer': {'kernel': np.zeros([3, 2])}}
    weights.load(description, 'net', shapes, Convert())


def test_a_folder_that_cannot_be_written_is_no_error(
  published, tmp_path, monkeypatch, caplog
):
  path, description = published
  (tmp_path / 'a_file').write_text('')
  monkeypatch.setenv(weights.FOLDER, str(tmp_path / 'a_file/weights'))
  params, _ = load(description, Convert(), str(path))
  assert params['layer']['kernel'].shape == (2, 3)
  assert 'cannot be written' in caplog.text


def test_the_folder_is_the_user_s_unless_told(monkeypatch):
  monkeypatch.delenv(weights.FOLDER, raising=False)
  assert weights.folder().is_absolute()
  assert weights.folder().parts[-3:] == ('.cache', 'palette_jax', 'weights')


# Packages are read, not run.


@pytest.mark.slow
def test_no_package_of_weights_is_imported(folder):
  """In an interpreter of its own, with the real packages."""
  code = (
    'import sys\n'
    'from palette_jax.evaluation.networks import efficientnet, lpips\n'
    "efficientnet.load(), lpips.load('alex'), lpips.load('vgg')\n"
    "packages = 'lpips', 'efficientnet'\n"
    'found = [m for m in sys.modules if m.startswith(packages)]\n'
    'assert not found, found\n'
    "assert 'torch' not in sys.modules\n"
  )
  subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)
  assert len(list(folder.glob('*.safetensors'))) == 3


# Pickles of arrays.


def write(path, value, protocol=3):
  path.write_bytes(pickle.dumps(value, protocol))
  return str(path)


@pytest.mark.parametrize('protocol', [3, 4])
def test_arrays_come_back_as_they_were(protocol, tmp_path):
  result = numpy_file.read(write(tmp_path / 'a.ckpt', ARRAYS, protocol))
  flat, expected = (jax.tree.leaves_with_path(x) for x in (result, ARRAYS))
  assert len(flat) == len(expected) == 4
  for (path, array), (where, original) in zip(flat, expected):
    assert path == where and array.dtype == original.dtype
    assert array.shape == original.shape and np.array_equal(array, original)


class Harm:
  def __reduce__(self):
    return os.mkdir, ('harm',)


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_nothing_in_a_pickle_is_executed(protocol, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = write(tmp_path / 'harm.ckpt', {'kernel': Harm()}, protocol)
  pickle.loads((tmp_path / 'harm.ckpt').read_bytes())
  (tmp_path / 'harm').rmdir()  # which plain pickle has made
  with pytest.raises(ValueError, match='mkdir'):
    numpy_file.read(path)
  assert not (tmp_path / 'harm').exists()


@pytest.mark.parametrize(
  ('value', 'message'),
  [
    ({'a': np.array([print], object)}, 'builtins.print|no number'),
    ({'a': np.array([{}], object)}, "'O8'"),
    ({'a': np.array(['text'])}, "'U4'"),
    ({'a': np.zeros(2, '>f4')}, 'big-endian'),
    ({'a': 3}, 'holds int'),
    ([np.zeros(2)], 'holds list'),
  ],
)
def test_whatever_is_no_array_of_numbers_is_refused(value, message, tmp_path):
  path = write(tmp_path / 'bad.ckpt', value)
  with pytest.raises(ValueError, match=message):
    numpy_file.read(path)
  with pytest.raises(FileNotFoundError, match='no file'):
    numpy_file.read(f'{tmp_path}/none.ckpt')


def test_damage_never_does_more_than_raise(tmp_path):
  """Flipped bytes: ValueError, or another dict of arrays."""
  raw = pickle.dumps(ARRAYS, 3)
  draw, path = np.random.default_rng(0), tmp_path / 'damaged.ckpt'
  refused = 0
  for _ in range(300):
    changed = bytearray(raw)
    changed[draw.integers(len(raw))] ^= 1 << draw.integers(8)
    path.write_bytes(changed)
    try:
      numpy_file.read(str(path))
    except ValueError:
      refused += 1
  assert refused > 30
  for length in range(0, len(raw) - 1, 7):
    path.write_bytes(raw[:length])
    with pytest.raises(ValueError, match='cannot be read'):
      numpy_file.read(str(path))
