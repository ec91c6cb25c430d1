"""Selections of the images that are judged."""

import numpy as np
import pytest

from palette_jax.data import records
from palette_jax.evaluation import selection


def source_of(names, labels=None):
  return records.Source(names, read=lambda i, _: {}, labels=labels)


def test_the_first_5_by_name_whatever_the_folder():
  names = [f'/val/n{9 - i % 3}/ILSVRC2012_val_{i:08}.JPEG' for i in range(12)]
  source = source_of(names[::-1])
  selected = selection.select(source, 'first:5')
  assert [source.names[i] for i in selected.records] == names[:5]
  flat = [name.split('/')[-1] for name in names]
  assert [flat[::-1][i] for i in selected.records] == flat[:5]
  with pytest.raises(ValueError, match='first:13'):
    selection.select(source, 'first:13')


def test_a_published_list_is_found_by_file_names(tmp_path):
  """ctest10k's form: /class/file label; the source may lie flat."""
  rows = [f'/n{i % 3}/val_{i}.JPEG {i % 3}' for i in (7, 2, 5)]
  (tmp_path / 'ctest.txt').write_text('\n'.join(rows))
  source = source_of([f'val_{i}.png' for i in range(9)])
  selected = selection.select(source, f'list:{tmp_path}/ctest.txt')
  assert selected.records.tolist() == [7, 2, 5]
  assert selected.names == ['val_7', 'val_2', 'val_5']
  assert selected.labels.tolist() == [1, 2, 2]
  with pytest.raises(ValueError, match='val_7'):
    selection.select(
      source_of(['a/val_2.png', 'a/x.png']), f'list:{tmp_path}/ctest.txt'
    )


def test_so_many_of_each_class():
  labels = np.array([0, 1, 0, 1, 1, 0])
  source = source_of([f'{i}.png' for i in (5, 4, 3, 2, 1, 0)], labels)
  selected = selection.select(source, 'per_class:2')
  assert selected.names == ['0', '3', '1', '2']
  assert selected.labels.tolist() == [0, 0, 1, 1]
  with pytest.raises(ValueError, match='class 0'):
    selection.select(source, 'per_class:4')
  with pytest.raises(ValueError, match='per_class:1'):
    selection.select(source_of(['a.png', 'b.png']), 'per_class:1')


def test_categories_are_folders(tmp_path):
  (tmp_path / 'scenery.txt').write_text('airfield\n/b/beach\n')
  names = ['a/airfield/1.jpg', 'b/beach/1.jpg', 'c/beach/2.jpg', 'a/x/3.jpg']
  selected = selection.select(
    source_of(names), f'categories:{tmp_path}/scenery.txt'
  )
  assert selected.names == ['a/airfield/1', 'b/beach/1']
  (tmp_path / 'scenery.txt').write_text('field')
  with pytest.raises(ValueError, match='field'):
    selection.select(source_of(names), f'categories:{tmp_path}/scenery.txt')


def test_folders_of_imagenet_are_classes():
  names = [f'n{i:08}/{k}_{i}.JPEG' for i in range(1000) for k in 'ab']
  selected = selection.select(source_of(names), '')
  assert selected.labels.tolist() == [i for i in range(1000) for _ in 'ab']
  assert selection.select(source_of(names[:1998]), '').labels is None


def test_names_that_are_the_same_without_suffixes_are_refused():
  with pytest.raises(ValueError, match=r'a/1\.jpg'):
    selection.select(source_of(['a/1.png', 'a/1.jpg', 'b/1.png']), '')
  with pytest.raises(ValueError, match='frist:3'):
    selection.select(source_of(['a.png', 'b.png']), 'frist:3')
