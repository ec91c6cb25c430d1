"""Eight CPU devices, no silent broadcasting, compiled programs kept."""

import gc
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for `from configs import common`

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '2'
os.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

# Small networks: compiling them takes longer than running them.
os.environ.setdefault('XLA_FLAGS', '--xla_backend_optimization_level=0')

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from PIL import Image  # noqa: E402

from palette_jax import sharding  # noqa: E402

jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_disable_most_optimizations', True)
cache = pathlib.Path('~/.cache/palette_jax/xla-tests').expanduser()
jax.config.update('jax_compilation_cache_dir', str(cache))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)


def pytest_addoption(parser):
  parser.addoption('--all', action='store_true', help='the slow tests, too')


def pytest_collection_modifyitems(config, items):
  if not config.getoption('--all'):
    slow = [item for item in items if 'slow' in item.keywords]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if 'slow' not in item.keywords]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
  """A slow test that is skipped although --all asks for it has failed."""
  report = yield
  slow = 'slow' in item.keywords and item.config.getoption('--all')
  if slow and report.skipped and not hasattr(report, 'wasxfail'):
    report.outcome = 'failed'
    report.longrepr = f'--all must not skip a slow test: {report.longrepr}'
  return report


PATIENCE = 90_000  # milliseconds; of browsers, on a machine that is busy
FLAGS = (
  '--no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic '
  '--no-first-run --disable-background-networking --disable-component-update '
  '--disable-sync'
).split()


@pytest.fixture(scope='module')
def chromium():
  """Debian's browser, driven by Playwright."""
  playwright = pytest.importorskip('playwright.sync_api')
  path = shutil.which('chromium') or shutil.which('chromium-browser')
  if path is None:
    pytest.skip('There is no chromium; launch/install --all gets it.')
  with playwright.sync_playwright() as driver:
    browser = driver.chromium.launch(executable_path=path, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def photo_folder(tmp_path):
  """Twelve small images, at several depths, of several formats."""
  folder = tmp_path / 'photos'
  draw = np.random.default_rng(0)
  suffixes = ['jpg', 'png', 'bmp', 'webp', 'gif', 'JPEG']
  for i in range(12):
    path = folder / 'ab'[i % 2] / f'{i:02}.{suffixes[i % 6]}'
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = draw.integers(0, 256, [3, 4, 3], np.uint8)
    Image.fromarray(coarse).resize((40 + i, 36), Image.BICUBIC).save(path)
  return folder


@pytest.fixture
def one_device(request, monkeypatch):
  """One device, which compiles faster, unless a test asks for all of them."""
  if 'eight_devices' not in request.keywords:
    mesh = jax.make_mesh(
      (1, 1),
      ('data', 'fsdp'),
      axis_types=(jax.sharding.AxisType.Auto,) * 2,
      devices=jax.devices()[:1],
    )
    monkeypatch.setattr(sharding, 'make_mesh', lambda fsdp: mesh)


# Orbax, failing as it should here, leaves reads behind that find its event
# loop closed; nowhere else may such a warning pass.
orphans = pytest.mark.filterwarnings(
  'ignore::pytest.PytestUnraisableExceptionWarning'
)


@pytest.fixture
def collected():
  """Collects garbage, so that a test's warnings are raised in that test."""
  yield
  gc.collect()
