"""What the demo keeps, does in turn, answers and refuses; without a browser."""

import http.client
import io
import json
import re
import subprocess
import sys
import threading
import time
import zlib

import fake_model
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from werkzeug import test

import palette_jax
from palette_jax import images, web
from palette_jax.demo import command, previews, queue, requests, server, shelf
from palette_jax.diffusion import choice
from palette_jax.photo import arguments, reader, recipe
from palette_jax.photo import photo as photos

# The shelf.


class Clock:
  now = 0.0

  def __call__(self):
    return self.now


def test_a_shelf_keeps_what_was_used_last():
  gone = []
  kept = shelf.Shelf(3, 100.0, gone.append)
  names = {thing: kept.put(thing) for thing in 'abc'}
  kept.get(names['a'])
  names['d'] = kept.put('d')
  assert gone == ['b']
  with pytest.raises(shelf.Gone):
    kept.get(names['b'])
  assert [kept.get(names[thing]) for thing in 'acd'] == ['a', 'c', 'd']
  kept.clear()
  assert gone == ['b', 'a', 'c', 'd']
  with pytest.raises(shelf.Gone):
    kept.get(names['a'])


def test_a_shelf_forgets():
  clock, gone = Clock(), []
  kept = shelf.Shelf(9, 100.0, gone.append, clock=clock)
  old = kept.put('old')
  clock.now = 60.0
  young = kept.put('young')
  clock.now = 110.0
  assert kept.get(young) == 'young' and gone == ['old']
  with pytest.raises(shelf.Gone):
    kept.get(old)
  clock.now = 200.0  # it was used at 110
  assert kept.get(young) == 'young'
  clock.now = 310.0  # also the only one, and if nobody asks
  kept.sweep()
  assert gone == ['old', 'young']
  with pytest.raises(shelf.Gone):
    kept.get(young)


def test_a_shelf_holds_so_many_bytes_and_always_the_newest():
  gone = []
  kept = shelf.Shelf(9, 100.0, gone.append, most_bytes=100)
  kept.put('a', 40)
  kept.put('b', 40)
  kept.put('c', 40)
  assert gone == ['a']
  name = kept.put('huge', 1000)
  assert gone == ['a', 'b', 'c'] and kept.get(name) == 'huge'


def test_names_cannot_be_guessed():
  kept = shelf.Shelf(1000, 100.0)
  names = {kept.put(i) for i in range(500)}
  assert len(names) == 500
  assert all(re.fullmatch(r'[\w-]{24}', name) for name in names)


# The queue.


class Steps:
  """A sampling that takes a step when it is let."""

  def __init__(self, total=5):
    self.total, self.taken = total, 0
    self.started = threading.Event()
    self._let = threading.Semaphore(0)

  def let(self, steps=1):
    for _ in range(steps):
      self._let.release()

  def __call__(self, progress):
    self.started.set()
    for done in range(1, self.total + 1):
      assert self._let.acquire(timeout=60)
      self.taken = done
      progress(done, self.total)
    return self


@pytest.fixture
def in_turn():
  made = []

  def make(**options):
    made.append(queue.Queue(**options))
    return made[-1]

  yield make
  for each in made:
    each.close()


def until(condition):
  end = time.monotonic() + 60
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.002)


def test_one_at_a_time_in_order(in_turn):
  waiting = in_turn()
  several = [Steps(2) for _ in range(3)]
  jobs = [waiting.put(steps) for steps in several]
  assert several[0].started.wait(60)
  assert [waiting.look(job).ahead for job in jobs] == [0, 1, 2]
  assert [waiting.look(job).state for job in jobs] == [
    'running',
    'waiting',
    'waiting',
  ]
  for i, steps in enumerate(several):
    assert steps.started.wait(60)
    assert not any(later.started.is_set() for later in several[i + 1 :])
    steps.let(2)
    until(lambda i=i: waiting.look(jobs[i]).state == 'done')
    assert waiting.look(jobs[i]).made is steps


