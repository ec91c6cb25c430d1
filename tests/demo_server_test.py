"""The demo's answers and refusals, tested without a browser."""

import dataclasses
import hashlib
import http.client
import io
import json
import re
import subprocess
import sys
import threading
import zlib

import fake_model
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from waiting import Clock, until
from werkzeug import test

import palette_jax
from palette_jax import images, tasks, web
from palette_jax.demo import command, previews, requests, server, shelf
from palette_jax.diffusion import sampler_config
from palette_jax.photo import limits, reader, recipe
from palette_jax.photo import photo as photos


class Page:
  """Sends the requests of the page, and keeps all responses."""

  def __init__(self, application):
    self.client = test.Client(application)
    self.responses = []

  def get(self, path, **more):
    return self._keep(self.client.get(path, **more))

  def post(self, path, fields=None, **more):
    return self._keep(self.client.post(path, json=fields or {}, **more))

  def send(self, path, file):
    kind = 'application/octet-stream'
    sent = self.client.post(path, data=file, content_type=kind)
    return self._keep(sent)

  def _keep(self, response):
    response.get_data()  # keeps it
    response.close()
    self.responses.append(response)
    return response

  def upload(self, file, name='photo.png'):
    return self.send(f'/photo?name={name}', file).json

  def begin(self, task, photo, mask='', sides=(0, 0, 0, 0), **sampling):
    sampling = dict(seed=3, samples=1, sampler='', steps=0) | sampling
    names = ('left', 'right', 'top', 'bottom')
    sides = dict(zip(names, sides)) if isinstance(sides, tuple) else sides
    fields = dict(task=task, photo=photo, mask=mask, sides=sides, **sampling)
    return self.post('/job', fields)

  def sample(self, *args, **more):
    name = self.begin(*args, **more).json['id']
    until(lambda: self.state(name) not in ('waiting', 'running'))
    return name, self.get(f'/job/{name}').json

  def state(self, name):
    return self.get(f'/job/{name}').json['state']


@pytest.fixture
def model():
  return fake_model.FakeModel()


@pytest.fixture
def application(model):
  application = server.Application(model)
  yield application
  model.gate.set()
  application.close()


@pytest.fixture
def page(application):
  return Page(application)


def noise(height=40, width=60, channels=3, seed=0):
  draw = np.random.default_rng(seed)
  image = draw.integers(0, 256, [height, width, channels], np.uint8)
  return image[..., 0] if channels == 1 else image


def png(image, **options):
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'PNG', **options)
  return file.getvalue()


def pixels(response):
  assert response.status_code == 200, response.json
  with Image.open(io.BytesIO(response.data)) as image:
    return np.asarray(image)


