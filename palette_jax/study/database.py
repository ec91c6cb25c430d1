"""The trials and answers of a study, in one SQLite file.

Every change is on disk before it is acknowledged, and the file is intact after
a kill or a power cut at any time. A trial passes through three states and never
goes back: dealt, shown, answered.
"""

import contextlib
import json
import pathlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Generator
from typing import NamedTuple

from palette_jax.study import trials

_APPLICATION = 0x50414C32  # marks this format in the header of the file
_TABLES = """
CREATE TABLE study (description TEXT NOT NULL);
CREATE TABLE raters (
  number INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, began REAL NOT NULL);
CREATE TABLE trials (
  rater INTEGER NOT NULL REFERENCES raters,
  number INTEGER NOT NULL,
  image TEXT NOT NULL,
  model TEXT,                    -- NULL: a catch trial
  fake_left INTEGER NOT NULL,
  token TEXT NOT NULL UNIQUE,
  left_token TEXT NOT NULL UNIQUE,
  right_token TEXT NOT NULL UNIQUE,
  page TEXT,                     -- the page load that showed it
  shown REAL,                    -- seconds since 1970, by the server's clock
  chose_left INTEGER,
  milliseconds INTEGER,          -- from display to answer, by the page's clock
  answered REAL,
  PRIMARY KEY (rater, number));
"""


class Refused(Exception):
  """A request does not fit the state of its trial.

  Attributes:
    known: whether there is such a rater and such a trial.
  """

  def __init__(self, message: str, known: bool = True) -> None:
    """Stores a message for the page."""
    super().__init__(message)
    self.known = known


class Due(NamedTuple):
  """The first trial of a rater that has no answer yet.

  Attributes:
    number: from 0, among all of the rater's trials.
    image: name of the original.
    model: whose output is shown; None in a catch trial.
    fake_left: whether the original is on the right.
    token: of the trial.
    left: token of the image on the left.
    right: token of the image on the right.
    shown: whether it has been on the screen.
  """

  number: int
  image: str
  model: str | None
  fake_left: bool
  token: str
  left: str
  right: str
  shown: bool


