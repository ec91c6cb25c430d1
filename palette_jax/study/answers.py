"""What raters were shown and what they answered: one SQLite file.

Every change is on the disk before anybody hears of it, and the file is whole
after a kill or a power cut at any time. A trial passes through three states and
never goes back: dealt, shown, answered.
"""

import contextlib
import json
import pathlib
import secrets
import sqlite3
import threading
import time
from typing import NamedTuple

from palette_jax.study import trials

_APPLICATION = (
  0x50414C32  # in the file's header: an answers file of this format
)
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
  """A request that does not fit the state of its trial.

  Attributes:
    known: whether there is such a rater and trial at all.
  """

  def __init__(self, message: str, known: bool = True):
    super().__init__(message)
    self.known = known


class Current(NamedTuple):
  """The trial at which a rater is.

  Attributes:
    number: from 0, among all of the rater's trials.
    of: how many there are.
    image: name of the original.
    model: whose output is shown; None for a spoilt original.
    fake_left: the side of the output.
    token: of the trial.
    left: token of the picture on the left.
    right: token of the picture on the right.
    shown: whether it has been on the screen.
  """

  number: int
  of: int
  image: str
  model: str | None
  fake_left: bool
  token: str
  left: str
  right: str
  shown: bool


class Row(NamedTuple):
  """A trial that was shown, for the report.

  Attributes:
    rater: number, from 0.
    image: name of the original.
    model: None in a catch trial.
    fake_left: the side of the output.
    chose_left: which side was said to be the photo's; None without an answer.
    milliseconds: from display to answer; None if the page was loaded anew in
      between, and without an answer.
  """

  rater: int
  image: str
  model: str | None
  fake_left: bool
  chose_left: bool | None
  milliseconds: int | None


class Store:
  """The answers file of a study, made if there is none."""

  def __init__(self, path: str, study: trials.Study):
    """Opens the file for this study.

    Raises:
      ValueError: if it is another file, or belongs to another study.
    """
    self._study = study
    self._lock = threading.Lock()
    self._file = _connect(path, 'rwc')
    try:
      self._make(path)
    except ValueError:
      self.close()
      raise

  def _make(self, path):
    with self._change(path) as file:
      if not file.execute('PRAGMA schema_version').fetchone()[0]:
        for statement in _TABLES.split(';'):
          file.execute(statement)
        file.execute(f'PRAGMA application_id = {_APPLICATION}')
        description = json.dumps(self._study._asdict())
        file.execute('INSERT INTO study VALUES (?)', [description])
    found = _study(self._file, path)
    if found != self._study:
      raise ValueError(
        f'{path} has answers of another study: '
        f'{_difference(found, self._study)}. Name another file with --answers, '
        'or start what it was made by.'
      )

  def close(self) -> None:
    """Lets go of the file."""
    self._file.close()

  @contextlib.contextmanager
  def _change(self, path=''):
    """All or nothing, and on the disk; one at a time."""
    with self._lock:
      try:
        self._file.execute('BEGIN IMMEDIATE')
      except sqlite3.DatabaseError as error:
        raise ValueError(
          f'{path} cannot be used for answers: {error}'
        ) from error
      try:
        yield self._file
        self._file.execute('COMMIT')
      except BaseException:
        if self._file.in_transaction:
          self._file.execute('ROLLBACK')
        raise

  def begin(self) -> str:
    """Deals the next rater's trials; returns the rater's token."""
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

  def current(self, rater: str) -> Current | None:
    """The rater's first trial without an answer; None after the last.

    Raises:
      Refused: if there is no such rater.
    """
    with self._lock:
      return self._current(self._file, rater)

  def _current(self, file, rater):
    known = file.execute(
      'SELECT number FROM raters WHERE token = ?', [rater]
    ).fetchone()
    if known is None:
      raise Refused('There is no such rater.', known=False)
    row = file.execute(
      'SELECT number, (SELECT count(*) FROM trials WHERE rater = t.rater), '
      'image, model, fake_left, token, left_token, right_token, shown '
      'FROM trials t WHERE rater = ? AND answered IS NULL '
      'ORDER BY number LIMIT 1',
      known,
    ).fetchone()
    if row is None:
      return None
    return Current(*row[:4], bool(row[4]), *row[5:8], row[8] is not None)

  def _expect(self, file, rater, trial):
    """The rater's current trial, which must be this one."""
    current = self._current(file, rater)
    if current is None or current.token != trial:
      known = file.execute(
        'SELECT 1 FROM trials JOIN raters ON raters.number = rater '
        'WHERE raters.token = ? AND trials.token = ?',
        [rater, trial],
      ).fetchone()
      if known is None:
        raise Refused('There is no such trial.', known=False)
      raise Refused('This trial has its answer, or is not yet due.')
    return current

  def show(self, rater: str, trial: str, page: str) -> None:
    """Says that a trial is about to be on the screen; only one page may.

    Args:
      rater: token.
      trial: token.
      page: of one page load, which may ask again when it heard no answer.

    Raises:
      Refused: unless it is the rater's current trial and no other page has
        shown it.
    """
    with self._change() as file:
      if self._expect(file, rater, trial).shown:
        (shower,) = file.execute(
          'SELECT page FROM trials WHERE token = ?', [trial]
        ).fetchone()
        if shower != page:
          raise Refused('This trial has been shown.')
        return
      file.execute(
        'UPDATE trials SET page = ?, shown = ? WHERE token = ?',
        [page, time.time(), trial],
      )

  def answer(
    self, rater: str, trial: str, left: bool, milliseconds: int | None
  ) -> None:
    """Writes an answer.

    Args:
      rater: token.
      trial: token.
      left: whether the rater says that the left one is the photo.
      milliseconds: from display to answer, None if nobody knows.

    Raises:
      Refused: unless it is the rater's current trial and was shown.
    """
    with self._change() as file:
      if not self._expect(file, rater, trial).shown:
        raise Refused('This trial has not been shown.')
      file.execute(
        'UPDATE trials SET chose_left = ?, milliseconds = ?, answered = ? '
        'WHERE token = ?',
        [left, milliseconds, time.time(), trial],
      )


