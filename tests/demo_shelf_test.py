"""The results that the demo keeps, and those that it forgets."""

import re

import pytest
from waiting import Clock

from palette_jax.demo import shelf


def test_the_least_recently_used_goes_first():
  forgotten = []
  kept = shelf.Shelf(3, forgotten.append)
  names = {item: kept.put(item) for item in 'abc'}
  kept.get(names['a'])
  names['d'] = kept.put('d')
  assert forgotten == ['b']
  with pytest.raises(shelf.Gone):
    kept.get(names['b'])
  assert [kept.get(names[item]) for item in 'acd'] == ['a', 'c', 'd']
  kept.clear()
  assert forgotten == ['b', 'a', 'c', 'd']
  with pytest.raises(shelf.Gone):
    kept.get(names['a'])


def test_unused_items_expire():
  clock, forgotten = Clock(), []
  kept = shelf.Shelf(9, forgotten.append, seconds=100.0, clock=clock)
  old = kept.put('old')
  clock.now = 60.0
  young = kept.put('young')
  clock.now = 110.0
  assert kept.get(young) == 'young' and forgotten == ['old']
  with pytest.raises(shelf.Gone):
    kept.get(old)
  clock.now = 200.0  # it was used at 110
  assert kept.get(young) == 'young'
  clock.now = 310.0  # the last one expires, too, and without a request
  kept.sweep()
  assert forgotten == ['old', 'young']
  with pytest.raises(shelf.Gone):
    kept.get(young)


def test_bytes_are_bounded_but_the_newest_stays():
  forgotten = []
  kept = shelf.Shelf(9, forgotten.append, most_bytes=100)
  kept.put('a', 40)
  kept.put('b', 40)
  kept.put('c', 40)
  assert forgotten == ['a']
  name = kept.put('huge', 1000)
  assert forgotten == ['a', 'b', 'c'] and kept.get(name) == 'huge'


def test_names_cannot_be_guessed():
  kept = shelf.Shelf(1000)
  names = {kept.put(i) for i in range(500)}
  assert len(names) == 500
  assert all(re.fullmatch(r'[\w-]{24}', name) for name in names)
