"""The demo in a browser: all four tasks, by mouse, finger and keyboard."""

import hashlib
import http.client
import io
import json
import pathlib
import re
import signal
import subprocess
import sys
import threading

import browsing
import fake_model
import numpy as np
import pytest
from conftest import PATIENCE, ROOT
from PIL import Image

from palette_jax import web
from palette_jax.demo import server
from palette_jax.photo import reader, recipe

pytestmark = pytest.mark.slow

DESK = {'viewport': {'width': 1280, 'height': 860}}
PHONE = {
  'viewport': {'width': 390, 'height': 780},
  'has_touch': True,
  'is_mobile': True,
  'device_scale_factor': 2,
  'color_scheme': 'dark',
}


@pytest.fixture
def visit(chromium):
  with browsing.pages(chromium) as open_page:

    def visit_demo(address, **device):
      page = open_page(address, **(device or DESK))
      page.wait_for_selector('#gallery img')
      return page

    yield visit_demo


@pytest.fixture(scope='module')
def real(tmp_path_factory):
  """`palette demo` in a process of its own, with random weights."""
  folder = tmp_path_factory.mktemp('demo')
  weights = folder / 'weights.safetensors'
  fake_model.write(weights, fake_model.weights_of(size=32))
  temporary = folder / 'temporary'
  temporary.mkdir()
  words = 'demo', '--port', 0, '--checkpoint', weights
  process, address = browsing.start_server(
    *browsing.PALETTE, *words, TMPDIR=str(temporary)
  )
  yield address, weights
  # Ctrl-C ends it in order, and leaves no files.
  assert list(temporary.glob('palette-demo-*'))
  process.send_signal(signal.SIGINT)
  rest, _ = process.communicate(timeout=PATIENCE / 1000)
  assert process.returncode == 0, rest
  assert 'Traceback' not in rest
  assert not list(temporary.glob('palette-demo-*'))


@pytest.fixture
def fake():
  """The server with the fake model, whose `gate` holds it after each pass."""
  model = fake_model.FakeModel()
  application = server.Application(model)
  http_server = web.serve(application, web.bind('127.0.0.1', 0))
  thread = threading.Thread(target=http_server.serve_forever)
  thread.start()
  yield web.address(http_server), model
  model.gate.set()
  http_server.shutdown()
  thread.join()
  http_server.server_close()
  application.close()


def smooth(height=48, width=64, seed=0):
  draw = np.random.default_rng(seed)
  coarse = Image.fromarray(draw.integers(0, 256, [4, 5, 3], np.uint8))
  return np.asarray(coarse.resize((width, height), Image.BICUBIC))


def upload(page, image, name='my photo.png'):
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'PNG')
  page.set_input_files(
    '#file', {'name': name, 'mimeType': 'image/png', 'buffer': file.getvalue()}
  )
  await_photo(page, name)


def await_photo(page, name):
  page.wait_for_function(
    "name => document.body.dataset.state === 'ready' &&"
    "  document.querySelector('#about-photo').textContent.includes(name) &&"
    "  document.querySelector('#photo').complete",
    arg=name,
  )


def await_state(page, state):
  page.wait_for_function(
    'state => document.body.dataset.state === state', arg=state
  )


def start(page):
  page.click('#go')
  await_state(page, 'sampling')


def run(page, samples=1):
  """Samples; returns all texts of the progress, and the newest results."""
  page.check(f'[name=samples][value="{samples}"]', force=True)
  before = page.locator('#results article').count()
  page.evaluate("""() => {
    window.progress = [];
    window.watching?.disconnect();
    window.watching = new MutationObserver(() => {
      window.progress.push(document.querySelector('#far').textContent);
    });
    window.watching.observe(document.querySelector('#far'), {
      childList: true, characterData: true, subtree: true,
    });
  }""")
  page.click('#go')
  page.wait_for_function(
    "before => document.body.dataset.state === 'ready' && ("
    "  document.querySelectorAll('#results article').length > before ||"
    "  document.querySelector('#trouble').textContent)",
    arg=before,
  )
  assert page.inner_text('#trouble') == ''
  assert page.locator('#results article').count() == before + 1
  newest = page.locator('#results article').first
  assert newest.locator('.card').count() == samples
  return page.evaluate('() => window.progress'), newest


