"""Markdown tables."""

from palette_jax import markdown


def test_numbers_stand_right_and_a_bar_stays_in_its_cell():
  text = markdown.table(['a', 'b', 'c'], [['x|y', 1, ''], ['z', 2.5, 3]])
  assert (
    text == '| a | b | c |\n|---|---:|---:|\n| x\\|y | 1 |  |\n| z | 2.5 | 3 |'
  )


def test_columns_of_text_stand_left():
  rule = markdown.table('abc', [], text_columns=2).splitlines()[1]
  assert rule == '|---|---|---:|'
