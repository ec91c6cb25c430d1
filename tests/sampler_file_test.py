"""One file that draws: the same pixels without this package, or no file."""

import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tracemalloc
import zipfile

import jax
import numpy as np
import pytest
import safetensors.numpy
from conftest import ROOT
from golden import cases
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export
from safetensors import SafetensorError

import palette_jax
from palette_jax import arrays, cli, images, sharding, tasks
from palette_jax.models import unet
from palette_jax.planning import topology
from palette_jax.weights import (
  exporter,
  loader,
  names,
  sampler_file,
  stablehlo,
  tensor_stream,
  trained,
)

MODEL = dict(
  channels=32,
  channel_mult=(1, 1),
  num_res_blocks=1,
  attention_levels=(1,),
  head_channels=16,
  dtype='float32',
)
FEW = dict(sampler=dict(name='dpm_solver', steps=3))
# What is unlike the others on its way to StableHLO: sampler and network.
KINDS = {
  'dpm_solver': dict(),
  'ancestral': dict(sampler='ancestral', steps=4),
  'ddim': dict(
    sampler='ddim',
    steps=3,
    objective=dict(prediction='v'),
    model=dict(attention='local', dtype='bfloat16'),
  ),
  'repaint': dict(
    objective=dict(
      sampler=dict(name='repaint', steps=4, jump=2, resamplings=2)
    ),
    task='unconditional',
  ),
  'regression': dict(
    objective=dict(name='regression'),
    model=dict(
      attention='more_blocks',
      resblock_updown=False,
      noise_level='time_step',
      remat=True,
    ),
  ),
}


def source(folder, model=None, objective=None, task='inpainting'):
  """Weights that are not zero, as `palette export` writes them."""
  network = unet.UNet(**MODEL | (model or {}))
  tensors = {
    tensor.theirs: cases.weight(tensor.theirs, tensor.their_shape())
    for tensor in names.tensors(network)
  }
  config = dict(
    model=unet.to_config(network),
    objective=dict(name='diffusion', prediction='eps')
    | (objective or {} if objective else FEW),
    task=dict(name=task),
    data=dict(size=[16, 16]),
  )
  path = folder / 'weights.safetensors'
  text = {'config': json.dumps(config)}
  safetensors.numpy.save_file(tensors, path, text)
  return str(path)


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
  """A file, and what it was made of."""
  folder = tmp_path_factory.mktemp('exported')
  path = str(folder / 'model.palette')
  exporter.write_sampler(source(folder), path)
  return path, str(folder / 'weights.safetensors')


def examples(batch, height, width, seed=0):
  draw = np.random.default_rng(seed)
  cond = draw.uniform(-1, 1, (batch, height, width, 3)).astype(np.float32)
  mask = draw.uniform(size=(batch, height, width, 1)) < 0.7
  return cond, mask.astype(np.float32)


def by_package(path, cond, mask, seed, **sampler):
  result = trained.load(path)
  objective = result.objective(sampler)

  def draw(params, cond, mask, seed):
    key = jax.random.key(seed)
    return objective.restore(result.denoise_fn, params, cond, mask, key)

  run = jax.jit(draw, compiler_options=sharding.compiler_options())
  return np.asarray(run(result.params, cond, mask, seed))


def by_file(path, cond, mask, seed):
  program = sampler_file.read_program(path)
  return np.asarray(program(sampler_file.read_weights(path), cond, mask, seed))


@pytest.mark.parametrize('kind', KINDS)
def test_the_file_draws_what_the_package_draws(kind, tmp_path):
  """Every sampler and form of the network, sizes that it was not tried at."""
  options = dict(KINDS[kind])
  asked = {k: options.pop(k) for k in ('sampler', 'steps') if k in options}
  weights, path = source(tmp_path, **options), str(tmp_path / 'x.palette')
  exporter.write_sampler(weights, path, **asked)
  if asked:  # other steps than the weights' own
    asked = dict(name=asked['sampler'], steps=asked['steps'])
    asked |= dict(variance='posterior')
  cond, mask = examples(1, 12, 8)
  expected = by_package(weights, cond, mask, 3, **asked)
  assert np.mean(np.abs(expected) < 1) > 0.3, 'nothing can be seen of it'
  assert np.array_equal(by_file(path, cond, mask, 3), expected)


