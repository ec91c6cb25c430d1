import dataclasses
import json
import re

import hypothesis
import numpy as np
import photo_files
import pytest
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

import palette_jax
from palette_jax.photo import photo as photos
from palette_jax.photo import reader, replay
from palette_jax.photo import recipe as recipes

HASH = 'ab' * 32


def made_from(tmp_path, seed=3, deep=False):
  draw = np.random.default_rng(0)
  path = tmp_path / 'in.png'
  if deep:
    path.write_bytes(
      photo_files.deep_png(draw.integers(0, 65536, [6, 7, 3], np.uint16))
    )
  else:
    Image.fromarray(draw.integers(0, 256, [6, 7, 3], np.uint8)).save(path)
  source = reader.read(path)
  recipe = recipes.for_photo(
    source,
    task='colorization',
    config={'model': {'channels': 32}},
    checkpoint=HASH,
    sampler={'name': 'ancestral', 'steps': 4},
    seed=seed,
    options={'strength': 0.5, 'side': None},
    machine='a small one',
  )
  return path, source, recipe


def paint(recipe, source, mask=None):
  """Makes pixels that follow from seed and photo."""
  draw = np.random.default_rng(recipe.seed)
  image = draw.uniform(-1, 1, [*source.levels.shape[:2], 3])
  return photos.colour(source, image.astype(np.float32))


@pytest.mark.parametrize('deep', [False, True])
def test_a_file_carries_its_recipe_and_is_replayed(tmp_path, deep):
  path, source, recipe = made_from(tmp_path, deep=deep)
  result = paint(recipe, source)
  out, notes = recipes.write(tmp_path / 'out.png', result, recipe)
  read_back = recipes.read(out)
  assert not notes
  assert read_back == dataclasses.replace(
    recipe, pixels=recipes.pixels_sha256(result)
  )
  assert (
    read_back.input_name == 'in.png' and read_back.input_sha256 == source.sha256
  )
  assert read_back.version == palette_jax.__version__
  # The hash is that of what the file holds.
  assert recipes.pixels_sha256(reader.read(out)) == read_back.pixels
  again = replay.replay(out, path, None, paint)
  assert again.is_same and 'bit for bit' in again.message
  assert np.array_equal(again.photo.levels, result.levels)


def test_other_pixels_are_reported(tmp_path):
  path, source, recipe = made_from(tmp_path)
  out, _ = recipes.write(tmp_path / 'out.png', paint(recipe, source), recipe)

  def rounds_differently(recipe, source, mask):
    result = paint(recipe, source)
    result.levels[0, 0, 0] ^= 1
    return result

  again = replay.replay(out, path, None, rounds_differently)
  assert not again.is_same
  assert '2.38% of the pixels' in again.message and '1 levels' in again.message
  assert 'a small one' in again.message


def test_later_changes_of_a_file_are_reported(tmp_path):
  path, source, recipe = made_from(tmp_path)
  result = paint(recipe, source)
  text = recipes.text(recipe, result)
  changed = result._replace(levels=255 - result.levels)
  lines = PngImagePlugin.PngInfo()
  lines.add_itxt(recipes.KEY, text[recipes.KEY])
  Image.fromarray(changed.levels).save(tmp_path / 'out.png', pnginfo=lines)
  again = replay.replay(tmp_path / 'out.png', path, None, paint)
  assert again.is_same  # as the recipe has it
  again = replay.replay(
    tmp_path / 'out.png', path, None, lambda recipe, source, mask: source
  )
  assert 'changed after' in again.message and not again.is_same


def test_the_fields_that_tell_recipes_apart(tmp_path):
  _, source, recipe = made_from(tmp_path)
  out, _ = recipes.write(tmp_path / 'out.png', paint(recipe, source), recipe)
  same = dict(input_name='b.jpg', pixels=HASH, version='9', machine='large')
  for name, value in same.items():
    assert recipes.is_made_by(out, dataclasses.replace(recipe, **{name: value}))
  other = dict(
    task='jpeg',
    config={},
    checkpoint='cd' * 32,
    sampler={'name': 'ancestral', 'steps': 5},
    seed=4,
    options={'strength': 0.5},
    input_sha256=HASH,
    inputs={'mask': HASH},
  )
  assert same.keys() | other.keys() == {
    field.name for field in dataclasses.fields(recipes.Recipe)
  }
  for name, value in other.items():
    assert not recipes.is_made_by(
      out, dataclasses.replace(recipe, **{name: value})
    )
  whole = out.read_bytes()
  out.write_bytes(whole[:-1])  # truncated
  assert not recipes.is_made_by(out, recipe)


def test_another_photo_is_refused(tmp_path):
  path, source, recipe = made_from(tmp_path)
  out, _ = recipes.write(tmp_path / 'out.png', paint(recipe, source), recipe)
  Image.fromarray(source.levels[::-1]).save(path)
  with pytest.raises(ValueError, match='in.png'):
    replay.replay(out, path, None, paint)


