"""Folders of outputs in, metrics out."""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from small_networks import a_network

from palette_jax import cli
from palette_jax.data import sources
from palette_jax.evaluation import (
  matching,
  plots,
  protocol,
  references,
  registry,
  report,
)
from palette_jax.evaluation import networks as nets
from palette_jax.evaluation.metrics import frechet
from palette_jax.evaluation.networks import inception, probe
from palette_jax.evaluation.paper import reported

COUNT, SIDE = 24, 48


def a_distance(params, a_u8, b_u8):
  apart = a_u8.astype(jnp.float32) - b_u8.astype(jnp.float32)
  return params * jnp.mean(jnp.abs(apart), axis=(1, 2, 3)) / 255


@pytest.fixture(autouse=True)
def small_networks(monkeypatch, tmp_path):
  """Stand-ins for all networks, and a cache of this test's own."""

  def missing():
    raise FileNotFoundError('resnet50-0676ba61.pth is missing.')

  loaders = {
    'inception': lambda: a_network(0, 'inception'),
    'efficientnet': lambda: a_network(1, 'efficientnet'),
    'lpips_alex': lambda: nets.Network(
      'lpips-alex', 'a' * 64, '', jnp.float32(1), a_distance
    ),
    'resnet': missing,
  }
  monkeypatch.setattr(protocol, 'loaders', lambda dialect: loaders)
  monkeypatch.setattr(references, 'CACHE', tmp_path / 'references')


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
  """Originals, and their JPEGs of three qualities, as PNG."""
  root = tmp_path_factory.mktemp('photos')
  rng = np.random.default_rng(0)
  names = sorted(sources.PHOTOS.glob('*.jpg'))
  for i in range(COUNT):
    with Image.open(names[i % len(names)]) as photo:
      left, top = rng.integers(0, 150, 2)
      box = (left, top, left + 96, top + 96)
      image = photo.convert('RGB').crop(box).resize((SIDE, SIDE))
    for kind, quality in dict(originals=0, q5=5, q10=10, q20=20).items():
      file = root / kind / f'{"ab"[i % 2]}/{i:02}.png'
      file.parent.mkdir(parents=True, exist_ok=True)
      if quality:
        image.save(root / 'temporary.jpg', quality=quality)
        Image.open(root / 'temporary.jpg').save(file)
      else:
        image.save(file)
  labels = [f'{i:02}.png {i % 5}' for i in range(COUNT)]
  (root / 'labels.txt').write_text('\n'.join(labels))
  return root


def compare(photos, *rows, **more):
  return matching.Comparison(
    {row: [str(photos / row)] for row in rows},
    str(photos / 'originals'),
    **more,
  )


@pytest.fixture(scope='module')
def judged(photos):
  with pytest.MonkeyPatch.context() as patch:
    loaders = {
      'inception': lambda: a_network(0, 'inception'),
      'lpips_alex': lambda: nets.Network(
        'lpips-alex', 'a' * 64, '', jnp.float32(1), a_distance
      ),
    }
    patch.setattr(protocol, 'loaders', lambda dialect: loaders)
    return protocol.judge(compare(photos, 'q5', 'q10', 'q20'))


def test_every_metric_orders_three_qualities(judged):
  """Except those that 24 images cannot decide."""
  for name, metric in registry.METRICS.items():
    if name in judged.rows['q5'] and metric.better and name != 'is':
      values = [judged.rows[row][name].value for row in ('q5', 'q10', 'q20')]
      if name not in ('precision', 'recall', 'kid'):
        assert values == sorted(values, reverse=metric.better == 'lower'), name
  assert {'fid', 'kid', 'pd', 'lpips_alex', 'psnr', 'ssim', 'precision'} <= set(
    judged.rows['q5']
  )


def test_differences_are_to_the_first_and_narrower(judged):
  """The same images: what they have in common cancels."""
  assert set(judged.differences) == {'q10', 'q20'}
  for name in ('fid', 'pd', 'psnr', 'lpips_alex'):
    first, row = (judged.rows[r][name] for r in ('q5', 'q20'))
    difference = judged.differences['q20'][name]
    assert difference.value == pytest.approx(row.value - first.value, abs=1e-6)
    assert difference.low < difference.value < difference.high
    assert difference.low * difference.high > 0 or name == 'fid'  # of 24 images
    if name == 'psnr':
      assert difference.high - difference.low < row.high - row.low


def test_originals_are_at_no_distance_from_themselves(photos):
  results = protocol.judge(
    compare(photos, 'originals')._replace(
      rows={'copy': [str(photos / 'originals')]}
    )
  )
  values = {k: v.value for k, v in results.rows['copy'].items()}
  assert values['fid'] == pytest.approx(0, abs=1e-8)
  assert values['pd'] == values['lpips_alex'] == values['mean_red'] == 0
  assert values['ssim'] == pytest.approx(1, abs=1e-6)
  assert values['precision'] == values['recall'] == 1
  assert np.isinf(values['psnr'])
  text = json.dumps(report.as_json(results, {}), allow_nan=False)
  assert json.loads(text)['rows']['copy']['psnr']['value'] == 'inf'


