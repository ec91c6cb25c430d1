"""Who sees what, what the server tells and refuses, and what answers mean."""

import argparse
import collections
import concurrent.futures
import io
import json
import re
import socket

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from PIL import Image
from werkzeug import test

from palette_jax import console, images
from palette_jax.evaluation import arguments as cli_arguments
from palette_jax.evaluation import matching as folders
from palette_jax.study import answers as store
from palette_jax.study import command, findings, rates, server, stimuli
from palette_jax.study import trials as plan


def study_of(images=20, models=2, trials=10, seed=0, seconds=3):
  return plan.Study(
    tuple(f'model-{i}' for i in range(models)),
    tuple(f'photo-{i:03}' for i in range(images)),
    trials,
    seconds,
    seed,
    'digest',
  )


# Who sees what.


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(strategies.data())
def test_every_session_is_balanced_and_repeats_nothing(data):
  images = data.draw(strategies.integers(plan.CATCHES + 1, 60))
  models = data.draw(strategies.integers(1, 5))
  trials = data.draw(strategies.integers(1, images - plan.CATCHES))
  rater = data.draw(strategies.integers(0, 40))
  session = plan.session(study_of(images, models, trials, rater), rater)

  assert len(session) == trials + plan.CATCHES
  assert len({trial.image for trial in session}) == len(session)
  catches = [trial for trial in session if trial.model is None]
  assert len(catches) == plan.CATCHES
  assert sum(trial.fake_left for trial in catches) == plan.CATCHES // 2
  own = [trial for trial in session if trial.model is not None]

  def apart(counts):
    return max(counts) - min(counts)

  names = study_of(images, models).models
  of = {name: [t for t in own if t.model == name] for name in names}
  assert apart([len(of[name]) for name in names]) <= 1
  for these in [own, *of.values()]:
    left = sum(trial.fake_left for trial in these)
    assert apart([left, len(these) - left]) <= 1


@pytest.mark.parametrize('models', [1, 2, 3])
def test_a_group_sees_each_output_once_on_either_side(models):
  study = study_of(images=23, models=models, trials=11)
  for group in range(3):
    raters = range(2 * models * group, 2 * models * (group + 1))
    seen = collections.Counter(
      trial
      for rater in raters
      for trial in plan.session(study, rater)
      if trial.model is not None
    )
    assert set(seen.values()) == {1}
    assert len(seen) == 11 * models * 2
    assert len({trial.image for trial in seen}) == 11


def test_no_original_is_dealt_more_often_than_another():
  study = study_of(images=23, models=1, trials=10)
  dealt = collections.Counter({image: 0 for image in study.images})
  for group in range(12):
    dealt.update(
      t.image for t in plan.session(study, 2 * group) if t.model is not None
    )
    assert max(dealt.values()) - min(dealt.values()) <= 1


def test_catch_trials_are_spread_and_the_order_is_each_raters_own():
  study = study_of(images=60, trials=40)
  first = plan.session(study, 0)
  for part in range(plan.CATCHES):
    assert sum(t.model is None for t in first[6 * part : 6 * part + 6]) == 1
  # Raters of a group share originals, in orders that have nothing in common.
  second = plan.session(study, 1)
  order = {t.image: i for i, t in enumerate(second) if t.model is not None}
  places = [order[t.image] for t in first if t.model is not None]
  assert abs(np.corrcoef(places, range(40))[0, 1]) < 0.5


def test_the_seed_decides():
  assert plan.session(study_of(seed=3), 5) == plan.session(study_of(seed=3), 5)
  assert plan.session(study_of(seed=3), 5) != plan.session(study_of(seed=4), 5)


def test_too_few_originals_are_an_error():
  with pytest.raises(
    ValueError, match='needs 9 originals or more.*there are 8'
  ):
    plan.check(['a'], [str(i) for i in range(8)], None)
  with pytest.raises(ValueError, match='between 1 and 12.*got 13'):
    plan.check(['a'], [str(i) for i in range(20)], 13)
  with pytest.raises(ValueError, match='same name; got a, a'):
    plan.check(['a', 'a'], [str(i) for i in range(20)], 1)
  assert plan.check(['a'], [str(i) for i in range(20)], None) == 12
  assert plan.check(['a'], [str(i) for i in range(500)], None) == plan.TRIALS