def save(page, link):
  with page.expect_download() as download:
    link.click()
  path = pathlib.Path(download.value.path())
  return path, download.value.suggested_filename


def levels(path):
  return reader.read(path).levels


def sha256(path):
  return hashlib.sha256(path.read_bytes()).hexdigest()


def drag(page, points):
  """Drags the mouse through points on the screen."""
  page.mouse.move(*points[0])
  page.mouse.down()
  for point in points[1:]:
    page.mouse.move(*point, steps=6)
  page.mouse.up()


def on(page, selector, *shares):
  """Returns points on an element, in shares of its width and height."""
  box = page.locator(selector).bounding_box()
  return [
    (box['x'] + x * box['width'], box['y'] + y * box['height'])
    for x, y in shares
  ]


def test_colorizing(visit, real):
  address, _ = real
  page = visit(address)
  image = smooth()
  assert page.is_disabled('#go')
  upload(page, image)
  # It shows the progress of a sampling that outlasts the polling interval.
  page.click('summary')
  page.fill('#steps', '500')
  progress, result = run(page)
  assert any(re.match(r'\d+ of 500 steps', line) for line in progress), progress
  path, name = save(page, result.locator('.save'))
  seed = int(re.fullmatch(r'my photo-colorized-(\d+)\.png', name)[1])
  assert page.input_value('#seed') == str(seed)
  its = recipe.read(path)
  assert (its.task, its.seed) == ('colorization', seed)
  assert its.input_name == 'my photo.png'
  luma = lambda array: array @ np.array([0.299, 0.587, 0.114])  # noqa: E731
  apart = luma(levels(path)) - luma(image)
  assert np.abs(apart).max() < 1.5 and np.any(levels(path) != image)

  # Another seed each time, unless it is locked.
  page.check('#locked')
  _, again = run(page)
  same, _ = save(page, again.locator('.save'))
  assert page.input_value('#seed') == str(seed)
  assert np.array_equal(levels(same), levels(path))
  page.uncheck('#locked')
  _, other = run(page, samples=2)
  assert page.input_value('#seed') != str(seed)
  two = [save(page, link)[0] for link in other.locator('.save').all()]
  assert not np.array_equal(levels(two[0]), levels(two[1]))


def test_the_slider_compares(visit, fake):
  page = visit(fake[0])
  upload(page, smooth())
  _, result = run(page)
  images = result.locator('img')
  assert images.count() == 2
  first, second = (image.bounding_box() for image in images.all())
  assert first == second and first['width'] > 180
  slider = '#results input[type=range]'
  before = lambda: page.eval_on_selector(  # noqa: E731
    '#results .before', 'image => getComputedStyle(image).clipPath'
  )
  assert '50%' in before()
  drag(page, on(page, slider, (0.5, 0.5), (0.8, 0.5)))
  share = int(page.input_value(slider))
  assert abs(share - 80) <= 2 and f'{100 - share}%' in before()
  page.focus(slider)
  page.keyboard.press('Home')
  assert '100%' in before()  # nothing of it
  page.keyboard.press('ArrowRight')
  assert page.input_value(slider) == '1' and '99%' in before()
  line = page.locator('#results .line').bounding_box()
  assert abs(line['x'] - first['x'] - 0.01 * first['width']) < 3