def test_batch_height_and_width_are_free(exported):
  path, weights = exported
  program = sampler_file.read_program(path)
  tensors = sampler_file.read_weights(path)
  cond, mask = examples(3, 4, 10)
  output = np.asarray(program(tensors, cond, mask, 0))
  assert np.array_equal(output, by_package(weights, cond, mask, 0))
  known = np.broadcast_to(mask, cond.shape) == 0
  assert np.array_equal(output[known], cond[known])
  assert np.abs(output[~known]).max() <= 1
  assert not np.array_equal(program(tensors, cond, mask, 1), output)


def test_weights_are_arguments_and_no_folder_of_ours_is_inside(exported):
  path, _ = exported
  cond, mask = examples(1, 4, 4)
  tensors = sampler_file.read_weights(path)
  zeros = {name: np.zeros_like(array) for name, array in tensors.items()}
  program = sampler_file.read_program(path)
  others = np.asarray(program(zeros, cond, mask, 0))
  assert not np.array_equal(program(tensors, cond, mask, 0), others)
  with zipfile.ZipFile(path) as archive:
    traced = archive.read(sampler_file.PROGRAM)
    assert all(one.compress_type == 0 for one in archive.infolist())
    assert archive.testzip() is None
  assert len(traced) < 0.5 * sum(array.nbytes for array in tensors.values())
  for folder in ROOT, pathlib.Path(jax.__file__).parents[2]:
    assert str(folder).encode() not in traced
  assert b'unet.py' in traced  # a name is enough to find the place


def test_bfloat16_is_for_devices_that_have_it():
  model = unet.UNet(**MODEL | dict(dtype='bfloat16'))
  result = trained.Weights(model, {}, dict(objective=FEW), '')
  traced = stablehlo.trace(model, result.objective())
  module = export.deserialize(bytearray(traced)).mlir_module()
  products = re.findall(r'stablehlo.convolution.*-> tensor<.*x(\w+)>', module)
  assert {'f32', 'bf16'} <= set(products)
  # Nothing is asked of a device that only some of them have.
  calls = re.findall(r'custom_call @([\w.]+)', module)
  assert set(calls) == {'shape_assertion'}
  here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  assert 'bf16' not in compiled(model, traced, here).as_text()


def compiled(model, traced, device):
  def lies(shape, dtype):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=device)

  weights = {
    name: lies(leaf.shape, leaf.dtype)
    for name, leaf in arrays.leaves_by_path(unet.shapes(model)).items()
  }
  image, hole = (lies([1, 4, 4, channels], np.float32) for channels in (3, 1))
  run = jax.jit(export.deserialize(bytearray(traced)).call)
  return run.lower(weights, image, hole, lies([], np.uint32)).compile()


# What is kept of a TPU's program cannot be read where there is no TPU.
@pytest.mark.filterwarnings('ignore:Error reading persistent compilation cache')
@pytest.mark.slow
def test_the_program_compiles_for_a_tpu_that_is_not_here():
  pytest.importorskip('libtpu')
  device = topology.describe('v5e:2x2').devices[0]
  model = unet.UNet(**MODEL | dict(dtype='bfloat16'))
  result = trained.Weights(model, {}, dict(objective=FEW), '')
  traced = stablehlo.trace(model, result.objective())
  where = jax.sharding.SingleDeviceSharding(device)
  program = compiled(model, traced, where)
  assert 'bf16' in program.as_text()


