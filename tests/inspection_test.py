"""`palette inspect`: the sheet of examples and the report on images."""

import re
import subprocess
import sys

import jax
import ml_collections
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from palette_jax import arrays, cli, givens, images
from palette_jax.data import inspection, records, sheet, sources, survey
from palette_jax.diffusion import process

SLOW = pytest.mark.slow
STYLE = sheet.STYLE
FRAMED = STYLE.smallest + 2  # a column
TOP = STYLE.gap + STYLE.line  # where the first row's frame starts


def config(source, size=(16, 16), task='inpainting', min_crop=1.0):
  data = dict(source=source, size=size, min_crop=min_crop, max_pixels=10**6)
  return ml_collections.ConfigDict(
    dict(seed=0, data=data, task=dict(name=task))
  )


@pytest.fixture
def known_folder(tmp_path):
  """Forty PNGs of 20x30, except for those that are returned by their kind."""
  folder = tmp_path / 'images'
  folder.mkdir()
  draw = np.random.default_rng(0)
  noise = lambda *size: Image.fromarray(  # noqa: E731
    draw.integers(0, 256, [*size, 3], np.uint8)
  )
  for i in range(40):
    noise(20, 30).save(folder / f'{i:02}.png')
  name = f'folder:{folder}'
  train = sources.open_source(name, 'train').names
  held_out = sources.open_source(name, 'held_out').names
  assert len(train) > 30 and len(held_out) > 2
  # The suffix says nothing: a name must stay in its split.
  kinds = dict(
    small=train[0],
    large=train[1],
    turned=train[2],
    broken=train[3],
    palette=train[4],
    twin=train[5],
    leaked=train[6],
    leak=held_out[0],
  )
  at = {kind: folder / name for kind, name in kinds.items()}
  noise(8, 12).save(at['small'])
  noise(200, 100).save(at['large'])
  exif = Image.Exif()
  exif[274] = 6  # a quarter turn: 40 high and 20 wide, upright
  noise(20, 40).save(at['turned'], 'jpeg', exif=exif)
  noise(64, 64).save(at['broken'], 'jpeg')
  at['broken'].write_bytes(at['broken'].read_bytes()[:2000])
  noise(9, 9).quantize(16).save(at['palette'], 'bmp')
  at['twin'].write_bytes((folder / train[7]).read_bytes())
  at['leak'].write_bytes(at['leaked'].read_bytes())
  return folder, kinds | dict(twin_of=train[7])


def test_the_report_counts_images_of_each_kind(known_folder):
  folder, known = known_folder
  text = inspection.report(config(f'folder:{folder}', min_crop=0.5), most=1000)
  train, held_out = text.split('\nheld out: ')
  n = len(sources.open_source(f'folder:{folder}', 'train'))
  for line in (
    'Files both trained on and held out: 1\n',
    f'  train {known["leaked"]} = held out {known["leak"]}\n',
    'Files more than once in one split: 1\n',
    f'  train {known["twin"]} = train {known["twin_of"]}\n',
    f'train: {n} records, all read\n',
    '  refused    2\n',
    f'    {known["broken"]}: jpeg::Uncompress failed. Invalid JPEG data',
    f'    {known["palette"]}: a BMP with a palette, or compressed, which',
    '  sizes      8x12 smallest, 20x30 median, 200x100 largest',
    '  enlarged   1 are smaller than data.size=16x16\n',
    # Half of 20 is 10, of which 16 are made; half of 100 is enough.
    f'             {n - 3} where the crop is smallest (data.min_crop=0.5)',
    f'  formats    JPEG 1, PNG {n - 3}\n',
    '  turned     1 by their EXIF orientation\n',
    f'    1:2  ### 2\n    2:3   0\n    3:4   0\n    1:1   0\n    4:3   0\n'
    f'    3:2  {"#" * inspection.BAR} {n - 4}\n    2:1   0\n',
  ):
    assert line in train, text
  assert held_out.startswith(f'{40 - n} records, all read\n  refused    0')


