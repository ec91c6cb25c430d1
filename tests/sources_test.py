import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from palette_jax.data import listing, sources
from palette_jax.evaluation import selection


def read(source, i, image='image'):
  """Bytes of record i."""
  index = tf.constant(i, tf.int64)
  fetched = source.fetch(np.array([i]))[0] if source.fetch else b''
  return source.read(index, tf.constant(fetched))[image].numpy()


def test_the_package_s_photos_are_split_and_attributed():
  train = sources.open_source('photos', 'train')
  held_out = sources.open_source('photos', 'held_out')
  assert (len(train), len(held_out)) == (12, 3)
  assert not set(train.names) & set(held_out.names)
  table = (sources.PHOTOS / 'ATTRIBUTION.tsv').read_text().splitlines()
  attributed = {line.split('\t')[0] for line in table[1:]}
  assert attributed == {*train.names, *held_out.names}


def test_photos_are_read_by_index():
  source = sources.open_source('photos', 'train')
  for i in (0, 11):
    assert read(source, i) == (sources.PHOTOS / source.names[i]).read_bytes()


def test_a_folder_is_listed_at_any_depth_without_hidden_files(photo_folder):
  (photo_folder / 'a/deep/er').mkdir(parents=True)
  (photo_folder / 'a/00.jpg').rename(photo_folder / 'a/deep/er/x.JPG')
  (photo_folder / '.hidden.jpg').write_bytes(b'')
  (photo_folder / '.cache').mkdir()
  (photo_folder / '.cache/y.jpg').write_bytes(b'')
  (photo_folder / 'notes.txt').write_text('no image')
  train = sources.open_source(f'folder:{photo_folder}', 'train')
  held_out = sources.open_source(f'folder:{photo_folder}', 'held_out')
  names = {*train.names, *held_out.names}
  assert len(names) == len(train) + len(held_out) == 12
  assert 'a/deep/er/x.JPG' in names


def test_a_folder_may_be_on_a_file_system_of_tensorflow(photo_folder):
  """Such as gs://: names and bytes are those on a disk."""
  here = sources.open_source(f'folder:{photo_folder}', 'train')
  tf.io.gfile.makedirs('ram://photos/.hidden')
  for name in listing.list_folder(str(photo_folder)):
    tf.io.gfile.makedirs(os.path.dirname(f'ram://photos/{name}'))
    tf.io.gfile.copy(str(photo_folder / name), f'ram://photos/{name}', True)
  tf.io.gfile.copy(
    str(photo_folder / here.names[0]), 'ram://photos/.hidden/a.png', True
  )
  there = sources.open_source('folder:ram://photos/', 'train')
  assert there.names == here.names and '/' in ''.join(there.names)
  assert all(read(there, i) == read(here, i) for i in range(len(here)))
  with pytest.raises(FileNotFoundError, match='ram://elsewhere'):
    sources.check('folder:ram://elsewhere')


def test_held_out_photos_stay_held_out_when_others_are_added():
  few = {f'{i}.jpg' for i in range(50)}
  more = {f'{i}.jpg' for i in range(55)}
  before = sources._held_out(sorted(few))
  after = sources._held_out(sorted(more))
  assert len(before) == 5 and len(after) == 5
  assert len(before & after) >= 3


def test_fingerprint_tells_lists_apart(photo_folder):
  name = f'folder:{photo_folder}'
  before = sources.open_source(name, 'train').fingerprint()
  assert before == sources.open_source(name, 'train').fingerprint()
  source = sources.open_source(name, 'train')
  (photo_folder / source.names[0]).unlink()
  assert before != sources.open_source(name, 'train').fingerprint()