def test_a_file_is_made_of_a_file(exported, tmp_path):
  """As will be needed when JAX no longer reads its program."""
  path, weights = exported
  again = str(tmp_path / 'again.palette')
  exporter.write_sampler(path, again)
  recipe = sampler_file.read_recipe(path)
  assert sampler_file.read_recipe(again) == recipe
  cond, mask = examples(3, 4, 10)
  output = by_file(again, cond, mask, 0)
  assert np.array_equal(output, by_file(path, cond, mask, 0))
  result = [trained.load(one) for one in (path, weights)]
  assert {one.sha256 for one in result} == {recipe['weights_sha256']}
  ours, theirs = (one.config['objective'].pop('sampler') for one in result)
  assert theirs.items() <= ours.items()
  assert result[0].config == result[1].config


def test_weights_alone_are_written_of_it_or_nothing_is(
  exported, tmp_path, monkeypatch
):
  path, weights = exported
  again = tmp_path / 'again.safetensors'
  cli.main(['export', path, str(again)])
  before, after = (safetensors.numpy.load_file(one) for one in (weights, again))
  assert before.keys() == after.keys()
  assert all(np.array_equal(before[name], after[name]) for name in before)
  written = again.read_bytes()

  def save_file(tensors, path, metadata):
    pathlib.Path(path).write_bytes(b'half')
    raise SafetensorError('No space left on device')

  monkeypatch.setattr(safetensors.numpy, 'save_file', save_file)
  with pytest.raises(SystemExit, match='No space left'):
    cli.main(['export', path, str(again)])
  assert list(tmp_path.iterdir()) == [again] and again.read_bytes() == written


@pytest.mark.slow
def test_the_file_is_imported_as_weights(exported, tmp_path):
  path, weights = exported
  cli.main(['import', '--from=palette', path, f'{tmp_path}/run'])
  again = f'{tmp_path}/again.safetensors'
  cli.main(['export', f'{tmp_path}/run', again])
  before, after = (safetensors.numpy.load_file(one) for one in (weights, again))
  assert before.keys() == after.keys()
  for name, array in before.items():
    assert np.array_equal(array, after[name])


def test_the_recipe_says_what_a_caller_needs(exported):
  recipe = sampler_file.read_recipe(exported[0])
  assert recipe['tasks'] == ['inpainting']
  assert recipe['multiple'] == 2
  assert recipe['trained_on'] == dict(height=16, width=16)
  assert recipe['sampler']['name'] == 'dpm_solver'
  assert recipe['sampler']['passes'] == 3
  assert recipe['platforms'] == ['cpu', 'cuda', 'tpu']
  assert recipe['jax'] == jax.__version__
  assert '2*h' in recipe['arguments']['cond']
  model = palette_jax.load(exported[0])
  assert model.checkpoint == recipe['weights_sha256']
  assert model.tasks == ('inpainting',) and model.size == (16, 16)


# What is in the file may have changed on its way.


def rewritten(path, to, **members):
  """A copy with other members; None leaves one out."""
  with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, 'w') as new:
    for name in old.namelist():
      content = members.get(name.split('.')[0], old.read(name))
      if content is not None:
        new.writestr(name, content)
  return str(to)


def readers(path):
  """All that look into the file."""
  return (
    lambda: sampler_file.read(path),
    lambda: sampler_file.read_program(path),
    lambda: trained.load(path),
  )


def test_what_is_no_such_file_is_refused(exported, tmp_path):
  cut, other = tmp_path / 'cut.palette', tmp_path / 'other.palette'
  cut.write_bytes(pathlib.Path(exported[0]).read_bytes()[:-100])
  other.write_bytes(b'\x89PNG\r\n')
  for path in cut, other, tmp_path:
    with pytest.raises(ValueError, match='no .palette file'):
      sampler_file.read(str(path))
  with pytest.raises(FileNotFoundError, match='no file'):
    sampler_file.read(str(tmp_path / 'none.palette'))
  for name in 'recipe', 'weights', 'sampler':
    path = rewritten(exported[0], tmp_path / 'less.palette', **{name: None})
    with pytest.raises(ValueError, match=f'without {name}'):
      [read() for read in readers(path)]