# Pictures.


def test_a_picture_is_its_pixels_and_nothing_else(tmp_path):
  pixels = np.random.default_rng(0).integers(0, 256, [20, 30, 3], np.uint8)
  exif = Image.Exif()
  exif[0x010F] = 'Camera Maker'
  path = tmp_path / 'photo.jpg'
  Image.fromarray(pixels).save(
    path, exif=exif, icc_profile=b'profile', dpi=(300, 300), comment=b'words'
  )
  file = images.png(folders.read(str(path)))
  assert re.findall(rb'IHDR|IDAT|IEND|[a-z][A-Z]{2}[a-zA-Z]', file[:60])
  chunks, place = [], 8
  while place < len(file):
    length = int.from_bytes(file[place : place + 4], 'big')
    chunks.append(file[place + 4 : place + 8])
    place += 12 + length
  assert set(chunks) == {b'IHDR', b'IDAT', b'IEND'}
  with Image.open(path) as before, Image.open(io.BytesIO(file)) as after:
    np.testing.assert_array_equal(before, after)
  # Of another format, but of the same pixels: the same file.
  again = tmp_path / 'output.png'
  Image.fromarray(folders.read(str(path))).save(again)
  assert images.png(folders.read(str(again))) == file


@pytest.mark.parametrize('level', [0, 90, 255])
def test_even_an_empty_photo_is_spoilt_visibly(level):
  flat = np.full([50, 70, 3], level, np.uint8)
  spoilt = stimuli.spoil(flat)
  assert spoilt.shape == flat.shape and spoilt.dtype == np.uint8
  assert spoilt.std() > 15


def test_a_spoilt_photo_keeps_its_colours_but_no_detail():
  draw = np.random.default_rng(0)
  photo = draw.integers(0, 256, [64, 64, 3], np.uint8)
  photo[..., 0] = photo[..., 0] // 2
  spoilt = stimuli.spoil(photo).astype(float)
  assert abs(spoilt.mean((0, 1)) - photo.mean((0, 1))).max() < 6
  assert abs(spoilt[0:5, 0:5] - spoilt[0, 0]).max() == 0


# The command, before anything is served.


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
  cli_arguments.study(commands)
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
  with pytest.raises(ValueError, match=r'(?s)1 of .* no original.*-03'):
    command.prepare(arguments(tmp_path))
  (originals / 'secret-03.jpg').write_bytes(photo)
  (output / 'secret-05.png').unlink()
  with pytest.raises(ValueError, match=r'(?s)1 of .* no output.*-05'):
    command.prepare(arguments(tmp_path))
  (output / 'secret-03.jpg').write_bytes(b'')
  with pytest.raises(ValueError, match='secret-03.*which is meant'):
    command.prepare(arguments(tmp_path))


def test_other_sizes_and_broken_files_are_named(tmp_path):
  _, output, other = make_folders(tmp_path)
  Image.new('RGB', (16, 18)).save(output / 'secret-02.png')
  Image.new('RGB', (8, 16)).save(other / 'secret-04.png')
  with pytest.raises(
    ValueError, match=r'(?s)2 are not.*-02.png: 16x18.*-04.png: 8x16'
  ):
    command.prepare(arguments(tmp_path))
  (output / 'secret-02.png').write_bytes(b'no image')
  with pytest.raises(ValueError, match='secret-02.png cannot be read'):
    command.prepare(arguments(tmp_path))
  Image.fromarray(np.zeros([16, 16], np.uint16)).save(output / 'secret-02.png')
  with pytest.raises(ValueError, match='secret-02.png cannot be read.*8 bits'):
    command.prepare(arguments(tmp_path))


def test_what_the_command_lacks_is_said(tmp_path):
  with pytest.raises(ValueError, match='give --outputs MODEL DIR'):
    command.prepare(parse('--originals', tmp_path))
  with pytest.raises(FileNotFoundError, match='There is no .*none.sqlite'):
    command.run(parse('--report', '--answers', tmp_path / 'none.sqlite'))
  assert not (tmp_path / 'none.sqlite').exists()
  make_folders(tmp_path)
  with socket.create_server(('127.0.0.1', 0)) as taken:
    port = taken.getsockname()[1]
    with pytest.raises(ValueError, match=f'port {port}, cannot be served'):
      command.prepare(arguments(tmp_path, '--port', port))


