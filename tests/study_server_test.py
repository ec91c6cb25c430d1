"""The command and the server of the study, tested without a browser."""

import argparse
import concurrent.futures
import io
import json
import re
import socket

import numpy as np
import pytest
from PIL import Image
from werkzeug import test

from palette_jax import console
from palette_jax.evaluation import matching
from palette_jax.study import answers, command, server, trials
from palette_jax.study import arguments as cli_arguments


def make_folders(path, count=14, models=2, size=16):
  """Originals as JPEG, outputs as PNG; their contents are noise of 2 kinds."""
  draw = np.random.default_rng(0)
  folders = [path / 'originals', *(path / f'model-{i}' for i in range(models))]
  for k, folder in enumerate(folders):
    folder.mkdir(parents=True)
    for i in range(count):
      image = draw.integers(0, 256, [size, size, 3], np.uint8)
      name = f'secret-{i:02}.{"png" if k else "jpg"}'
      Image.fromarray(image).save(folder / name)
  return folders


def parse(*words):
  parser = argparse.ArgumentParser()
  commands = console.Commands(parser.add_subparsers(required=True), 'research')
  cli_arguments.add(commands)
  return parser.parse_args(['study', *map(str, words)])


def arguments(path, *more):
  originals, *outputs = [path / 'originals', *sorted(path.glob('model-*'))]
  words = ['--originals', originals, '--answers', path / 'answers.sqlite']
  for folder in outputs:
    words += ['--outputs', folder.name, folder]
  return parse(*words, '--port', 0, *more)


def test_missing_partners_are_listed(tmp_path):
  originals, output, _ = make_folders(tmp_path)
  photo = (originals / 'secret-03.jpg').read_bytes()
  (originals / 'secret-03.jpg').unlink()
  with pytest.raises(ValueError, match='secret-03'):
    command.prepare(arguments(tmp_path))
  (originals / 'secret-03.jpg').write_bytes(photo)
  (output / 'secret-05.png').unlink()
  with pytest.raises(ValueError, match='secret-05'):
    command.prepare(arguments(tmp_path))
  (output / 'secret-03.jpg').write_bytes(b'')
  with pytest.raises(ValueError, match='secret-03'):
    command.prepare(arguments(tmp_path))


def test_other_sizes_and_broken_files_are_named(tmp_path):
  _, output, other = make_folders(tmp_path)
  Image.new('RGB', (16, 18)).save(output / 'secret-02.png')
  Image.new('RGB', (8, 16)).save(other / 'secret-04.png')
  with pytest.raises(ValueError, match=r'(?s)-02.png: 16x18.*-04.png: 8x16'):
    command.prepare(arguments(tmp_path))
  (output / 'secret-02.png').write_bytes(b'no image')
  with pytest.raises(ValueError, match='secret-02.png'):
    command.prepare(arguments(tmp_path))
  Image.fromarray(np.zeros([16, 16], np.uint16)).save(output / 'secret-02.png')
  with pytest.raises(ValueError, match='secret-02.png'):
    command.prepare(arguments(tmp_path))


def test_missing_arguments_and_files_are_named(tmp_path):
  with pytest.raises(ValueError, match='--outputs'):
    command.prepare(parse('--originals', tmp_path))
  with pytest.raises(FileNotFoundError, match='none.sqlite'):
    command.run(parse('--report', '--answers', tmp_path / 'none.sqlite'))
  assert not (tmp_path / 'none.sqlite').exists()
  make_folders(tmp_path)
  with socket.create_server(('127.0.0.1', 0)) as listener:
    port = listener.getsockname()[1]
    with pytest.raises(ValueError, match=f'port {port}'):
      command.prepare(arguments(tmp_path, '--port', port))


# The protocol.


class Browser:
  """A rater's browser, which keeps all responses."""

  def __init__(self, application, page='page'):
    self._client = test.Client(application)
    self.responses, self.page = [], page

  def get(self, path):
    return self._keep(self._client.get(path))

  def post(self, path, **fields):
    return self._keep(self._client.post(path, json=fields))

  def _keep(self, response):
    self.responses.append(response)
    return response

  def show(self, due):
    return self.post('/shown', trial=due['trial'], page=self.page)

  def answer(self, due, left=True, milliseconds=1000):
    return self.post(
      '/answer', trial=due['trial'], left=left, milliseconds=milliseconds
    )


@pytest.fixture
def serve(tmp_path):
  """Applications over the same folders and answers, one after another."""
  make_folders(tmp_path)
  opened = []

  def open_study(*more):
    args = arguments(tmp_path, *more)
    application, http_server = command.prepare(args)
    http_server.server_close()
    opened.append(application)
    return application

  yield open_study
  for application in opened:
    application.close()