def test_a_large_source_is_read_in_part(known_folder):
  folder, _ = known_folder
  source = sources.open_source(f'folder:{folder}', 'train')
  taken = survey.take(source, most=5, max_pixels=10**6)
  n = len(source)
  assert taken.records.tolist() == [i * n // 5 for i in range(5)]
  text = inspection.report(config(f'folder:{folder}'), most=5)
  assert f'train: {n} records, 5 of {n} read' in text


def test_long_lists_are_cut_and_count_the_rest(tmp_path):
  for i in range(60):
    (tmp_path / f'{i:02}.png').write_bytes(b'no image' + bytes([i % 29]))
  text = inspection.report(config(f'folder:{tmp_path}'), most=1000)
  n = len(sources.open_source(f'folder:{tmp_path}', 'train'))
  assert f'refused    {n}\n' in text
  assert text.count(': neither JPEG, PNG, GIF, BMP nor WebP') >= 20
  assert f'    and {n - 20} more\n' in text
  groups = re.findall(r'Files .*: (\d+)', text)
  assert sum(map(int, groups)) == 29  # of two, two of three
  assert text.count(' = ') <= 2 * (2 * inspection.MAX_GROUPS)
  assert '  none could be decoded' in text


def test_both_images_of_pairs_are_read(tmp_path):
  draw = np.random.default_rng(0)
  for folder, suffix in ('from', 'png'), ('to', 'jpg'):
    (tmp_path / folder).mkdir()
    for i in range(12):
      size = (20, 50) if (folder, i) == ('to', 4) else (20, 30)
      pixels = draw.integers(0, 256, [*size, 3], np.uint8)
      Image.fromarray(pixels).save(tmp_path / folder / f'{i}.{suffix}')
  (tmp_path / 'from/5.png').write_bytes(b'no image')
  pairs = f'pairs:{tmp_path}/from,{tmp_path}/to'
  text = inspection.report(config(pairs, task='paired'), most=1000)
  assert '4.jpg: a pair' in text
  assert re.search('5.jpg: source: neither JPEG', text)
  assert 'formats    PNG' in text and 'formats    JPEG' in text
  assert 'held out (image): none' in text and 'out (source): none' in text
  rows = sheet.examples(config(pairs, task='paired'), 11)
  n = len(sources.open_source(pairs, 'train'))
  unreadable = {row.name for row in rows[:n] if not row.readable}
  assert unreadable == {
    name
    for name in ('4.jpg', '5.jpg')
    if name in sources.open_source(pairs, 'train').names
  }


def test_records_that_only_python_can_read_and_mixtures(known_folder):
  folder, known = known_folder
  files = sources.open_source(f'folder:{folder}', 'train')
  asked = []

  def fetch(index):
    asked.extend(index.tolist())
    return [(folder / files.names[i]).read_bytes() for i in index]

  fetched = records.Source(
    files.names, lambda i, file: {'image': file}, fetch=fetch
  )
  plain = survey.take(files, 1000, 10**6)
  again = survey.take(fetched, 1000, 10**6)
  assert sorted(asked) == list(range(len(files)))
  assert np.array_equal(plain.images['image'], again.images['image'])
  assert plain.refused == again.refused
  mixed = records.mix([(0.5, files), (0.5, fetched)])
  both = survey.take(mixed, 1000, 10**6).images['image']
  assert np.array_equal(both, np.tile(plain.images['image'], 2))


def test_a_missing_file_is_refused_by_name(tmp_path):
  list_file = tmp_path / 'list.txt'
  names = [f'{i}.png' for i in range(6)]
  for name in names[1:]:
    Image.new('RGB', (5, 5)).save(tmp_path / name)
  list_file.write_text('\n'.join(names))
  text = inspection.report(config(f'list:{list_file}'), most=10)
  assert re.search(r'0.png: .*No such file', text)


def example(shape=(32, 64), **changes):
  """A target of reds, a condition of blues, a hole in the left half."""
  target = np.full([*shape, 3], -1, np.float32)
  target[..., 0] = np.linspace(-1, 1, shape[1])
  cond = np.zeros([*shape, 3], np.float32)
  cond[..., 2] = 9  # as noise can be, if seldom
  mask = np.zeros([*shape, 1], np.float32)
  mask[:, : shape[1] // 2] = 1
  fields = dict(
    target=target, cond=cond, mask=mask, name='a.png', readable=True, draws={}
  )
  return sheet.Row(**fields | changes)


def shown(picture, row, column, shape=(32, 64), lines=1):
  """The pixels in a frame of the sheet, reduced to their own size."""
  scale = max(1, STYLE.smallest // max(shape))
  height, width = shape[0] * scale, shape[1] * scale
  cell = height + 2 + STYLE.margin + lines * STYLE.line
  y = TOP + row * (cell + STYLE.gap) + 1
  x = STYLE.gap + column * (max(width, STYLE.smallest) + 2 + STYLE.gap) + 1
  frame = picture[y - 1 : y + height + 1, x - 1 : x + width + 1]
  assert np.all(images.to_u8(frame[[0, -1]]) == STYLE.frame)
  assert np.all(images.to_u8(frame[:, [0, -1]]) == STYLE.frame)
  return frame[1:-1, 1:-1][::scale, ::scale]


@pytest.mark.parametrize('shape', [(32, 64), (64, 32), (200, 256), (7, 7)])
def test_images_are_in_their_frames(shape):
  rows = [example(shape), example(shape, mask=np.ones([*shape, 1], np.float32))]
  picture = images.from_u8(sheet.draw(rows))
  height, width, _ = picture.shape
  scale = max(1, STYLE.smallest // max(shape))
  column = max(shape[1] * scale, STYLE.smallest) + 2
  cell = shape[0] * scale + 2 + STYLE.margin + STYLE.line
  assert width == 3 * column + 4 * STYLE.gap
  assert height == TOP + 2 * cell + STYLE.gap + STYLE.gap
  for i, row in enumerate(rows):
    target, cond, mask = (shown(picture, i, k, shape) for k in range(3))
    np.testing.assert_allclose(target, row.target, atol=0.004)
    np.testing.assert_allclose(cond[..., 2], 1)
    np.testing.assert_allclose(cond[..., :2], 0, atol=0.004)
    assert np.array_equal(mask, np.repeat(row.mask * 2 - 1, 3, -1))


def test_an_unreadable_record_is_grey_and_named():
  row = example(readable=False)
  picture = images.from_u8(sheet.draw([example(), row]))
  for column in range(3):
    assert np.all(images.to_u8(shown(picture, 1, column)) == 128)
  assert sheet._captions(row) == ('a.png', 'unreadable', '')


@pytest.mark.parametrize(
  ('draws', 'words'),
  [
    ({}, ''),
    ({'quality': np.int32(17)}, 'quality 17'),
    ({'side': b'left'}, 'side left'),
    (
      {'strokes': np.int32(2), 'segments': np.array([9, 4, 0]), 'holes': 0},
      'strokes 2, segments 9 4',
    ),
    ({'task': b'jpeg', 'side': b'', 'quality': 5}, 'task jpeg, quality 5'),
  ],
)
def test_draws_in_words(draws, words):
  assert sheet.describe(draws) == words


def test_captions_name_coverage_and_draws():
  row = example(draws={'side': b'left'})
  assert sheet._captions(row) == ('a.png', 'side left', '50%')


def test_text_stays_below_its_picture_and_in_its_column():
  """Black appears in the strips of the captions and nowhere else."""
  long = {'task': b'inpainting', 'strokes': 3, 'segments': np.array([11] * 3)}
  mask = np.ones([32, 64, 1], np.float32)
  bright = np.zeros([32, 64, 3], np.float32)
  rows = [
    example(target=bright, cond=bright, mask=mask, draws=long, name='n' * 99)
  ] * 2
  picture = sheet.draw(rows)
  dark = picture.max(-1) < 100
  gaps = [STYLE.gap + k * (FRAMED + STYLE.gap) for k in range(4)]
  for x in gaps:
    assert not dark[:, x - STYLE.gap : x].any()
  for row in range(2):
    assert not (shown(images.from_u8(picture), row, 0, lines=2) < -0.5).any()
  assert dark.any(axis=0)[gaps[0] : gaps[0] + FRAMED].mean() > 0.7


def test_the_sheet_shows_the_first_batch_of_the_training():
  from palette_jax import tasks
  from palette_jax.data import pipeline

  settings = config('photos', size=(16, 24), task='uncropping', min_crop=0.5)
  rows = sheet.examples(settings, 14)  # more than an epoch
  data = pipeline.Pipeline(
    source=sources.open_source('photos', 'train'),
    corrupt=tasks.corruption('uncropping'),
    size=(16, 24),
    seed=0,
    min_crop=0.5,
  )
  batch = next(data.train(20))
  for i, row in enumerate(rows):
    assert row.name == data.source.names[batch.record[i]]
    target, _, given = (one[i] for one in batch.examples)
    assert np.array_equal(row.target, images.from_u8(target))
    assert np.array_equal(row.mask, given == givens.NOISE)
    known = ~np.broadcast_to(row.mask > 0.5, target.shape)
    assert np.array_equal(row.cond[known], row.target[known])
    assert abs(row.cond[~known].std() - 1) < 0.2
    edges = row.mask[:, 0].all(), row.mask[:, -1].all()
    edges += row.mask[0].all(), row.mask[-1].all()
    stated = row.draws['side'].decode()
    sides = ('left', 'right', 'top', 'bottom')
    assert edges == tuple(stated in (side, 'border') for side in sides)


def inspect(*arguments):
  cli.main(['inspect', *map(str, arguments)])


CONFIGS = [
  path.stem if path.stem == 'inpaint' else pytest.param(path.stem, marks=SLOW)
  for path in sorted((ROOT / 'configs').glob('*.py'))
  if path.stem not in ('common', 'ablations', 'task')
]


@pytest.mark.parametrize('name', CONFIGS)
def test_every_config_can_be_inspected(name, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(ROOT)
  out = tmp_path / 'new' / f'{name}.png'
  inspect(
    f'--config=configs/{name}.py:tiny',
    '--config.data.size=(16,16)',
    '--rows=2',
    out,
    '--records',
    '1',
  )
  with Image.open(out) as picture:
    assert picture.width == 3 * FRAMED + 4 * STYLE.gap
  report = out.with_suffix('.txt').read_text()
  assert report in capsys.readouterr().out
  assert 'train: 12 records, 1 of 12 read' in report
  assert 'held out: 3 records, 1 of 3 read' in report


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--config=configs/inpant.py', 'x.png'], 'inpant'),
    (['--config=configs/inpaint.py:tyny', 'x.png'], "'tiny'"),
    (['x.png'], '--config=NAME'),
    (['TINY', '--config.data.siz=9', 'x.png'], 'Did you mean'),
    (['TINY', '--config.data.min_crop=a', 'x.png'], 'min_crop=a'),
    (['TINY', '--config.data.source=folder:/no', 'x.png'], 'folder /no'),
    (['TINY', '--config.task.name=ipeg', 'x.png'], "'jpeg'"),
    (['TINY', '--config.data.size=(16,)', 'x.png'], 'height, width'),
    (['TINY', 'x.jpg'], 'x.jpg'),
    (['TINY', '/dev/null/x.png'], '/dev/null'),
    (['TINY', 'folder.png'], 'folder.png'),
    (['TINY', '--rows=0', 'x.png'], 'rows must'),
    (['TINY', '--records=0', 'x.png'], 'records must'),
  ],
)
def test_wrong_input_ends_in_one_sentence(
  arguments, message, monkeypatch, tmp_path
):
  monkeypatch.chdir(ROOT)
  *arguments, out = arguments
  tiny = '--config=configs/inpaint.py:tiny'
  arguments = [tiny if a == 'TINY' else a for a in arguments]
  (tmp_path / 'folder.png').mkdir()
  with pytest.raises(SystemExit, match=message) as end:
    inspect(*arguments, tmp_path / out)
  assert 'Traceback' not in str(end.value)
  assert [path.name for path in tmp_path.iterdir()] == ['folder.png']


def test_wrong_input_is_refused_before_the_libraries_load(tmp_path):
  code = f"""
import sys
from palette_jax import cli
for wrong in (
  ['--config=configs/inpant.py', 'x.png'],
  ['--config=configs/inpaint.py:tiny', '--config.data.siz=9', 'x.png'],
  ['--config=configs/inpaint.py:tiny', '--config.data.source=folder:/no',
   '{tmp_path}/x.png'],
  ['--config=configs/inpaint.py:tiny', '--config.task.name=ipeg',
   '{tmp_path}/x.png'],
  ['--config=configs/inpaint.py:tiny', '/dev/null/x.png'],
  ['--config=configs/inpaint.py:tiny', 'x.jpg'],
):
  try:
    cli.main(['inspect', *wrong])
  except SystemExit as end:
    assert end.code and 'Traceback' not in str(end.code)
  else:
    raise AssertionError(wrong)
assert 'tensorflow' not in sys.modules and 'jax' not in sys.modules
"""
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


def test_other_commands_take_no_config():
  with pytest.raises(SystemExit):
    cli.main(['export', '--config=configs/inpaint.py', 'runs/x', 'y'])


def test_the_sheet_completes_examples_as_the_device_does():
  """Except for the noise itself, whatever is given."""
  draw = np.random.default_rng(0)
  target, cond = draw.integers(0, 256, [2, 4, 16, 24, 3], np.uint8)
  given = draw.integers(0, 4, [4, 16, 24, 1], np.uint8)
  examples = arrays.Examples(target, cond, given)
  shown = sheet._complete(examples)
  seen = process.complete(examples, jax.random.key(0))
  noise = np.broadcast_to(given == givens.NOISE, cond.shape)
  for i, (ours, theirs) in enumerate(zip(shown, seen)):
    hidden = noise if i == 1 else np.zeros_like(ours, bool)
    assert np.array_equal(ours[~hidden], np.asarray(theirs)[~hidden])
