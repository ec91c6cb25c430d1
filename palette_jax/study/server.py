"""The study's server: the page, the trial that is due, its images.

Only its pixels tell an original from an output: both are encoded alike, and
their addresses are random, belong to one rater, and stop working once the pair
has been shown. So reloading the page gives no second look.

  GET  /               the page, its style and its program
  GET  /trial          the trial that is due for this rater, by the cookie
  POST /begin          adds a rater, unless this one has not finished
  GET  /image/TOKEN    one side of the trial that is due, until it is shown
  POST /shown          {trial, page}: it is about to be on the screen
  POST /answer         {trial, left, milliseconds}
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging
from etils import epath
from jaxtyping import UInt8
from werkzeug import wrappers

from palette_jax import images, web
from palette_jax.evaluation import matching
from palette_jax.study import database as databases
from palette_jax.study import stimuli, trials

_PAGE = pathlib.Path(__file__).parent / 'page'
_COOKIE = 'palette-rater'
_COOKIE_SECONDS = 30 * 86_400
_DAY = 86_400_000  # milliseconds


class Application(web.Application):
  """The study as a WSGI application; any number of threads may call it."""

  def __init__(
    self,
    study: trials.Study,
    database: databases.Database,
    files: Mapping[tuple[str, str | None], epath.PathLike],
  ) -> None:
    """Serves a study.

    Args:
      study: of all raters.
      database: of trials and answers.
      files: (image, model) -> its output; (image, None) -> the original.
    """
    self._study, self._database, self._files = study, database, files
    super().__init__(
      _PAGE,
      [
        web.rule('GET', '/trial', self._trial),
        web.rule('GET', '/image/<token>', self._image),
        web.rule('POST', '/begin', self._begin),
        web.rule('POST', '/shown', self._shown),
        web.rule('POST', '/answer', self._answer),
      ],
    )

  def refusal(self, error: Exception) -> wrappers.Response | None:
    """Reports what the database refuses; the page retries all other errors."""
    if isinstance(error, databases.Refused):
      return web.answer({'error': str(error)}, 409 if error.known else 404)
    return None

  def close(self) -> None:
    """Closes the database."""
    self._database.close()

  def _trial(self, request: web.Request) -> wrappers.Response:
    return web.answer(self._state(_rater(request)))

  def _state(self, rater: str) -> dict[str, Any]:
    """Returns all that the page may know of a rater's trial, as JSON."""
    study = self._study
    common = {
      'seconds': study.seconds,
      'of': study.trials + trials.CATCHES,
    }
    try:
      due = self._database.due(rater)
    except databases.Refused:
      return {'state': 'new', **common}
    if due is None:
      return {'state': 'done', **common}
    state = {'state': 'trial', **common, 'number': due.number + 1}
    state |= {'trial': due.token, 'shown': due.shown}
    if not due.shown:
      state |= {'left': f'image/{due.left}', 'right': f'image/{due.right}'}
    return state

  def _image(self, request: web.Request, token: str) -> wrappers.Response:
    due = self._database.due(_rater(request))
    if due is None or due.shown:
      raise databases.Refused('This image has been shown.', known=False)
    if token not in (due.left, due.right):
      raise databases.Refused('There is no such image.', known=False)
    if (token == due.left) != due.fake_left:
      image_u8 = self._pixels(due.image, None)
    elif due.model is None:
      image_u8 = stimuli.mosaic(self._pixels(due.image, None))
    else:
      image_u8 = self._pixels(due.image, due.model)
    return wrappers.Response(images.png(image_u8), content_type='image/png')

  def _pixels(
    self, image: str, model: str | None
  ) -> UInt8[np.ndarray, 'h w 3']:
    return matching.read(str(self._files[image, model]))

  def _begin(self, request: web.Request) -> wrappers.Response:
    request.get_json()  # no form of another site can send this type
    rater = _rater(request)
    state = self._state(rater)
    if state['state'] != 'trial':
      rater = self._database.begin()
      logging.info('A rater has started.')
      state = self._state(rater)
    response = web.answer(state)
    response.set_cookie(
      _COOKIE,
      rater,
      max_age=_COOKIE_SECONDS,
      httponly=True,
      samesite='Strict',
    )
    return response

  def _shown(self, request: web.Request) -> wrappers.Response:
    trial, page = web.fields(request, trial=str, page=str)
    self._database.show(_rater(request), trial, page)
    return web.answer({})

  def _answer(self, request: web.Request) -> wrappers.Response:
    trial, left, milliseconds = web.fields(
      request, trial=str, left=bool, milliseconds=int | None
    )
    if milliseconds is not None and not 0 <= milliseconds <= _DAY:
      milliseconds = None  # a clock that was set, or an invented number
    rater = _rater(request)
    self._database.answer(rater, trial, left, milliseconds)
    state = self._state(rater)
    if state['state'] == 'done':
      logging.info('A rater has finished.')
    return web.answer(state)


def _rater(request: web.Request) -> str:
  return request.cookies.get(_COOKIE, '')
