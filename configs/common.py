"""The paper's recipe, which its four tasks share.

A config file parses the variant that follows the colon on the command line,
takes the recipe, and changes what differs:

  --config=configs/colorize.py                      as in the paper
  --config=configs/colorize.py:tiny                 minutes on a laptop
  --config=configs/colorize.py:small                an hour on 2 cores, 32x32
  --config=configs/colorize.py:size=64,batch=32     smaller, by hand
  --config=configs/colorize.py:model=runs/other     the network's settings of
                                                    another run or import

All settings are from Palette, appendix B, unless a comment says otherwise.
"""

import json
from typing import Any

import ml_collections
from etils import epath

from palette_jax import tasks

IMAGENET = 'tfds:imagenet2012'
# The paper's inpainting and uncropping learn from both (appendix B, C.2).
IMAGENET_AND_PLACES = '0.5*tfds:imagenet2012 + 0.5*tfds:places365_small'

PAPER = dict(size=256, batch=1024, steps=1_000_000)
TINY = dict(size=64, batch=8, steps=100)
SMALL = dict(size=32, batch=32, steps=4_000)
# The folders that `python -m tools.small_data` writes.
CIFAR = dict(
  train='folder:data/cifar10/train', test='list:data/cifar10/test.txt'
)
TILES = dict(train='folder:data/tiles/train', test='folder:data/tiles/test')


def parse_arg(arg: str | None, **more: Any) -> ml_collections.ConfigDict:
  """Parses a variant: 'tiny,steps=50' -> tiny, model, size, batch, steps, ...

  Args:
    arg: names, separated by commas; those that are not bool take a value.
    **more: further names of a config file, or other defaults.

  Raises:
    ValueError: for an unknown name or a bad value.
  """
  defaults = dict(tiny=False, small=False, model='', **PAPER) | more
  values = {}
  for part in filter(None, (arg or '').split(',')):
    name, equals, text = part.partition('=')
    if name not in defaults:
      raise ValueError(
        f'Unknown variant {name!r} in {arg!r}.{tasks.nearest(name, defaults)}'
      )
    kind = type(defaults[name])
    if (kind is bool) == bool(equals):
      form = name if kind is bool else f'{name}=VALUE'
      raise ValueError(f'{part!r} in {arg!r}: write {form}.')
    try:
      values[name] = True if kind is bool else kind(text)
    except ValueError as error:
      raise ValueError(
        f'{part!r} in {arg!r}: {text!r} is not {kind.__name__}.'
      ) from error
  scale = TINY if values.get('tiny') else SMALL if values.get('small') else {}
  return ml_collections.ConfigDict(defaults | scale | values)