def test_how_far_and_how_long(in_turn):
  clock = Clock()
  waiting, steps = in_turn(clock=clock), Steps(10)
  job = waiting.put(steps)
  until(steps.started.is_set)
  assert waiting.look(job)[2:5] == (0, 0, None)
  clock.now = 50.0  # compiled
  steps.let()
  until(lambda: waiting.look(job).done == 1)
  assert waiting.look(job).left is None
  clock.now = 58.0
  steps.let(4)
  until(lambda: waiting.look(job).done == 5)
  seen = waiting.look(job)
  assert (seen.done, seen.total, seen.left) == (5, 10, 10.0)
  steps.let(5)


def test_a_cancel_works_within_one_step(in_turn):
  waiting, first, second = in_turn(), Steps(), Steps(1)
  jobs = waiting.put(first), waiting.put(second)
  first.let(2)
  until(lambda: first.taken == 2)
  waiting.stop(jobs[0])
  first.let(3)
  until(lambda: waiting.look(jobs[0]).state == 'stopped')
  assert first.taken <= 3 and waiting.look(jobs[0]).error == ''
  second.let()
  until(lambda: waiting.look(jobs[1]).state == 'done')
  waiting.stop(jobs[1])  # too late
  assert waiting.look(jobs[1]).state == 'done'


def test_a_cancel_of_who_waits_is_at_once(in_turn):
  waiting, steps = in_turn(), [Steps(1) for _ in range(3)]
  jobs = [waiting.put(each) for each in steps]
  until(steps[0].started.is_set)
  waiting.stop(jobs[1])
  assert waiting.look(jobs[1]).state == 'stopped'
  assert waiting.look(jobs[2]).ahead == 1
  steps[0].let(), steps[2].let()
  until(lambda: waiting.look(jobs[2]).state == 'done')
  assert not steps[1].started.is_set()


def test_what_fails_holds_up_nobody(in_turn, caplog):
  def fail(progress):
    raise RuntimeError('/secret/path')

  waiting, steps = in_turn(), Steps(1)
  broken, whole = waiting.put(fail), waiting.put(steps)
  steps.let()
  until(lambda: waiting.look(whole).state == 'done')
  seen = waiting.look(broken)
  assert seen.state == 'failed' and 'secret' not in seen.error
  assert '/secret/path' in caplog.text  # for whoever runs it


def test_who_has_gone_gives_way_to_others_only(in_turn):
  clock = Clock()
  waiting = in_turn(clock=clock, patience=60.0)
  first, second, third = Steps(9), Steps(1), Steps(1)
  gone = waiting.put(first)
  until(first.started.is_set)
  clock.now = 1000.0
  first.let(3)
  until(lambda: first.taken == 3)
  assert gone.state == 'running'  # nobody waits
  also_gone = waiting.put(second)
  clock.now = 2000.0
  there = waiting.put(third)
  first.let()
  third.let()
  until(lambda: waiting.look(there).state == 'done')
  assert (gone.state, first.taken) == ('stopped', 4)
  assert also_gone.state == 'stopped' and not second.started.is_set()
  assert 'away' in waiting.look(gone).error


def test_a_full_queue_refuses(in_turn):
  clock = Clock()
  waiting = in_turn(most_waiting=2, patience=60.0, clock=clock)
  running, *others = [Steps(1) for _ in range(3)]
  waiting.put(running)
  until(running.started.is_set)
  jobs = [waiting.put(each) for each in others]
  with pytest.raises(queue.Full):
    waiting.put(Steps())
  clock.now = 100.0  # all have gone: the last of them stays, so that one may go
  waiting.look(jobs[1])
  late = Steps(1)
  job = waiting.put(late)
  for steps in (running, others[1], late):
    steps.let()
  until(lambda: waiting.look(job).state == 'done')
  assert jobs[0].state == 'stopped' and jobs[1].state == 'done'


