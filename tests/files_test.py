"""Files are whole or absent; names pair by their stems."""

import os

import pytest

from palette_jax import files


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
  path = tmp_path / 'a.txt'
  files.write(path, b'old')
  with pytest.raises(RuntimeError):
    with files.replacing(path) as partial:
      partial.write_bytes(b'half')
      raise RuntimeError
  assert path.read_bytes() == b'old'
  assert os.listdir(tmp_path) == ['a.txt']


def test_content_is_synced_before_the_file_gets_its_name(tmp_path, monkeypatch):
  path, seen = tmp_path / 'below' / 'a.txt', []
  sync = os.fsync
  monkeypatch.setattr(
    os, 'fsync', lambda file: (seen.append(path.exists()), sync(file))
  )
  assert files.write(path, b'new').read_bytes() == b'new'
  assert seen == [False, True]  # the file, then the folder that names it


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
  (tmp_path / 'file').write_bytes(b'')
  with pytest.raises(ValueError, match='file'):
    files.check_writable(tmp_path / 'file')
  files.check_writable(tmp_path / 'new')
  assert not os.listdir(tmp_path / 'new')


def test_names_pair_by_stem_and_folder():
  assert files.by_stem(['a/1.png', 'b/1.jpg', '1.tar.gz'], 'here') == {
    'a/1': 'a/1.png',
    'b/1': 'b/1.jpg',
    '1.tar': '1.tar.gz',
  }
  with pytest.raises(ValueError, match='a/1.jpg'):
    files.by_stem(['a/1.png', 'a/1.jpg'], 'here')
