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
from palette_jax.photo import photo, reader, recipe, replay

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
  how = recipe.for_photo(
    source,
    task='colorization',
    config={'model': {'channels': 32}},
    checkpoint=HASH,
    sampler={'name': 'ancestral', 'steps': 4},
    seed=seed,
    options={'strength': 0.5, 'side': None},
    machine='a small one',
  )
  return path, source, how


def paint(how, source, mask=None):
  """A sampler: its pixels follow from seed and photo."""
  draw = np.random.default_rng(how.seed)
  image = draw.uniform(-1, 1, [*source.levels.shape[:2], 3])
  return photo.colour(source, image.astype(np.float32))


@pytest.mark.parametrize('deep', [False, True])
def test_a_file_says_how_it_was_made_and_is_made_again(tmp_path, deep):
  path, source, how = made_from(tmp_path, deep=deep)
  made = paint(how, source)
  out, notes = recipe.write(tmp_path / 'out.png', made, how)
  found = recipe.read(out)
  assert not notes
  assert found == dataclasses.replace(how, pixels=recipe.pixels_sha256(made))
  assert found.input_name == 'in.png' and found.input_sha256 == source.sha256
  assert found.version == palette_jax.__version__
  # The hash is that of what the file holds.
  assert recipe.pixels_sha256(reader.read(out)) == found.pixels
  again = replay.replay(out, path, None, paint)
  assert again.is_same and 'bit for bit' in again.message
  assert np.array_equal(again.photo.levels, made.levels)


def test_other_pixels_are_told_apart(tmp_path):
  path, source, how = made_from(tmp_path)
  out, _ = recipe.write(tmp_path / 'out.png', paint(how, source), how)

  def rounds_otherwise(how, source, mask):
    made = paint(how, source)
    made.levels[0, 0, 0] ^= 1
    return made

  again = replay.replay(out, path, None, rounds_otherwise)
  assert not again.is_same
  assert '2.38% of the pixels' in again.message and '1 levels' in again.message
  assert 'a small one' in again.message


def test_a_picture_that_was_changed_afterwards_is_told(tmp_path):
  path, source, how = made_from(tmp_path)
  made = paint(how, source)
  text = recipe.text(how, made)
  changed = made._replace(levels=255 - made.levels)
  lines = PngImagePlugin.PngInfo()
  lines.add_itxt(recipe.KEY, text[recipe.KEY])
  Image.fromarray(changed.levels).save(tmp_path / 'out.png', pnginfo=lines)
  again = replay.replay(tmp_path / 'out.png', path, None, paint)
  assert again.is_same  # as the recipe says it was
  again = replay.replay(
    tmp_path / 'out.png', path, None, lambda how, source, mask: source
  )
  assert 'changed after' in again.message and not again.is_same


def test_a_file_is_done_wherever_it_was_made_but_not_otherwise(tmp_path):
  _, source, how = made_from(tmp_path)
  out, _ = recipe.write(tmp_path / 'out.png', paint(how, source), how)
  same = dict(input_name='b.jpg', pixels=HASH, version='9', machine='large')
  for name, value in same.items():
    assert recipe.is_made_by(out, dataclasses.replace(how, **{name: value}))
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
    field.name for field in dataclasses.fields(recipe.Recipe)
  }
  for name, value in other.items():
    assert not recipe.is_made_by(out, dataclasses.replace(how, **{name: value}))
  whole = out.read_bytes()
  out.write_bytes(whole[:-1])  # stopped while it was written
  assert not recipe.is_made_by(out, how)


def test_another_photo_is_refused(tmp_path):
  path, source, how = made_from(tmp_path)
  out, _ = recipe.write(tmp_path / 'out.png', paint(how, source), how)
  Image.fromarray(source.levels[::-1]).save(path)
  with pytest.raises(ValueError, match='in.png'):
    replay.replay(out, path, None, paint)