def test_closing_ends_what_runs():
  waiting, steps = queue.Queue(), Steps(100)
  job = waiting.put(steps)
  steps.let(3)
  until(lambda: steps.taken == 3)
  closing = threading.Thread(target=waiting.close)
  closing.start()
  steps.let(2)
  closing.join(60)
  assert not closing.is_alive() and waiting.look(job).state == 'stopped'


# The server.


class Page:
  """What the page asks, kept."""

  def __init__(self, application):
    self.client = test.Client(application)
    self.said = []

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
    self.said.append(response)
    return response

  def upload(self, file, name='photo.png'):
    return self.send(f'/photo?name={name}', file).json

  def order(self, task, photo, mask='', sides=(0, 0, 0, 0), **drawing):
    drawing = {'seed': 3, 'samples': 1, 'sampler': '', 'steps': 0, **drawing}
    names = ('left', 'right', 'top', 'bottom')
    sides = dict(zip(names, sides)) if isinstance(sides, tuple) else sides
    fields = dict(task=task, photo=photo, mask=mask, sides=sides, **drawing)
    return self.post('/job', fields)

  def make(self, *args, **more):
    name = self.order(*args, **more).json['id']
    until(lambda: self.state(name) not in ('waiting', 'running'))
    return name, self.get(f'/job/{name}').json

  def state(self, name):
    return self.get(f'/job/{name}').json['state']


@pytest.fixture
def model():
  return fake_model.FakeModel()


@pytest.fixture
def application(model):
  made = server.Application(model)
  yield made
  model.gate.set()
  made.close()


@pytest.fixture
def page(application):
  return Page(application)


def picture(height=40, width=60, channels=3, seed=0):
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


def told(response, tmp_path):
  path = tmp_path / 'out.png'
  path.write_bytes(response.data)
  return recipe.read(path)


def test_inpainting_from_upload_to_file(page, tmp_path):
  image = picture()
  photo = page.upload(png(image), 'holiday%20photo.png')
  assert (photo['width'], photo['height']) == (60, 40)
  assert np.array_equal(pixels(page.get(f'/photo/{photo["id"]}/view')), image)
  mask = page.send(f'/photo/{photo["id"]}/mask?name=m.png', png(half_mask()))
  assert '50.0% of the photo' in mask.json['said']
  mask = mask.json['id']
  assert np.array_equal(pixels(page.get(f'/mask/{mask}/view')), half_mask())
  name, seen = page.make('inpainting', photo['id'], mask, samples=3, seed=8)
  assert (seen['state'], seen['made']) == ('done', 3)
  assert np.array_equal(pixels(page.get(f'/job/{name}/before')), image)
  results = []
  for i in range(3):
    file = page.get(f'/job/{name}/{i}/file')
    made = pixels(file)
    assert np.array_equal(made[:, 30:], image[:, 30:])
    assert np.array_equal(pixels(page.get(f'/job/{name}/{i}/view')), made)
    results.append(made)
    saved_as = file.headers['Content-Disposition']
    assert saved_as.startswith('attachment')
    assert f'holiday photo-inpainted-8-{i + 1}.png' in saved_as
    found = told(file, tmp_path)
    assert (found.task, found.seed) == ('inpainting', 8)
    assert found.input_name == 'holiday photo.png'
    shown = reader.decode(file.data, 'again')
    assert recipe.pixels_sha256(shown) == found.pixels
  assert not np.array_equal(results[0], results[1])
  assert page.get(f'/job/{name}/3/file').status_code == 404
  assert page.get(f'/job/{name}/-1/view').status_code == 404


def test_colorization_is_shown_beside_grey(page, tmp_path):
  image = picture()
  photo = page.upload(png(image))
  name, _ = page.make('colorization', photo['id'])
  before = pixels(page.get(f'/job/{name}/before'))
  luma = photos.luma(reader.decode(png(image), 'photo'))
  expected = images.to_u8(2 * np.repeat(luma, 3, -1) - 1)
  assert np.array_equal(before, expected)
  assert told(page.get(f'/job/{name}/0/file'), tmp_path).task == 'colorization'


