"""Pictures about several samples: they show the ones that they say."""

import numpy as np
from PIL import Image

from palette_jax.photo import outputs, variants


def test_sheet_spread_and_pair_show_what_they_say(tmp_path):
  draw = np.random.default_rng(0)
  first, given = draw.integers(60, 190, [2, 20, 30, 3], np.uint8)
  second, third = first + np.uint8(2), first + np.uint8(2)
  second[5:9, 5:9] += 20
  third[5:9, 5:9] -= 20
  several = [first, second, third]
  names = outputs.names(tmp_path / 'new.png', 3)
  said = outputs.write(names, several, given)
  assert 'the most different are 2 and 3' in said
  files = [np.asarray(Image.open(path)) for path in names.all[-3:]]
  spread = variants.spread(several)
  most = float(spread.max())
  assert most > 16 and f'by {most:.0f} at most' in said
  heat = variants.heat(spread, most)
  pair = variants.sheet([second, third], ['sample 2', 'sample 3'])
  captions = ['given', *(f'sample {i}' for i in (1, 2, 3))]
  captions.append(f'spread: 0 to {most:.0f} levels')
  sheet = variants.sheet([given, *several, heat], captions)
  for found, wanted in zip(files, [heat, pair, sheet]):
    assert np.array_equal(found, wanted)
  for path in names.all[-3:]:
    assert outputs.is_ours(path)


def test_little_is_not_drawn_as_if_it_were_much(tmp_path):
  first = np.full([20, 30, 3], 100, np.uint8)
  names = outputs.names(tmp_path / 'new.png', 2)
  outputs.write(names, [first, first + np.uint8(2)])
  heat = np.asarray(Image.open(names.spread))
  assert heat.max() < 40


def test_the_sheet_is_the_last_that_is_written(tmp_path, monkeypatch):
  """When it is there, all are: so it is looked at."""
  written, write = [], outputs.write_picture

  def keep(path, *given):
    written.append(path)
    write(path, *given)

  monkeypatch.setattr(outputs, 'write_picture', keep)
  names = outputs.names(tmp_path / 'new.png', 2)
  outputs.write(names, [np.zeros([9, 9, 3], np.uint8)] * 2)
  assert written == names.all[-3:] and written[-1] == names.sheet
