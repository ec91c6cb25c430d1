"""Several hosts find each other, and train as one host does."""

import contextlib
import http.server
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest
import small_networks
import tensorflow as tf
from conftest import ROOT
from runs import SMALL, command, environment, load, micro

from palette_jax import hosts, sharding
from palette_jax.evaluation import (
  matching,
  protocol,
  references,
  report,
  samples,
)
from palette_jax.training import checkpoint, run

CONFIG = 'inpaint.py:tiny,steps=6'


@pytest.fixture
def joined(monkeypatch):
  """Returns the calls of jax.distributed.initialize, without other hosts."""
  for name in list(os.environ):
    if name.startswith(('SLURM_', 'TPU_', 'MEGASCALE_')):
      monkeypatch.delenv(name)
  for name in hosts.EXPLICIT:
    monkeypatch.delenv(name, raising=False)
  calls = []
  monkeypatch.setattr(
    jax.distributed, 'initialize', lambda *args, **more: calls.append(args)
  )
  return calls


@pytest.mark.parametrize(
  ('variables', 'calls'),
  [
    ({}, []),
    (
      {
        'COORDINATOR_ADDRESS': 'h:1',
        'NUM_PROCESSES': '2',
        'PROCESS_ID': '1',
      },
      [('h:1', 2, 1)],
    ),
    ({'SLURM_STEP_NUM_TASKS': '1', 'SLURM_GPUS_ON_NODE': '8'}, []),
    ({'SLURM_STEP_NUM_TASKS': '4'}, [()]),
    (
      {
        'SLURM_STEP_NUM_TASKS': '16',
        'SLURM_STEP_TASKS_PER_NODE': '8(x2)',
        'SLURM_GPUS_ON_NODE': '8',
      },
      [()],
    ),
  ],
)
def test_hosts_join_if_there_are_others(monkeypatch, joined, variables, calls):
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  hosts.join()
  assert joined == calls


@pytest.mark.parametrize(
  ('variables', 'calls'),
  [
    ({}, [()]),  # a TPU VM asks its metadata
    ({'TPU_SKIP_MDS_QUERY': '1'}, []),
    ({'TPU_WORKER_HOSTNAMES': 'a,b'}, [()]),
    ({'TPU_WORKER_HOSTNAMES': 'localhost'}, []),
    ({'TPU_WORKER_HOSTNAMES': 'a', 'MEGASCALE_NUM_SLICES': '2'}, [()]),
  ],
)
def test_tpus_join_if_there_are_others(monkeypatch, joined, variables, calls):
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  before = jax.config.jax_platforms
  try:
    jax.config.update('jax_platforms', 'tpu,cpu')  # as JAX does where TPUs are
    hosts.join()
  finally:
    jax.config.update('jax_platforms', before)
  assert joined == calls


@pytest.mark.parametrize(
  ('variables', 'message'),
  [
    ({'COORDINATOR_ADDRESS': 'h:1'}, "NUM_PROCESSES': ''"),
    ({'PROCESS_ID': '0'}, 'none of them'),
    (
      {'COORDINATOR_ADDRESS': 'h', 'NUM_PROCESSES': '2', 'PROCESS_ID': '0'},
      'host-0:8476',
    ),
    (
      {'COORDINATOR_ADDRESS': 'h:1', 'NUM_PROCESSES': '2', 'PROCESS_ID': '2'},
      "PROCESS_ID': '2'",
    ),
    (
      {
        'SLURM_STEP_NUM_TASKS': '2',
        'SLURM_STEP_TASKS_PER_NODE': '1(x2)',
        'SLURM_GPUS_ON_NODE': '8',
      },
      'ntasks-per-node=8',
    ),
  ],
)
def test_an_incomplete_description_of_hosts_is_refused(
  monkeypatch, joined, variables, message
):
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  with pytest.raises(ValueError, match=message):
    hosts.join()
  assert not joined


def free_port(low=0):
  """A free port, of the last 4096 if `low` is."""
  for port in range(low, 2**16) if low else [0]:
    with socket.socket() as free, contextlib.suppress(OSError):
      free.bind(('localhost', port))
      return free.getsockname()[1]
  raise AssertionError('no port is free')


@contextlib.contextmanager
def metadata(index):
  """The metadata server of worker `index` of two TPU VMs."""
  answers = {
    'agent-worker-number': str(index),
    'worker-network-endpoints': 'unknown:unknown:localhost,x:y:localhost',
    'tpu-env': "ACCELERATOR_TYPE: 'v5litepod-8'",
  }

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
      self.send_response(200)
      self.end_headers()
      self.wfile.write(answers[self.path.rpartition('/')[2]].encode())

    def log_message(self, *args):
      pass

  with http.server.ThreadingHTTPServer(('localhost', 0), Handler) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f'localhost:{server.server_port}'
    server.shutdown()
    thread.join()


