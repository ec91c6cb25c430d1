"""Decodes randomly damaged files, in a separate process.

    python tests/decoder_fuzz.py CASES SEED CURRENT

Each case is first written to the file CURRENT: if TensorFlow ends the process,
that file is the cause.
"""

import ctypes
import functools
import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import decoder_cases as cases  # noqa: E402
import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from palette_jax.data import decoder  # noqa: E402

MAX_PIXELS = 100_000
PERTURB = -6  # glibc's M_PERTURB: fresh memory is filled with a byte
EXTREMES = [
  b'\0', b'\1', b'\x7f', b'\x80', b'\xff', b'\0\0', b'\xff\xff', b'\0\x80',
  b'\x80\0', b'\xff\x7f', b'\x7f\xff', b'\0\0\0\0', b'\xff\xff\xff\xff',
  b'\x7f\xff\xff\xff', b'\xff\xff\xff\x7f', b'\x80\0\0\0', b'\0\0\0\x80',
  b'\0\0\0\1', b'\1\0\0\0',
]  # fmt: skip


@functools.cache
def pool():
  """Small files of all formats, each as a list of pieces."""
  files = [file for file, _ in cases.formats().values()]
  files += [cases.animated('WebP'), cases.animated('PNG')]
  rgb = cases.pixels(3, 9, 11)
  for kind, options in [
    ('JPEG', dict(progressive=True, restart_marker_blocks=1)),
    ('JPEG', dict(exif=b'Exif\0\0' + cases.exif(6))),
    ('PNG', dict(exif=b'Exif\0\0' + cases.exif(5, little=False))),
    ('WebP', dict(exif=b'Exif\0\0' + cases.exif(8))),
    ('BMP', {}),
    ('GIF', {}),
  ]:
    files.append(cases.saved(rgb, kind, **options))
  return [pieces(file) for file in files]


def pieces(file):
  """Splits a file into chunks, segments or blocks."""
  if file.startswith(b'\x89PNG'):
    start, length = 8, lambda at: 12 + struct.unpack_from('>I', file, at)[0]
  elif file.startswith(b'\xff\xd8'):
    start, length = 2, lambda at: 2 + struct.unpack_from('>H', file, at + 2)[0]
  elif file.startswith(b'RIFF'):
    start, length = (
      12,
      lambda at: 9 + struct.unpack_from('<I', file, at + 4)[0] & ~1,
    )
  else:
    start, length = 6, lambda at: 8
  parts, at = [file[:start]], start
  while at + 8 <= len(file) and len(parts) < 12:
    end = at + length(at)
    parts.append(file[at:end])
    at = end
  return [*parts, file[at:]]


def repaired(file):
  """Corrects lengths and checksums, which would hide later damage."""
  if file.startswith(b'RIFF') and len(file) >= 12:
    return cases.replaced(file, 4, struct.pack('<I', len(file) - 8))
  if file.startswith(b'\x89PNG'):
    at = 8
    while at + 12 <= len(file):
      length = struct.unpack_from('>I', file, at)[0]
      checked = file[at + 4 : at + 8 + length]
      if len(checked) == 4 + length:
        file = cases.replaced(file, at + 8 + length, cases.checksum(checked))
      at += 12 + length
  return file


@st.composite
def mutated(draw):
  choose = lambda n: draw(st.integers(0, n - 1))  # noqa: E731
  files = pool()
  parts = list(files[choose(len(files))])
  for _ in range(choose(3)):
    at, other = choose(len(parts)), files[choose(len(files))]
    parts[at : at + choose(2)] = draw(
      st.sampled_from([[], [parts[at]] * 2, [other[choose(len(other))]]])
    )
    parts = parts or [b'']
  file = b''.join(parts)
  for _ in range(choose(4)):
    reach = draw(st.sampled_from([40, 300, len(file) + 1]))
    at = min(choose(reach), len(file))
    change = draw(st.sampled_from(['set', 'set', 'flip', 'cut', 'end', 'add']))
    if change == 'set':
      file = cases.replaced(file, at, draw(st.sampled_from(EXTREMES)))
    elif change == 'flip':
      file = cases.replaced(file, at, bytes([choose(256)]))
    elif change == 'cut':
      file = file[:at] + file[at + 1 + choose(20) :]
    elif change == 'add':
      file = file[:at] + file[at - choose(20) :]
    elif choose(4) == 0:
      file = file[:at]
  return repaired(file) if choose(4) else file


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def decode(file):
  return decoder.decode(decoder.read_header(file, MAX_PIXELS))


def outcome(file, byte):
  """The pixels, or the reason for which there are none."""
  ctypes.CDLL(None).mallopt(PERTURB, byte)
  try:
    return decode(tf.constant(file)).numpy()
  except tf.errors.InvalidArgumentError as error:
    return decoder.reason(error)
  finally:
    ctypes.CDLL(None).mallopt(PERTURB, 0)


def check(file):
  """Twice the same: nothing depends on what the memory held before."""
  first, again = outcome(file, 1), outcome(file, 170)
  assert type(first) is type(again), (first, again)
  if isinstance(first, str):
    assert first and '\n' not in first, repr(first)
    return False
  assert np.array_equal(first, again)
  height, width, channels = first.shape
  assert channels == 3 and first.dtype == np.uint8
  assert 0 < height * width <= MAX_PIXELS
  return True


def fuzz(count, seed, current):
  """Checks `count` files; returns how many could be decoded."""
  decoded = []

  @hypothesis.seed(seed)
  @hypothesis.settings(
    max_examples=count,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @hypothesis.given(mutated())
  def run(file):
    current.write_bytes(file)
    decoded.append(check(file))

  run()
  return len(decoded), sum(decoded)


if __name__ == '__main__':
  print(*fuzz(int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])))
