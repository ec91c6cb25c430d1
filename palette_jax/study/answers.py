"""Reads the answers of a study from its file, for the report."""

import contextlib
import pathlib
from typing import NamedTuple

from palette_jax.study import database, trials


class Answer(NamedTuple):
  """A trial that was shown, with its answer if there is one.

  Attributes:
    rater: number, from 0.
    image: name of the original.
    model: whose output was shown; None in a catch trial.
    fake_left: whether the original was on the right.
    chose_left: whether the rater took the left image for the photo; None
      without an answer.
    milliseconds: from display to answer; None without an answer, and if the
      page was reloaded in between.
  """

  rater: int
  image: str
  model: str | None
  fake_left: bool
  chose_left: bool | None
  milliseconds: int | None


def load(path: str) -> tuple[trials.Study, int, list[Answer]]:
  """Returns the study of a file, the number of its raters, and the answers.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is not an answers file.
  """
  if not pathlib.Path(path).exists():
    raise FileNotFoundError(
      f'There is no {path}; --answers names the file that `palette study` '
      'wrote.'
    )
  with contextlib.closing(database.connect(path, 'rw')) as file:
    study = database.read_study(file, path)
    (raters,) = file.execute('SELECT count(*) FROM raters').fetchone()
    rows = file.execute(
      'SELECT rater, image, model, fake_left, chose_left, milliseconds '
      'FROM trials WHERE shown IS NOT NULL ORDER BY rater, number'
    )
    return study, raters, [_answer(*row) for row in rows]


def _answer(
  rater: int,
  image: str,
  model: str | None,
  fake_left: int,
  chose_left: int | None,
  milliseconds: int | None,
) -> Answer:
  choice = None if chose_left is None else bool(chose_left)
  return Answer(rater, image, model, bool(fake_left), choice, milliseconds)