def test_uncropping_widens(page):
  image = picture()
  photo = page.upload(png(image))
  name, _ = page.make('uncropping', photo['id'], sides=(5, 7, 0, 11))
  made = pixels(page.get(f'/job/{name}/0/file'))
  assert made.shape == (51, 72, 3)
  assert np.array_equal(made[:40, 5:65], image)
  before = pixels(page.get(f'/job/{name}/before'))
  assert np.array_equal(before[:40, 5:65], image) and before.shape == made.shape


def test_a_bad_jpeg_is_made_of_a_good_photo(page, tmp_path):
  image = np.asarray(Image.fromarray(picture(5, 6)).resize((60, 40)))
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
  name, _ = page.make('jpeg', worse['id'])
  assert np.array_equal(pixels(page.get(f'/job/{name}/before')), decoded)
  # What the recipe speaks of is the JPEG, which can be saved.
  found = told(page.get(f'/job/{name}/0/file'), tmp_path)
  assert found.input_sha256 == reader.decode(file.data, '').sha256
  for quality in (0, 96):
    wrong = page.post(f'/photo/{photo["id"]}/jpeg', {'quality': quality})
    assert wrong.status_code == 400


def test_examples_are_credited_and_taken(page):
  about = page.get('/about').json
  assert len(about['examples']) == 15
  for example in about['examples']:
    assert example['author'] and example['licence']
    small = pixels(page.get(f'/example/{example["id"]}'))
    assert max(small.shape) <= 160
  photo = page.post('/example/chelsea.jpg').json
  assert (photo['width'], photo['height']) == (451, 300)
  assert page.post('/example/ATTRIBUTION.tsv').status_code == 404


def test_masks_of_all_kinds(page):
  photo = page.upload(png(picture()))['id']
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
  assert 'resized' in larger['said']
  other = ask(png(half_mask(40, 40)))
  assert other.status_code == 400 and '40 x 40' in other.json['error']
  opaque = ask(b'')
  assert opaque.status_code == 400 and 'open an image' in opaque.json['error']
  assert page.send('/photo/none/mask', png(half_mask())).status_code == 404


def test_a_transparent_part_is_a_mask(page):
  image = picture(channels=4)
  image[..., 3] = 255 - half_mask()
  photo = page.upload(png(image))
  assert photo['erased']
  mask = page.send(f'/photo/{photo["id"]}/mask', b'').json['id']
  assert np.array_equal(pixels(page.get(f'/mask/{mask}/view')), half_mask())
  assert not page.upload(png(picture()))['erased']


def test_what_is_shown_holds_pixels_only(page):
  exif = Image.Exif()
  exif[0x010F] = 'Secret Maker'
  exif.get_ifd(0x8825)[1] = 'N'  # GPS
  file = io.BytesIO()
  Image.fromarray(picture()).save(
    file, 'JPEG', exif=exif, dpi=(300, 300), comment=b'Secret words'
  )
  photo = page.upload(file.getvalue(), 'a.jpg')
  assert 'Secret' not in json.dumps(photo)
  name, _ = page.make('colorization', photo['id'])
  for path in (
    f'/photo/{photo["id"]}/view',
    f'/job/{name}/before',
    f'/job/{name}/0/view',
  ):
    data = page.get(path).data
    chunks = re.findall(rb'IHDR|IDAT|IEND|[a-z][A-Z]{2}[A-Za-z]', data[:60])
    assert set(chunks) <= {b'IHDR', b'IDAT', b'IEND'}
    assert b'Secret' not in data and b'eXIf' not in data
  # The owner's own file keeps what `output.write` keeps.
  assert b'Secret Maker' in page.get(f'/job/{name}/0/file').data


