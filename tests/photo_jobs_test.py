"""Planning jobs: no photo is lost, or met twice."""

import posixpath

import hypothesis
import pytest
from hypothesis import strategies as st
from PIL import Image

from palette_jax.photo import jobs

some = hypothesis.settings(
  max_examples=60,
  deadline=None,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
names = st.lists(
  st.tuples(
    st.lists(st.sampled_from(['a', 'b', '.c']), max_size=2),
    st.sampled_from(['x', 'X', 'y', 'x.jpg', 'x.jpg.png', '.h', 'x-1']),
    st.sampled_from(['.jpg', '.png', '.PNG', '.tif', '.txt', '']),
  ).map(lambda parts: '/'.join([*parts[0], parts[1] + parts[2]])),
  min_size=1,
  max_size=12,
  unique=True,
)


def make(root, files):
  for file in files:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'')
  return root


@some
@hypothesis.given(files=names)
def test_every_photo_has_a_file_of_its_own(tmp_path_factory, files):
  root = tmp_path_factory.mktemp('root')
  make(root / 'in', files)
  shown = [
    file
    for file in files
    if not any(part.startswith('.') for part in file.split('/'))
    and file.lower().endswith(('.jpg', '.png', '.tif'))
  ]
  try:
    planned = jobs.plan(f'{root}/in', f'{root}/out')
  except ValueError as error:
    if not shown:
      assert 'no photo' in str(error)
      return
    # Only names that differ in nothing but case, or hold two endings.
    assert 'become one file' in str(error)
    assert len({file.casefold() for file in shown}) < len(shown) or any(
      file.count('.') > 1 for file in shown
    )
    return
  assert sorted(job.name for job in planned) == sorted(shown)
  targets = [str(job.target).casefold() for job in planned]
  assert len(set(targets)) == len(targets)
  for job in planned:
    assert str(job.source) == f'{root}/in/{job.name}'
    below = posixpath.relpath(job.target, root / 'out')
    assert posixpath.dirname(below) == posixpath.dirname(job.name)
    stem = posixpath.splitext(job.name)[0]
    assert below in (f'{stem}.png', f'{job.name}.png')


def test_results_inside_the_folder_are_not_read(tmp_path):
  make(tmp_path, ['a.jpg', 'b/c.jpg', 'b/out/a.png', 'masks/a.png'])
  out, masks = str(tmp_path / 'b/out'), str(tmp_path / 'masks')
  planned = jobs.plan(str(tmp_path), out)
  assert [job.name for job in planned] == ['a.jpg', 'b/c.jpg', 'masks/a.png']
  make(tmp_path / 'masks', ['b/c.gif'])
  planned = jobs.plan(str(tmp_path), out, masks)
  assert {job.name: str(job.mask) for job in planned} == {
    'a.jpg': f'{masks}/a.png',
    'b/c.jpg': f'{masks}/b/c.gif',
  }
  # Also where a link leads there.
  (tmp_path / 'b/link').symlink_to(tmp_path / 'b/out')
  assert jobs.plan(str(tmp_path), out, masks) == planned


def test_links_that_lead_back_are_not_followed(tmp_path):
  make(tmp_path / 'in', ['a/x.jpg'])
  make(tmp_path / 'other', ['y.jpg'])
  (tmp_path / 'in/a/up').symlink_to(tmp_path / 'in')
  (tmp_path / 'in/b').symlink_to(tmp_path / 'other')
  planned = jobs.plan(f'{tmp_path}/in', f'{tmp_path}/out')
  assert [job.name for job in planned] == ['a/x.jpg', 'b/y.jpg']


def test_equal_stems_keep_their_suffixes(tmp_path):
  make(tmp_path / 'in', ['x.jpg', 'x.png', 'y.jpg'])
  planned = jobs.plan(f'{tmp_path}/in', f'{tmp_path}/out')
  targets = {job.name: job.target.name for job in planned}
  assert targets == {
    'x.jpg': 'x.jpg.png',
    'x.png': 'x.png.png',
    'y.jpg': 'y.png',
  }
  make(tmp_path / 'in', ['x.jpg.gif'])
  with pytest.raises(ValueError, match=r'x\.jpg\.gif'):
    jobs.plan(f'{tmp_path}/in', f'{tmp_path}/out')


@pytest.mark.parametrize(
  ('target', 'expected'),
  [
    ('new.png', 'new.png'),
    ('new', 'new.png'),
    ('deep/er/new.tif', 'deep/er/new.tif'),
    ('there', 'there/x.png'),
    ('new/', 'new/x.png'),
  ],
)
def test_one_photo_goes_into_a_file_or_a_folder(
  tmp_path, monkeypatch, target, expected
):
  monkeypatch.chdir(make(tmp_path, ['x.jpg', 'there/y.jpg']))
  (job,) = jobs.plan('x.jpg', target)
  assert str(job.target) == expected and job.name == 'x.jpg'
  assert job.target.parent.is_dir()
  assert [p.name for p in job.target.parent.glob('.*')] == []


REFUSED = {  # in, out, mask, a part of the message
  'nothing there': ('no.jpg', 'y.png', None, 'no.jpg'),
  'ending': ('x.jpg', 'y.doc', None, r'\.doc'),
  'itself': ('x.jpg', 'x.jpg', None, 'photo itself'),
  'itself, as a folder': ('x.png', '.', None, 'photo itself'),
  'a file for a folder': (
    'in',
    'x.jpg',
    None,
    'x.jpg is a file',
  ),
  'a name for a folder': ('in', 'y.PNG', None, 'y.PNG'),
  'the same folder': ('in', 'in/.', None, 'folder that is read'),
  'the folder above': ('in', '.', None, 'contains in'),
  'no photos': ('empty', 'out', None, 'in empty'),
  'no mask': ('x.jpg', 'y.png', 'no.png', 'no.png'),
  'masks for one': ('x.jpg', 'y.png', 'in', 'in is a folder'),
  'no mask of it': (
    'in',
    'out',
    'masks',
    '2 of 2',
  ),
  'photos as masks': ('in', 'out', 'in', 'in is'),
  'two masks': ('in', 'out', 'two', 'two'),
  'a folder that is a file': ('x.jpg', 'x.png/y.png', None, 'x.png'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_what_does_not_fit_is_refused(tmp_path, monkeypatch, case):
  files = ['x.jpg', 'x.png', 'in/a.jpg', 'in/b.jpg', 'empty/z.txt']
  files += ['masks/c.png', 'two/a.png', 'two/a.gif', 'two/b.png']
  monkeypatch.chdir(make(tmp_path, files))
  *arguments, message = REFUSED[case]
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    jobs.plan(*arguments)
  assert sorted(p.name for p in tmp_path.glob('*')) == [
    'empty', 'in', 'masks', 'two', 'x.jpg', 'x.png',
  ]  # fmt: skip


def test_folders_are_searched_for_all_formats_that_are_read():
  """Pillow's endings of the formats that are read."""
  from palette_jax.photo import reader

  rare = {'.apng', '.jpc', '.jpf', '.jpx', '.j2c', '.icb', '.vda', '.vst'}
  rare |= {'.pbm', '.pnm', '.pfm', '.ico', '.avifs'}
  known = {
    ending
    for ending, kind in Image.registered_extensions().items()
    if kind in reader.FORMATS
  }
  assert known - rare <= set(jobs.SUFFIXES)
