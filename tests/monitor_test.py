"""The monitor: pace, share of the peak, memory, profiles."""

import logging
import re
import time
import types

import jax
import jax.numpy as jnp
import pytest
from absl import flags
from runs import load, micro
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from palette_jax import chips, main
from palette_jax.models import flops
from palette_jax.training import loop, monitor, profiler, run

METRICS = dict(
  loss=jnp.float32(0.5),
  grad_norm=jnp.float32(1.0),
  errors=jnp.ones(5),
  counts=jnp.ones(5),
)
CHIP = chips.Chip('v0', 1e12, 1e9, 1e9, 1e9)


def watched(tmp_path, batches, steps=4, **more):
  """Returns the scalars written after steps that take no time themselves."""
  watch = monitor.Monitor(str(tmp_path), num_steps=100, batch=8, **more)
  written = []
  watch._writer = types.SimpleNamespace(
    write_scalars=lambda step, scalars: written.append((step, scalars)),
    close=lambda: None,
  )
  for step, _ in zip(range(1, steps + 1), watch.batches(batches, 0)):
    watch.add(step, METRICS)
  watch.report(steps, learning_rate=0.25)
  watch.close()
  return written


def batches(seconds=0.0):
  while True:
    time.sleep(seconds)
    yield None


def test_the_pace_is_written_and_printed(tmp_path, caplog):
  with caplog.at_level(logging.INFO):
    ((step, scalars),) = watched(tmp_path, batches(0.01), fastest_step=0.001)
  assert step == 4 and scalars['learning_rate'] == 0.25
  speed = scalars['steps_per_second']
  assert scalars['images_per_second'] == pytest.approx(8 * speed)
  assert scalars['share_of_peak'] == pytest.approx(speed * 0.001)
  assert re.search(
    r'step 4/100  loss 0.5000  \S+ steps/s  \S+ images/s  \d+% of peak  '
    r'data \d+%  \S+ GB  ETA \d:\d\d:\d\d',
    caplog.text,
  )


def test_an_unknown_chip_has_no_share_of_peak(tmp_path, caplog):
  with caplog.at_level(logging.INFO):
    ((_, scalars),) = watched(tmp_path, batches())
  assert 'share_of_peak' not in scalars and 'peak' not in caplog.text
  assert monitor.fastest_step(
    run.build(micro(load('jpeg'), 'photos')).learner, 8
  ) is (None)


def test_waiting_for_data_is_measured_apart_from_computing(tmp_path):
  """Nearly all of the time, then hardly any."""
  ((_, scalars),) = watched(tmp_path, batches(0.05))
  assert 0.8 < scalars['data_wait'] <= 1

  watch = monitor.Monitor(str(tmp_path), num_steps=100, batch=8)
  for step, _ in zip(range(1, 5), watch.batches(batches(), 0)):
    time.sleep(0.05)
    watch.add(step, METRICS)
  assert watch._pace()['data_wait'] < 0.2
  watch.close()


def test_the_share_of_peak_is_of_the_model_s_flops(monkeypatch):
  """Twice the images on twice the devices take the same time."""
  built = run.build(micro(load('jpeg'), 'photos')).learner
  monkeypatch.setattr(chips, 'of_device', lambda device: CHIP)
  work = flops.training_step(built.network, 16, 16, 1)
  assert work > 1e6
  devices = jax.device_count()
  seconds = monitor.fastest_step(built, 2 * devices)
  assert seconds == pytest.approx(2 * work / CHIP.peak_flops)


def test_memory_is_the_fullest_device_s_or_the_process_s(monkeypatch):
  here = monitor.peak_memory()
  assert 1e8 < here < 1e12  # Python with TensorFlow, in bytes

  def device(most):
    stats = most and {'peak_bytes_in_use': most}
    return types.SimpleNamespace(memory_stats=lambda: stats)

  devices = [device(5), device(7)]
  monkeypatch.setattr(jax, 'local_devices', lambda: devices)
  assert monitor.peak_memory() == 7
  devices.append(device(None))
  assert monitor.peak_memory() >= here


def steps_of(folder):
  """Returns the steps in a profile, by XProf's own marks."""
  (file,) = folder.glob('plugins/profile/*/*.xplane.pb')
  assert file.stat().st_size > 1000
  space = xplane_pb2.XSpace.FromString(file.read_bytes())
  steps = set()
  for plane in space.planes:
    for line in plane.lines:
      for event in line.events:
        if plane.event_metadata[event.metadata_id].name != 'train':
          continue
        for stat in event.stats:
          if plane.stat_metadata[stat.metadata_id].name == 'step_num':
            steps.add(int(stat.int64_value or stat.str_value))
  return steps


def test_a_profile_has_the_requested_steps(tmp_path, monkeypatch):
  config = micro(load('jpeg'), 'photos')
  config.train.update(steps=5, checkpoint_every=100)
  loop.train(config, str(tmp_path), profile=(3, 4))
  assert {int(step) for step in steps_of(tmp_path)} == {3, 4}
  kept = sorted(tmp_path.glob('plugins/profile/*/*'))
  config.train.steps = 6  # resumed behind them: nothing to trace
  loop.train(config, str(tmp_path), profile=(3, 4))
  assert sorted(tmp_path.glob('plugins/profile/*/*')) == kept


def test_a_profile_that_is_cut_short_is_kept(tmp_path):
  trace = profiler.Profiler(str(tmp_path), (2, 9))
  for step in 1, 2:
    trace.before(step)
    with jax.profiler.StepTraceAnnotation('train', step_num=step):
      jnp.ones(3).block_until_ready()
    assert not trace.ends_with(step)
  trace.close()
  assert {int(step) for step in steps_of(tmp_path)} == {2}
  trace.close()  # once is enough


@pytest.mark.parametrize('text', ['10', '5:3', '0:3', 'a:b', ':', '1:2:3'])
def test_an_invalid_range_of_steps_is_refused(text):
  with pytest.raises(ValueError, match='FIRST:LAST'):
    main._Steps().parse(text)
  assert main._Steps().parse('100:110') == (100, 110)
  assert 'profile' in flags.FLAGS
