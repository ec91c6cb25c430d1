"""Progress and groups of commands on the terminal."""

import argparse
import io
import sys

import pytest

from palette_jax import console


class Terminal(io.StringIO):
  """A stream that claims to be a terminal."""

  def isatty(self) -> bool:
    return True


def test_a_terminal_shows_a_bar_that_counts_what_was_done_before(monkeypatch):
  monkeypatch.setattr(sys, 'stderr', Terminal())
  with console.Progress('photos', 8, done=4) as progress:
    progress.advance(1)
    progress.skip()
    progress.advance(2)
    assert (progress.done, progress.total) == (7, 7)
  assert '7/7' in sys.stderr.getvalue()


def test_elsewhere_a_line_appears_now_and_then(monkeypatch, capsys):
  with console.Progress('photos', 3000) as progress:
    progress.advance(1000)
    monkeypatch.setattr(console, 'SECONDS', 0.0)
    progress.advance(500)
    progress.advance(500, 'a line of its own')
    progress.write('a result')
  assert capsys.readouterr() == (
    'a result\n',
    'photos: 1,500 of 3,000 images\na line of its own\n',
  )


def test_only_one_host_shows_progress(monkeypatch, capsys):
  monkeypatch.setattr(console, 'SECONDS', 0.0)
  with console.Progress('photos', 2, shown=False) as progress:
    progress.advance(2)
  assert progress.done == 2
  assert capsys.readouterr() == ('', '')


def test_the_help_lists_commands_in_groups():
  parser = argparse.ArgumentParser()
  subparsers = parser.add_subparsers(metavar='COMMAND')
  group = console.Commands(subparsers, 'photos')
  colorize = group.add_parser('colorize', help='adds colour')
  group.add_parser('inpaint', help='fills holes', description='At length.')
  assert str(group).splitlines() == [
    'photos:',
    '  colorize      adds colour',
    '  inpaint       fills holes',
  ]
  assert colorize.description == 'adds colour'


def test_errors_of_libraries_are_not_for_the_user():
  with pytest.raises(ValueError) as error:
    int('x')
  assert not console.is_for_the_user(error.value)