def test_inpainting(visit, real, tmp_path):
  address, weights = real
  page = visit(address)
  image = smooth(90, 120)
  upload(page, image, 'hole.png')
  page.click('#tab-inpainting')
  page.click('#go')
  page.wait_for_selector('#trouble:not(:empty)')
  assert 'paint over' in page.inner_text('#trouble')

  drag(page, on(page, '#mask', (0.2, 0.3), (0.4, 0.3), (0.4, 0.5)))
  drag(page, on(page, '#mask', (0.7, 0.8), (0.9, 0.8)))
  page.click('#undo')  # the second
  drag(page, on(page, '#mask', (0.6, 0.2), (0.8, 0.2)))
  page.check('[name=tool][value=eraser]', force=True)
  drag(page, on(page, '#mask', (0.75, 0.2), (0.9, 0.2)))

  _, result = run(page)
  path, _ = save(page, result.locator('.save'))
  mask, name = save(page, result.locator('a', has_text='the mask'))
  source, _ = save(page, result.locator('a', has_text='the photo'))
  assert name == 'hole-mask.png'
  hole = levels(mask)[..., 0]
  at = lambda x, y: hole[round(y * 90), round(x * 120)]  # noqa: E731
  assert at(0.2, 0.3) == at(0.3, 0.3) == at(0.4, 0.45) == at(0.65, 0.2) == 255
  assert at(0.8, 0.8) == at(0.78, 0.2) == at(0.2, 0.6) == at(0.5, 0.5) == 0
  assert set(np.unique(hole)) == {0, 255}
  # Known pixels stay, and the others change.
  result_u8 = levels(path)
  assert np.array_equal(result_u8[hole == 0], image[hole == 0])
  assert np.mean(result_u8[hole == 255] != image[hole == 255]) > 0.5

  its = recipe.read(path)
  assert its.input_sha256 == sha256(source)
  assert its.inputs == {'mask': sha256(mask)}
  script = (
    'import sys, palette_jax; w, p, s, m = sys.argv[1:]; '
    'print(palette_jax.load(w).replay(p, s, m).message)'
  )
  again = subprocess.run(
    [sys.executable, '-c', script, weights, path, source, mask],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert 'bit for bit' in again.stdout

  page.click('#clear')
  assert page.is_disabled('#undo')


def test_uncropping(visit, real):
  page = visit(real[0])
  image = smooth(48, 64)
  upload(page, image)
  page.click('#tab-uncropping')
  assert page.input_value('#right') == '32'
  scale = page.locator('#photo').bounding_box()['width'] / 64
  ((x, y),) = on(page, '.handle.right', (0.5, 0.5))
  drag(page, [(x, y), (x - 16 * scale, y + 9)])
  assert page.input_value('#right') == '16'
  ((x, y),) = on(page, '.handle.top', (0.5, 0.5))
  scale = page.locator('#photo').bounding_box()['width'] / 64
  drag(page, [(x, y), (x, y - 8 * scale)])
  assert page.input_value('#top') == '8'
  drag(page, [(x, y), (x, y + 9000)])  # not beyond the photo
  assert page.input_value('#top') == '0'
  page.fill('#left', '5')
  _, result = run(page)
  wide = levels(save(page, result.locator('.save'))[0])
  assert wide.shape == (48, 64 + 5 + 16, 3)
  assert np.array_equal(wide[:, 5:69], image)
  assert np.ptp(wide[:, 69:]) > 0
  page.fill('#left', '0')
  page.fill('#right', '0')
  page.click('#go')
  page.wait_for_selector('#trouble:not(:empty)')
  assert page.inner_text('#trouble') == 'Drag a side outwards first.'


# Delays the response to the next request until after all others.
LATE = """(part) => {
  const before = window.fetch;
  let requests = 0;
  window.fetch = async (...args) => {
    if (!String(args[0]).includes(part) || requests++) return before(...args);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const response = await before(...args);
    setTimeout(() => (window.late = true), 500);
    return response;
  };
}"""


def test_restoring(visit, real):
  page = visit(real[0])
  image = smooth(64, 64, 3)
  upload(page, image)
  page.click('#tab-jpeg')
  assert not page.is_checked('#worsen')  # somebody's own is left as it is
  assert page.is_hidden('#fine')  # a PNG may have been a JPEG of any quality
  page.check('#worsen')
  page.wait_for_function(
    "() => document.querySelector('#about-photo').textContent.includes('q10')"
  )
  page.evaluate(LATE, '/jpeg')
  page.focus('#quality')
  for _ in range(4):
    page.keyboard.press('ArrowLeft')
  page.wait_for_function('() => window.late')
  await_photo(page, 'my photo-q6.jpg')  # whatever comes last
  _, result = run(page)
  path, name = save(page, result.locator('.save'))
  jpeg, jpeg_name = save(page, result.locator('a', has_text='the photo'))
  assert re.fullmatch(r'my photo-q6-restored-\d+\.png', name)
  assert jpeg_name == 'my photo-q6.jpg'
  with Image.open(jpeg) as opened:
    assert opened.format == 'JPEG' and opened.size == (64, 64)
  assert recipe.read(path).input_sha256 == sha256(jpeg)
  assert levels(path).shape == image.shape
  page.uncheck('#worsen')
  await_photo(page, 'my photo.png')

  # A JPEG that is better than those that the weights have learnt.
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'JPEG', quality=92)
  fine = {'name': 'fine.jpg', 'mimeType': 'image/jpeg'}
  page.set_input_files('#file', fine | {'buffer': file.getvalue()})
  await_photo(page, 'fine.jpg')
  assert 'quality 92' in page.inner_text('#fine')
  page.click('#tab-colorization')
  assert page.is_hidden('#fine')
  page.click('#tab-jpeg')
  page.check('#worsen')
  await_photo(page, 'fine-q6.jpg')
  assert page.is_hidden('#fine')