def half_mask(height=40, width=60):
  mask = np.zeros([height, width], np.uint8)
  mask[:, : width // 2] = 255
  return mask


def recipe_in(response, tmp_path):
  path = tmp_path / 'out.png'
  path.write_bytes(response.data)
  return recipe.read(path)


def test_inpainting_from_upload_to_file(page, tmp_path):
  image = noise()
  photo = page.upload(png(image), 'holiday%20photo.png')
  assert (photo['width'], photo['height']) == (60, 40)
  assert np.array_equal(pixels(page.get(f'/photo/{photo["id"]}/view')), image)
  mask = page.send(f'/photo/{photo["id"]}/mask?name=m.png', png(half_mask()))
  assert '50.0% of the photo' in mask.json['description']
  mask = mask.json['id']
  assert np.array_equal(pixels(page.get(f'/mask/{mask}/view')), half_mask())
  saved_mask = page.get(f'/mask/{mask}/file').data
  name, status = page.sample('inpainting', photo['id'], mask, samples=3, seed=8)
  assert (status['state'], status['results']) == ('done', 3)
  assert np.array_equal(pixels(page.get(f'/job/{name}/before')), image)
  results = []
  for i in range(3):
    file = page.get(f'/job/{name}/{i}/file')
    result = pixels(file)
    assert np.array_equal(result[:, 30:], image[:, 30:])
    view = pixels(page.get(f'/job/{name}/{i}/view'))
    assert np.array_equal(view, result)
    results.append(result)
    saved_as = file.headers['Content-Disposition']
    assert saved_as.startswith('attachment')
    assert f'holiday photo-inpainted-8-{i + 1}.png' in saved_as
    its = recipe_in(file, tmp_path)
    assert (its.task, its.seed) == ('inpainting', 8)
    assert its.input_name == 'holiday photo.png'
    assert its.options == {'invert': False, 'sample': i}
    decoded = reader.decode(file.data, 'again')
    assert recipe.pixels_sha256(decoded) == its.pixels
    assert its.inputs == {'mask': hashlib.sha256(saved_mask).hexdigest()}
  assert not np.array_equal(results[0], results[1])
  assert page.get(f'/job/{name}/3/file').status_code == 404
  assert page.get(f'/job/{name}/-1/view').status_code == 404


def test_colorization_is_shown_beside_grey(page, tmp_path):
  image = noise()
  photo = page.upload(png(image))
  name, _ = page.sample('colorization', photo['id'])
  before = pixels(page.get(f'/job/{name}/before'))
  luma = photos.luma(reader.decode(png(image), 'photo'))
  expected = images.to_u8(2 * np.repeat(luma, 3, -1) - 1)
  assert np.array_equal(before, expected)
  assert (
    recipe_in(page.get(f'/job/{name}/0/file'), tmp_path).task == 'colorization'
  )


def test_uncropping_widens(page):
  image = noise()
  photo = page.upload(png(image))
  name, _ = page.sample('uncropping', photo['id'], sides=(5, 7, 0, 11))
  result = pixels(page.get(f'/job/{name}/0/file'))
  assert result.shape == (51, 72, 3)
  assert np.array_equal(result[:40, 5:65], image)
  before = pixels(page.get(f'/job/{name}/before'))
  assert (
    np.array_equal(before[:40, 5:65], image) and before.shape == result.shape
  )


def test_a_good_photo_becomes_a_bad_jpeg(page, tmp_path):
  image = np.asarray(Image.fromarray(noise(5, 6)).resize((60, 40)))
  photo = page.upload(png(image), 'tree.png')
  worse = page.post(f'/photo/{photo["id"]}/jpeg', {'quality': 9}).json
  assert worse['name'] == 'tree-q9.jpg'
  file = page.get(f'/photo/{worse["id"]}/file')
  with Image.open(io.BytesIO(file.data)) as jpeg:
    assert jpeg.format == 'JPEG' and jpeg.layer[0][1:3] == (2, 2)  # 4:2:0
    expected = io.BytesIO()
    Image.fromarray(image).save(expected, 'JPEG', quality=9)
    assert jpeg.quantization == Image.open(expected).quantization
    decoded = np.asarray(jpeg)
  shown = pixels(page.get(f'/photo/{worse["id"]}/view'))
  assert np.array_equal(shown, decoded)
  assert not np.array_equal(decoded, image)
  name, _ = page.sample('jpeg', worse['id'])
  assert np.array_equal(pixels(page.get(f'/job/{name}/before')), decoded)
  # The input of the recipe is the JPEG, which can be saved.
  its = recipe_in(page.get(f'/job/{name}/0/file'), tmp_path)
  assert its.input_sha256 == reader.decode(file.data, '').sha256
  for quality in (0, 96):
    wrong = page.post(f'/photo/{photo["id"]}/jpeg', {'quality': quality})
    assert wrong.status_code == 400


def test_gallery_photos_are_credited_and_usable(page):
  about = page.get('/about').json
  assert len(about['gallery']) == 15
  for entry in about['gallery']:
    assert entry['author'] and entry['licence']
    small = pixels(page.get(f'/gallery/{entry["id"]}'))
    assert max(small.shape) <= 160
  photo = page.post('/gallery/chelsea.jpg').json
  assert (photo['width'], photo['height']) == (451, 300)
  assert page.post('/gallery/ATTRIBUTION.tsv').status_code == 404


def test_masks_of_all_kinds(page):
  photo = page.upload(png(noise()))['id']
  ask = lambda file, query='': page.send(f'/photo/{photo}/mask{query}', file)  # noqa: E731
  inverted = ask(png(half_mask()), '?invert=1').json['id']
  assert np.array_equal(
    pixels(page.get(f'/mask/{inverted}/view')), 255 - half_mask()
  )
  nothing = ask(png(np.zeros([40, 60], np.uint8)), '?name=m.png')
  assert nothing.status_code == 400
  assert 'tick "Inverted"' in nothing.json['error']
  assert '--' not in nothing.json['error']
  larger = ask(png(half_mask(80, 120))).json
  assert 'resized' in larger['description']
  other = ask(png(half_mask(40, 40)))
  assert other.status_code == 400 and '40 x 40' in other.json['error']
  opaque = ask(b'')
  assert opaque.status_code == 400 and 'open an image' in opaque.json['error']
  assert page.send('/photo/none/mask', png(half_mask())).status_code == 404


def test_a_transparent_part_is_a_mask(page):
  image = noise(channels=4)
  image[..., 3] = 255 - half_mask()
  photo = page.upload(png(image))
  assert photo['erased']
  mask = page.send(f'/photo/{photo["id"]}/mask', b'').json['id']
  assert np.array_equal(pixels(page.get(f'/mask/{mask}/view')), half_mask())
  assert not page.upload(png(noise()))['erased']


def test_previews_hold_pixels_only(page):
  exif = Image.Exif()
  exif[0x010F] = 'Secret Maker'
  exif.get_ifd(0x8825)[1] = 'N'  # GPS
  file = io.BytesIO()
  Image.fromarray(noise()).save(
    file, 'JPEG', exif=exif, dpi=(300, 300), comment=b'Secret words'
  )
  photo = page.upload(file.getvalue(), 'a.jpg')
  assert 'Secret' not in json.dumps(photo)
  name, _ = page.sample('colorization', photo['id'])
  for path in (
    f'/photo/{photo["id"]}/view',
    f'/job/{name}/before',
    f'/job/{name}/0/view',
  ):
    data = page.get(path).data
    chunks = re.findall(rb'IHDR|IDAT|IEND|[a-z][A-Z]{2}[A-Za-z]', data[:60])
    assert set(chunks) <= {b'IHDR', b'IDAT', b'IEND'}
    assert b'Secret' not in data and b'eXIf' not in data
  # The file itself keeps the owner's metadata.
  assert b'Secret Maker' in page.get(f'/job/{name}/0/file').data


def test_a_large_photo_is_shown_small_and_saved_large(page, monkeypatch):
  monkeypatch.setattr(previews, 'LONGEST_SIDE', 30)
  image = noise()
  photo = page.upload(png(image))
  assert pixels(page.get(f'/photo/{photo["id"]}/view')).shape == (20, 30, 3)
  mask = page.send(f'/photo/{photo["id"]}/mask', png(half_mask())).json['id']
  name, _ = page.sample('inpainting', photo['id'], mask)
  assert pixels(page.get(f'/job/{name}/0/view')).shape == (20, 30, 3)
  assert pixels(page.get(f'/job/{name}/0/file')).shape == (40, 60, 3)


@pytest.mark.parametrize('mode', ['L', 'LA', 'RGB', 'RGBA', 'I;16'])
def test_reduced_previews_look_like_the_photo(page, monkeypatch, mode):
  slope = np.linspace(20, 230, 60)[None, :, None] * np.ones([40, 1, 3])
  image = Image.fromarray(slope[..., :3].astype(np.uint8))
  image = image.convert('L') if mode[0] in 'LI' else image
  if mode == 'I;16':
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
  elif mode[-1] == 'A':
    image.putalpha(255)
  file = io.BytesIO()
  image.save(file, 'PNG')
  large = pixels(page.get(f'/photo/{page.upload(file.getvalue())["id"]}/view'))
  monkeypatch.setattr(previews, 'LONGEST_SIDE', 30)
  small = pixels(page.get(f'/photo/{page.upload(file.getvalue())["id"]}/view'))
  means = large.reshape(20, 2, 30, 2, 3).mean((1, 3))
  assert np.abs(means - small).max() <= 1


def test_sixteen_bits_stay(page):
  deep = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60) * 27
  photo = page.upload(png(deep))
  mask = page.send(f'/photo/{photo["id"]}/mask', png(half_mask())).json['id']
  name, _ = page.sample('inpainting', photo['id'], mask)
  result = reader.decode(page.get(f'/job/{name}/0/file').data, 'result')
  assert result.levels.dtype == np.uint16
  assert np.array_equal(result.levels[:, 30:, 0], deep[:, 30:])