def test_a_session_from_the_first_trial_to_the_report(serve, tmp_path):
  application = serve('--seed', 5)
  rater = Browser(application)
  assert rater.get('/trial').json == {'state': 'new', 'seconds': 3, 'of': 14}
  due = rater.post('/begin').json
  read = lambda kind, name: matching.read(str(tmp_path / kind / name))  # noqa: E731
  photos = {
    read('originals', f'secret-{i:02}.jpg').tobytes() for i in range(14)
  }
  for number in range(1, 15):
    assert due['number'] == number and not due['shown']
    sides = []
    for side in 'left', 'right':
      with Image.open(io.BytesIO(rater.get(f'/{due[side]}').data)) as image:
        sides.append(np.array(image).tobytes() in photos)
    assert sorted(sides) == [False, True]  # one of the two is the photo
    assert rater.show(due).status_code == 200
    due = rater.answer(due, left=sides[0], milliseconds=100 * number).json
  assert due == {'state': 'done', 'seconds': 3, 'of': 14}
  assert rater.get('/trial').json == due

  text = command.write_report(str(tmp_path / 'answers.sqlite'))
  assert '1 raters began, 1 answered, 1 finished' in text
  report = json.loads((tmp_path / 'answers.report.json').read_text())
  assert [rate['value'] for rate in report['fool_rates']] == [0, 0]
  assert report['times']['median'] == pytest.approx(0.75)
  assert report['raters']['counted'] == 1
  assert (tmp_path / 'answers.report.md').read_text() == f'{text}\n'


def test_nothing_gives_the_original_away(serve):
  application = serve()
  rater = Browser(application)
  due = rater.post('/begin').json
  for path in '/', '/study.css', '/study.js', '/nothing':
    rater.get(path)
  headers, addresses, tokens = set(), [], set()
  while due['state'] == 'trial':
    for side in 'left', 'right':
      response = rater.get(f'/{due[side]}')
      assert len(due[side]) > 20  # 18 random bytes
      addresses.append(due[side])
      headers.add(
        tuple((k, v) for k, v in response.headers if k != 'Content-Length')
      )
    tokens |= {due[name].split('/')[-1] for name in ('left', 'right', 'trial')}
    rater.show(due)
    due = rater.answer(due).json
  assert len(headers) == 1
  names = {name.lower() for name, _ in headers.pop()}
  assert not names & {'etag', 'last-modified', 'content-disposition'}
  assert len(set(addresses)) == 28
  for response in rater.responses:
    cookie = response.headers.get('Set-Cookie', '').partition('=')[2]
    words = f'{response.headers}{response.data!r}'
    for random in tokens | {cookie.partition(';')[0]} - {''}:
      words = words.replace(random, '')  # it may spell anything
    assert not re.search(r'secret|model-|jpg|originals|digest', words)
  # Not stable either: the same trials of another study file have other ones.
  assert not set(addresses) & {
    t[k]
    for t in [Browser(application).post('/begin').json]
    for k in t.keys() & {'left', 'right'}
  }


def test_an_image_is_served_until_shown_and_to_one_rater(serve):
  application = serve()
  rater, other = Browser(application), Browser(application)
  due = rater.post('/begin').json
  other.post('/begin')
  stranger = Browser(application)
  assert rater.get(f'/{due["left"]}').status_code == 200
  assert rater.get(f'/{due["left"]}').status_code == 200  # the line broke off
  assert other.get(f'/{due["left"]}').status_code == 404
  assert stranger.get(f'/{due["left"]}').status_code == 404
  assert rater.get('/image/guess').status_code == 404
  rater.show(due)
  assert rater.get(f'/{due["left"]}').status_code == 404
  # After a reload: the same trial, and no second look.
  again = rater.get('/trial').json
  assert again['trial'] == due['trial'] and again['shown']
  assert not {'left', 'right'} & set(again)


def test_only_one_page_shows_a_trial(serve):
  application = serve()
  rater = Browser(application)
  due = rater.post('/begin').json
  assert rater.show(due).status_code == 200
  assert rater.show(due).status_code == 200  # it had not heard of the first
  rater.page = 'another'
  assert rater.show(due).status_code == 409
  assert rater.answer(due, milliseconds=None).status_code == 200


def test_unknown_and_repeated_answers_are_refused(serve, tmp_path):
  application = serve()
  rater, other = Browser(application), Browser(application)
  due = rater.post('/begin').json
  others = other.post('/begin').json

  assert rater.answer(due).status_code == 409  # not shown yet
  assert rater.answer({'trial': 'guess'}).status_code == 404
  rater.show(due)
  assert other.answer(due).status_code == 404  # somebody else's
  assert rater.show(others).status_code == 404
  assert Browser(application).answer(due).status_code == 404  # nobody's
  following = rater.answer(due, left=True)
  assert following.status_code == 200
  assert rater.answer(due, left=False).status_code == 409
  assert rater.show(due).status_code == 409
  assert following.json['number'] == 2
  (row,) = answers.load(str(tmp_path / 'answers.sqlite'))[2]
  assert row.chose_left is True


