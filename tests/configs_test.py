"""Every config builds, and the paper's values are the defaults."""

import json
import pathlib

import jax
import pytest
from conftest import ROOT
from runs import load, micro

from configs import common
from palette_jax import tasks
from palette_jax.data import sources
from palette_jax.training import run

FILES = sorted(
  p.stem
  for p in (ROOT / 'configs').glob('*.py')
  if p.stem not in ('common', 'task')
)
TASKS = ['colorize', 'inpaint', 'uncrop', 'jpeg']


def test_the_files_are_the_paper_s_experiments():
  assert FILES == sorted(
    [*TASKS, 'multitask', 'regression', 'unconditional', 'ablations']
  )


def test_the_paper_s_values_are_the_defaults():
  config = load('colorize')
  assert config.data.size == (256, 256) and config.data.min_crop == 1.0
  assert config.train.batch == 1024 and config.train.steps == 1_000_000
  assert config.train.ema_decay == 0.9999
  assert config.optimizer.to_dict() == dict(
    learning_rate=1e-4, warmup_steps=10_000
  )
  assert config.objective.to_dict() == dict(
    name='diffusion',
    norm='l2',
    prediction='eps',
    weighting='uniform',
    train_schedule=dict(name='linear', start=1e-6, end=0.01, num_steps=2000),
    sample_schedule=dict(name='linear', start=1e-4, end=0.09, num_steps=1000),
    sampler=dict(
      name='ancestral',
      steps=0,
      variance='upper',
      eta=0.0,
      jump=10,
      resamplings=10,
    ),
  )


@pytest.mark.parametrize('name', FILES)
def test_every_config_builds_at_the_paper_s_size(name):
  """Everything but the weights themselves: 552,814,083 of them."""
  config = load(name)
  config.data.source = 'photos'
  built = run.build(config)
  abstract = built.learner.abstract_state()
  sizes = jax.tree.map(lambda x: x.size, abstract.params)
  assert jax.tree.reduce(int.__add__, sizes) == 552_814_083


@pytest.mark.parametrize('name', FILES)
def test_every_config_has_a_tiny_variant_that_makes_examples(name):
  config = load(name, 'tiny')
  built = run.build(config)
  batch = next(built.train_data.train(config.train.batch))
  assert batch.examples.target.shape == (8, 64, 64, 3)
  assert batch.readable.all() and batch.examples.given.any((1, 2, 3)).all()


@pytest.mark.parametrize('name', FILES)
def test_every_config_has_a_small_variant_that_can_be_built(name):
  config = load(name, 'small')
  assert config.data.source.startswith(('folder:data/', '0.5*folder:data/'))
  config.data.source = 'photos'
  built = run.build(config)
  abstract = built.learner.abstract_state()
  sizes = jax.tree.map(lambda x: x.size, abstract.params)
  assert 1e6 < jax.tree.reduce(int.__add__, sizes) < 3e6


@pytest.mark.parametrize('name', tasks.names())
def test_every_task_has_a_config_with_all_of_its_options(name):
  config = load('task', f'{name},tiny,steps=7').lock()
  assert (config.task.name, config.train.steps) == (name, 7)
  for option in tasks.get(name).options:
    assert option in config.task
  tasks.corruption(**config.task)


def test_a_task_s_own_config_differs_from_the_general_one_in_options_alone():
  for file, task in zip(TASKS, ('colorization', 'inpainting', 'uncropping')):
    own, general = load(file).to_dict(), load('task', task).to_dict()
    del own['task'], general['task']
    assert own == general
  with pytest.raises(ValueError, match="'uncropping'"):
    load('task', 'uncroping,tiny')


@pytest.mark.parametrize('name', FILES)
def test_few_steps_add_the_posterior_s_noise(name):
  for arg, variance in (
    (None, 'upper'),
    ('tiny', 'posterior'),
    ('small', 'posterior'),
  ):
    assert load(name, arg).objective.sampler.variance == variance


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('arg', [None, 'tiny', 'small'])
def test_no_group_is_normalised_of_fewer_than_four_channels(name, arg):
  model = load(name, arg).model
  assert min(model.channel_mult) == 1
  assert model.channels / model.groups >= 4