def test_a_flipped_byte_anywhere_in_a_member_is_noticed(exported, tmp_path):
  path = tmp_path / 'flipped.palette'
  with zipfile.ZipFile(exported[0]) as archive:
    infos = {one.filename: one for one in archive.infolist()}
  whole = pathlib.Path(exported[0]).read_bytes()
  for name in sampler_file.RECIPE, sampler_file.PROGRAM, sampler_file.WEIGHTS:
    info = infos[name]
    start = whole.index(name.encode(), info.header_offset) + len(name)
    for place in 100, info.file_size // 2, info.file_size - 1:
      damaged = bytearray(whole)
      damaged[start + place] ^= 1
      path.write_bytes(damaged)
      with pytest.raises(ValueError, match='damaged'):
        [read() for read in readers(str(path))]


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_a_header_that_lies_is_refused(data):
  """Whatever bytes are changed, with checksums that fit: an error, or arrays
  that the file has room for."""
  file = io.BytesIO()
  tensor_stream.write(
    file, {'a': np.ones([2, 3], np.float32), 'b': np.zeros([4], np.float32)}
  )
  content = bytearray(file.getvalue())
  for _ in range(data.draw(st.integers(1, 3))):
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
  try:
    result = tensor_stream.read(io.BytesIO(content))
  except ValueError:
    return
  assert sum(array.nbytes for array in result.values()) <= len(content)


@pytest.mark.parametrize(
  'header', ['[]', '3', 'null', '{"a": 1}', '{', 'x', '[' * 10**5, '\xff']
)
def test_a_header_of_another_kind_is_refused(header):
  text = header.encode('latin-1')
  content = len(text).to_bytes(8, 'little') + text
  with pytest.raises(ValueError):
    tensor_stream.read(io.BytesIO(content))


def test_a_newer_format_and_other_weights_are_refused(exported, tmp_path):
  recipe = sampler_file.read_recipe(exported[0])
  newer = json.dumps(recipe | dict(format=2, palette_jax='9.0'))
  path = rewritten(exported[0], tmp_path / 'newer.palette', recipe=newer)
  with pytest.raises(ValueError, match='palette_jax 9.0'):
    sampler_file.read(path)
  for text in '[]', '{', '{"format": "x"}', 'null':
    path = rewritten(exported[0], tmp_path / 'odd.palette', recipe=text)
    with pytest.raises(ValueError, match='recipe.json|format'):
      sampler_file.read(path)
  recipe['config']['model']['channels'] = 64
  wider = rewritten(
    exported[0], tmp_path / 'wider.palette', recipe=json.dumps(recipe)
  )
  with pytest.raises(ValueError, match='does not fit'):
    sampler_file.read(wider)
  path = rewritten(exported[0], tmp_path / 'odd.palette', sampler=b'no program')
  with pytest.raises(ValueError, match='read by jax'):
    sampler_file.read_program(path)
  sampler_file.read(path)  # the weights do not need it


def test_sizes_seeds_and_platforms_that_do_not_fit_are_named(
  exported, tmp_path, monkeypatch
):
  program = sampler_file.read_program(exported[0])
  cond, mask = examples(1, 5, 4)
  with pytest.raises(ValueError, match='5x4'):
    program({}, cond, mask, 0)
  with pytest.raises(ValueError, match='seed must'):
    program({}, cond[:, :4], mask[:, :4], -1)
  monkeypatch.setattr(stablehlo, 'PLATFORMS', ('tpu',))
  with pytest.raises(ValueError, match='for tpu'):
    exporter.write_sampler(exported[1], str(tmp_path / 'other.palette'))
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('flaw', ['pixels', 'nan', 'weights', 'disk'])
def test_what_fails_leaves_what_was_there(
  flaw, exported, tmp_path, monkeypatch
):
  path = tmp_path / 'model.palette'
  path.write_bytes(b'an older one')
  if flaw == 'weights':
    changed = tensor_stream.read

    def read(*args):
      tensors = changed(*args)
      return {k: np.nextafter(v, np.float32(9)) for k, v in tensors.items()}

    monkeypatch.setattr(tensor_stream, 'read', read)
  elif flaw == 'disk':

    def write(file, tensors):
      file.write(b'half')
      raise OSError(28, 'No space left on device')

    monkeypatch.setattr(tensor_stream, 'write', write)
  else:
    drawn, wrong = exporter._sample, np.nan if flaw == 'nan' else 0.1
    monkeypatch.setattr(
      exporter, '_sample', lambda *args: drawn(*args) + np.float32(wrong)
    )
  messages = {
    'weights': 'not those that were',
    'disk': 'No space left',
  }
  with pytest.raises(ValueError, match=messages.get(flaw, 'not draw what')):
    exporter.write_sampler(exported[1], str(path))
  assert [one.name for one in tmp_path.iterdir()] == ['model.palette']
  assert path.read_bytes() == b'an older one'