class Database:
  """The answers file of a study; any number of threads may use it."""

  def __init__(self, path: str, study: trials.Study) -> None:
    """Opens the file of this study, or creates it.

    Raises:
      ValueError: if it is not an answers file, or belongs to another study.
    """
    self._study, self._path = study, path
    self._lock = threading.Lock()
    self._file = connect(path, 'rwc')
    try:
      self._initialize()
    except ValueError:
      self.close()
      raise

  def _initialize(self) -> None:
    with self._change() as file:
      if not file.execute('PRAGMA schema_version').fetchone()[0]:
        for statement in _TABLES.split(';'):
          file.execute(statement)
        file.execute(f'PRAGMA application_id = {_APPLICATION}')
        description = json.dumps(self._study._asdict())
        file.execute('INSERT INTO study VALUES (?)', [description])
    stored = read_study(self._file, self._path)
    if stored != self._study:
      raise ValueError(
        f'{self._path} has answers of another study: '
        f'{_difference(stored, self._study)}. Name another file with '
        '--answers, or repeat the command that created this one.'
      )

  def close(self) -> None:
    """Closes the file."""
    self._file.close()

  @contextlib.contextmanager
  def _change(self) -> Generator[sqlite3.Connection]:
    """Runs one transaction at a time; it is on disk when the block ends."""
    with self._lock:
      try:
        self._file.execute('BEGIN IMMEDIATE')
      except sqlite3.DatabaseError as error:
        raise ValueError(
          f'{self._path} cannot be used for answers: {error}'
        ) from error
      try:
        yield self._file
        self._file.execute('COMMIT')
      except BaseException:
        if self._file.in_transaction:
          self._file.execute('ROLLBACK')
        raise

  def begin(self) -> str:
    """Deals the trials of the next rater; returns the rater's token."""
    token = secrets.token_urlsafe(18)
    with self._change() as file:
      (number,) = file.execute('SELECT count(*) FROM raters').fetchone()
      file.execute(
        'INSERT INTO raters VALUES (?, ?, ?)', [number, token, time.time()]
      )
      file.executemany(
        'INSERT INTO trials (rater, number, image, model, fake_left, token, '
        'left_token, right_token) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
        [
          [number, i, *trial, *(secrets.token_urlsafe(18) for _ in range(3))]
          for i, trial in enumerate(trials.session(self._study, number))
        ],
      )
    return token

  def due(self, rater: str) -> Due | None:
    """Returns the trial that is due; None after the last.

    Raises:
      Refused: if there is no such rater.
    """
    with self._lock:
      return self._due(rater)

  def _due(self, rater: str) -> Due | None:
    rater_row = self._file.execute(
      'SELECT number FROM raters WHERE token = ?', [rater]
    ).fetchone()
    if rater_row is None:
      raise Refused('There is no such rater.', known=False)
    row = self._file.execute(
      'SELECT number, image, model, fake_left, token, left_token, '
      'right_token, shown FROM trials '
      'WHERE rater = ? AND answered IS NULL ORDER BY number LIMIT 1',
      rater_row,
    ).fetchone()
    if row is None:
      return None
    number, image, model, fake_left, token, left, right, shown = row
    return Due(
      number, image, model, bool(fake_left), token, left, right, bool(shown)
    )

  def _expect(self, rater: str, trial: str) -> Due:
    """Returns the trial that is due; refuses any other token."""
    due = self._due(rater)
    if due is not None and due.token == trial:
      return due
    known = self._file.execute(
      'SELECT 1 FROM trials JOIN raters ON raters.number = rater '
      'WHERE raters.token = ? AND trials.token = ?',
      [rater, trial],
    ).fetchone()
    if known is None:
      raise Refused('There is no such trial.', known=False)
    raise Refused('This trial has its answer, or is not due yet.')

  def show(self, rater: str, trial: str, page: str) -> None:
    """Records that a trial is about to be on the screen, of one page only.

    Args:
      rater: token.
      trial: token.
      page: token of one page load, which may repeat a request whose response
        was lost.

    Raises:
      Refused: if another trial is due, or another page has shown this one.
    """
    with self._change() as file:
      if self._expect(rater, trial).shown:
        (shown_by,) = file.execute(
          'SELECT page FROM trials WHERE token = ?', [trial]
        ).fetchone()
        if shown_by != page:
          raise Refused('This trial has been shown.')
        return
      file.execute(
        'UPDATE trials SET page = ?, shown = ? WHERE token = ?',
        [page, time.time(), trial],
      )

  def answer(
    self, rater: str, trial: str, left: bool, milliseconds: int | None
  ) -> None:
    """Stores an answer.

    Args:
      rater: token.
      trial: token.
      left: whether the rater takes the left image for the photo.
      milliseconds: from display to answer, None if unknown.

    Raises:
      Refused: if another trial is due, or this one was not shown.
    """
    with self._change() as file:
      if not self._expect(rater, trial).shown:
        raise Refused('This trial has not been shown.')
      file.execute(
        'UPDATE trials SET chose_left = ?, milliseconds = ?, answered = ? '
        'WHERE token = ?',
        [left, milliseconds, time.time(), trial],
      )


def connect(path: str, mode: str) -> sqlite3.Connection:
  """Opens a file in one of SQLite's modes.

  Raises:
    ValueError: if it cannot be opened.
  """
  try:
    file = sqlite3.connect(
      f'{pathlib.Path(path).absolute().as_uri()}?mode={mode}',
      uri=True,
      timeout=30,
      isolation_level=None,
      check_same_thread=False,
    )
    # No WAL: after each commit, one file that may be copied holds everything.
    # EXTRA also syncs the folder when the journal is deleted.
    file.execute('PRAGMA synchronous = EXTRA')
  except sqlite3.Error as error:
    raise ValueError(f'{path} cannot be opened: {error}') from error
  return file


def read_study(file: sqlite3.Connection, path: str) -> trials.Study:
  """Returns the study that an answers file belongs to.

  Raises:
    ValueError: if it is not an answers file.
  """
  try:
    (application,) = file.execute('PRAGMA application_id').fetchone()
    if application != _APPLICATION:
      raise ValueError(f'{path} is not an answers file of `palette study`.')
    (description,) = file.execute('SELECT description FROM study').fetchone()
  except sqlite3.DatabaseError as error:
    raise ValueError(
      f'{path} is not an answers file of `palette study`: {error}'
    ) from error
  fields = json.loads(description)
  fields |= {name: tuple(fields[name]) for name in ('models', 'images')}
  return trials.Study(**fields)


def _difference(stored: trials.Study, study: trials.Study) -> str:
  parts = []
  for name, before, now in zip(study._fields, stored, study):
    if before == now:
      continue
    if name in ('images', 'digest'):
      parts.append('other images')
    else:
      parts.append(f'its {name}: {before}, now: {now}')
  return '; '.join(dict.fromkeys(parts))