# The protocol.


class Browser:
  """A rater, who keeps all that the server ever said."""

  def __init__(self, application, page='page'):
    self._client = test.Client(application)
    self.said, self.page = [], page

  def get(self, path):
    return self._keep(self._client.get(path))

  def post(self, path, **fields):
    return self._keep(self._client.post(path, json=fields))

  def _keep(self, response):
    self.said.append(response)
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

  def make(*more):
    args = arguments(tmp_path, *more)
    serving = command.prepare(args)
    serving.server_close()
    opened.append(serving.app)
    return serving.app

  yield make
  for application in opened:
    application.close()


def test_a_session_from_the_first_trial_to_the_report(serve, tmp_path):
  application = serve('--seed', 5)
  rater = Browser(application)
  assert rater.get('/trial').json == {'state': 'new', 'seconds': 3, 'of': 14}
  due = rater.post('/begin').json
  read = lambda kind, name: folders.read(str(tmp_path / kind / name))  # noqa: E731
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
  made = json.loads((tmp_path / 'answers.report.json').read_text())
  assert [rate['value'] for rate in made['fool_rates']] == [0, 0]
  assert made['times']['median'] == pytest.approx(0.75)
  assert made['raters']['counted'] == 1


def test_nothing_tells_which_is_which(serve):
  application = serve()
  rater = Browser(application)
  due = rater.post('/begin').json
  for path in '/', '/study.css', '/study.js', '/nothing':
    rater.get(path)
  headers, addresses, chance = set(), [], set()
  while due['state'] == 'trial':
    for side in 'left', 'right':
      response = rater.get(f'/{due[side]}')
      assert len(due[side]) > 20  # 18 random bytes
      addresses.append(due[side])
      headers.add(
        tuple((k, v) for k, v in response.headers if k != 'Content-Length')
      )
    chance |= {due[name].split('/')[-1] for name in ('left', 'right', 'trial')}
    rater.show(due)
    due = rater.answer(due).json
  assert len(headers) == 1
  names = {name.lower() for name, _ in headers.pop()}
  assert not names & {'etag', 'last-modified', 'content-disposition'}
  assert len(set(addresses)) == 28
  for response in rater.said:
    cookie = response.headers.get('Set-Cookie', '').partition('=')[2]
    words = f'{response.headers}{response.data!r}'
    for random in chance | {cookie.partition(';')[0]} - {''}:
      words = words.replace(random, '')  # it may spell anything
    assert not re.search(r'secret|model-|jpg|originals|digest', words)
  # Not stable either: the same trials of another study file have other ones.
  assert not set(addresses) & {
    t[k]
    for t in [Browser(application).post('/begin').json]
    for k in t.keys() & {'left', 'right'}
  }


def test_a_picture_is_there_once_and_for_one(serve):
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
  # The page is loaded anew: the same trial, and no second look.
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
  (row,) = store.load(str(tmp_path / 'answers.sqlite'))[2]
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
def test_answers_of_other_forms_are_refused(serve, sent):
  rater = Browser(serve())
  rater.post('/begin')
  assert rater.post('/answer', **sent).status_code == 400


def test_requests_of_other_forms_are_refused(serve):
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
    '/../plan.py',
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


def test_strange_times_are_nobodys(serve, tmp_path):
  rater = Browser(serve())
  due = rater.post('/begin').json
  for milliseconds in -1, 10**12, 2**70:
    rater.show(due)
    due = rater.answer(due, milliseconds=milliseconds).json
  rows = store.load(str(tmp_path / 'answers.sqlite'))[2]
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
  assert store.load(str(tmp_path / 'answers.sqlite'))[1] == 2


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
  study, raters, rows = store.load(str(tmp_path / 'answers.sqlite'))
  assert raters == 8 and len(rows) == 8 * 11
  for rater in range(8):
    assert [
      plan.Trial(row.image, row.model, row.fake_left)
      for row in rows
      if row.rater == rater
    ] == plan.session(study, rater)