# JAX looks for TPUs when it is imported, and then for others; only here, the
# arrays live on CPU after all.
FIND = """
import os, jax
if 'GCE_METADATA_IP' in os.environ:
  os.environ.pop('TPU_SKIP_MDS_QUERY')  # JAX has seen no chips
from palette_jax import hosts
hosts.join()
jax.config.update('jax_platforms', 'cpu')
import numpy as np
from jax.experimental import multihost_utils
indices = multihost_utils.process_allgather(np.array(jax.process_index()))
print(jax.process_index(), indices.tolist())
"""
TPU = {'JAX_FORCE_TPU_INIT': '1'}


@pytest.mark.slow
@pytest.mark.parametrize('where', ['tpu_vm', 'gke', 'slurm'])
def test_two_processes_find_each_other(where):
  """JAX detects them by itself, in the environment of each place."""
  with contextlib.ExitStack() as stack:
    port = free_port(2**16 - 2**12)
    processes = []
    for i in range(2):
      place = {
        'tpu_vm': {
          **TPU,
          'GCE_METADATA_IP': stack.enter_context(metadata(i)),
        },
        'gke': {
          **TPU,
          'TPU_WORKER_HOSTNAMES': 'localhost,localhost',
          'TPU_WORKER_ID': str(i),
          'MEGASCALE_COORDINATOR_ADDRESS': 'localhost',
          'MEGASCALE_NUM_SLICES': '1',
          'MEGASCALE_SLICE_ID': '0',
        },
        'slurm': {
          'SLURM_JOB_ID': str(port - (2**16 - 2**12)),
          'SLURM_STEP_NODELIST': 'localhost',
          'SLURM_STEP_NUM_TASKS': '2',
          'SLURM_STEP_TASKS_PER_NODE': '2',
          'SLURM_NTASKS': '2',
          'SLURM_PROCID': str(i),
          'SLURM_LOCALID': str(i),
        },
      }[where]
      variables = environment(**place, JAX_COORDINATOR_PORT=str(port))
      if 'JAX_FORCE_TPU_INIT' in place:
        del variables['JAX_PLATFORMS']
      processes.append(
        subprocess.Popen(
          [sys.executable, '-c', FIND],
          cwd=ROOT,
          env=variables,
          stdout=subprocess.PIPE,
          stderr=subprocess.PIPE,
          text=True,
        )
      )
    outputs = [process.communicate(timeout=300) for process in processes]
  for i, (out, _) in enumerate(outputs):  # Gloo may speak first
    assert out.endswith(f'{i} [0, 1]\n'), outputs


def on_hosts(count, arguments, devices):
  """Runs a command as several hosts; returns the finished process."""
  done = subprocess.run(
    [
      *(sys.executable, str(ROOT / 'launch/local_hosts'), str(count)),
      *arguments,
    ],
    cwd=ROOT,
    env=environment(JAX_NUM_CPU_DEVICES=str(devices)),
    capture_output=True,
    text=True,
    timeout=900,
  )
  assert done.returncode == 0, done.stderr
  return done


BATCHES = """
import sys
sys.path[:0] = ['.', 'tests']
from palette_jax import hosts
hosts.join()
import jax, numpy as np
from jax.experimental import multihost_utils
from runs import load, micro
from palette_jax import sharding
from palette_jax.training import run
config = micro(load('inpaint'), 'photos')
config.train.batch = config.held_out.examples = 16  # one for each device
built = run.build(config)
host, count = jax.process_index(), jax.process_count()
for k, batch in zip(range(3), built.train_data.train(16, 2, host, count)):
  assert len(batch.record) == 16 // count
  placed = sharding.put_batch(built.learner.mesh, batch.examples)
  whole = multihost_utils.process_allgather(placed, tiled=True)
  if host == 0:
    np.savez(f'{sys.argv[1]}/{k}.npz', **whole._asdict())
"""


@pytest.mark.slow
def test_the_batches_of_two_processes_are_those_of_one(tmp_path):
  """Bit for bit, over the end of an epoch."""
  on_hosts(2, [sys.executable, '-c', BATCHES, str(tmp_path)], devices=8)
  built = run.build(micro(load('inpaint'), 'photos'))
  for k, alone in zip(range(3), built.train_data.train(16, 2)):
    both = np.load(tmp_path / f'{k}.npz')
    for name, array in alone.examples._asdict().items():
      np.testing.assert_array_equal(both[name], array)


def losses(workdir):
  """Returns the loss of every step, from the curves."""
  results = {}
  for file in workdir.glob('events*'):
    for event in tf.compat.v1.train.summary_iterator(str(file)):
      for value in event.summary.value:
        if value.tag == 'loss':
          results[event.step] = float(tf.make_ndarray(value.tensor))
  return [results[step] for step in sorted(results)]