def test_pixels_are_told_apart_by_all_that_can_be_seen():
  base = photo.Photo(
    np.zeros([2, 3, 3], np.uint8), None, None, b'', None, '', '', ()
  )
  others = [
    base._replace(levels=np.zeros([3, 2, 3], np.uint8)),
    base._replace(levels=np.zeros([2, 3, 3], np.uint16)),
    base._replace(levels=np.ones([2, 3, 3], np.uint8)),
    base._replace(alpha=np.zeros([2, 3, 1], np.uint8)),
    base._replace(profile=b'another'),
  ]
  assert len({recipe.pixels_sha256(other) for other in [base, *others]}) == 6
  assert recipe.pixels_sha256(base) == recipe.pixels_sha256(
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
def test_any_options_come_back(tmp_path, options):
  _, source, how = made_from(tmp_path)
  how = dataclasses.replace(how, options=options)
  out, _ = recipe.write(tmp_path / 'out.png', source, how)
  assert recipe.read(out).options == options


@pytest.mark.parametrize('options', [{'x': float('nan')}, {'x': np.ones(2)}])
def test_what_is_no_json_is_not_written(tmp_path, options):
  _, source, how = made_from(tmp_path)
  how = dataclasses.replace(how, options=options)
  with pytest.raises(ValueError, match='cannot be written'):
    recipe.write(tmp_path / 'out.png', source, how)
  assert not (tmp_path / 'out.png').exists()


def test_what_could_not_be_read_back_is_not_written(tmp_path):
  _, source, how = made_from(tmp_path)
  how = dataclasses.replace(how, checkpoint='latest')
  with pytest.raises(ValueError, match='checkpoint'):
    recipe.write(tmp_path / 'out.png', source, how)
  assert not (tmp_path / 'out.png').exists()


def test_a_recipe_is_found_behind_the_pixels(tmp_path):
  """Where other programs put text when they write a PNG again."""
  _, source, how = made_from(tmp_path)
  out, _ = recipe.write(tmp_path / 'out.png', source, how)
  head, *chunks = re.split(rb'(?s)(?=.{4}(?:iTXt|IDAT|IEND))', out.read_bytes())
  text = [chunk for chunk in chunks if chunk[4:8] == b'iTXt']
  rest = [chunk for chunk in chunks if chunk[4:8] != b'iTXt']
  assert len(text) == 1 and len(rest) == 2
  (tmp_path / 'x.png').write_bytes(b''.join([head, rest[0], *text, rest[1]]))
  assert recipe.read(tmp_path / 'x.png') == recipe.read(out)


def with_line(tmp_path, line):
  lines = PngImagePlugin.PngInfo()
  lines.add_itxt(recipe.KEY, line)
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
  _, source, how = made_from(tmp_path)
  fields = json.loads(recipe.text(how, source)[recipe.KEY])
  recipe.read(with_line(tmp_path, json.dumps(fields)))
  fields = {k: v for k, v in {**fields, **change}.items() if v is not ...}
  with pytest.raises(ValueError, match=reason):
    recipe.read(with_line(tmp_path, json.dumps(fields)))


@pytest.mark.parametrize('line', ['', 'palette', '[1]', '[' * 100_000])
def test_what_is_no_recipe_is_said(tmp_path, line):
  with pytest.raises(ValueError, match='x.png'):
    recipe.read(with_line(tmp_path, line))


def test_files_without_a_recipe(tmp_path):
  path, source, how = made_from(tmp_path)
  with pytest.raises(ValueError, match='carries no recipe'):
    recipe.read(path)
  jpeg, notes = recipe.write(tmp_path / 'out.jpg', source, how)
  assert any('recipe' in note for note in notes)
  with pytest.raises(ValueError, match='PNG'):
    recipe.read(jpeg)
  with pytest.raises(FileNotFoundError, match='none.png'):
    recipe.read(tmp_path / 'none.png')
