"""Weights in and out: files read without harm, whole, and to the bit."""

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile

import jax
import numpy as np
import pytest
from conftest import ROOT
from golden import cases
from runs import micro
from safetensors.numpy import load_file

from configs import common
from palette_jax import cli
from palette_jax.models import unet
from palette_jax.training import checkpoint, loop, trained_run
from palette_jax.training import run as runs
from palette_jax.weights import exporter, importer, names, torch_file

SMALL = dict(
  channels=32,
  channel_mult=(1, 1),
  num_res_blocks=1,
  attention_levels=(1,),
  head_channels=16,
)
TYPES = {'float32': 'FloatStorage', 'int64': 'LongStorage'}


# A PyTorch file, written by hand: opcodes of pickle's protocol 2.


def text(string):
  return b'X' + struct.pack('<I', len(string)) + string.encode()


def whole(number):
  return b'J' + struct.pack('<i', number)


def several(numbers):
  return b'(' + b''.join(map(whole, numbers)) + b't'


def described(key, array, offset=0, shape=None):
  steps = [s // array.itemsize for s in array.strides]
  storage = (
    b'('
    + text('storage')
    + f'ctorch\n{TYPES[str(array.dtype)]}\n'.encode()
    + text(key)
    + text('cpu')
    + whole(array.size)
    + b'tQ'
  )
  view = several(shape or array.shape) + several(steps)
  hooks = b'\x89ccollections\nOrderedDict\n)R'
  rebuild = b'ctorch._utils\n_rebuild_tensor_v2\n'
  return rebuild + b'(' + storage + whole(offset) + view + hooks + b'tR'


def save(path, tensors, pickled=None, compression=zipfile.ZIP_STORED):
  items = b''.join(
    text(name) + described(str(i), array) + b's'
    for i, (name, array) in enumerate(tensors.items())
  )
  with zipfile.ZipFile(path, 'w', compression) as archive:
    archive.writestr('a/data.pkl', pickled or b'\x80\x02}' + items + b'.')
    for i, array in enumerate(tensors.values()):
      archive.writestr(f'a/data/{i}', array.tobytes())
  return str(path)


def theirs(source, **fields):
  """A file's tensors for a small network, as that project would save it."""
  model = unet.UNet(**SMALL | fields)
  spelling = importer.SPELLING.get(source, {})
  tensors = {
    t.theirs: np.ascontiguousarray(cases.weight(t.theirs, t.their_shape()))
    for t in names.tensors(model, **spelling)
  }
  if source == 'guided-diffusion':
    for name, shape in (
      ('input_blocks.0.0.weight', (32, 3, 3, 3)),
      ('out.2.weight', (6, 32, 3, 3)),
      ('out.2.bias', (6,)),
    ):
      tensors[name] = cases.weight(name, shape)
  return tensors


# The reader.


@pytest.mark.parametrize('name', ['tensors', 'tensors_older'])
def test_pytorch_s_own_files_are_read(name):
  result = torch_file.read(str(cases.FOLDER / f'{name}.pth'))
  expected = cases.tensors()
  assert list(result) == [*expected, 'parameter', 'brain']
  for key, array in expected.items():
    assert result[key].dtype == array.dtype and result[key].shape == array.shape
    assert np.array_equal(result[key], array)
  assert np.array_equal(result['parameter'], [0, 1, 2])
  assert np.array_equal(result['brain'].astype(float), [0, 1, 2, 3])


@pytest.mark.parametrize('name', ['tensors', 'tensors_older'])
def test_no_part_of_a_file_is_taken_for_the_whole(name, tmp_path):
  raw = (cases.FOLDER / f'{name}.pth').read_bytes()
  cut = tmp_path / 'cut.pth'
  for length in range(0, len(raw) - 1, 37):
    cut.write_bytes(raw[:length])
    with pytest.raises(ValueError, match='cut.pth'):
      torch_file.read(str(cut))


@pytest.mark.parametrize('name', ['tensors', 'tensors_older'])
def test_damage_never_does_more_than_raise(name, tmp_path):
  """Flipped bytes: ValueError, or another file of the same kind."""
  raw = (cases.FOLDER / f'{name}.pth').read_bytes()
  draw, damaged = np.random.default_rng(0), tmp_path / 'damaged.pth'
  refused = 0
  for _ in range(300):
    changed = bytearray(raw)
    changed[draw.integers(len(raw))] ^= 1 << draw.integers(8)
    damaged.write_bytes(changed)
    try:
      torch_file.read(str(damaged))
    except ValueError:
      refused += 1
  assert refused > 100


class Harm:
  def __reduce__(self):
    return os.mkdir, ('harm',)


@pytest.mark.parametrize('older', [False, True])
def test_nothing_in_a_file_is_executed(older, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  harm, path = pickle.dumps({'weight': Harm()}, 2), tmp_path / 'harm.pth'
  pickle.loads(harm)
  (tmp_path / 'harm').rmdir()  # which plain pickle has made
  if older:
    path.write_bytes(harm)
  else:
    save(path, {}, harm)
  with pytest.raises(ValueError, match='mkdir'):
    torch_file.read(str(path))
  assert not (tmp_path / 'harm').exists()


def test_a_tensor_cannot_reach_out_of_its_storage(tmp_path):
  array = np.arange(6, dtype=np.float32).reshape(2, 3)
  for bad in (dict(offset=1), dict(offset=-1), dict(shape=(3, 3))):
    items = text('a') + described('0', array, **bad) + b's.'
    path = save(tmp_path / 'a.pth', {'a': array}, b'\x80\x02}' + items)
    with pytest.raises(ValueError, match='out of its storage'):
      torch_file.read(path)
  path = save(tmp_path / 'a.pth', {'a': array}, None, zipfile.ZIP_DEFLATED)
  with pytest.raises(ValueError, match='compressed'):
    torch_file.read(path)


# Names and architecture.


def published(source):
  shapes = json.loads((cases.FOLDER / 'published.json').read_text())[source]
  return {name: tuple(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize('source', ['guided-diffusion', 'janspiry'])
def test_the_published_checkpoints_are_understood_tensor_by_tensor(source):
  """Names and shapes of the real networks, from the real code."""
  shapes, spelling = published(source), importer.SPELLING.get(source, {})
  model = names.read_model(
    shapes, head_channels=importer.HEAD_CHANNELS[source], **spelling
  )
  expected = {t.theirs: t for t in names.tensors(model, **spelling)}
  if source == 'guided-diffusion':
    assert unet.to_config(model) == unet.to_config(unet.UNet())
    assert expected.keys() == shapes.keys()
    different = [k for k in shapes if expected[k].their_shape() != shapes[k]]
    assert different == [
      'input_blocks.0.0.weight',
      'out.2.weight',
      'out.2.bias',
    ]
  else:
    assert shapes.keys() - expected.keys() == set(importer._BUFFERS)
    assert all(shapes[k] == t.their_shape() for k, t in expected.items())
    count = sum(np.prod(t.shape) for t in expected.values())
    assert count == 62_641_347


@pytest.mark.parametrize('updown', [True, False])
@pytest.mark.parametrize('levels', [1, 2, 4])
@pytest.mark.parametrize('attended', [(), (0,), 'all'])
def test_the_architecture_is_read_off_the_tensors(updown, levels, attended):
  model = unet.UNet(
    channels=64,
    channel_mult=(1, 2, 2, 3)[:levels],
    num_res_blocks=levels,
    attention_levels=tuple(range(levels)) if attended == 'all' else attended,
    resblock_updown=updown or levels == 1,  # nothing is resampled, then
  )
  shapes = {t.theirs: t.their_shape() for t in names.tensors(model)}
  assert names.read_model(shapes, head_channels=64) == model


@pytest.mark.parametrize('attention', unet.ATTENTION)
def test_every_parameter_has_one_name_and_comes_back(attention):
  model = unet.UNet(
    channels=32,
    channel_mult=(1, 2),
    num_res_blocks=2,
    attention=attention,
    attention_levels=(1,),
    head_channels=16,
  )
  tensors = list(names.tensors(model))
  leaves = jax.tree.leaves(unet.shapes(model))
  assert len({t.theirs for t in tensors}) == len(tensors) == len(leaves)
  for tensor in tensors:
    array = cases.weight(tensor.ours, tensor.shape)
    back = tensor.to_ours(tensor.to_theirs(array))
    assert np.array_equal(back, array)


# Import and export.


@pytest.fixture(scope='module')
def imported(tmp_path_factory):
  folder = tmp_path_factory.mktemp('imported')
  path = save(folder / 'uncond.pt', theirs('guided-diffusion'))
  importer.import_weights('guided-diffusion', path, str(folder / 'out'), 16)
  return folder / 'out'


def config_for(folder, photo_folder, task='inpainting'):
  variant = common.parse_arg(f'model={folder}')
  config = common.get_config(variant, task)
  model = config.model.to_dict()
  micro(config, f'folder:{photo_folder}')
  config.model.update(model | dict(dtype='float32'))
  return config


def test_an_import_can_be_sampled_and_evaluated(imported, photo_folder):
  for task in ('inpainting', 'colorization'):  # it has learnt neither
    config = config_for(imported, photo_folder, task)
    assert config.model.noise_level == 'time_step'
    trained_run.sample(config, str(imported))
    assert (imported / 'samples/0.png').exists()
    trained_run.evaluate(config, str(imported))


def test_an_import_is_trained_on_and_kept(imported, photo_folder, tmp_path):
  imported = shutil.copytree(imported, tmp_path / 'run')
  config = config_for(imported, photo_folder)
  with pytest.raises(ValueError, match='noise_level'):
    other = config.copy_and_resolve_references()
    other.model.noise_level = 'gamma_root'
    loop.train(other, str(imported))

  run, _, before = trained_run.load(config, str(imported))
  config.seed = 5
  config.train.update(steps=6)
  after = loop.train(config, str(imported))
  assert int(after.step) == 6
  moved = jax.tree.map(
    lambda a, b: float(np.abs(a - b).max()), before, after.params
  )
  # The weights that looked away from the condition have begun to look.
  assert moved['conv_in']['kernel'] > 0
  first = np.asarray(after.params['conv_in']['kernel'])[:, :, :3]
  assert np.abs(first).max() > 0
  steps = sorted(p.name for p in (imported / 'checkpoints').iterdir())
  assert checkpoint.KEEP == 2
  assert steps == ['0', '4', '6']  # what was imported stays
  assert json.loads((imported / 'config.json').read_text())['seed'] == 5
  assert run.learner.network.noise_level == 'time_step'


def test_a_port_s_checkpoint_samples_as_the_port(
  tmp_path, photo_folder, caplog
):
  tensors = theirs('janspiry')
  gammas = np.cumprod(1 - np.linspace(1e-6, 0.01, 2000)).astype(np.float32)
  buffers = dict.fromkeys(importer._BUFFERS, gammas)
  path = save(tmp_path / '200_Network_ema.pth', buffers | tensors)
  with caplog.at_level('INFO'):
    model = importer.import_weights('janspiry', path, f'{tmp_path}/out', 16)
  messages = [r.message for r in caplog.records if 'Left out' in r.message]
  assert len(messages) == 1 and all(name in messages[0] for name in buffers)
  assert (model.noise_level, model.head_channels) == ('gamma', 16)
  config = config_for(tmp_path / 'out', photo_folder)
  assert config.objective.sampler.variance == 'posterior'
  assert (
    runs.build(config).learner.objective.sampler_config.variance == 'posterior'
  )
  _, _, ema = trained_run.load(config, f'{tmp_path}/out')
  for tensor in names.tensors(model, **importer.SPELLING['janspiry']):
    module, *inside = tensor.ours.split('/')
    leaf = ema[module]
    for name in inside:
      leaf = leaf[name]
    assert np.array_equal(
      tensor.to_theirs(np.asarray(leaf)), tensors[tensor.theirs]
    )


def test_outputs_that_are_left_out_are_named(tmp_path, caplog):
  path = save(tmp_path / 'uncond.pt', theirs('guided-diffusion'))
  with caplog.at_level('INFO'):
    importer.import_weights('guided-diffusion', path, f'{tmp_path}/out', 16)
  assert 'outputs 3 to 5' in caplog.text


def change(made, key, value):
  """With another tensor in this place, or, for None, with none."""
  left = {name: array for name, array in made.items() if name != key}
  return left if value is None else made | {key: value}


@pytest.mark.parametrize(
  ('source', 'key', 'value', 'message'),
  [
    (
      'guided-diffusion',
      'label_emb.weight',
      np.zeros([10, 128], np.float32),
      "'label_emb.weight'",
    ),
    (
      'guided-diffusion',
      'input_blocks.0.0.weight',
      np.zeros([32, 6, 3, 3], np.float32),
      "'input_blocks.0.0.weight'",
    ),
    ('guided-diffusion', 'out.2.bias', None, "'out.2.bias'"),
    (
      'guided-diffusion',
      'middle_block.0.emb_layers.1.weight',
      np.zeros([32, 128], np.float32),
      "'middle_block.0.emb_layers.1.weight'",
    ),
    (
      'guided-diffusion',
      'middle_block.2.out_layers.3.bias',
      None,
      "'middle_block.2.out_layers.3.bias'",
    ),
    (
      'guided-diffusion',
      'out.0.weight',
      np.full([32], np.nan, np.float32),
      "'out.0.weight'",
    ),
    (
      'janspiry',
      'optimizer',
      np.zeros(3, np.float32),
      "'optimizer'",
    ),
    (
      'janspiry',
      'denoise_fn.cond_embed.0.weight',
      None,
      "'denoise_fn.cond_embed.0.weight'",
    ),
  ],
)
def test_the_first_key_that_does_not_fit_is_named(
  source, key, value, message, tmp_path
):
  tensors = change(theirs(source), key, value)
  path = save(tmp_path / 'weights.pth', tensors)
  with pytest.raises(ValueError, match=message):
    importer.import_weights(source, path, f'{tmp_path}/out', 16)
  assert not (tmp_path / 'out').exists()


def test_other_files_are_refused(tmp_path, imported):
  other = save(tmp_path / 'vgg.pth', {'features.0.weight': np.ones([2], 'f4')})
  with pytest.raises(ValueError, match="'features.0.weight'"):
    importer.import_weights('janspiry', other, f'{tmp_path}/out')
  state = pickle.dumps({'epoch': 3, 'model': {}}, 2)
  other = save(tmp_path / 'a.state', {}, state)
  with pytest.raises(ValueError, match="'epoch'"):
    importer.import_weights('janspiry', other, f'{tmp_path}/out')
  with pytest.raises(ValueError, match='checkpoints already'):
    importer.import_weights('janspiry', other, str(imported))
  with pytest.raises(ValueError, match='no safetensors'):
    (tmp_path / 'a.safetensors').write_bytes(b'nothing')
    importer.import_weights(
      'palette', f'{tmp_path}/a.safetensors', f'{tmp_path}/out'
    )
  with pytest.raises(ValueError, match='not exported'):
    importer.import_weights(
      'palette', str(cases.FOLDER / 'tensors.pth'), f'{tmp_path}/out'
    )
  with pytest.raises(FileNotFoundError, match='no checkpoint'):
    exporter.write(str(tmp_path), f'{tmp_path}/b.safetensors', 'safetensors')


def test_export_and_import_return_every_bit(tmp_path, photo_folder):
  """Of a run: its average, its settings; safetensors needs no PyTorch."""
  config = micro(
    common.get_config(common.parse_arg(None), 'inpainting'),
    f'folder:{photo_folder}',
  )
  config.model.attention = 'more_blocks'
  config.train.update(steps=2)
  trained = loop.train(config, f'{tmp_path}/run')
  file = f'{tmp_path}/weights.safetensors'
  cli.main(['export', f'{tmp_path}/run', file])
  assert 'input_blocks.1.0.in_layers.2.weight' in load_file(file)
  cli.main(['import', '--from=palette', file, f'{tmp_path}/back'])
  adopted = config_for(tmp_path / 'back', photo_folder)
  assert adopted.model == config.model
  _, _, ema = trained_run.load(adopted, f'{tmp_path}/back')
  jax.tree.map(np.testing.assert_array_equal, ema, trained.ema_params)


def test_the_command_answers_in_one_sentence(tmp_path):
  with pytest.raises(SystemExit, match='none.pth'):
    cli.main(['import', '--from=janspiry', 'none.pth', f'{tmp_path}/out'])
  with pytest.raises(SystemExit, match='no checkpoint'):
    cli.main(['export', str(tmp_path), f'{tmp_path}/a.safetensors'])


@pytest.mark.slow
def test_a_port_s_checkpoint_of_the_real_shapes(tmp_path):
  """62.6M parameters, in by the command, out for PyTorch, in and out again."""
  torch = pytest.importorskip('torch')
  shapes = published('janspiry')
  tensors = {
    name: torch.tensor(cases.weight(name, shape))
    for name, shape in shapes.items()
  }
  torch.save(tensors, tmp_path / 'ema.pth')

  def palette(*args):
    command = [sys.executable, '-m', 'palette_jax.cli', *args]
    here = os.environ | {'PYTHONPATH': str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env=here, check=True)

  palette('import', '--from=janspiry', 'ema.pth', 'one')
  palette('export', 'one', 'one.pt', '--format=torch')
  palette('import', '--from=palette', 'one.pt', 'two')
  palette('export', 'two', 'two.safetensors')
  loaded = torch.load(tmp_path / 'one.pt', weights_only=True)['model']
  again = load_file(tmp_path / 'two.safetensors')
  assert loaded.keys() == again.keys()
  for name, array in again.items():
    original = 'denoise_fn.' + name.replace('time_embed', 'cond_embed')
    assert np.array_equal(array, tensors[original].numpy())
    assert np.array_equal(array, loaded[name].numpy())


@pytest.mark.slow
def test_an_exported_network_runs_in_pytorch(tmp_path, photo_folder):
  """The twin loads the file strictly and says what ours says."""
  torch = pytest.importorskip('torch')
  from benchmarks import torch_unet

  config = micro(
    common.get_config(common.parse_arg(None), 'inpainting'),
    f'folder:{photo_folder}',
  )
  config.model.update(attention_levels=(1,), head_channels=16)
  config.train.steps = 6
  loop.train(config, f'{tmp_path}/run')
  model = exporter.write(f'{tmp_path}/run', f'{tmp_path}/run.pt', 'torch')
  saved = torch.load(tmp_path / 'run.pt', weights_only=True)
  assert json.loads(saved['config'])['model']['noise_level'] == 'gamma_root'
  twin = torch_unet.UNet(model)
  twin.load_state_dict(saved['model'])
  y_t, cond = cases.images('export', (16, 16), 2)[:, None]
  gamma = np.float32([0.3])
  _, _, ema = trained_run.load(config, f'{tmp_path}/run')
  ours = jax.jit(model.apply)({'params': ema}, y_t, cond, gamma)
  x = np.concatenate([cond, y_t], axis=-1).transpose(0, 3, 1, 2)
  with torch.no_grad():
    expected = twin(torch.tensor(x), 1000 * torch.tensor(gamma).sqrt())
  expected = expected.permute(0, 2, 3, 1).numpy()
  assert np.abs(expected).max() > 1e-3
  assert np.abs(ours - expected).max() < 1e-4
