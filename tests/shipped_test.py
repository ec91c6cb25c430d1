"""The weights inside the package, and what their card says of them."""

import csv
import json

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

import palette_jax
from benchmarks import seams, unseen
from palette_jax.data import sources
from palette_jax.weights import trained

FOLDER = ROOT / 'palette_jax/weights'
PHOTOS = ROOT / 'palette_jax/data/photos'


@pytest.fixture(scope='module')
def judged():
  return json.loads((ROOT / 'results/unseen.json').read_text())


@pytest.fixture(scope='module')
def model():
  return palette_jax.load()


def test_what_was_judged_is_what_is_shipped(judged):
  read = trained.load()
  assert read.sha256 == judged['weights']
  assert set(read.tasks) == set(judged['tasks']) == set(trained.known_tasks())
  bad = {task for task, one in judged['tasks'].items() if not one['good']}
  assert set(read.experimental) == bad
  chosen = read.choose()
  assert chosen['name'] == judged['sampler']
  assert chosen['steps'] == judged['steps']
  (file,) = FOLDER.glob('*.safetensors')
  assert file.stat().st_size < 16e6


def test_a_task_is_good_if_its_interval_is_above_zero(judged):
  for of_task in judged['tasks'].values():
    low = of_task['trivial_less_model']['lpips_alex']['low']
    assert of_task['good'] == (low > 0)


def test_every_photo_that_was_learnt_from_is_named_and_none_that_is_held_out():
  with (FOLDER / 'ATTRIBUTION.tsv').open(newline='') as file:
    rows = list(csv.DictReader(file, delimiter='\t'))
  assert all(value for row in rows for value in row.values())
  assert len({row['photo'] for row in rows}) == len(rows)
  card = (ROOT / 'docs/model_card.md').read_text()
  assert f'{len(rows)} photos with free licences' in card
  learnt = ' '.join(row['path in package'].lower() for row in rows)
  for name in sources.PHOTOS_HELD_OUT:
    assert name.partition('-')[0].removesuffix('.jpg') not in learnt


@pytest.mark.parametrize('name', sources.PHOTOS_HELD_OUT)
def test_a_cleaned_jpeg_has_lost_its_blocks_and_is_nearer_to_the_photo(
  model, name
):
  photo = np.asarray(seams.middle(PHOTOS / name, 128))
  given, _ = unseen.spoil('jpeg', photo, name)
  output = model.restore_jpeg(Image.fromarray(given), samples=4)
  images = [np.asarray(one.image) for one in output]
  error = lambda image: np.mean((image.astype(float) - photo) ** 2)  # noqa: E731
  # A sample of the very law errs twice as much as the mean of all.
  assert error(np.mean(images, axis=0)) < 0.9 * error(given)
  for image in images:
    assert blockiness(image) < 0.3 * blockiness(given)
  (smooth,) = model.restore_jpeg(Image.fromarray(given), steps=5)
  assert error(np.asarray(smooth.image)) < 0.9 * error(given)


def blockiness(image):
  """The ratio of jumps between JPEG's blocks to those inside."""
  jumps = np.abs(np.diff(image.astype(float), axis=1)).mean((0, 2))
  between = np.arange(len(jumps)) % 8 == 7
  return jumps[between].mean() / jumps[~between].mean() - 1