def test_sampling_waits_for_the_bad_jpeg(visit, fake):
  page = visit(fake[0])
  upload(page, smooth())
  page.click('#tab-jpeg')
  page.evaluate(LATE, '/jpeg')
  page.check('#worsen')
  _, result = run(page)
  _, name = save(page, result.locator('a', has_text='the photo'))
  assert name == 'my photo-q10.jpg'
  assert 'my photo-q10.jpg' in page.inner_text('#about-photo')


def test_cancelling_within_a_step(visit, real):
  page = visit(real[0])
  upload(page, smooth())
  page.click('summary')
  page.select_option('#sampler', 'ancestral')
  page.fill('#steps', '2000')
  start(page)
  page.wait_for_function(
    "() => document.querySelector('#bar').value > 3"
    " && document.querySelector('#far').textContent.includes(' left')"
  )
  page.click('#stop')
  await_state(page, 'ready')
  assert page.inner_text('#status') == 'Cancelled.'
  assert page.evaluate("() => document.querySelector('#bar').value") < 1999
  assert page.locator('#results article').count() == 0
  page.select_option('#sampler', '')
  page.fill('#steps', '3')
  run(page)  # the next sampling works
  assert page.inner_text('#status') == 'The result is below.'


def tap(page, selector, expected):
  """Taps until `expected` shows: on a busy machine, a tap may be a press."""
  sync_api = pytest.importorskip('playwright.sync_api')
  page.locator(selector).scroll_into_view_if_needed()
  for _ in range(10):
    page.evaluate('() => new Promise((done) => setTimeout(done, 300))')
    page.tap(selector)
    try:
      page.wait_for_selector(expected, timeout=PATIENCE / 10)
      return
    except sync_api.TimeoutError:
      continue
  raise AssertionError(f'{selector} does not react to a finger.')