def test_what_cannot_be_exported_is_refused(tmp_path):
  weights, path = source(tmp_path), str(tmp_path / 'x.palette')
  write = exporter.write_sampler
  with pytest.raises(ValueError, match='in .palette'):
    write(weights, str(tmp_path / 'x.zip'))
  with pytest.raises(FileNotFoundError, match='no weights'):
    write(str(tmp_path / 'none.safetensors'), path)
  with pytest.raises(FileNotFoundError, match='no folder'):
    write(weights, str(tmp_path / 'none' / 'x.palette'))
  with pytest.raises(ValueError, match="'euler'"):
    write(weights, path, 'euler')
  with pytest.raises(ValueError, match='got -3'):
    write(weights, path, steps=-3)
  with pytest.raises(ValueError, match="'repaint'"):
    write(weights, path, 'repaint', 20)
  with pytest.raises(ValueError, match='no steps'):
    regression = source(tmp_path, objective=dict(name='regression'))
    write(regression, path, steps=3)
  with pytest.raises(ValueError, match='dilated'):
    write(source(tmp_path, model=dict(attention='dilated')), path)
  with pytest.raises(SystemExit, match='--format=sampler'):
    cli.main(['export', weights, f'{tmp_path}/x.pt', '--steps=3'])


# safetensors inside another file.


def some_tensors(count=3, size=50):
  draw = np.random.default_rng(0)
  return {
    f'{i}/kernel': draw.standard_normal([size, i + 1]).astype(np.float32)
    for i in range(count)
  } | {'empty': np.zeros([0, 2], np.float32), 'one': np.full([], np.float32(3))}


def test_tensors_are_those_of_the_library(tmp_path):
  tensors, file = some_tensors(), io.BytesIO()
  tensor_stream.write(file, tensors)
  theirs = safetensors.numpy.load(file.getvalue())
  whole = safetensors.numpy.save(tensors, {'of': 'the library'})
  ours = tensor_stream.read(io.BytesIO(whole))
  assert tensors.keys() == theirs.keys() == ours.keys()
  for name, array in tensors.items():
    assert np.array_equal(theirs[name], array)
    assert np.array_equal(ours[name], array)
  for end in range(len(whole)):
    with pytest.raises(ValueError):
      tensor_stream.read(io.BytesIO(whole[:end]))


def test_weights_are_never_held_twice(tmp_path):
  """On their way into a file, or out of it."""
  tensors, path = some_tensors(16, 100_000), tmp_path / 'x.palette'
  total = sum(array.nbytes for array in tensors.values())
  largest = max(array.nbytes for array in tensors.values())
  tracemalloc.start()
  try:
    sampler_file.write(path, dict(format=1), b'', tensors)
    assert tracemalloc.get_traced_memory()[1] < 0.1 * total
    tracemalloc.reset_peak()
    result = sampler_file.read_weights(str(path))
    assert tracemalloc.get_traced_memory()[1] < total + 2 * largest
  finally:
    tracemalloc.stop()
  assert result.keys() == tensors.keys()


# Where this package is not installed.

