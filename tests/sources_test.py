import numpy as np
import pytest
import tensorflow as tf

from palette_jax.data import sources


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
    encoded = source.read(tf.constant(i, tf.int64)).numpy()
    assert encoded == (sources.PHOTOS / source.names[i]).read_bytes()


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
    ('foto', ValueError, r"'foto' is not known.*\n.*tiny.*\n.*folder:/path"),
    ('folder:', ValueError, 'not known'),
    ('folder:/does/not/exist', FileNotFoundError, 'no folder /does/not/exist'),
    ('tfds:imagenet2012', FileNotFoundError, 'ILSVRC2012_img_train.tar'),
    ('tfds:imagenet2012', FileNotFoundError, 'folder:/path'),
    ('tfds:flowers', FileNotFoundError, "builder\\('flowers'\\)"),
  ],
)
def test_a_missing_source_says_what_to_do(
  name, error, message, tmp_path, monkeypatch
):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  with pytest.raises(error, match=message):
    sources.check(name)


def test_an_empty_folder_is_refused(tmp_path):
  (tmp_path / 'notes.txt').write_text('no image')
  with pytest.raises(ValueError, match='has 0 images.*at least two'):
    sources.check(f'folder:{tmp_path}')


@pytest.fixture
def tfds_build(tmp_path, monkeypatch):
  """A TFDS build of 20 training and 5 validation images, in 2 shards."""
  import tensorflow_datasets as tfds

  def numbers(count):
    shape = lambda i: [4 + i, 5, 3]  # noqa: E731
    return [
      (i, {'image': np.full(shape(i), i, np.uint8)}) for i in range(count)
    ]

  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  tfds.dataset_builders.store_as_tfds_dataset(
    name='squares',
    version='1.0.0',
    features=tfds.features.FeaturesDict(
      {'image': tfds.features.Image(shape=(None, None, 3))}
    ),
    split_datasets={'train': numbers(20), 'validation': numbers(5)},
    data_dir=str(tmp_path),
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
      encoded = source.read(tf.constant(i, tf.int64))
      image = tf.io.decode_image(encoded).numpy()
      assert image.shape[0] == 4 + image[0, 0, 0]  # the record is whole
      seen.append(int(image[0, 0, 0]))
    assert sorted(seen) == list(range(20))
  assert len(list((tmp_path / 'cache').iterdir())) == 1
  assert len(sources.open_source(f'tfds:{tfds_build}', 'held_out')) == 5


def test_a_truncated_tfrecord_is_named(tmp_path, monkeypatch):
  from palette_jax.data import tfrecord

  monkeypatch.setattr(tfrecord, 'CACHE', tmp_path / 'cache')
  path = str(tmp_path / 'x.tfrecord')
  with tf.io.TFRecordWriter(path) as writer:
    for i in range(3):
      writer.write(bytes(100 + i))
  index = tfrecord.index([path])
  sizes = [len(tfrecord.read(index, tf.constant(i)).numpy()) for i in range(3)]
  assert sizes == [100, 101, 102]
  with open(path, 'r+b') as file:
    file.truncate(250)
  with pytest.raises(ValueError, match='ends inside record 2'):
    tfrecord.index([path])