def test_a_server_goes_on_where_another_stopped(serve, tmp_path):
  first = serve()
  rater = Browser(first)
  due = rater.post('/begin').json
  rater.show(due)
  due = rater.answer(due).json
  second = serve()  # both have the file open
  rater._client.application = second
  assert rater.get('/trial').json == due
  for change in ['--seed', 1], ['--seconds', 5], ['--trials', 3]:
    with pytest.raises(ValueError, match=f'another study: its {change[0][2:]}'):
      serve(*change)
  Image.new('RGB', (16, 16)).save(tmp_path / 'model-0/secret-00.png')
  with pytest.raises(ValueError, match='another study: other images'):
    serve()


@pytest.mark.parametrize('content', [b'SQLite format 4\0' * 99, b'words'])
def test_other_files_are_no_answers(serve, tmp_path, content):
  path = tmp_path / 'answers.sqlite'
  path.write_bytes(content)
  with pytest.raises(
    ValueError, match='answers.sqlite (cannot be opened|is not)'
  ):
    serve()
  with pytest.raises(
    ValueError, match='answers.sqlite (cannot be opened|is not)'
  ):
    store.load(str(path))
  assert path.read_bytes() == content


def test_the_server_fails_softly(serve, tmp_path):
  """What went wrong is for its owner; the page gets a word to ask again."""
  application = serve()
  rater = Browser(application)
  due = rater.post('/begin').json
  for path in tmp_path.glob('*/secret-*'):
    path.unlink()
  response = rater.get(f'/{due["left"]}')
  assert response.status_code == 500
  assert 'secret' not in response.text


# What answers mean.


def simulate(draw, raters, images, sd_raters, sd_images, mean=-0.1):
  """Answers of a probit model: hits, raters, images, and the true share."""
  study = study_of(images=images, models=2, trials=min(50, images - 8))
  pairs = [
    (rater, int(trial.image[-3:]))
    for rater in range(raters)
    for trial in plan.session(study, rater)
    if trial.model == 'model-0'
  ]
  rater, image = np.array(pairs).T

  def once():
    lean = draw.normal(0, sd_raters, raters)[rater]
    ease = draw.normal(0, sd_images, images)[image]
    return draw.normal(mean, 1, len(pairs)) + lean + ease > 0

  from scipy import stats

  total = np.sqrt(1 + sd_raters**2 + sd_images**2)
  return once, rater, image, float(stats.norm.cdf(mean / total))


@pytest.mark.parametrize(
  'raters,sd_raters,sd_images',
  [
    (12, 0.3, 0.4),
    (30, 0.3, 0.4),
    (30, 0.0, 0.0),
    (20, 0.7, 0.1),
    (20, 0.1, 0.7),
  ],
)
def test_the_interval_covers(monkeypatch, raters, sd_raters, sd_images):
  """As often as it says, whichever of the two varies: in 400 simulated studies.

  By chance alone, 95% would come out between 92% and 98%.
  """
  monkeypatch.setattr(rates, 'RESAMPLES', 400)
  draw = np.random.default_rng(0)
  once, rater, image, truth = simulate(draw, raters, 100, sd_raters, sd_images)
  covered = independent = 0
  for seed in range(400):
    share = rates.share(hits := once(), rater, image, seed)
    covered += share.low <= truth <= share.high
    p = hits.mean()
    independent += abs(p - truth) < 1.96 * np.sqrt(p * (1 - p) / len(hits))
  assert 0.92 <= covered / 400 <= 0.98
  if max(sd_raters, sd_images) > 0.5:
    assert independent / 400 < 0.85


def test_an_interval_keeps_to_what_can_be():
  rater, image = np.arange(40) % 8, np.arange(40) // 8
  none = rates.share(np.zeros(40, bool), rater, image)
  assert none.low == none.value == 0
  assert none.high == pytest.approx(1 - 0.025 ** (1 / 40))
  every = rates.share(np.ones(40, bool), rater, image)
  assert every.high == 1 and every.low == pytest.approx(1 - none.high)
  one = rates.share(np.arange(40) == 3, rater, image)
  assert 0 <= one.low < one.value == 1 / 40 < one.high
  assert (one.answers, one.raters, one.images) == (40, 8, 5)