ALONE = """
import importlib.machinery, sys
import numpy as np

KNOWN = {'jax', 'jaxlib', 'flatbuffers', 'safetensors', 'numpy',
         'ml_dtypes', 'opt_einsum', 'scipy', 'loader'}

class Known(importlib.machinery.PathFinder):
  @classmethod
  def find_spec(cls, name, path=None, target=None):
    top = name.partition('.')[0]
    ours = top in KNOWN | sys.stdlib_module_names
    if ours or top.startswith('_sysconfigdata'):
      return super().find_spec(name, path, target)

sys.meta_path[:] = [
  importlib.machinery.BuiltinImporter,
  importlib.machinery.FrozenImporter,
  Known,
]
import loader
paint = loader.load('model.palette')
given = np.load('given.npz')
np.savez(
  'made.npz',
  whole=paint(given['photo']),
  hole=paint(given['photo'], given['hole'], seed=5),
)
print(sorted({name.partition('.')[0] for name in sys.modules}))
"""


@pytest.mark.slow
def test_the_file_runs_without_this_package(exported, tmp_path):
  """With what is in it, jax, flatbuffers and safetensors; any size."""
  with zipfile.ZipFile(exported[0]) as archive:
    archive.extract('loader.py', tmp_path)
  os.link(exported[0], tmp_path / 'model.palette')
  draw = np.random.default_rng(0)
  photo = draw.integers(0, 256, [13, 10, 3], np.uint8)
  hole = draw.uniform(size=[13, 10]) < 0.5
  np.savez(tmp_path / 'given.npz', photo=photo, hole=hole)
  (tmp_path / 'alone.py').write_text(ALONE)
  message = subprocess.run(
    [sys.executable, '-P', 'alone.py'],
    cwd=tmp_path,
    env=os.environ | {'PYTHONPATH': str(tmp_path)},
    check=True,
    capture_output=True,
    text=True,
  ).stdout
  for name in 'palette_jax', 'flax', 'tensorflow', 'einops', 'orbax', 'PIL':
    assert f"'{name}'" not in message
  output = np.load(tmp_path / 'made.npz')
  for name, seed in ('whole', 0), ('hole', 5):
    inside = hole if name == 'hole' else np.ones_like(hole)
    assert output[name].shape == photo.shape
    assert np.array_equal(output[name][~inside], photo[~inside])
    padded = np.pad(photo, [(0, 1), (0, 0), (0, 0)], 'symmetric')
    mask = np.pad(inside, [(0, 1), (0, 0)], 'symmetric')[..., None]
    cond = images.from_u8(padded)
    if name == 'hole':
      task = tasks.get('inpainting')
      cond, _ = task.prepare(cond, np.float32(mask), seed)
    expected = by_package(exported[1], cond[None], np.float32(mask)[None], seed)
    expected = images.to_u8(expected[0, :13])
    assert np.abs(output[name].astype(int) - expected).max() <= 1


def test_the_loader_in_the_file_is_the_one_here(exported):
  with zipfile.ZipFile(exported[0]) as archive:
    assert (
      archive.read('loader.py') == pathlib.Path(loader.__file__).read_bytes()
    )


@pytest.mark.slow
def test_a_run_is_exported_by_the_command(tmp_path, photo_folder):
  """From training to a file that draws; config and sampler on the way."""
  from runs import micro

  from configs import common
  from palette_jax.training import loop, trained_run

  config = micro(
    common.get_config(common.parse_arg(None), 'colorization'),
    f'folder:{photo_folder}',
  )
  loop.train(config, f'{tmp_path}/run')
  cli.main(
    [
      'export',
      '--format=sampler',
      '--sampler=dpm_solver',
      '--steps=2',
      f'{tmp_path}/run',
      f'{tmp_path}/run.palette',
    ]
  )
  recipe = sampler_file.read_recipe(f'{tmp_path}/run.palette')
  assert recipe['tasks'] == ['colorization']
  assert recipe['sampler']['passes'] == 2
  _, _, ema = trained_run.load(config, f'{tmp_path}/run')
  tensors = sampler_file.read_weights(f'{tmp_path}/run.palette')
  for name, array in arrays.leaves_by_path(ema).items():
    assert np.array_equal(array, tensors[name])