def test_the_page_answers_while_it_samples_and_one_thread_samples(page, model):
  photo = page.upload(png(noise()))['id']
  threads = set()
  model.on_pass = lambda _: threads.add(threading.current_thread())
  model.gate.clear()
  first = page.begin('colorization', photo).json['id']
  until(lambda: page.get(f'/job/{first}').json['done'] == 1)
  second = page.begin('jpeg', photo, samples=2).json['id']
  assert page.get('/').status_code == 200
  assert page.upload(png(noise(seed=1)))['width'] == 60
  status = page.get(f'/job/{second}').json
  assert (status['state'], status['ahead']) == ('waiting', 1)
  assert page.get(f'/job/{first}/0/view').status_code == 404  # not yet
  assert page.post(f'/job/{first}/stop').status_code == 200
  model.gate.set()
  until(lambda: page.state(first) == 'stopped')
  assert page.get(f'/job/{first}').json['done'] <= 2
  until(lambda: page.state(second) == 'done')
  assert len(threads) == 1 and threading.current_thread() not in threads


def test_failures_are_sentences_without_paths(page, model):
  photo = page.upload(png(noise()))['id']
  # A message of the package itself, for the user.
  model.on_pass = lambda _: photos.widen(reader.decode(png(noise()), 'a'))
  _, status = page.sample('colorization', photo)
  assert status['state'] == 'failed' and 'Nothing to add' in status['error']

  def fail(passes):
    raise RuntimeError('secret/path is broken')

  model.on_pass = fail
  _, status = page.sample('colorization', photo)
  assert status['state'] == 'failed' and 'terminal' in status['error']
  broken = png(noise())[:200]
  for file in (b'', b'words', broken, b'\0\0\0\x18ftypheic' + bytes(100)):
    response = page.send('/photo?name=/home/me/a.png', file)
    assert response.status_code == 400
    assert response.json['error'].startswith('a.png cannot be read')
  for response in page.responses:
    if response.is_json:
      assert not re.search(r'/home|/tmp|secret|palette-demo-', response.text)