@pytest.mark.parametrize(
  'sent',
  [
    dict(trial='x', left='left', milliseconds=1),
    dict(trial='x', left=1, milliseconds=1),
    dict(trial='x', left=True, milliseconds=1.5),
    dict(trial='x', left=True, milliseconds=True),
    dict(trial=3, left=True, milliseconds=1),
    dict(trial='x', left=True),
    dict(trial='x', left=True, milliseconds=1, more=1),
  ],
)
def test_malformed_answers_are_refused(serve, sent):
  rater = Browser(serve())
  rater.post('/begin')
  assert rater.post('/answer', **sent).status_code == 400


def test_malformed_requests_are_refused(serve):
  client = test.Client(serve())
  assert client.post('/begin', data={'a': 'b'}).status_code == 415
  wrong = dict(content_type='application/json')
  assert client.post('/begin', data='{', **wrong).status_code == 400
  assert client.post('/answer', data='[]', **wrong).status_code == 400
  assert client.post('/answer', data='1' * 5000, **wrong).status_code == 413
  assert client.get('/begin').status_code == 405
  assert client.get('/answer').status_code == 405
  assert client.post('/').status_code == 405


@pytest.mark.parametrize(
  'path',
  [
    '/../trials.py',
    '/page/study.js',
    '/index.html',
    '//study.js',
    '/image/../../originals/secret-01.jpg',
    '/image/%2e%2e%2foriginals',
    '/originals/secret-01.jpg',
    '/answers.sqlite',
    '/study.js/',
    '/study.js%00',
  ],
)
def test_only_known_paths_are_served(serve, path):
  assert test.Client(serve()).get(path).status_code == 404


def test_strange_times_are_dropped(serve, tmp_path):
  rater = Browser(serve())
  due = rater.post('/begin').json
  for milliseconds in -1, 10**12, 2**70:
    rater.show(due)
    due = rater.answer(due, milliseconds=milliseconds).json
  rows = answers.load(str(tmp_path / 'answers.sqlite'))[2]
  assert [row.milliseconds for row in rows] == [None] * 3


def test_a_second_person_on_one_device_is_another_rater(serve, tmp_path):
  rater = Browser(serve('--trials', 1))
  due = first = rater.post('/begin').json
  assert rater.post('/begin').json == first  # has not finished
  while due['state'] == 'trial':
    rater.show(due)
    due = rater.answer(due).json
  second = rater.post('/begin').json
  assert second['number'] == 1 and second['trial'] != first['trial']
  assert answers.load(str(tmp_path / 'answers.sqlite'))[1] == 2


def test_many_raters_at_once(serve, tmp_path):
  application = serve('--trials', 3)

  def sit(page):
    rater = Browser(application, page)
    due = rater.post('/begin').json
    while due['state'] == 'trial':
      assert rater.get(f'/{due["right"]}').status_code == 200
      assert rater.show(due).status_code == 200
      due = rater.answer(due).json
    return rater

  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map(sit, [f'page-{i}' for i in range(8)]))
  study, raters, rows = answers.load(str(tmp_path / 'answers.sqlite'))
  assert raters == 8 and len(rows) == 8 * 11
  for rater in range(8):
    assert [
      trials.Trial(row.image, row.model, row.fake_left)
      for row in rows
      if row.rater == rater
    ] == trials.session(study, rater)


def test_a_server_continues_where_another_stopped(serve, tmp_path):
  first = serve()
  rater = Browser(first)
  due = rater.post('/begin').json
  rater.show(due)
  due = rater.answer(due).json
  second = serve()  # both have the file open
  rater._client.application = second
  assert rater.get('/trial').json == due
  for change in ['--seed', 1], ['--seconds', 5], ['--trials', 3]:
    with pytest.raises(ValueError, match=f'its {change[0][2:]}'):
      serve(*change)
  Image.new('RGB', (16, 16)).save(tmp_path / 'model-0/secret-00.png')
  with pytest.raises(ValueError, match='other images'):
    serve()


@pytest.mark.parametrize('content', [b'SQLite format 4\0' * 99, b'words'])
def test_other_files_are_refused(serve, tmp_path, content):
  path = tmp_path / 'answers.sqlite'
  path.write_bytes(content)
  with pytest.raises(ValueError, match='answers.sqlite'):
    serve()
  with pytest.raises(ValueError, match='answers.sqlite'):
    answers.load(str(path))
  assert path.read_bytes() == content


def test_a_failure_shows_no_details(serve, tmp_path):
  application = serve()
  rater = Browser(application)
  due = rater.post('/begin').json
  for path in tmp_path.glob('*/secret-*'):
    path.unlink()
  response = rater.get(f'/{due["left"]}')
  assert response.status_code == 500
  assert 'secret' not in response.text


def test_a_study_without_answers_has_a_report(serve, tmp_path):
  serve()
  text = command.write_report(str(tmp_path / 'answers.sqlite'))
  assert '0 raters began' in text and 'No answers count' in text


def test_the_page_asks_for_nothing_from_elsewhere():
  for name in 'index.html', 'study.css', 'study.js':
    text = (server._PAGE / name).read_text()
    assert not re.search(r'https?:|//[a-z]|@import|@font-face', text), name