def restored(workdir, step):
  """Restores the state that a run of CONFIG has saved."""
  config = load('inpaint', 'tiny')
  config.data.size = (16, 16)
  config.model.update(channel_mult=(1, 1), attention_levels=())
  built = run.build(config)
  abstract = built.learner.abstract_state()
  with contextlib.closing(checkpoint.Checkpoints(str(workdir))) as saved:
    return saved.restore(step, abstract)


def difference(a, b):
  """Returns the relative difference of two trees."""

  def norm(tree):
    leaves = jax.tree.leaves(tree)
    return np.sqrt(sum(np.sum(np.square(x, dtype=np.float64)) for x in leaves))

  a, b = (jax.tree.map(np.asarray, tree) for tree in (a, b))
  return norm(jax.tree.map(np.subtract, a, b)) / norm(a)


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path):
  """Two hosts of one device each, over localhost, against one of two.

  The same command. Sums over devices are rounded in another order (3e-6 of the
  loss), which Adam magnifies where a gradient is nothing but rounding: 8e-5 of
  the weights after six steps.
  """
  one, two = tmp_path / 'one', tmp_path / 'two'
  more = [*SMALL, '--config.train.log_every=1']
  both = on_hosts(2, command(CONFIG, two, *more), devices=1)
  on_hosts(1, command(CONFIG, one, *more), devices=2)
  # Only one of them prints and writes.
  assert both.stdout.count('this model') == 1
  assert 'this model' not in both.stderr
  assert re.search(r'Host 1 of 2; .*\n', both.stderr)
  assert len(list(two.glob('events*'))) == 1
  assert (two / 'samples/6.png').exists()
  assert len(losses(one)) == 5  # of the first one, the curves have nothing
  np.testing.assert_allclose(losses(two), losses(one), rtol=1e-4)
  a, b = restored(one, 6), restored(two, 6)
  assert int(a.step) == int(b.step) == 6
  assert np.array_equal(*(jax.random.key_data(x.key) for x in (a, b)))
  for name in ('params', 'ema_params', 'opt_state'):
    assert difference(getattr(a, name), getattr(b, name)) < 1e-3, name


EVALUATE = """
import shutil, sys
sys.path[:0] = ['.', 'tests']
from palette_jax import hosts
hosts.join()
import jax
import hosts_test
kept = f'references-{jax.process_index()}'
hosts_test.evaluate(sys.argv[1], kept)
if jax.process_index() == 1:
  shutil.rmtree(f'{sys.argv[1]}/{kept}')  # a local disk that was replaced
results = hosts_test.evaluate(sys.argv[1], kept)
if jax.process_index() == 0:
  hosts_test.report.write(results, sys.argv[1], {})
"""


def evaluate(folder, kept='references'):
  """Draws fifteen photos with untrained weights, and judges them."""
  networks = {'inception': lambda: small_networks.a_network(0, 'inception')}
  protocol.loaders = lambda dialect: networks
  references.CACHE = pathlib.Path(folder, kept)
  config = micro(load('inpaint'), 'photos')
  config.train.batch = config.held_out.examples = 16  # one for each device
  config.evaluation.update(
    source='photos',
    cases=('inpainting:centre',),
    samples=2,
    batch=16,
  )
  built = run.build(config)
  params = built.learner.create_state().params
  (request,) = samples.requests(config, built, 0, folder)
  samples.draw(request, built, params)
  return protocol.judge(
    samples.comparison({'untrained': request}), reference='photos', batch=4
  )


@pytest.mark.slow
def test_two_processes_judge_as_one_does(tmp_path, monkeypatch):
  """The rows that a host draws and judges make no difference."""
  two, one = tmp_path / 'two', tmp_path / 'one'
  on_hosts(2, [sys.executable, '-c', EVALUATE, str(two)], devices=8)
  monkeypatch.setattr(protocol, 'loaders', None)
  monkeypatch.setattr(references, 'CACHE', None)
  mesh = sharding.make_mesh(devices=jax.devices()[:2])
  monkeypatch.setattr(sharding, 'make_mesh', lambda fsdp=1, devices=None: mesh)
  alone = evaluate(str(one))
  results = report.read(two / 'results.json')
  names = sorted(p.relative_to(one) for p in one.glob('**/*.png'))
  assert len(names) == 15 * 5
  for name in names:
    a, b = (matching.read(str(root / name)).astype(int) for root in (one, two))
    assert np.abs(a - b).max() <= 1, name  # sums are rounded in another order
  assert results['images'] == 15
  for row, figures in alone.rows.items():
    for metric, estimate in figures.items():
      there = results['rows'][row][metric]
      assert there['n'] == estimate.n
      assert there['value'] == pytest.approx(estimate.value, rel=1e-2, abs=1e-6)
