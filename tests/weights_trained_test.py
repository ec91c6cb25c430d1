"""Weights are the same weights in whatever they are kept."""

import pathlib
import shlex

import jax
import ml_collections
import numpy as np
import pytest
from fake_model import EVERYTHING, weights_of, write

import palette_jax
from configs import common
from palette_jax import cli, settings
from palette_jax.diffusion import objective as objectives
from palette_jax.models import unet
from palette_jax.weights import exporter, importer, trained


def test_weights_are_the_same_in_a_file_and_in_a_folder(tmp_path):
  """And what they have learnt comes along, on the way out and in again."""
  expected = weights_of(experimental=[])
  file = write(tmp_path / 'a.safetensors', expected)
  importer.import_weights('palette', file, str(tmp_path / 'run'))
  again = str(tmp_path / 'b.safetensors')
  exporter.write(str(tmp_path / 'run'), again, 'safetensors')
  for source in file, again, tmp_path / 'run':
    result = trained.load(source)
    assert result.sha256 == expected.sha256
    assert result.tasks == expected.tasks and result.size == (16, 16)
    same = jax.tree.map(np.array_equal, result.params, expected.params)
    assert all(jax.tree.leaves(same))
  model = palette_jax.load(file)
  assert model.checkpoint == expected.sha256
  assert model.tasks == trained.known_tasks() and model.size == (16, 16)


@pytest.mark.parametrize('objective', ['diffusion', 'regression'])
@pytest.mark.parametrize(
  'task',
  [
    *(dict(name=task) for task in trained.known_tasks()),
    dict(name='unconditional'),
    dict(name='superresolution'),  # which has no config of its own
    dict(name='multitask', tasks=['colorization', 'inpainting', 'jpeg']),
    EVERYTHING,
  ],
  ids=lambda task: f'{task["name"]}-{len(task)}',
)
def test_the_command_that_import_names_is_for_what_was_learnt(
  tmp_path, capsys, task, objective
):
  learnt = weights_of(task, dict(name=objective, prediction='v'))
  learnt.config['data']['size'] = [32, 48]
  file = write(tmp_path / 'a.safetensors', learnt)
  cli.main(['import', '--from=palette', file, f'{tmp_path}/run'])
  words = shlex.split(capsys.readouterr().out.splitlines()[-1])
  config, left = settings.take(words[3:])
  assert words[:3] == ['python', '-m', 'palette_jax.main']
  assert left == [f'--workdir={tmp_path}/run', '--mode=sample']
  assert config.task.name == task['name']
  if 'tasks' in task:
    assert sorted(config.task.tasks) == sorted(task['tasks'])
  assert config.objective.name == objective
  assert config.objective.prediction == 'v'
  assert config.data.size == (32, 48) and config.model.channels == 32


def test_half_a_file_holds_the_nearest_numbers_of_float16(tmp_path):
  expected = weights_of()
  file = write(tmp_path / 'a.safetensors', expected)
  half, again = (str(tmp_path / f'{name}.safetensors') for name in 'bc')
  cli.main(['export', file, half, '--half'])
  result = trained.load(half)
  for own, rounded in zip(
    jax.tree.leaves(expected.params), jax.tree.leaves(result.params)
  ):
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded, own.astype(np.float16))
  assert result.tasks == expected.tasks and result.size == expected.size
  cli.main(['export', half, again, '--half'])  # nothing is left to be rounded
  assert pathlib.Path(again).read_bytes() == pathlib.Path(half).read_bytes()
  ratio = pathlib.Path(half).stat().st_size / pathlib.Path(file).stat().st_size
  assert 0.5 < ratio < 0.55  # names and settings stay


def test_weights_that_are_too_large_for_float16_stay_whole(tmp_path):
  result = weights_of()
  first = jax.tree.leaves(result.params)[0]
  first.reshape(-1)[0] = 7e4
  file = write(tmp_path / 'a.safetensors', result)
  half = tmp_path / 'b.safetensors'
  with pytest.raises(SystemExit, match='70000'):
    cli.main(['export', file, str(half), '--half'])
  assert not half.exists()
  with pytest.raises(SystemExit, match='--half'):
    words = [file, f'{tmp_path}/b.palette', '--format=sampler', '--half']
    cli.main(['export', *words])