def test_a_phone(visit, fake):
  page = visit(fake[0], **PHONE)
  fits = '() => document.documentElement.scrollWidth <= innerWidth'
  assert page.evaluate(fits)
  for tab in page.locator('[role=tab]').all():
    box = tab.bounding_box()
    assert box['x'] >= 0 and box['x'] + box['width'] <= 390
    assert box['height'] >= 38
  tap(page, '#gallery li:nth-child(2) button', '#frame')
  await_photo(page, 'chelsea.jpg')
  tap(page, '#tab-inpainting', '#mask')
  session = page.context.new_cdp_session(page)

  def touch(points):
    kinds = ['touchStart', *['touchMove'] * (len(points) - 1)]
    for kind, (x, y) in zip(kinds, points):
      session.send(
        'Input.dispatchTouchEvent',
        {'type': kind, 'touchPoints': [{'x': x, 'y': y}]},
      )
    session.send(
      'Input.dispatchTouchEvent', {'type': 'touchEnd', 'touchPoints': []}
    )

  scrolled = page.evaluate('() => scrollY')
  touch(on(page, '#mask', (0.3, 0.2), (0.3, 0.4), (0.3, 0.6), (0.3, 0.8)))
  assert page.evaluate('() => scrollY') == scrolled  # it drew
  _, result = run(page)
  mask = levels(save(page, result.locator('a', has_text='the mask'))[0])
  assert mask[150, 135, 0] == 255 and mask[150, 300, 0] == 0

  tap(page, '#tab-uncropping', '.handle.left')
  page.evaluate('() => scrollTo(0, 0)')
  before = int(page.input_value('#left'))
  (a, b) = on(page, '.handle.left', (0.5, 0.5), (0.1, 0.5))
  touch([a, ((a[0] + b[0]) / 2, a[1]), b])
  assert int(page.input_value('#left')) > before
  run(page, samples=4)
  assert page.evaluate(fits)
  cards = [card.bounding_box() for card in page.locator('.card').all()]
  assert all(card['x'] + card['width'] <= 390 for card in cards)
  assert 'Uncrop' in page.inner_text('#results h2 >> nth=0')


def test_keyboard_only(visit, fake):
  address, model = fake
  page = visit(address)
  press = page.keyboard.press
  focused = lambda: page.evaluate('() => document.activeElement.id')  # noqa: E731
  press('Tab')
  assert focused() == 'tab-colorization'
  press('ArrowRight')
  assert focused() == 'tab-inpainting'
  press('Tab')
  assert focused() == 'choose'
  press('Tab')
  press('Tab')
  press('Enter')  # the second example
  await_photo(page, 'chelsea.jpg')
  page.focus('#mask')
  press('Space')
  for _ in range(12):
    press('ArrowRight')
  press('Space')
  for _ in range(20):
    press('ArrowDown')  # lifted
  press(']')
  assert page.input_value('#brush-size') == '9'
  page.focus('#go')
  model.gate.clear()
  press('Enter')
  page.wait_for_function("() => document.querySelector('#bar').value === 1")
  assert focused() == 'stop'
  model.gate.set()
  await_state(page, 'ready')
  assert focused() == 'go'
  result = page.locator('#results article').first
  mask = levels(save(page, result.locator('a', has_text='the mask'))[0])
  rows, columns = np.nonzero(mask[..., 0])
  assert columns.min() < 225 < columns.max() and np.ptp(columns) > 100
  assert np.ptp(rows) < 40  # and nothing below

  page.focus('#tab-inpainting')
  press('ArrowRight')
  page.focus('.handle.bottom')
  press('ArrowDown')
  press('Shift+ArrowDown')
  assert page.input_value('#bottom') == '17'
  assert page.get_attribute('.handle.bottom', 'aria-valuenow') == '17'
  page.focus('#go')
  model.gate.clear()
  press('Enter')
  page.wait_for_function("() => document.querySelector('#bar').value === 1")
  with page.expect_response('**/stop'):
    press('Enter')  # Cancel has the focus
  model.gate.set()
  await_state(page, 'ready')
  assert page.inner_text('#status') == 'Cancelled.'


def test_everything_has_a_name(visit, fake):
  page = visit(fake[0])
  upload(page, smooth())
  run(page)
  for tab in page.locator('[role=tab]').all():
    tab.click()
    nameless = page.evaluate("""() => [...document.querySelectorAll(
      'button, input:not([type=file]), select, a, img, [role=slider], canvas'
    )].filter((element) => element.checkVisibility() && !(
      element.ariaLabel || element.innerText?.trim() || element.alt ||
      element.querySelector?.('img')?.alt || element.labels?.[0]?.innerText
    )).map((element) => element.outerHTML)""")
    assert nameless == []