@pytest.mark.parametrize(
  'wrong,word',
  [
    (dict(task='superresolution'), 'not learnt'),
    (dict(seed=-1), 'seed'),
    (dict(seed=2**32), 'seed'),
    (dict(samples=0), 'samples'),
    (dict(samples=5), 'samples'),
    (dict(steps=5000), 'steps'),
    (dict(sampler='imputation'), 'sampler'),
    (dict(seed=1.5), 'wrong type'),
    (dict(samples=True), 'wrong type'),
    (dict(photo='x'), 'no longer'),
    (dict(task='inpainting'), 'no longer'),
    (dict(task='uncropping'), 'Drag'),
    (dict(task='uncropping', sides=(-1, 0, 0, 0)), 'Sides'),
    (dict(task='uncropping', sides=(1.0, 0, 0, 0)), 'Sides'),
    (dict(task='uncropping', sides={'left': 3}), 'Sides'),
    (dict(task='uncropping', sides=(10**6, 0, 0, 0)), 'million'),
  ],
)
def test_impossible_requests_are_refused_at_once(page, model, wrong, word):
  fields = {'task': 'colorization', 'photo': None, **wrong}
  if fields['photo'] is None:
    fields['photo'] = page.upload(png(noise()))['id']
  response = page.begin(**fields)
  assert response.status_code in (400, 404, 413)
  assert word in response.json['error'] and not model.calls


def test_only_learnt_tasks_are_offered():
  model = fake_model.FakeModel()
  model.tasks, model.experimental = ('jpeg', 'superresolution'), ('jpeg',)
  application = server.Application(model)
  page = Page(application)
  (task,) = page.get('/about').json['tasks']
  assert task['name'] == 'jpeg' and task['experimental']
  photo = page.upload(png(noise()))['id']
  assert page.begin('colorization', photo).status_code == 400
  application.close()


@pytest.mark.parametrize('has_hole', [False, True])
def test_a_new_task_is_offered(model, monkeypatch, has_hole):
  new = tasks.Task('despeckling', None, has_hole=has_hole, label='Despeckling')
  new = dataclasses.replace(new, verb='despeckle', participle='despeckled')
  every = tasks.every()
  monkeypatch.setattr(tasks, 'every', lambda: [*every, new])
  model.tasks = ('despeckling',)
  application = server.Application(model)
  page = Page(application)
  (offer,) = page.get('/about').json['tasks']
  assert (offer['label'], offer['has_mask']) == ('Despeckling', has_hole)
  photo = page.upload(png(noise()))['id']
  mask = page.send(f'/photo/{photo}/mask', png(half_mask())).json['id']
  name, status = page.sample('despeckling', photo, mask)
  assert status['state'] == 'done'
  file = page.get(f'/job/{name}/0/file')
  assert 'photo-despeckled-3.png' in file.headers['Content-Disposition']
  application.close()