@pytest.mark.slow
def test_weights_are_the_same_in_pytorch_s_file(tmp_path):
  pytest.importorskip('torch')
  expected = weights_of()
  file = write(tmp_path / 'a.safetensors', expected)
  importer.import_weights('palette', file, str(tmp_path / 'run'))
  exporter.write(str(tmp_path / 'run'), str(tmp_path / 'b.pt'), 'torch')
  result = trained.load(tmp_path / 'b.pt')
  assert result.sha256 == expected.sha256 and result.tasks == expected.tasks


def test_any_number_name_or_shape_makes_other_weights():
  expected = weights_of()
  flat, tree = jax.tree.flatten(expected.params)
  for i in 0, len(flat) - 1:
    other = [leaf.copy() for leaf in flat]
    other[i].reshape(-1)[-1] += 1e-3
    assert trained.sha256(tree.unflatten(other)) != expected.sha256
  a, b = np.zeros([2, 3], np.float32), np.zeros([3, 2], np.float32)
  hashes = [{'a': a}, {'b': a}, {'a': b}, {'a': a.astype(np.float64)}]
  assert len({trained.sha256(one) for one in hashes}) == 4
  assert trained.sha256({'a': a, 'b': b}) == trained.sha256({'b': b, 'a': a})


def test_the_weights_in_the_package_are_the_default(tmp_path, monkeypatch):
  monkeypatch.setattr(trained, 'SHIPPED', tmp_path)
  expected = weights_of()
  write(tmp_path / 'palette.safetensors', expected)
  assert palette_jax.load().checkpoint == expected.sha256


def test_files_from_before_tasks_were_written_are_read(tmp_path):
  old = weights_of(task=None)
  assert set(old.config) == {'model', 'objective'}
  result = trained.load(write(tmp_path / 'old.safetensors', old))
  assert result.tasks == trained.known_tasks() and result.sha256 == old.sha256


def test_what_a_config_is_silent_about_is_the_paper_s():
  paper = common.get_config(common.parse_arg(None), 'colorization')
  assert ml_collections.ConfigDict(objectives.PAPER) == paper.objective
  assert trained._SIZE == tuple(paper.data.size)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(model={'channel': 3}), 'unknown setting'),
    (dict(model=None), 'unknown setting'),
    (dict(objective=3), 'unknown setting'),
    (dict(objective=dict(prediction='x')), 'prediction'),
    (dict(objective=dict(sampler=dict(stpes=3))), 'stpes'),
    (dict(data=dict(size=[3])), 'unknown setting'),
    (dict(data=dict(size='16')), 'unknown setting'),
    (dict(data=dict(size=[0, 16])), 'unknown setting'),
    (dict(task=dict(name=3)), 'task.name'),
    (dict(task=dict(name='x', tasks=[3])), 'task.tasks'),
    (dict(task='inpainting'), 'unknown setting'),
    (dict(experimental=3), 'unknown setting'),
    (dict(experimental=[3]), 'experimental'),
  ],
)
def test_settings_that_nobody_wrote_are_refused(tmp_path, changes, message):
  file = write(tmp_path / 'a.safetensors', weights_of(), **changes)
  with pytest.raises(ValueError, match=message):
    trained.load(file)


def test_damaged_files_are_refused(tmp_path):
  path = pathlib.Path(write(tmp_path / 'a.safetensors', weights_of()))
  whole = path.read_bytes()
  path.write_bytes(whole[:-100])
  with pytest.raises(ValueError, match='no safetensors'):
    trained.load(path)
  network = unet.to_config(weights_of().network) | dict(channels=64)
  file = write(path, weights_of(), model=network)
  with pytest.raises(ValueError, match='does not fit'):
    trained.load(file)
  assert EVERYTHING['name'] == 'multitask'