def test_dropped_and_pasted(visit, fake):
  page = visit(fake[0])
  bring = """async ([kind, colour]) => {
    const canvas = new OffscreenCanvas(30, 20);
    const context = canvas.getContext('2d');
    context.fillStyle = colour;
    context.fillRect(0, 0, 30, 20);
    const blob = await canvas.convertToBlob();
    const data = new DataTransfer();
    data.items.add(new File([blob], `${kind}.png`));
    const event = kind === 'drop'
      ? new DragEvent('drop', { dataTransfer: data, bubbles: true })
      : new ClipboardEvent('paste', { clipboardData: data, bubbles: true });
    document.querySelector('#stage').dispatchEvent(event);
  }"""
  page.evaluate(bring, ['drop', 'red'])
  await_photo(page, 'drop.png, 30 × 20')
  page.evaluate(bring, ['paste', 'blue'])
  await_photo(page, 'paste.png, 30 × 20')


def test_masks_from_files(visit, fake):
  page = visit(fake[0])
  upload(page, smooth(40, 60))
  page.click('#tab-inpainting')

  def open_mask(mask):
    file = io.BytesIO()
    Image.fromarray(mask).save(file, 'PNG')
    sent = {'name': 'm.png', 'mimeType': '', 'buffer': file.getvalue()}
    page.set_input_files('#mask-file', sent)

  half = np.zeros([40, 60], np.uint8)
  half[:, :20] = 255
  open_mask(half)
  page.wait_for_selector('#about-mask:not(:empty)')
  assert '33.3% of the photo' in page.inner_text('#about-mask')
  drag(page, on(page, '#mask', (0.9, 0.5), (0.91, 0.5)))  # painted on
  assert page.inner_text('#about-mask') == ''
  _, result = run(page)
  mask = levels(save(page, result.locator('a', has_text='the mask'))[0])
  assert np.all(mask[:, :20] == 255) and np.all(mask[:, 22:45] == 0)
  assert mask[20, 54, 0] == 255
  page.check('#inverted')
  open_mask(half)
  page.wait_for_function(
    "() => document.querySelector('#about-mask').textContent.includes('66.7%')"
  )
  open_mask(half[:, :40])
  page.wait_for_selector('#trouble:not(:empty)')
  assert '40 x 40 pixels' in page.inner_text('#trouble')


def test_a_mask_belongs_to_the_photo_it_was_opened_for(visit, fake):
  page = visit(fake[0])
  upload(page, smooth(40, 60))
  page.click('#tab-inpainting')
  page.evaluate(LATE, '/mask')
  file = io.BytesIO()
  half = np.repeat(np.uint8([[255] * 30 + [0] * 30]), 40, axis=0)
  Image.fromarray(half).save(file, 'PNG')
  sent = {'name': 'm.png', 'mimeType': '', 'buffer': file.getvalue()}
  page.set_input_files('#mask-file', sent)
  # Until the server has answered, the photo and the mask cannot change.
  page.set_input_files('#file', {**sent, 'name': 'another.png'})
  assert page.is_disabled('#go')
  page.focus('#mask')
  page.keyboard.press('Space')
  page.wait_for_function('() => window.late')
  await_photo(page, 'my photo.png')
  assert '50.0% of the photo' in page.inner_text('#about-mask')


def test_a_brush_without_focus_is_lifted(visit, fake):
  page = visit(fake[0])
  press = page.keyboard.press
  upload(page, smooth())
  page.click('#tab-inpainting')
  painted = lambda: page.eval_on_selector(  # noqa: E731
    '#mask',
    """canvas => canvas.getContext('2d')
      .getImageData(0, 0, canvas.width, canvas.height).data
      .reduce((sum, value) => sum + value, 0)""",
  )
  page.focus('#mask')
  press('Space')
  press('ArrowRight')
  run(page)
  sent = painted()
  page.focus('#mask')
  for _ in range(8):
    press('ArrowDown')
  assert painted() == sent > 0
  press('Space')
  press('ArrowDown')
  both = painted()
  assert both > sent
  press('Control+z')  # the stroke that is undone has ended
  one = painted()
  press('ArrowDown')
  assert painted() == one < both
  press('Control+z')
  assert painted() == 0 and page.is_disabled('#undo')