@pytest.mark.parametrize('arg', [None, 'tiny', 'size=64,batch=32'])
def test_one_recipe_for_all_tasks(arg):
  """The paper's claim: the four differ only in the task and its images."""
  configs = []
  for name in TASKS:
    config = load(name, arg).to_dict()
    del config['task'], config['data']['source']
    configs.append(config)
  assert all(config == configs[0] for config in configs)


def test_the_paper_s_inpainting_learns_from_two_data_sets():
  for name in ('inpaint', 'uncrop'):
    mixed = sources.parts(load(name).data.source)
    assert mixed == [(0.5, 'tfds:imagenet2012'), (0.5, 'tfds:places365_small')]
    assert load(name, 'tiny').data.source == 'photos'


def test_variants_set_what_they_name():
  config = load('inpaint', 'size=64,batch=32,steps=500')
  assert config.data.size == (64, 64)
  assert (config.train.batch, config.train.steps) == (32, 500)
  tiny = load('inpaint', 'tiny,batch=4,steps=7')
  assert tiny.data.source == 'photos'
  assert (tiny.train.batch, tiny.train.steps) == (4, 7)
  assert load('inpaint', 'steps=5000').optimizer.warmup_steps == 500
  assert load('ablations', 'l1').objective.norm == 'l1'
  assert load('ablations', 'dilated').model.attention == 'dilated'
  assert load('ablations').train.steps == 500_000
  assert load('ablations').train.batch == 512
  assert load('multitask').task.tasks == ('colorization', 'inpainting', 'jpeg')
  assert load('multitask', 'uncrop').task.tasks[-1] == 'uncropping'
  assert load('regression', 'task=jpeg').task.name == 'jpeg'
  assert load('regression').objective.name == 'regression'


@pytest.mark.parametrize(
  ('arg', 'message'),
  [
    ('tyny', "'tiny'"),
    ('size', 'size=VALUE'),
    ('tiny=1', "'tiny=1'"),
    ('size=big', "'big'"),
  ],
)
def test_a_wrong_variant_says_what_is_right(arg, message):
  with pytest.raises(ValueError, match=message):
    load('colorize', arg)


def test_a_config_survives_json():
  config = load('multitask')
  assert json.loads(config.to_json())['task']['name'] == 'multitask'


def test_every_field_can_be_set_and_a_typo_cannot():
  config = load('colorize').lock()
  config.train.batch = 16
  with pytest.raises(AttributeError, match='Did you mean'):
    config.train.bach = 16


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda c: c.task.update(name='colourise'), 'no task'),
    (lambda c: c.data.update(size=(20, 15)), '20x15'),
    (lambda c: c.data.update(source='folder:/none'), '/none'),
    (lambda c: c.train.update(batch=12), '8 devices'),
    (lambda c: c.objective.update(norm='l3'), 'l3'),
    (lambda c: c.mesh.update(fsdp=3), 'fsdp=3'),
    (lambda c: c.optimizer.update(warmup_steps=5), 'train.steps=4'),
    (lambda c: c.update(seed=-1), 'seed must'),
    (lambda c: c.data.update(min_crop=1.5), 'got 1.5'),
    (lambda c: c.data.update(max_unreadable=2.0), 'max_unreadable'),
    (lambda c: c.optimizer.update(warmup_steps=-1), 'warmup_steps'),
    (lambda c: c.train.update(steps=0), 'train.steps'),
    (lambda c: c.train.update(ema_decay=1.1), 'ema_decay'),
    (lambda c: c.train.update(log_every=0), 'log_every'),
    (lambda c: c.train.update(checkpoint_every=0), 'checkpoint_every'),
    (lambda c: c.held_out.update(images=0), 'images must'),
    (lambda c: c.held_out.update(samples=0), 'samples must'),
    (lambda c: c.held_out.update(every=0), 'held_out.every'),
    (lambda c: c.data.update(size=(16,)), r'\(16,\)'),
  ],
)
def test_impossible_configs_are_refused_before_anything_compiles(
  change, message
):
  config = micro(load('colorize'), 'photos')
  change(config)
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    run.build(config)


def test_training_and_held_out_photos_are_disjoint():
  built = run.build(load('colorize', 'tiny'))
  train = set(built.train_data.source.names)
  held_out = set(built.held_out_data.source.names)
  assert train and held_out and not train & held_out


def test_config_files_are_short():
  for name in FILES:
    text = pathlib.Path(ROOT, f'configs/{name}.py').read_text()
    assert len(text.splitlines()) <= 40
    assert common.__name__.split('.')[1] in text