def test_batches_change_nothing(photos, judged):
  again = protocol.judge(compare(photos, 'q5'), batch=8)
  for name, estimate in again.rows['q5'].items():
    if name in judged.rows['q5']:
      before = judged.rows['q5'][name].value
      assert estimate.value == pytest.approx(before, rel=1e-5, abs=1e-7), name


def test_missing_partners_are_listed(photos, tmp_path):
  outputs = tmp_path / 'outputs'
  outputs.mkdir()
  for name in 'xyz':
    Image.new('RGB', (SIDE, SIDE)).save(outputs / f'{name}.png')
  wrong = compare(photos, 'q5')._replace(rows={'new': [str(outputs)]})
  with pytest.raises(ValueError, match='\n  x\n'):
    protocol.judge(wrong)


def test_another_size_is_named(photos, tmp_path):
  outputs = tmp_path / 'outputs'
  for i in range(COUNT):
    file = outputs / f'{"ab"[i % 2]}/{i:02}.png'
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (SIDE, SIDE + (i == 7))).save(file)
  wrong = compare(photos, 'q5')._replace(rows={'new': [str(outputs)]})
  with pytest.raises(ValueError, match=r'b/07.png: 49x48'):
    protocol.judge(wrong)


def test_a_metric_that_cannot_be_computed_is_absent_or_refused(photos):
  comparison = compare(photos, 'q5', case='jpeg:5')
  results = protocol.judge(comparison)
  assert 'resnet50-0676ba61.pth' in results.absent['ca']
  assert '--labels' in results.absent['ca_efficientnet']
  assert 'ca' not in results.rows['q5']
  with pytest.raises(FileNotFoundError, match='resnet50'):
    protocol.judge(comparison, ['ca'])
  for metric, reason in [
    ('ca_efficientnet', '--labels'),
    ('known_changed', '--holes'),
    ('luma_error', 'colorization'),
    ('jpeg_consistency', '--inputs'),
    ('diversity_ms_ssim', 'sample'),
  ]:
    with pytest.raises(ValueError, match=reason):
      protocol.judge(comparison, [metric])


def few(photos, tmp_path, count):
  """Folders of the first images only."""
  for kind in ('q5', 'originals'):
    for i in range(count):
      name = f'{"ab"[i % 2]}/{i:02}.png'
      file = tmp_path / kind / name
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_bytes((photos / kind / name).read_bytes())
  return compare(tmp_path, 'q5')


def test_too_few_images_are_an_error_with_the_number(photos, tmp_path):
  comparison = few(photos, tmp_path, 3)
  with pytest.raises(ValueError, match='IS needs 10'):
    protocol.judge(comparison, ['is'])
  results = protocol.judge(comparison)
  assert 'needs 10 images' in results.absent['is']
  assert results.rows['q5']['psnr'].low is None


def test_samples_of_one_input_are_compared(photos):
  """Two of three are the same: the third alone makes the difference."""
  samples = [str(photos / kind) for kind in ('q5', 'q5', 'q20')]
  comparison = compare(photos, 'q5')._replace(rows={'model': samples})
  results = protocol.judge(comparison)
  pairs = results.diversity['model']
  assert pairs['ms_ssim'].shape == pairs['lpips_alex'].shape == (2, COUNT)
  np.testing.assert_allclose(pairs['ms_ssim'][0], 1, atol=1e-6)
  assert (pairs['ms_ssim'][1] < 1).all()
  assert (pairs['lpips_alex'][0] == 0).all()
  estimate = results.rows['model']['diversity_lpips_alex']
  assert estimate.value == pytest.approx(pairs['lpips_alex'][1].mean() / 2)
  encoded = report.as_json(results, {})['diversity']['model']['ms_ssim']
  assert sum(encoded['counts']) == 2 * COUNT


def test_diversities_are_compared_input_by_input(photos):
  rows = {'same': ('q5', 'q5', 'q20'), 'apart': ('q5', 'q20', 'q5')}
  samples = {k: [str(photos / q) for q in row] for k, row in rows.items()}
  results = protocol.judge(compare(photos, 'q5')._replace(rows=samples))
  name = 'diversity_lpips_alex'
  same, apart = (results.rows[row][name] for row in rows)
  more = results.differences['apart'][name]
  assert more.value == pytest.approx(apart.value - same.value)
  assert 0 < more.low <= more.value <= more.high
  assert more.value == pytest.approx(same.value)  # two pairs differ, not one