def test_a_cancel_that_is_lost_can_be_repeated(visit, fake):
  address, model = fake
  page = visit(address)
  upload(page, smooth())
  model.gate.clear()
  start(page)
  page.wait_for_function("() => document.querySelector('#bar').value === 1")
  page.route('**/stop', lambda route: route.abort())
  page.click('#stop')
  page.wait_for_selector('#stop:enabled')
  page.unroute('**/stop')
  with page.expect_response('**/stop'):
    page.click('#stop')
  page.wait_for_selector('#stop:disabled')
  model.gate.set()
  await_state(page, 'ready')
  assert page.inner_text('#status') == 'Cancelled.'


def test_two_pages_take_turns(visit, fake):
  address, model = fake
  model.gate.clear()
  pages = [visit(address) for _ in range(3)]
  for page in pages:
    upload(page, smooth())
    start(page)
  waits = "n => document.querySelector('#far').textContent.includes(n)"
  pages[0].wait_for_function(waits, arg='1 of 5 steps')
  pages[1].wait_for_function(waits, arg='1 before you')
  pages[2].wait_for_function(waits, arg='2 before you')
  pages[1].close(run_before_unload=False)  # and the next moves up
  pages[2].wait_for_function(waits, arg='1 before you')
  with pages[0].expect_response('**/stop'):
    pages[0].click('#stop')
  assert pages[0].inner_text('#far') == 'Stopping after this step.'
  model.gate.set()
  await_state(pages[0], 'ready')
  await_state(pages[2], 'ready')
  assert pages[0].locator('#results article').count() == 0
  assert pages[2].locator('#results article').count() == 1
  assert model.calls == 2


def test_errors_are_shown(visit, fake, monkeypatch):
  address, model = fake
  monkeypatch.setattr(server, 'MOST_BYTES', 10**6)
  page = visit(address)

  def send(name, content):
    file = {'name': name, 'mimeType': '', 'buffer': content}
    page.set_input_files('#file', file)
    page.wait_for_selector('#trouble:not(:empty)')
    return page.inner_text('#trouble')

  assert 'words.txt cannot be read' in send('words.txt', b'words')
  assert 'at most 1 MB are accepted' in send('large.png', bytes(1_100_000))
  assert page.is_visible('#choose')
  # Without the check of the page, the error of the server arrives.
  page.evaluate(
    """async () => {
      const { send } = await import('./server.js');
      window.message = await send('photo', new Blob([new Uint8Array(5e6)]))
        .catch((error) => error.message);
    }"""
  )
  assert 'make it smaller' in page.evaluate('() => window.message')
  upload(page, smooth())
  assert page.inner_text('#trouble') == ''

  def fail(passes):
    raise RuntimeError

  model.on_pass = fail
  page.click('#go')
  page.wait_for_selector('#trouble:not(:empty)')
  assert 'The sampling failed' in page.inner_text('#trouble')
  model.on_pass = lambda passes: None
  run(page)


def test_a_second_ctrl_c_ends_it_at_once(tmp_path):
  process, address = browsing.start_server(
    ROOT / 'tests/fake_model.py',
    'demo',
    '--port',
    0,
    TMPDIR=str(tmp_path),
    FAKE_SECONDS_A_PASS='3600',
  )
  client = http.client.HTTPConnection(address.split('/')[2], timeout=60)

  def post(path, **fields):
    kind = {'Content-Type': 'application/json'}
    client.request('POST', path, json.dumps(fields), kind)
    return json.loads(client.getresponse().read())['id']

  photo = post('/gallery/chelsea.jpg')
  sampling = dict(seed=0, samples=1, sampler='', steps=0)
  post('/job', task='colorization', photo=photo, mask='', sides={}, **sampling)
  process.send_signal(signal.SIGINT)
  for line in process.stdout:
    if 'again to stop at once' in line:
      break
  process.send_signal(signal.SIGINT)
  process.communicate(timeout=PATIENCE / 1000)
  assert process.returncode == 0
  assert not list(tmp_path.glob('palette-demo-*'))