def test_a_large_photo_is_shown_small_and_saved_large(page, monkeypatch):
  monkeypatch.setattr(previews, 'LONGEST_SIDE', 30)
  image = picture()
  photo = page.upload(png(image))
  assert pixels(page.get(f'/photo/{photo["id"]}/view')).shape == (20, 30, 3)
  mask = page.send(f'/photo/{photo["id"]}/mask', png(half_mask())).json['id']
  name, _ = page.make('inpainting', photo['id'], mask)
  assert pixels(page.get(f'/job/{name}/0/view')).shape == (20, 30, 3)
  assert pixels(page.get(f'/job/{name}/0/file')).shape == (40, 60, 3)


@pytest.mark.parametrize('mode', ['L', 'LA', 'RGB', 'RGBA', 'I;16'])
def test_what_is_shown_small_looks_like_the_photo(page, monkeypatch, mode):
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
  name, _ = page.make('inpainting', photo['id'], mask)
  made = reader.decode(page.get(f'/job/{name}/0/file').data, 'made')
  assert made.levels.dtype == np.uint16
  assert np.array_equal(made.levels[:, 30:, 0], deep[:, 30:])


def test_the_page_answers_while_it_samples_and_one_thread_samples(page, model):
  photo = page.upload(png(picture()))['id']
  threads = set()
  model.on_pass = lambda _: threads.add(threading.current_thread())
  model.gate.clear()
  first = page.order('colorization', photo).json['id']
  until(lambda: page.get(f'/job/{first}').json['done'] == 1)
  second = page.order('jpeg', photo, samples=2).json['id']
  assert page.get('/').status_code == 200
  assert page.upload(png(picture(seed=1)))['width'] == 60
  waits = page.get(f'/job/{second}').json
  assert (waits['state'], waits['ahead']) == ('waiting', 1)
  assert page.get(f'/job/{first}/0/view').status_code == 404  # not yet
  assert page.post(f'/job/{first}/stop').status_code == 200
  model.gate.set()
  until(lambda: page.state(first) == 'stopped')
  assert page.get(f'/job/{first}').json['done'] <= 2
  until(lambda: page.state(second) == 'done')
  assert len(threads) == 1 and threading.current_thread() not in threads


def test_failures_are_sentences_without_paths(page, model):
  photo = page.upload(png(picture()))['id']
  # A message of the package itself, for the user.
  model.on_pass = lambda _: photos.widen(reader.decode(png(picture()), 'a'))
  _, seen = page.make('colorization', photo)
  assert seen['state'] == 'failed' and 'Nothing to add' in seen['error']

  def fail(passes):
    raise RuntimeError('secret/path is broken')

  model.on_pass = fail
  _, seen = page.make('colorization', photo)
  assert seen['state'] == 'failed' and 'terminal' in seen['error']
  broken = png(picture())[:200]
  for file in (b'', b'words', broken, b'\0\0\0\x18ftypheic' + bytes(100)):
    response = page.send('/photo?name=/home/me/a.png', file)
    assert response.status_code == 400
    assert response.json['error'].startswith('a.png cannot be read')
  for response in page.said:
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
    (dict(sampler='imputation'), 'Samplers'),
    (dict(seed=1.5), 'another type'),
    (dict(samples=True), 'another type'),
    (dict(photo='x'), 'forgotten'),
    (dict(task='inpainting'), 'forgotten'),
    (dict(task='uncropping'), 'Drag'),
    (dict(task='uncropping', sides=(-1, 0, 0, 0)), 'Sides'),
    (dict(task='uncropping', sides=(1.0, 0, 0, 0)), 'Sides'),
    (dict(task='uncropping', sides={'left': 3}), 'Sides'),
    (dict(task='uncropping', sides=(10**6, 0, 0, 0)), 'million'),
  ],
)
def test_orders_that_cannot_be_are_refused_at_once(page, model, wrong, word):
  fields = {'task': 'colorization', 'photo': None, **wrong}
  if fields['photo'] is None:
    fields['photo'] = page.upload(png(picture()))['id']
  response = page.order(**fields)
  assert response.status_code in (400, 404, 413)
  assert word in response.json['error'] and not model.calls