@pytest.mark.parametrize(
  ('name', 'error', 'message'),
  [
    ('foto', ValueError, "'foto'"),
    ('folder:', ValueError, "'folder:'"),
    ('folder:/does/not/exist', FileNotFoundError, '/does/not/exist'),
    ('tfds:imagenet2012', FileNotFoundError, 'ILSVRC2012_img_train.tar'),
    ('tfds:imagenet2012', FileNotFoundError, 'folder:/path'),
    ('tfds:flowers', FileNotFoundError, "builder\\('flowers'\\)"),
  ],
)
def test_a_missing_source_is_named(name, error, message, tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  with pytest.raises(error, match=message):
    sources.check(name)


def test_links_are_followed_but_not_in_circles(photo_folder, tmp_path, caplog):
  (tmp_path / 'elsewhere').mkdir()
  (photo_folder / 'a/00.jpg').rename(tmp_path / 'elsewhere/far.jpg')
  (photo_folder / 'linked').symlink_to(tmp_path / 'elsewhere')
  (photo_folder / 'b/round').symlink_to(photo_folder)
  (photo_folder / 'gone.jpg').symlink_to(tmp_path / 'nowhere.jpg')
  files = listing.list_folder(str(photo_folder))
  assert len(files) == 13 and 'linked/far.jpg' in files and 'gone.jpg' in files
  assert 'b/round' in caplog.text


def test_a_long_list_is_kept_until_a_folder_changes(
  photo_folder, tmp_path, monkeypatch
):
  monkeypatch.setattr(listing, 'CACHE', tmp_path / 'cache')
  monkeypatch.setattr(listing, 'WORTH_CACHING', 12)
  for folder in (photo_folder, *photo_folder.iterdir()):
    os.utime(folder, (1e9, 1e9))  # long settled
  files = listing.list_folder(str(photo_folder))
  walked = []
  walk = listing._walk
  monkeypatch.setattr(listing, '_walk', lambda p: walked.append(p) or walk(p))
  assert listing.list_folder(str(photo_folder)) == files and not walked
  (photo_folder / 'a/new.jpg').write_bytes(b'')
  assert listing.list_folder(str(photo_folder)) == sorted([*files, 'a/new.jpg'])
  assert walked
  # It has just changed and might change again unnoticed: not cached.
  listing.list_folder(str(photo_folder))
  assert len(walked) == 2
  for kept in (tmp_path / 'cache').iterdir():
    kept.write_text('{"half')
  assert len(listing.list_folder(str(photo_folder))) == 13


def test_a_list_names_paths_and_labels(photo_folder, tmp_path):
  (photo_folder / 'my photo 7.jpg').write_bytes(b'x')
  lines = ['a/00.jpg 818', f'{photo_folder}/b/01.png\t3', 'my photo 7.jpg', '']
  (photo_folder / 'list.txt').write_text('\n'.join(lines))
  paths, labels = listing.read_list(str(photo_folder / 'list.txt'))
  assert labels == [818, 3, None]
  assert [os.path.relpath(p, photo_folder) for p in paths] == [
    'a/00.jpg',
    'b/01.png',
    'my photo 7.jpg',
  ]
  source = sources.open_source(f'list:{photo_folder}/list.txt', 'train')
  held_out = sources.open_source(f'list:{photo_folder}/list.txt', 'held_out')
  known = {**dict(zip(source.names, source.labels))}
  known |= dict(zip(held_out.names, held_out.labels))
  assert known == dict(zip(paths, [818, 3, -1]))
  assert read(source, 0) == pathlib.Path(source.names[0]).read_bytes()


def test_a_list_of_a_data_set_s_root_is_read_beside_it(photo_folder):
  """As the published list of 10,000 evaluation images: /class/file label."""
  (photo_folder / 'list.txt').write_text('/a/00.jpg 5\n/b/01.png 6\n')
  paths, _ = listing.read_list(str(photo_folder / 'list.txt'))
  assert all(os.path.exists(path) for path in paths)


@pytest.fixture
def pair_folders(tmp_path):
  for name, suffix in (('night', 'png'), ('day', 'jpg')):
    for i in range(6):
      path = tmp_path / name / f'{i % 2}/{i}.{suffix}'
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(f'{name} {i}'.encode())
  return tmp_path


def test_pairs_are_matched_by_name(pair_folders):
  name = f'pairs:{pair_folders}/night,{pair_folders}/day'
  source = sources.open_source(name, 'train')
  assert len(source) == 5
  for i in range(5):
    number = source.names[i][2]
    assert read(source, i, 'image') == f'day {number}'.encode()
    assert read(source, i, 'source') == f'night {number}'.encode()


def test_an_image_without_a_partner_is_named(pair_folders):
  name = f'pairs:{pair_folders}/night,{pair_folders}/day'
  (pair_folders / 'night/0/2.png').unlink()
  with pytest.raises(ValueError, match='0/2.jpg'):
    sources.check(name)
  (pair_folders / 'night/0/2.png').write_bytes(b'')
  (pair_folders / 'night/0/2.bmp').write_bytes(b'')
  with pytest.raises(ValueError, match='0/2.* and 0/2'):
    sources.check(name)
  with pytest.raises(ValueError, match='pairs:/from/what,/to/what'):
    sources.check(f'pairs:{pair_folders}')


@pytest.mark.filterwarnings('ignore')  # of TFDS, about itself
def test_a_mixture_reads_from_each_part(tfds_build, photo_folder):
  name = f'0.25*tfds:{tfds_build} + 0.75*folder:{photo_folder}'
  source = sources.open_source(name, 'train')
  assert source.lengths == (20, 11) and source.places == (250, 750)
  assert tf.io.decode_image(read(source, 19)).shape[1:] == (5, 3)
  for i in (20, 30):
    assert source.names[i].startswith('1:')
    path = photo_folder / source.names[i].removeprefix('1:')
    assert read(source, i) == path.read_bytes()
  other = sources.open_source(name.replace('0.25', '0.5'), 'train')
  assert other.fingerprint() != source.fingerprint()


def test_a_folder_may_be_called_like_a_mixture(tmp_path):
  folder = tmp_path / '0.5*a + b'
  folder.mkdir()
  for i in range(3):
    (folder / f'{i}.jpg').write_bytes(b'')
  assert len(sources.open_source(f'folder:{folder}', 'train')) == 2


def test_an_empty_folder_is_refused(tmp_path):
  (tmp_path / 'notes.txt').write_text('no image')
  with pytest.raises(ValueError, match='has 0 images'):
    sources.check(f'folder:{tmp_path}')


@pytest.fixture(params=['tfrecord', 'array_record'])
def tfds_build(tmp_path, monkeypatch, request):
  """A TFDS build of 20 training and 5 validation images, in 2 shards."""
  import tensorflow_datasets as tfds

  def numbers(count):
    shape = lambda i: [4 + i, 5, 3]  # noqa: E731
    return [
      (
        i,
        {
          'image': np.full(shape(i), i, np.uint8),
          'file_name': f'val_{i:03}.JPEG',
          'label': i % 3,
        },
      )
      for i in range(count)
    ]

  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  tfds.dataset_builders.store_as_tfds_dataset(
    name='squares',
    version='1.0.0',
    features=tfds.features.FeaturesDict(
      {
        'image': tfds.features.Image(shape=(None, None, 3)),
        'file_name': tfds.features.Text(),
        'label': tfds.features.ClassLabel(num_classes=3),
      }
    ),
    split_datasets={'train': numbers(20), 'validation': numbers(5)},
    data_dir=str(tmp_path),
    file_format=request.param,
    download_config=tfds.download.DownloadConfig(num_shards=2),
  )
  return 'squares'


@pytest.mark.filterwarnings('ignore')  # of TFDS, about itself
def test_a_tfds_build_is_entered_at_any_record(
  tfds_build, monkeypatch, tmp_path
):
  from palette_jax.data import tfrecord

  monkeypatch.setattr(tfrecord, 'CACHE', tmp_path / 'cache')
  for _ in range(2):  # built, then from the cache
    source = sources.open_source(f'tfds:{tfds_build}', 'train')
    assert len(source) == 20
    seen = []
    for i in np.random.default_rng(0).permutation(20):
      image = tf.io.decode_image(read(source, i)).numpy()
      assert image.shape[0] == 4 + image[0, 0, 0]  # the record is whole
      seen.append(int(image[0, 0, 0]))
    assert sorted(seen) == list(range(20))
  if not source.fetch:
    assert len(list((tmp_path / 'cache').iterdir())) == 1
  assert len(sources.open_source(f'tfds:{tfds_build}', 'held_out')) == 5


@pytest.mark.filterwarnings('ignore')  # of TFDS, about itself
def test_a_tfds_build_knows_its_files_and_classes(tfds_build, tmp_path):
  """A list selects them, wherever the shuffle of the build has put them."""
  source = sources.open_source(f'tfds:{tfds_build}', 'all')
  names, labels = source.catalogue()
  for i, (name, label) in enumerate(zip(names, labels)):
    number = int(tf.io.decode_image(read(source, i)).numpy()[0, 0, 0])
    assert name == f'val_{number:03}.JPEG' and label == number % 3
  (tmp_path / 'list.txt').write_text('/n1/val_004.JPEG 1\n/n0/val_001.JPEG 1')
  pinned = selection.select(source, f'list:{tmp_path}/list.txt')
  assert [names[i] for i in pinned.records] == ['val_004.JPEG', 'val_001.JPEG']
  assert selection.select(source, 'first:2').names == ['val_000', 'val_001']


def test_a_truncated_tfrecord_is_named(tmp_path, monkeypatch):
  from palette_jax.data import tfrecord

  monkeypatch.setattr(tfrecord, 'CACHE', tmp_path / 'cache')
  path = str(tmp_path / 'x.tfrecord')
  with tf.io.TFRecordWriter(path) as writer:
    for i in range(3):
      writer.write(bytes(100 + i))
  index = tfrecord.open_index([path])
  sizes = [len(tfrecord.read(index, tf.constant(i)).numpy()) for i in range(3)]
  assert sizes == [100, 101, 102]
  with open(path, 'r+b') as file:
    file.truncate(250)
  with pytest.raises(ValueError, match='record 2'):
    tfrecord.open_index([path])