def test_the_choices_of_the_page_are_those_of_the_server():
  html = (server._PAGE / 'index.html').read_text()
  select = html[html.index('<select') : html.index('</select>')]
  offered = re.findall(r'value="(\w*)"', select)
  assert sorted(offered) == sorted(['', *limits.SAMPLERS])
  assert set(limits.SAMPLERS) == set(sampler_config.NAMES) - set(
    sampler_config.UNCONDITIONAL
  )
  assert f'max="{requests.MOST_STEPS}"' in html
  samples = re.findall(r'name="samples" value="(\d)"', html)
  assert [int(n) for n in samples] == list(range(1, requests.MOST_SAMPLES + 1))
  texts = (server._PAGE / 'tasks.js').read_text()
  assert re.findall(r'^  (\w+): {', texts, re.M) == [
    task.name for task in tasks.for_photos()
  ]


# Limits.


def test_too_many_pixels_and_bytes(page, monkeypatch):
  monkeypatch.setattr(server, 'MOST_PIXELS', 2399)
  response = page.send('/photo?name=a.png', png(noise()))
  assert response.status_code == 413 and 'pixels' in response.json['error']
  monkeypatch.setattr(server, 'MOST_BYTES', 1000)
  response = page.send('/photo', bytes(1001))
  assert response.status_code == 413 and 'MB' in response.json['error']
  # A PNG of few bytes that unpacks to many pixels.
  bomb = png(np.zeros([3000, 3000], np.uint8), optimize=True)
  monkeypatch.setattr(server, 'MOST_BYTES', 2**20)
  assert page.send('/photo', bomb).status_code == 413


def test_a_decompression_bomb_is_refused_unread(page):
  # 60,000 x 60,000, says the header; the rest is not looked at.
  file = bytearray(png(np.zeros([2, 2], np.uint8)))
  file[16:24] = (60_000).to_bytes(4, 'big') * 2
  file[29:33] = zlib.crc32(file[12:29]).to_bytes(4, 'big')
  assert page.send('/photo', bytes(file)).status_code == 413


def test_a_browser_hears_that_a_file_is_too_large(application, monkeypatch):
  monkeypatch.setattr(server, 'MOST_BYTES', 2**20)
  listening = web.serve(application, web.bind('127.0.0.1', 0))
  thread = threading.Thread(target=listening.serve_forever)
  thread.start()
  try:
    line = http.client.HTTPConnection('127.0.0.1', listening.port, timeout=60)
    kind = {'Content-Type': 'application/octet-stream'}
    line.request('POST', '/photo', bytes(4 * 2**20), kind)
    answer = line.getresponse()
    assert answer.status == 413
    assert 'at most 1' in json.loads(answer.read())['error']
    # Nobody knows how long it is.
    line = http.client.HTTPConnection('127.0.0.1', listening.port, timeout=60)
    parts = iter([bytes(2**19)] * 3)
    chunked = {**kind, 'Transfer-Encoding': 'chunked'}
    line.request('POST', '/photo', parts, chunked, encode_chunked=True)
    assert line.getresponse().status == 411
    # Somebody who goes away in the middle holds up nobody.
    line = http.client.HTTPConnection('127.0.0.1', listening.port, timeout=60)
    line.putrequest('POST', '/photo')
    line.putheader('Content-Type', 'application/octet-stream')
    line.putheader('Content-Length', '500000')
    line.endheaders(bytes(1000))
    other = http.client.HTTPConnection('127.0.0.1', listening.port, timeout=60)
    other.request('GET', '/about')
    assert other.getresponse().status == 200
    line.close()
  finally:
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_small_requests_stay_small(page):
  assert page.post('/job', {'task': 'x' * 9000}).status_code == 413


def test_photos_and_requests_do_not_pile_up(model, monkeypatch):
  monkeypatch.setattr(server, '_PHOTOS', 3)
  monkeypatch.setattr(requests, '_MOST_REQUESTS', 2)
  application = server.Application(model)
  page = Page(application)
  uploads = [page.upload(png(noise(seed=i)))['id'] for i in range(5)]
  there = [page.get(f'/photo/{p}/view').status_code == 200 for p in uploads]
  assert there == [False, False, True, True, True]
  jobs = [page.sample('colorization', uploads[-1])[0] for _ in range(4)]
  there = [page.get(f'/job/{job}').status_code == 200 for job in jobs]
  assert there == [False, False, True, True]
  folder = application._requests._folder
  assert len(list(folder.iterdir())) == 2
  assert folder.stat().st_mode & 0o077 == 0
  application.close()
  assert not folder.exists()