def get_config(
  variant: ml_collections.ConfigDict,
  task: str,
  source: str = '',
  **options: Any,
) -> ml_collections.ConfigDict:
  """Returns the recipe for a task.

  Args:
    variant: from `parse_arg`.
    task: name of a task.
    source: of the training images; '' for the paper's.
    **options: of the task's `corrupt`.
  """
  if not source:
    source = IMAGENET_AND_PLACES if tasks.get(task).has_hole else IMAGENET
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.task = dict(name=task, **options)

  config.data = dict(
    source=source,  # see palette_jax/data/sources.py
    size=(variant.size, variant.size),  # height, width
    min_crop=1.0,  # smallest random crop, as a share of the largest square
    max_unreadable=0.2,  # share of records at which the run stops
    max_pixels=50_000_000,  # of a file; larger ones count as unreadable
    cache='',  # a folder on a local disk for prepared images: less to decode
    other_images=False,  # True: resume although the list of images has changed
  )
  config.model = dict(
    channels=256,
    channel_mult=(1, 1, 2, 2, 4, 4),
    num_res_blocks=2,
    groups=32,  # of each norm, with at least 4 channels
    attention='global',  # local, more_blocks or dilated: Table 5
    attention_levels=(3, 4, 5),  # 32x32, 16x16 and 8x8 of 256x256
    head_channels=64,
    resblock_updown=True,  # False: resample by plain convolutions
    noise_level='gamma_root',  # gamma, time_step: for imported weights
    dtype='bfloat16',  # of the arithmetic; parameters are float32
    remat=False,  # True: less memory, a little more time
  )
  config.objective = dict(
    name='diffusion',  # or regression
    norm='l2',  # or l1
    prediction='eps',  # or y_0, v
    weighting='uniform',  # of noise levels; or min_snr
    # Or cosine, which has no start and end.
    train_schedule=dict(name='linear', start=1e-6, end=0.01, num_steps=2000),
    sample_schedule=dict(name='linear', start=1e-4, end=0.09, num_steps=1000),
    sampler=dict(
      # Or ddim, dpm_solver; imputation or repaint if it is unconditional.
      name='ancestral',
      steps=0,  # sample_schedule as it is; others lie between its ends
      variance='upper',  # of ancestral noise; or posterior, for few steps
      eta=0.0,  # of ddim
      jump=10,  # of repaint: its paper's, at 250 steps
      resamplings=10,  # likewise
    ),
  )
  config.optimizer = dict(
    learning_rate=1e-4,
    warmup_steps=min(10_000, variant.steps // 10),  # the paper's: 10,000
  )
  config.train = dict(
    batch=variant.batch,
    accumulation=1,  # micro-batches that a device takes one after another
    steps=variant.steps,
    ema_decay=0.9999,
    log_every=100,  # steps
    checkpoint_every=5_000,
  )
  config.held_out = dict(
    examples=variant.batch,  # for the loss
    images=8,  # on the sheet
    samples=3,  # of each
    every=10_000,  # steps
  )
  config.evaluation = dict(
    source='',  # of the images; '' is the part that data.source holds out
    records='',  # a subset: see palette_jax/evaluation/selection.py
    cases=(),  # see palette_jax/evaluation/cases.py; () for the paper's
    samples=1,  # of each image; more for diversity
    batch=variant.batch,
    seed=0,  # of the sampler's noise
    reference='',  # source of FID's reference; '' is the images themselves
    probe='',  # file of a classifier of the labels; '' if they are ImageNet's
  )
  config.mesh = dict(fsdp=1)  # devices that share one copy of the state
  if variant.tiny:
    make_tiny(config)
  elif variant.small:
    make_small(config)
  if variant.model:
    adopt(config, epath.Path(variant.model, 'config.json'))
  return config


def adopt(config: ml_collections.ConfigDict, file: epath.Path) -> None:
  """Adopts the settings on which the weights of another run depend.

  Raises:
    ValueError: if the file does not exist.
  """
  if not file.exists():
    raise ValueError(
      f'model={file.parent}: there is no {file}. Name the folder of a run or '
      'an import.'
    )
  saved = json.loads(file.read_text())
  for name, value in saved['model'].items():
    if name not in ('dtype', 'remat'):  # of the arithmetic, not the weights
      is_list = isinstance(value, list)
      config.model[name] = tuple(value) if is_list else value
  for name in ('name', 'prediction'):
    if name in saved['objective']:
      config.objective[name] = saved['objective'][name]
  sampler = saved['objective'].get('sampler', {})
  if 'variance' in sampler:
    config.objective.sampler.variance = sampler['variance']


def make_tiny(config: ml_collections.ConfigDict) -> None:
  """Changes a config to minutes on 2 CPU cores, on the package's own photos."""
  config.data.update(source='photos', min_crop=0.4)
  config.model.update(
    channels=32,
    channel_mult=(1, 1, 2, 4),
    num_res_blocks=1,
    groups=8,  # groups of one channel would lose the image's colour
    attention_levels=(3,),
    head_channels=32,
    dtype='float32',
  )
  # Ends at the noise level of the paper's schedule, in a tenth of the steps.
  config.objective.sample_schedule.update(start=1e-4, end=0.2, num_steps=100)
  # With few steps, the paper's variance leaves grain (docs/results.md).
  config.objective.sampler.variance = 'posterior'
  config.optimizer.learning_rate = 2e-3
  config.train.update(log_every=20, checkpoint_every=50)
  config.held_out.update(examples=48, images=3, every=1_000)


def make_small(config: ml_collections.ConfigDict) -> None:
  """Changes a config to an hour on 2 CPU cores, evaluation included.

  docs/results.md has the results.
  """
  task = tasks.get(config.task.name)
  learned = config.task.get('tasks', (task.name,))
  lossless = [tasks.get(name).needs_lossless for name in learned]
  # CIFAR-10's images were JPEGs.
  images, probe = CIFAR, 'data/cifar10/probe.npz'
  if all(lossless):
    images, probe = TILES, ''
  config.data.source = images['train']
  if any(lossless) and not all(lossless):
    config.data.source = f'0.5*{CIFAR["train"]} + 0.5*{TILES["train"]}'
  config.model.update(
    channels=32,
    channel_mult=(1, 1, 2, 3),
    num_res_blocks=1,
    groups=8,
    attention_levels=(2, 3),
    head_channels=32,
    dtype='float32',
  )
  # With eps, a tint of the whole image takes far longer to disappear.
  config.objective.prediction = 'v'
  config.objective.sampler.update(
    name='dpm_solver', steps=20, variance='posterior'
  )
  if task.is_unconditional:  # The samplers of imputation are ancestral.
    config.objective.sampler.steps = 50
  config.optimizer.learning_rate = 1e-3
  config.train.update(checkpoint_every=500)
  config.held_out.update(examples=256, every=2_000)
  config.evaluation.update(source=images['test'], probe=probe, batch=50)