def test_raters_and_images_without_any_difference():
  """Half of each rater's answers and half of each image's are hits."""
  rater, image = np.divmod(np.arange(36), 6)
  share = rates.share((rater + image) % 2 == 0, rater, image)
  half = 1.96 * np.sqrt(0.25 / 36)
  assert share.high - 0.5 == pytest.approx(half, rel=0.15)
  assert 0.5 - share.low == pytest.approx(half, rel=0.15)


def test_one_rater_has_an_interval():
  share = rates.share(np.arange(40) % 4 == 0, np.zeros(40, int), np.arange(40))
  assert share.low < 0.25 < share.high and share.raters == 1


def test_names_of_raters_and_images_do_not_matter():
  draw = np.random.default_rng(0)
  once, rater, image, _ = simulate(draw, 8, 40, 0.5, 0.5)
  hits = once()
  assert rates.share(hits, rater, image, 1) == rates.share(
    hits, 7 * rater + 3, image * 1000, 1
  )
  assert rates.share(hits, rater, image, 1) != rates.share(
    hits, rater, image, 2
  )


def test_a_difference_is_paired():
  """Raters who are all taken in by both models: the difference is certain."""
  draw = np.random.default_rng(0)
  lean = draw.uniform(0.05, 0.95, 12)
  rater = np.repeat(np.arange(12), 60)
  image = np.tile(np.arange(60), 12)
  second = (rater + image) % 2 == 1
  hits = draw.uniform(size=720) < lean[rater]
  paired = rates.difference(hits, rater, image, second)
  single = rates.share(hits[second], rater[second], image[second])
  assert paired.low < 0 < paired.high
  assert paired.high - paired.low < 0.6 * (single.high - single.low)
  swapped = rates.difference(hits, rater, image, ~second)
  assert swapped.value == pytest.approx(-paired.value)


def test_variance_is_found_where_it_is():
  draw = np.random.default_rng(0)
  rater, image = np.divmod(np.arange(200 * 150), 150)
  people, photos = draw.normal(0, 0.15, 200), draw.normal(0, 0.08, 150)
  chance = 0.5 + people[rater] + photos[image]
  hits = draw.uniform(size=len(rater)) < chance
  found = rates.components(hits, rater, image)
  assert found.rater == pytest.approx(people.var(), rel=0.1)
  assert found.image == pytest.approx(photos.var(), rel=0.2)
  assert sum(found) == pytest.approx(0.25, rel=0.02)
  # Nothing was seen twice: images cannot be told from chance.
  once = np.arange(20)
  assert rates.components(hits[:20], once % 4, once) is None


def test_as_many_raters_as_are_needed_give_the_precision(monkeypatch):
  monkeypatch.setattr(rates, 'RESAMPLES', 500)
  draw = np.random.default_rng(1)
  once, rater, image, _ = simulate(draw, 60, 100, 0.4, 0.3)
  many = [rates.components(once(), rater, image) for _ in range(20)]
  parts = rates.Components(*np.mean(many, 0).tolist())
  needed = rates.raters_needed(parts, 0.05, 25, 100)
  once, rater, image, _ = simulate(draw, needed, 100, 0.4, 0.3)
  halves = []
  for _ in range(20):
    share = rates.share(once(), rater, image)
    halves.append((share.high - share.low) / 2)
  assert np.mean(halves) == pytest.approx(0.05, rel=0.15)
  # Images that differ much set a limit that raters cannot move.
  parts = rates.Components(rater=0.01, image=0.09, answer=0.15)
  assert rates.raters_needed(parts, 0.05, 25, 100) is None
  enough = rates.images_needed(parts, 0.05)
  assert rates.raters_needed(parts, 0.05, 25, enough) is not None


def rows_of(study, rater, choose, answers=None):
  """A session's rows; choose(trial) says whether the fake is chosen."""
  session = plan.session(study, rater)[:answers]
  return [
    store.Row(rater, *trial, choose(trial) == trial.fake_left, 1500)
    for trial in session
  ]