def load(path: str) -> tuple[trials.Study, int, list[Row]]:
  """The study of a file, how many raters began, and all that was shown.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is another file.
  """
  if not pathlib.Path(path).exists():
    raise FileNotFoundError(
      f'There is no {path}; --answers names the file that `palette study` '
      'wrote.'
    )
  with contextlib.closing(_connect(path, 'rw')) as file:
    study = _study(file, path)
    (raters,) = file.execute('SELECT count(*) FROM raters').fetchone()
    rows = file.execute(
      'SELECT rater, image, model, fake_left, chose_left, milliseconds '
      'FROM trials WHERE shown IS NOT NULL ORDER BY rater, number'
    )
    return (
      study,
      raters,
      [
        Row(
          *row[:3],
          bool(row[3]),
          None if row[4] is None else bool(row[4]),
          row[5],
        )
        for row in rows
      ],
    )


def _connect(path, mode):
  try:
    file = sqlite3.connect(
      f'{pathlib.Path(path).absolute().as_uri()}?mode={mode}',
      uri=True,
      timeout=30,
      isolation_level=None,
      check_same_thread=False,
    )
    # No WAL: all is in one file, which may be copied, after each commit. EXTRA
    # also syncs the folder when the journal goes.
    file.execute('PRAGMA synchronous = EXTRA')
  except sqlite3.Error as error:
    raise ValueError(f'{path} cannot be opened: {error}') from error
  return file


def _study(file, path):
  try:
    (application,) = file.execute('PRAGMA application_id').fetchone()
    if application != _APPLICATION:
      raise ValueError(f'{path} is not an answers file of `palette study`.')
    (description,) = file.execute('SELECT description FROM study').fetchone()
  except sqlite3.DatabaseError as error:
    raise ValueError(
      f'{path} is not an answers file of `palette study`: {error}'
    ) from error
  found = json.loads(description)
  found.update(models=tuple(found['models']), images=tuple(found['images']))
  return trials.Study(**found)


def _difference(found, study):
  words = []
  for name, a, b in zip(study._fields, found, study):
    if a == b:
      continue
    if name in ('images', 'digest'):
      words.append('other images')
    else:
      words.append(f'its {name}: {a}, now: {b}')
  return '; '.join(dict.fromkeys(words))