def test_a_classifier_of_other_classes_takes_the_place_of_imagenet_s(
  photos, tmp_path
):
  labels = {f'{i:02}': i % 5 for i in range(COUNT)}
  always = probe.Probe(np.zeros([6, 5]), np.eye(5)[3])
  always.save(tmp_path / 'probe.npz')
  comparison = compare(
    photos, 'q5', labels=labels, probe=probe.load(tmp_path / 'probe.npz')
  )
  results = protocol.judge(comparison)
  for row in ('q5', 'originals'):
    assert results.rows[row]['ca_probe'].value == 5 / COUNT
    assert 'ca_efficientnet' not in results.rows[row]
    assert results.rows[row]['colourfulness'].value > 0
  assert "not ImageNet's" in results.absent['ca_efficientnet']
  conditions = report.conditions('ca_probe', results)
  digest = hashlib.sha256((tmp_path / 'probe.npz').read_bytes()).hexdigest()
  assert conditions['probe'] == digest
  assert conditions['network'] == 'efficientnet'
  with pytest.raises(ValueError, match='--probe FILE'):
    protocol.judge(comparison._replace(probe=None), ['ca_probe'])


def test_what_takes_long_is_computed_on_demand(photos):
  comparison = compare(photos, 'q5')
  assert 'fid_infinity' not in protocol.judge(comparison).rows['q5']
  with pytest.raises(ValueError, match='30 images'):
    protocol.judge(comparison, ['fid_infinity'])


def test_nan_stops(photos, monkeypatch):
  network = a_network(0, 'inception')
  broken = jax.tree.map(lambda x: x * np.nan, network.params)
  loaders = {'inception': lambda: network._replace(params=broken)}
  monkeypatch.setattr(protocol, 'loaders', lambda dialect: loaders)
  with pytest.raises(ValueError, match='NaN'):
    protocol.judge(compare(photos, 'q5'))


def test_known_pixels_that_changed_are_counted(photos, tmp_path):
  holes = tmp_path / 'holes'
  for i in range(COUNT):
    file = holes / f'{"ab"[i % 2]}/{i:02}.png'
    file.parent.mkdir(parents=True, exist_ok=True)
    hole = np.zeros([SIDE, SIDE, 3], np.uint8)
    hole[8:24] = 255
    Image.fromarray(hole).save(file)
  comparison = compare(
    photos, 'q20', holes=str(holes), case='inpainting:centre'
  )
  results = protocol.judge(comparison, ['known_changed'])
  changed = 0
  for file in matching.by_stem(str(photos / 'q20')).values():
    a, b = (matching.read(str(photos / k / file)) for k in ('q20', 'originals'))
    differ = (a != b).any(-1)
    changed += differ.sum() - differ[8:24].sum()
  estimate = results.rows['q20']['known_changed']
  assert estimate.value == pytest.approx(changed / COUNT) and changed


def test_classes_are_found_by_file_names(photos):
  labels = {f'{i:02}': i % 5 for i in range(COUNT)}
  results = protocol.judge(compare(photos, 'q5', labels=labels))
  hits = results.rows['originals']['ca_efficientnet']
  network = a_network(1, 'efficientnet')
  names = matching.by_stem(str(photos / 'originals'))
  pixels = np.stack(
    [matching.read(str(photos / 'originals' / names[n])) for n in sorted(names)]
  )
  logits = network.apply(network.params, pixels)['logits']
  top = np.argmax(np.asarray(logits), -1)
  truth = [labels[name[-2:]] for name in sorted(names)]
  assert hits.value == np.mean(top == truth) and len(set(top)) > 1
  with pytest.raises(ValueError, match='03'):
    del labels['03']
    protocol.judge(compare(photos, 'q5', labels=labels))


def test_a_reference_is_computed_once_and_not_for_another(photos, monkeypatch):
  comparison = compare(photos, 'q5')
  reference = str(photos / 'originals')
  first = protocol.judge(comparison, ['fid'], reference=reference)
  assert '24 images' in first.reference and 'fid' in first.rows['originals']
  own = protocol.judge(comparison, ['fid'])
  assert first.rows['q5']['fid'].value == pytest.approx(
    own.rows['q5']['fid'].value, rel=1e-6
  )

  def never(*args):
    raise AssertionError('computed again')

  monkeypatch.setattr(references, '_compute', never)
  again = protocol.judge(comparison, ['fid'], reference=reference)
  assert again.rows['q5']['fid'] == first.rows['q5']['fid']
  with pytest.raises(AssertionError, match='computed again'):
    protocol.judge(comparison, ['fid'], reference=str(photos / 'q10'))
  (kept,) = references.CACHE.glob('*.npz')
  described = kept.with_suffix('.json')
  about = json.loads(described.read_text()) | {'preparation': 'another'}
  described.write_text(json.dumps(about))
  with pytest.raises(ValueError, match="'another'"):
    protocol.judge(comparison, ['fid'], reference=str(kept))