def test_only_what_was_learnt_is_offered():
  model = fake_model.FakeModel()
  model.tasks, model.experimental = ('jpeg', 'superresolution'), ('jpeg',)
  application = server.Application(model)
  page = Page(application)
  assert page.get('/about').json['tasks'] == [
    {'name': 'jpeg', 'experimental': True}
  ]
  photo = page.upload(png(picture()))['id']
  assert page.order('colorization', photo).status_code == 400
  application.close()


def test_the_choices_of_the_page_are_those_of_the_server():
  html = (server._PAGE / 'index.html').read_text()
  select = html[html.index('<select') : html.index('</select>')]
  offered = re.findall(r'value="(\w*)"', select)
  assert sorted(offered) == sorted(['', *arguments.SAMPLERS])
  assert set(arguments.SAMPLERS) == set(choice.NAMES) - set(
    choice.UNCONDITIONAL
  )
  assert f'max="{requests.MOST_STEPS}"' in html
  samples = re.findall(r'name="samples" value="(\d)"', html)
  assert [int(n) for n in samples] == list(range(1, requests.MOST_SAMPLES + 1))
  words = (server._PAGE / 'tasks.js').read_text()
  assert re.findall(r'^  (\w+): {', words, re.M) == list(requests._DONE)


# Limits.


def test_too_many_pixels_and_bytes(page, monkeypatch):
  monkeypatch.setattr(server, 'MOST_PIXELS', 2399)
  response = page.send('/photo?name=a.png', png(picture()))
  assert response.status_code == 413 and 'pixels' in response.json['error']
  monkeypatch.setattr(server, 'MOST_BYTES', 1000)
  response = page.send('/photo', bytes(1001))
  assert response.status_code == 413 and 'MB' in response.json['error']
  # A PNG of few bytes that unpacks to many pixels.
  bomb = png(np.zeros([3000, 3000], np.uint8), optimize=True)
  monkeypatch.setattr(server, 'MOST_BYTES', 2**20)
  assert page.send('/photo', bomb).status_code == 413


def test_a_bomb_is_refused_unread(page):
  # 60,000 x 60,000, says the header; the rest is not looked at.
  file = bytearray(png(np.zeros([2, 2], np.uint8)))
  file[16:24] = (60_000).to_bytes(4, 'big') * 2
  file[29:33] = zlib.crc32(file[12:29]).to_bytes(4, 'big')
  assert page.send('/photo', bytes(file)).status_code == 413


def test_a_browser_hears_that_a_file_is_too_large(application, monkeypatch):
  monkeypatch.setattr(server, 'MOST_BYTES', 2**20)
  listening = web.listen(application, web.take('127.0.0.1', 0))
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


def test_photos_and_orders_do_not_pile_up(model, monkeypatch):
  monkeypatch.setattr(server, '_PHOTOS', 3)
  monkeypatch.setattr(requests, '_ORDERS', 2)
  application = server.Application(model)
  page = Page(application)
  uploads = [page.upload(png(picture(seed=i)))['id'] for i in range(5)]
  there = [page.get(f'/photo/{p}/view').status_code == 200 for p in uploads]
  assert there == [False, False, True, True, True]
  jobs = [page.make('colorization', uploads[-1])[0] for _ in range(4)]
  there = [page.get(f'/job/{job}').status_code == 200 for job in jobs]
  assert there == [False, False, True, True]
  folder = application._orders._folder
  assert len(list(folder.iterdir())) == 2
  assert folder.stat().st_mode & 0o077 == 0
  application.close()
  assert not folder.exists()


def test_masks_too_have_so_many_pixels(page, monkeypatch):
  photo = page.upload(png(picture()))['id']
  monkeypatch.setattr(server, 'MOST_PIXELS', 2399)
  response = page.send(f'/photo/{photo}/mask', png(half_mask()))
  assert response.status_code == 413 and 'pixels' in response.json['error']


