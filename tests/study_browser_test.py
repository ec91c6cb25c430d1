"""The study in a browser, from the first trial to the report; and kills."""

import http.client
import json
import queue
import signal
import threading

import browsing
import numpy as np
import pytest
from conftest import PATIENCE
from PIL import Image

from palette_jax.study import answers, findings, summary

pytestmark = pytest.mark.slow

COLOURS = {
  'originals': (190, 120, 60),
  'blue': (40, 90, 200),
  'green': (60, 180, 90),
}


class Served:
  """`palette study` in a process of its own, which can be started again."""

  def __init__(self, folder, count=14, size=64):
    self.answers = folder / 'answers.sqlite'
    self._words = ['--originals', folder / 'originals']
    draw = np.random.default_rng(0)
    for kind, colour in COLOURS.items():
      (folder / kind).mkdir()
      if kind != 'originals':
        self._words += ['--outputs', kind, folder / kind]
      for i in range(count):
        shade = colour + draw.integers(-10, 10) + np.arange(size)[:, None] // 8
        image = np.broadcast_to(shade[:, None], [size, size, 3])
        Image.fromarray(image.astype(np.uint8)).save(folder / kind / f'{i}.png')
    self.port = 0
    self.start()

  def start(self):
    words = [*self._words, '--answers', self.answers, '--trials', 4]
    self._process, self.address = browsing.start_server(
      *browsing.PALETTE, 'study', *words, '--port', self.port
    )
    self.port = int(self.address.rsplit(':')[-1].strip('/'))

  def stop(self, signal_number):
    if self._process.poll() is None:
      self._process.send_signal(signal_number)
      self._process.communicate(timeout=PATIENCE / 1000)
    return self._process.returncode

  def rows(self):
    return answers.load(str(self.answers))[2]


@pytest.fixture
def served(tmp_path):
  served = Served(tmp_path)
  yield served
  served.stop(signal.SIGKILL)


@pytest.fixture
def visit(chromium, served):
  with browsing.pages(chromium, WATCH) as open_page:

    def visit_study(**device):
      page = open_page(served.address, **device)
      await_state(page, 'intro')
      return page

    yield visit_study


def await_state(page, *states):
  page.wait_for_function(
    'states => states.includes(document.body.dataset.state)', arg=states
  )


def state(page):
  return page.evaluate('document.body.dataset.state')


def await_pair(page, number):
  """Waits until the rater can answer; the pair may be hidden by then."""
  page.wait_for_function(
    "number => ['shown', 'hidden'].includes(document.body.dataset.state)"
    " && document.querySelector('#count').textContent.startsWith(number)",
    arg=f'{number} of ',
  )


# Notes what is on the screen when a pair appears.
WATCH = """
window.seen = {};
new MutationObserver(() => {
  if (document.body.dataset.state !== 'shown') return;
  const count = document.querySelector('#count').textContent;
  window.seen[parseInt(count)] = ['left', 'right'].map((side) => {
    const image = document.querySelector(`#${side} img`);
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    return {
      visible: getComputedStyle(image).visibility === 'visible',
      pixels: Array.from(context.getImageData(0, 0, 64, 64).data),
    };
  });
}).observe(document, {
  attributes: true, attributeFilter: ['data-state'], subtree: true,
});
"""


def look(page, number):
  """Returns what was on each side: 'photo', 'mosaic', 'blue' or 'green'."""
  kinds = []
  for side in page.evaluate('number => window.seen[number]', number):
    assert side['visible']
    image = np.array(side['pixels']).reshape(64, 64, 4)[..., :3]
    red, green, blue = image.mean((0, 1))
    if np.ptp(image[0], axis=0).max() > 30:
      kinds.append('mosaic')
    elif red > green and red > blue:
      kinds.append('photo')
    else:
      kinds.append('green' if green > blue else 'blue')
  return kinds


def judge(kinds):
  """Chooses as a rater who finds the photo, unless the other is green."""
  assert 'photo' in kinds and kinds[0] != kinds[1]
  choice = 'green' if 'green' in kinds else 'photo'
  return ['left', 'right'][kinds.index(choice)]


def press(page, side):
  page.keyboard.press(f'Arrow{side.capitalize()}')


def test_from_the_first_trial_to_the_report(visit, served):
  page = visit(viewport={'width': 1280, 'height': 800})
  assert '12 pairs' in page.inner_text('#intro')
  assert '3 seconds' in page.inner_text('#intro')
  page.keyboard.press('Enter')  # Start has the focus

  # Without an answer, the pair is hidden after its time; it can be answered.
  await_pair(page, 1)
  side = judge(look(page, 1))
  await_state(page, 'hidden')
  assert not page.is_visible('#left img') and not page.is_visible('#right img')
  assert page.locator('img[src]').count() == 0
  assert 'Time is over' in page.inner_text('#status')
  press(page, side)

  # After a reload: the same trial, without a second look.
  await_pair(page, 2)
  side = judge(look(page, 2))
  requests = []
  page.on('request', lambda request: requests.append(request.url))
  page.reload()
  await_state(page, 'intro')
  assert page.inner_text('#go') == 'Continue with pair 2 of 12'
  page.click('#go')
  await_state(page, 'hidden')
  assert page.locator('img[src]').count() == 0
  assert not any('/image/' in url for url in requests)
  page.click(f'#{side}')

  # Three key presses are one answer.
  await_pair(page, 3)
  side = judge(look(page, 3))
  for _ in range(3):
    press(page, side)
  for number in range(4, 13):
    await_pair(page, number)
    side = judge(look(page, number))
    if number % 2:
      page.click(f'#{side}')
    else:
      press(page, side)
  await_state(page, 'done')
  assert 'Thank you' in page.inner_text('#thanks')
  page.reload()
  await_state(page, 'done')

  report = findings.compute(*answers.load(str(served.answers)))
  assert report['raters'] == {
    'began': 1,
    'answered': 1,
    'finished': 1,
    'counted': 1,
    'excluded': [],
  }
  shares = {rate['model']: rate['value'] for rate in report['fool_rates']}
  assert shares == {'blue': 0, 'green': 1}
  assert report['times']['after_a_reload'] == 1
  assert report['times']['after'] >= 1 and report['times']['never'] == 0
  assert served.rows()[0].milliseconds >= 3000
  assert 'green | 100.0%' in summary.text(report)

  # Somebody else on the same device.
  page.click('#next')
  await_state(page, 'intro')
  page.click('#go')
  await_pair(page, 1)