def test_a_kill_while_a_reference_is_kept_costs_nothing(photos, monkeypatch):
  comparison, reference = compare(photos, 'q5'), str(photos / 'originals')
  with monkeypatch.context() as patch:

    def killed(self, path):
      raise KeyboardInterrupt

    patch.setattr(frechet.Moments, 'save', killed)
    with pytest.raises(KeyboardInterrupt):
      protocol.judge(comparison, ['fid'], reference=reference)
  again = protocol.judge(comparison, ['fid'], reference=reference)
  own = protocol.judge(comparison, ['fid'])
  assert again.rows['q5']['fid'].value == pytest.approx(
    own.rows['q5']['fid'].value, rel=1e-6
  )


def test_the_dialects_of_the_command_are_the_network_s(capsys):
  with pytest.raises(SystemExit):
    cli.main(['evaluate', '--dialect', 'none'])
  message = capsys.readouterr().err
  assert all(name in message for name in inception.DIALECTS)
  assert message.count('choose from') == 1


def test_the_report_stands_beside_the_paper_s_rows(photos, judged):
  comparison = judged.comparison._replace(case='jpeg:5')
  results = judged._replace(comparison=comparison)
  text = report.as_markdown(results, {'command': 'palette evaluate'})
  assert "paper's Palette" in text and '| 8.3 |' in text
  assert f'{results.rows["q5"]["fid"].value:.2f} [' in text
  encoded = report.as_json(results, {})
  fid = encoded['rows']['q5']['fid']
  assert fid['n'] == COUNT and fid['low'] < fid['value'] < fid['high']
  assert {'network', 'weights', 'preparation', 'reference', 'method'} <= set(
    fid
  )
  assert all('source' in row for row in encoded['paper'])


def test_the_paper_s_tables_are_whole():
  tables = {row.table for row in reported.rows()}
  assert tables == set(range(1, 12))
  (palette,) = [r for r in reported.of_table('table-1') if r.model == 'Palette']
  assert palette.values['fid'] == 15.78 and palette.values['fool_rate'] == 47.8
  of_nine = {
    (r.case, r.model, r.images): r.values for r in reported.of_table('table-9')
  }
  for row in reported.of_table('table-2'):  # its rows are Table 9's
    assert of_nine[row.case, row.model, row.images] == row.values
  assert [row.model for row in reported.of_case('jpeg:5')] == [
    'Regression',
    'Palette',
    'Original',
    'Multi-task',
  ]  # Table 7's specialist is Table 4's Palette


def test_the_command_writes_what_it_prints(photos, tmp_path, capsys):
  arguments = ['--outputs', f'five={photos / "q5"}', '--originals']
  arguments += [str(photos / 'originals'), '--folder', str(tmp_path / 'out')]
  arguments += ['--labels', str(photos / 'labels.txt'), '--case', 'jpeg:5']
  cli.main(['evaluate', *arguments])
  printed = capsys.readouterr().out
  assert (tmp_path / 'out/results.md').read_text().strip() in printed
  written = report.read(tmp_path / 'out/results.json')
  assert written['images'] == COUNT
  assert 'ca_efficientnet' in written['rows']['five']
  for name in ('metrics', 'per_image', 'examples-five'):
    with Image.open(tmp_path / 'out' / f'{name}.png') as picture:
      assert np.std(np.asarray(picture)) > 0
  with pytest.raises(SystemExit, match='--outputs DIR'):
    cli.main(['evaluate'])
  with pytest.raises(SystemExit, match="no metric 'fld'"):
    cli.main(['evaluate', *arguments, '--metrics', 'fld'])


@pytest.mark.parametrize('known', [True, False])
def test_every_row_answers_the_same_images_side_by_side(photos, judged, known):
  inputs = str(photos / 'q5') if known else None  # of the first row, then
  comparison = judged.comparison._replace(inputs=inputs)
  results = judged._replace(comparison=comparison)
  sheet = plots.side_by_side(results)
  files = [
    results.comparison.match(row).files for row in results.comparison.rows
  ]
  lines = [own['output'] for own in files] + [files[0]['original']]
  lines = [files[0]['input'], *lines] if known else lines
  height, width = judged.size
  columns = -(-sheet.shape[1] // (width + 2))
  assert columns == 12
  assert sheet.shape[0] == (height + 2) * len(lines) - 2
  for i, line in enumerate(lines):
    for column in range(columns):
      left, top = column * (width + 2), i * (height + 2)
      shown = sheet[top : top + height, left : left + width]
      meant = matching.read(line[column * len(line) // columns])
      assert np.array_equal(shown, meant), (i, column)