def test_photos_share_so_much_memory(model, monkeypatch):
  monkeypatch.setattr(server, '_MEMORY', 1)
  application = server.Application(model)
  page = Page(application)
  old, new = (page.upload(png(picture(seed=i)))['id'] for i in range(2))
  assert page.get(f'/photo/{old}/view').status_code == 404
  assert page.get(f'/photo/{new}/view').status_code == 200
  application.close()


def test_an_order_that_makes_room_is_stopped(model, monkeypatch):
  monkeypatch.setattr(requests, '_ORDERS', 1)
  application = server.Application(model)
  page = Page(application)
  photo = page.upload(png(picture()))['id']
  model.gate.clear()
  first = page.order('colorization', photo).json['id']
  until(lambda: page.get(f'/job/{first}').json['done'] == 1)
  job = application._orders._orders.get(first).job
  second = page.order('jpeg', photo).json['id']
  assert page.get(f'/job/{first}').status_code == 404
  model.gate.set()
  until(lambda: page.state(second) == 'done')
  assert job.state == 'stopped' and job.done <= 2
  application.close()


def test_what_is_old_goes_also_if_nobody_asks(model, monkeypatch):
  monkeypatch.setattr(server, '_SWEEP', 0.01)
  application = server.Application(model)
  page = Page(application)
  photo = page.upload(png(picture()))['id']
  page.send(f'/photo/{photo}/mask', png(half_mask()))
  page.make('colorization', photo)
  kept = application._photos, application._masks, application._orders._orders
  folder = application._orders._folder
  assert all(each._things for each in kept) and list(folder.iterdir())
  for each in kept:
    monkeypatch.setattr(each, '_seconds', 0.0)
  until(lambda: not any(each._things for each in kept))
  until(lambda: not list(folder.iterdir()))
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
    '/example/..%2fphotos%2fATTRIBUTION.tsv',
    '/example/%2e%2e%2f..%2f__init__.py',
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
    photo = page.upload(png(picture()), name)
    assert photo['name'] == expected
    saved_as = page.get(f'/photo/{photo["id"]}/file').headers
    assert 'Set-Cookie' not in saved_as
    disposition = saved_as['Content-Disposition']
    assert disposition.startswith('attachment') and '\n' not in disposition
    name, _ = page.make('colorization', photo['id'])
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
def test_names_of_other_sites_are_not_answered_to(model, host, status):
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
  for path in ('/example/coffee.jpg', '/job', '/job/x/stop', '/photo'):
    response = page.post(path, headers=headers)
    assert (response.status_code != 403) == allowed, path


def test_forms_of_other_sites_are_not_understood(page):
  file = {'file': (io.BytesIO(png(picture())), 'a.png')}
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
  for path in [web._STYLE, *server._PAGE.iterdir()]:
    text = path.read_text()
    assert not re.search(r'https?:|//[a-z]|@import|@font-face', text), path
    assert len(text.splitlines()) <= 350 or path.suffix == '.css', path
    assert not re.search(r'\son\w+="|style="', text), path  # no policy allows


# The command.


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(monkeypatch):
  def load(source):
    raise AssertionError('It was loaded.')

  monkeypatch.setattr(palette_jax, 'load', load, raising=False)
  with web.take('127.0.0.1', 0) as taken:
    port = taken.getsockname()[1]
    with pytest.raises(ValueError, match=f'port {port}, cannot be served'):
      command.run('', '127.0.0.1', port)


def test_a_server_knows_its_names():
  assert command.names('127.0.0.1') == ['127.0.0.1']
  assert len(command.names('0.0.0.0')) == 3


def test_the_demo_needs_tensorflow_never_and_jax_for_the_model_only():
  code = """
import sys
from palette_jax.demo import command
assert not {'tensorflow', 'jax', 'flax'} & set(sys.modules)
command.palette_jax.load
assert 'jax' in sys.modules and 'tensorflow' not in sys.modules
"""
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)