def test_masks_have_the_same_limit_of_pixels(page, monkeypatch):
  photo = page.upload(png(noise()))['id']
  monkeypatch.setattr(server, 'MOST_PIXELS', 2399)
  response = page.send(f'/photo/{photo}/mask', png(half_mask()))
  assert response.status_code == 413 and 'pixels' in response.json['error']


def test_the_memory_of_photos_and_masks_is_bounded(model, monkeypatch):
  monkeypatch.setattr(server, '_MEMORY', 1)
  application = server.Application(model)
  page = Page(application)
  old, new = (page.upload(png(noise(seed=i)))['id'] for i in range(2))
  assert page.get(f'/photo/{old}/view').status_code == 404
  assert page.get(f'/photo/{new}/view').status_code == 200
  first, second = (
    page.send(f'/photo/{new}/mask', png(half_mask())).json['id'] for _ in '12'
  )
  assert page.get(f'/mask/{first}/view').status_code == 404
  assert page.get(f'/mask/{second}/view').status_code == 200
  application.close()


def test_a_request_that_makes_room_is_stopped(model, monkeypatch):
  monkeypatch.setattr(requests, '_MOST_REQUESTS', 1)
  application = server.Application(model)
  page = Page(application)
  photo = page.upload(png(noise()))['id']
  model.gate.clear()
  first = page.begin('colorization', photo).json['id']
  until(lambda: page.get(f'/job/{first}').json['done'] == 1)
  job = application._requests._requests.get(first).job
  second = page.begin('jpeg', photo).json['id']
  assert page.get(f'/job/{first}').status_code == 404
  model.gate.set()
  until(lambda: page.state(second) == 'done')
  assert job.state == 'stopped' and job.done <= 2
  application.close()


def test_unused_items_are_deleted_without_a_request(model, monkeypatch):
  monkeypatch.setattr(server, '_SWEEP', 0.01)
  clock = Clock()
  application = server.Application(model, clock=clock)
  page = Page(application)
  photo = page.upload(png(noise()))['id']
  page.send(f'/photo/{photo}/mask', png(half_mask()))
  page.sample('colorization', photo)
  its_requests = application._requests
  shelves = application._photos, application._masks, its_requests._requests
  folder = its_requests._folder
  assert all(map(len, shelves)) and list(folder.iterdir())
  clock.now = shelf.SECONDS
  until(lambda: not list(folder.iterdir()))
  assert not any(map(len, shelves))
  application.close()


# Who may ask.


@pytest.mark.parametrize(
  'path',
  [
    '/../server.py',
    '/index.html',
    '/page/demo.js',
    '//demo.js',
    '/demo.js/',
    '/demo.js%00',
    '/%2e%2e/server.py',
    '/..%2fserver.py',
    '/etc/passwd',
    '//etc/passwd',
    '/photo/../../../../etc/passwd/file',
    '/photo/%2e%2e%2f%2e%2e%2fetc%2fpasswd/file',
    '/photo/..%5c..%5csecret/view',
    '/photo/%2fetc%2fpasswd/view',
    '/mask/..%2f..%2f..%2fetc%2fpasswd/file',
    '/gallery/..%2fphotos%2fATTRIBUTION.tsv',
    '/gallery/%2e%2e%2f..%2f__init__.py',
    '/job/..%2f..%2fetc/0/file',
    '/job/x/..%2f0/file',
    '/job/x/0/file',
    '/job/%00/before',
    '/C:/Windows/win.ini',
    '/file:///etc/passwd',
  ],
)
def test_no_path_of_the_server_can_be_read(page, path):
  response = page.get(path)
  assert response.status_code == 404
  assert set(response.json) == {'error'}


def test_names_of_uploads_are_names(page):
  for name, expected in {
    '../../etc/passwd': 'passwd',
    'C:\\fotos\\a.png': 'a.png',
    '/': 'photo',
    '..': '..',
    'a%0d%0aSet-Cookie: x=1.png': 'aSet-Cookie: x=1.png',
    'ü"b.png': 'ü"b.png',
    'x' * 300: 'x' * 100,
  }.items():
    photo = page.upload(png(noise()), name)
    assert photo['name'] == expected
    saved_as = page.get(f'/photo/{photo["id"]}/file').headers
    assert 'Set-Cookie' not in saved_as
    disposition = saved_as['Content-Disposition']
    assert disposition.startswith('attachment') and '\n' not in disposition
    name, _ = page.sample('colorization', photo['id'])
    assert page.get(f'/job/{name}/0/file').status_code == 200