@pytest.mark.parametrize('width,height', [(390, 664), (320, 548), (664, 340)])
def test_a_pair_fits_on_a_phone(visit, served, width, height):
  page = visit(
    viewport={'width': width, 'height': height},
    has_touch=True,
    is_mobile=True,
    device_scale_factor=2,
    color_scheme='dark',
  )
  assert page.evaluate('document.documentElement.scrollWidth') <= width
  page.tap('#go')
  await_pair(page, 1)
  (ax, ay, aw, ah), (bx, by, bw, bh) = (
    page.locator(f'#{side} img').bounding_box().values()
    for side in ('left', 'right')
  )
  assert min(ax, ay, bx, by) >= 0
  assert max(ax + aw, bx + bw) <= width and max(ay + ah, by + bh) <= height
  assert aw == bw == pytest.approx(ah) == pytest.approx(bh)
  assert aw > 165  # beside each other, 320 pixels would leave 140
  assert ax + aw <= bx or ay + ah <= by
  scrolls = 'document.documentElement.scrollHeight > innerHeight'
  assert not page.evaluate(scrolls)
  label = page.inner_text('#right .label')
  assert label == ('Lower' if height > width else 'Right')
  page.tap('#right')
  await_pair(page, 2)
  assert [row.chose_left for row in served.rows()][0] is False


def test_two_windows_show_a_pair_once(visit, served):
  page = visit()
  page.click('#go')
  await_pair(page, 1)
  other = page.context.new_page()
  other.goto(served.address)
  await_state(other, 'intro')
  other.click('#go')
  await_state(other, 'hidden')
  other.keyboard.press('ArrowLeft')
  await_pair(other, 2)
  # The first window's answer comes too late, and it follows.
  await_state(page, 'shown', 'hidden')
  page.keyboard.press('ArrowRight')
  await_pair(page, 2)
  await_state(page, 'hidden')
  assert [row.chose_left for row in served.rows()] == [True, None]


def test_the_page_outlives_its_server(visit, served):
  page = visit()
  page.dblclick('#go')  # and yet one rater
  await_pair(page, 1)
  assert answers.load(str(served.answers))[1] == 1
  served.stop(signal.SIGKILL)
  page.keyboard.press('ArrowLeft')
  page.wait_for_selector('#trouble', state='visible')
  assert state(page) == 'sent'
  served.start()
  await_pair(page, 2)
  assert not page.is_visible('#trouble')
  assert [row.chose_left for row in served.rows()] == [True, None]


class Caller:
  """A rater without a browser, who notes acknowledged answers."""

  def __init__(self, port):
    self._port, self._cookie = port, ''
    self.known = []

  def ask(self, method, path, **fields):
    line = http.client.HTTPConnection('127.0.0.1', self._port, timeout=60)
    try:
      headers = {'Content-Type': 'application/json', 'Cookie': self._cookie}
      line.request(method, path, json.dumps(fields), headers)
      answer = line.getresponse()
      cookie = answer.getheader('Set-Cookie')
      if cookie:
        self._cookie = cookie.split(';')[0]
      content = json.loads(answer.read())
      assert answer.status == 200, content
      return content
    finally:
      line.close()

  def sit(self, acknowledged):
    due = self.ask('POST', '/begin')
    try:
      while due['state'] == 'trial':
        self.ask('POST', '/shown', trial=due['trial'], page='page')
        left = bool(len(self.known) % 3)
        following = self.ask(
          'POST', '/answer', trial=due['trial'], left=left, milliseconds=9
        )
        self.known.append(left)
        acknowledged.put(left)
        due = following
    except (OSError, http.client.HTTPException):
      pass  # the server was killed


@pytest.mark.parametrize('count', [7, 23])
def test_a_kill_loses_no_acknowledged_answer(served, count):
  acknowledged = queue.Queue()
  callers = [Caller(served.port) for _ in range(3)]
  threads = [
    threading.Thread(target=caller.sit, args=[acknowledged])
    for caller in callers
  ]
  for thread in threads:
    thread.start()
  for _ in range(count):
    acknowledged.get(timeout=120)
  served.stop(signal.SIGKILL)
  for thread in threads:
    thread.join()

  served.start()
  written = {}
  for row in served.rows():
    if row.chose_left is not None:
      written.setdefault(row.rater, []).append(row.chose_left)
  # At most one answer of each rater is stored and not acknowledged.
  known = sorted(caller.known for caller in callers)
  assert len(written) <= len(known) and sum(map(len, known)) >= count
  for caller in callers:
    due = caller.ask('GET', '/trial')
    number = due.get('number', due['of'] + 1) - 1
    assert len(caller.known) <= number <= len(caller.known) + 1
    assert any(
      rows[: len(caller.known)] == caller.known and len(rows) == number
      for rows in [*written.values(), []]
    )


def test_ctrl_c_ends_it_in_order(served):
  assert Caller(served.port).ask('GET', '/trial')['state'] == 'new'
  assert served.stop(signal.SIGINT) == 0
