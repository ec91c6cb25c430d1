"""What a browser can ask for: the page, the trial that is due, its pictures.

Nothing that leaves here tells an original from an output but its pixels: both
are encoded alike, and their addresses are random, a rater's own, and dead when
the pair has been shown. So a page that is loaded anew gets no second look.

  GET  /               the page, and its style and program
  GET  /trial          the trial at which this rater is, by the cookie
  POST /begin          makes a rater, unless there is one who has not finished
  GET  /image/TOKEN    one side of the trial that is due, until it is shown
  POST /shown          {trial, page}: it is about to be on the screen
  POST /answer         {trial, left, milliseconds}
"""

import pathlib
from collections.abc import Mapping

from absl import logging
from etils import epath
from werkzeug import wrappers

from palette_jax import images, web
from palette_jax.evaluation import matching
from palette_jax.study import answers as stores
from palette_jax.study import stimuli, trials

_PAGE = pathlib.Path(__file__).parent / 'page'
_COOKIE = 'palette-rater'
_DAY = 86_400_000  # milliseconds


class Application(web.Application):
  """The study as a WSGI application; any number of threads may call it."""

  def __init__(
    self,
    study: trials.Study,
    store: stores.Store,
    files: Mapping[tuple[str, str | None], epath.PathLike],
  ):
    """Takes what it serves.

    Args:
      study: for all raters.
      store: of answers.
      files: (image, model) -> its output; (image, None) -> the original.
    """
    self._study, self._store, self._files = study, store, files
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
    """What the store refuses is told; the page asks again for all else."""
    if isinstance(error, stores.Refused):
      return web.answer({'error': str(error)}, 409 if error.known else 404)
    return None

  def close(self) -> None:
    """Lets go of the answers file."""
    self._store.close()

  def _rater(self, request):
    return request.cookies.get(_COOKIE, '')

  def _trial(self, request):
    return web.answer(self._state(self._rater(request)))

  def _state(self, rater):
    """What the page has to know, and nothing else."""
    study = self._study
    common = {
      'seconds': study.seconds,
      'of': study.trials + trials.CATCHES,
    }
    try:
      current = self._store.current(rater)
    except stores.Refused:
      return {'state': 'new', **common}
    if current is None:
      return {'state': 'done', **common}
    due = {'state': 'trial', **common, 'number': current.number + 1}
    due.update(trial=current.token, shown=current.shown)
    if not current.shown:
      due.update(left=f'image/{current.left}', right=f'image/{current.right}')
    return due

  def _image(self, request, token):
    current = self._store.current(self._rater(request))
    if current is None or current.shown:
      raise stores.Refused('This picture has been shown.', known=False)
    if token not in (current.left, current.right):
      raise stores.Refused('There is no such picture.', known=False)
    if (token == current.left) != current.fake_left:
      image = self._pixels(current.image, None)
    elif current.model is None:
      image = stimuli.spoil(self._pixels(current.image, None))
    else:
      image = self._pixels(current.image, current.model)
    return wrappers.Response(images.png(image), content_type='image/png')

  def _pixels(self, image, model):
    return matching.read(str(self._files[image, model]))

  def _begin(self, request):
    request.get_json()  # no form of another site can send this type
    rater = self._rater(request)
    state = self._state(rater)
    if state['state'] != 'trial':
      rater = self._store.begin()
      logging.info('Somebody began.')
      state = self._state(rater)
    response = web.answer(state)
    response.set_cookie(
      _COOKIE, rater, max_age=30 * 86_400, httponly=True, samesite='Strict'
    )
    return response

  def _shown(self, request):
    trial, page = web.fields(request, trial=str, page=str)
    self._store.show(self._rater(request), trial, page)
    return web.answer({})

  def _answer(self, request):
    trial, left, milliseconds = web.fields(
      request, trial=str, left=bool, milliseconds=int | None
    )
    if milliseconds is not None and not 0 <= milliseconds <= _DAY:
      milliseconds = None  # a clock that was set, or a made-up number
    rater = self._rater(request)
    self._store.answer(rater, trial, left, milliseconds)
    state = self._state(rater)
    if state['state'] == 'done':
      logging.info('Somebody finished.')
    return web.answer(state)