def test_the_hash_of_pixels_covers_all_that_is_seen():
  base = photos.Photo(
    np.zeros([2, 3, 3], np.uint8), None, None, b'', None, '', '', ()
  )
  others = [
    base._replace(levels=np.zeros([3, 2, 3], np.uint8)),
    base._replace(levels=np.zeros([2, 3, 3], np.uint16)),
    base._replace(levels=np.ones([2, 3, 3], np.uint8)),
    base._replace(alpha=np.zeros([2, 3, 1], np.uint8)),
    base._replace(profile=b'another'),
  ]
  assert len({recipes.pixels_sha256(other) for other in [base, *others]}) == 6
  assert recipes.pixels_sha256(base) == recipes.pixels_sha256(
    base._replace(dpi=(3, 3))
  )


values = st.recursive(
  st.none() | st.booleans() | st.integers() | st.text(max_size=5),
  lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3),
  max_leaves=6,
)
few = hypothesis.settings(
  max_examples=25,
  deadline=None,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@few
@hypothesis.given(
  options=st.dictionaries(st.text(max_size=5), values, max_size=4)
)
def test_all_options_survive_the_file(tmp_path, options):
  _, source, recipe = made_from(tmp_path)
  recipe = dataclasses.replace(recipe, options=options)
  out, _ = recipes.write(tmp_path / 'out.png', source, recipe)
  assert recipes.read(out).options == options


@pytest.mark.parametrize('options', [{'x': float('nan')}, {'x': np.ones(2)}])
def test_options_that_are_not_json_are_not_written(tmp_path, options):
  _, source, recipe = made_from(tmp_path)
  recipe = dataclasses.replace(recipe, options=options)
  with pytest.raises(ValueError, match='cannot be written'):
    recipes.write(tmp_path / 'out.png', source, recipe)
  assert not (tmp_path / 'out.png').exists()


def test_an_invalid_recipe_is_not_written(tmp_path):
  _, source, recipe = made_from(tmp_path)
  recipe = dataclasses.replace(recipe, checkpoint='latest')
  with pytest.raises(ValueError, match='checkpoint'):
    recipes.write(tmp_path / 'out.png', source, recipe)
  assert not (tmp_path / 'out.png').exists()


def test_a_recipe_behind_the_pixels_is_read(tmp_path):
  """Other programs put text there when they save a PNG."""
  _, source, recipe = made_from(tmp_path)
  out, _ = recipes.write(tmp_path / 'out.png', source, recipe)
  head, *chunks = re.split(rb'(?s)(?=.{4}(?:iTXt|IDAT|IEND))', out.read_bytes())
  text = [chunk for chunk in chunks if chunk[4:8] == b'iTXt']
  rest = [chunk for chunk in chunks if chunk[4:8] != b'iTXt']
  assert len(text) == 1 and len(rest) == 2
  (tmp_path / 'x.png').write_bytes(b''.join([head, rest[0], *text, rest[1]]))
  assert recipes.read(tmp_path / 'x.png') == recipes.read(out)


def with_line(tmp_path, line):
  lines = PngImagePlugin.PngInfo()
  lines.add_itxt(recipes.KEY, line)
  Image.new('RGB', (3, 3)).save(tmp_path / 'x.png', pnginfo=lines)
  return tmp_path / 'x.png'


@pytest.mark.parametrize(
  'change, reason',
  [
    ({'format': 2}, 'format.* 2'),
    ({'seed': None}, 'seed'),
    ({'seed': True}, 'seed'),
    ({'config': 'x'}, 'config'),
    ({'checkpoint': 'latest'}, 'checkpoint'),
    ({'inputs': {'mask': 'x'}}, 'inputs.mask'),
    ({'more': 1}, 'more'),
    ({'task': ...}, 'task'),
  ],
)
def test_recipes_are_checked(tmp_path, change, reason):
  _, source, recipe = made_from(tmp_path)
  fields = json.loads(recipes.text(recipe, source)[recipes.KEY])
  recipes.read(with_line(tmp_path, json.dumps(fields)))
  fields = {k: v for k, v in {**fields, **change}.items() if v is not ...}
  with pytest.raises(ValueError, match=reason):
    recipes.read(with_line(tmp_path, json.dumps(fields)))


@pytest.mark.parametrize('line', ['', 'palette', '[1]', '[' * 100_000])
def test_invalid_json_is_refused(tmp_path, line):
  with pytest.raises(ValueError, match='x.png'):
    recipes.read(with_line(tmp_path, line))


def test_files_without_a_recipe(tmp_path):
  path, source, recipe = made_from(tmp_path)
  with pytest.raises(ValueError, match='no recipe'):
    recipes.read(path)
  jpeg, notes = recipes.write(tmp_path / 'out.jpg', source, recipe)
  assert any('recipe' in note for note in notes)
  with pytest.raises(ValueError, match='PNG'):
    recipes.read(jpeg)
  with pytest.raises(FileNotFoundError, match='none.png'):
    recipes.read(tmp_path / 'none.png')