@pytest.mark.parametrize(
  'host,status',
  [
    ('localhost', 200),
    ('LOCALHOST:8000', 200),
    ('127.0.0.1:8000', 200),
    ('192.168.0.7:9', 200),
    ('[::1]:8000', 200),
    ('[::1]', 200),
    ('our-machine:8000', 200),
    ('evil.example', 421),
    ('evil.example:8000', 421),
    ('localhost.evil.example', 421),
    ('127.0.0.1.evil.example:8000', 421),
    ('localhost@evil.example', 421),
    ('', 421),
  ],
)
def test_host_names_of_other_sites_are_refused(model, host, status):
  application = server.Application(model, ['our-machine'])
  client = test.Client(application)
  for method, path in (('GET', '/'), ('GET', '/about'), ('POST', '/photo')):
    response = client.open(path, method=method, headers={'Host': host})
    if status == 421:
      assert response.status_code in (400, 421), path
    else:
      assert response.status_code in (200, 400), path
  application.close()


@pytest.mark.parametrize(
  'headers,allowed',
  [
    ({}, True),
    ({'Origin': 'http://localhost'}, True),
    ({'Origin': 'https://localhost'}, True),  # behind a proxy
    ({'Origin': 'http://localhost', 'Sec-Fetch-Site': 'same-origin'}, True),
    ({'Origin': 'http://localhost:81'}, False),
    ({'Origin': 'http://evil.example'}, False),
    ({'Origin': 'null'}, False),
    ({'Sec-Fetch-Site': 'cross-site'}, False),
    ({'Sec-Fetch-Site': 'same-site'}, False),
  ],
)
def test_other_pages_may_not_post(page, headers, allowed):
  for path in ('/gallery/coffee.jpg', '/job', '/job/x/stop', '/photo'):
    response = page.post(path, headers=headers)
    assert (response.status_code != 403) == allowed, path


def test_forms_of_other_sites_are_refused(page):
  file = {'file': (io.BytesIO(png(noise())), 'a.png')}
  assert page.client.post('/photo', data=file).status_code == 415
  text = page.client.post('/photo', data=b'x', content_type='text/plain')
  assert text.status_code == 415
  text = page.client.post('/job', data='{}', content_type='text/plain')
  assert text.status_code == 415


def test_every_answer_says_what_a_browser_may_do(page):
  for response in (page.get('/'), page.get('/none'), page.post('/job')):
    policy = response.headers['Content-Security-Policy']
    assert "default-src 'none'" in policy and 'unsafe' not in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers['X-Content-Type-Options'] == 'nosniff'
    assert response.headers['Cross-Origin-Resource-Policy'] == 'same-origin'


def test_the_page_asks_for_nothing_from_elsewhere():
  for path in [web.STYLE, *server._PAGE.iterdir()]:
    text = path.read_text()
    assert not re.search(r'https?:|//[a-z]|@import|@font-face', text), path
    assert len(text.splitlines()) <= 350 or path.suffix == '.css', path
    assert not re.search(r'\son\w+="|style="', text), path  # no policy allows


# The command.


def test_a_port_in_use_is_reported_before_weights_are_loaded(monkeypatch):
  def load(source):
    raise AssertionError('The weights were loaded.')

  monkeypatch.setattr(palette_jax, 'load', load, raising=False)
  with web.bind('127.0.0.1', 0) as listener:
    port = listener.getsockname()[1]
    with pytest.raises(ValueError, match=f'port {port}'):
      command.run('', '127.0.0.1', port)


def test_a_server_knows_its_names():
  assert command.host_names('127.0.0.1') == ['127.0.0.1']
  assert len(command.host_names('0.0.0.0')) == 3


def test_the_demo_imports_jax_for_the_model_only_and_no_tensorflow():
  code = """
import sys
from palette_jax.demo import command
assert not {'tensorflow', 'jax', 'flax'} & set(sys.modules)
command.palette_jax.load
assert 'jax' in sys.modules and 'tensorflow' not in sys.modules
"""
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)