def test_those_who_guess_are_excluded_and_those_who_look_are_not():
  study = study_of(images=58, trials=50)
  draw = np.random.default_rng(0)
  guess = lambda trial: draw.uniform() < 0.5  # noqa: E731

  def look(trial):  # taken in by 2 of 10 outputs, and slips at a catch trial
    return draw.uniform() < (0.02 if trial.model is None else 0.2)

  rows = [
    row
    for rater in range(200)
    for row in rows_of(study, rater, look if rater < 100 else guess)
  ]
  made = findings.make(study, 200, rows)
  excluded = {one['rater'] for one in made['raters']['excluded']}
  # Guessing passes in 9 of 256 cases, looking fails in 1%.
  assert sum(rater < 100 for rater in excluded) <= 4
  assert sum(rater >= 100 for rater in excluded) >= 90
  for rate in made['fool_rates']:
    assert rate['low'] < 0.215 and rate['value'] < 0.23
    assert rate['of_all_raters'] == pytest.approx(0.35, abs=0.03)


@pytest.mark.parametrize(
  'right,total,expected',
  [(8, 8, True), (7, 8, True), (6, 8, False), (7, 7, True), (6, 7, False)]
  + [(5, 5, True), (4, 5, False), (4, 4, False), (0, 0, False)],
)
def test_the_rule_is_the_one_that_is_told(right, total, expected):
  assert findings.counts(right, total) is expected


def test_the_report_says_what_happened():
  study = study_of(images=58, trials=50)
  rows = []
  for rater in range(12):
    rows += rows_of(study, rater, lambda trial: trial.model == 'model-1')
  rows += rows_of(study, 12, lambda trial: trial.fake_left)  # always left
  rows += rows_of(study, 13, lambda trial: False, answers=10)  # stopped
  rows.append(rows[0]._replace(chose_left=None, milliseconds=None))
  rows[1] = rows[1]._replace(milliseconds=None)
  rows[2] = rows[2]._replace(milliseconds=3000)
  made = findings.make(study, 20, rows)
  assert made == json.loads(json.dumps(made))
  assert made['raters']['began'] == 20
  assert made['raters']['answered'] == 14
  assert made['raters']['finished'] == 13
  assert made['raters']['counted'] == 12
  early = {
    one['rater']: one['stopped_early'] for one in made['raters']['excluded']
  }
  assert early == {12: False, 13: True}
  assert [rate['value'] for rate in made['fool_rates']] == [0, 1]
  (difference,) = made['differences']
  assert difference['value'] == -1
  assert difference['low'] == -1 < difference['high'] < -0.95
  assert made['left']['value'] == 0.5
  times = made['times']
  assert times['answers'] == 12 * 58 and times['never'] == 1
  assert times['after'] == times['after_a_reload'] == 1
  text = findings.text(made)
  assert 'rater 12: 4 of 8 catch trials right; 50 answers not counted' in text
  assert 'stopped early' in text
  assert '| model-1 | 100.0% |' in text
  assert '| colorization | Palette | 47.8% |' in text
  assert '| colorization | ColTran | 36.55% |' in text


def test_a_lean_to_the_left_is_seen():
  study = study_of(images=58, trials=50)
  draw = np.random.default_rng(0)
  rows = []
  for rater in range(12):
    rows += rows_of(
      study,
      rater,
      lambda t: t.model is not None and (draw.uniform() < 0.7) == t.fake_left,
    )
  left = findings.make(study, 12, rows)['left']
  assert left['value'] == pytest.approx(0.7, abs=0.05)
  assert left['low'] > 0.55


def test_a_study_without_answers_has_a_report(serve, tmp_path):
  serve()
  text = command.write_report(str(tmp_path / 'answers.sqlite'))
  assert '0 raters began' in text and 'No answers count' in text


def test_the_page_asks_for_nothing_from_elsewhere():
  for name in 'index.html', 'study.css', 'study.js':
    text = (server._PAGE / name).read_text()
    assert not re.search(r'https?:|//[a-z]|@import|@font-face', text), name
