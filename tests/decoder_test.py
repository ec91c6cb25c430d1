"""Pixels as Pillow sees them, or a refusal that says why."""

import io
import struct
import subprocess
import sys

import decoder_cases as cases
import decoder_fuzz
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from palette_jax.data import decoder

FORMATS = cases.formats()
HUGE = cases.resized_headers(30_000, 30_000)  # WebP's lossy: of 13,616
FILE = tf.TensorSpec([], tf.string)


def decode(file):
  return decoder.decode(decoder.read_header(file))


in_graph = tf.function(decode, input_signature=[FILE], autograph=False)


def refusal(function, file):
  """The reason for which a file is refused, in one line."""
  with pytest.raises(tf.errors.InvalidArgumentError) as caught:
    function(tf.constant(file))
  line = decoder.reason(caught.value)
  assert line and '\n' not in line
  return line


@pytest.mark.parametrize('name', FORMATS)
def test_pixels_are_pillow_s(name):
  """Exactly; JPEG and lossy WebP within 2, as their decoders may differ."""
  file, read_by_pillow = FORMATS[name]
  expected = cases.reference(read_by_pillow)
  tolerance = 2 if name.startswith('jpeg') or name.startswith('webp') else 0
  for image in (decode(tf.constant(file)), in_graph(file)):
    assert image.dtype == tf.uint8 and image.shape == expected.shape
    assert np.abs(image - expected).max() <= tolerance


def test_a_data_set_has_the_same_pixels():
  files = tf.data.Dataset.from_tensor_slices([f for f, _ in FORMATS.values()])
  images = files.map(tf.autograph.experimental.do_not_convert(decode))
  for file, image in zip(files, images):
    assert np.array_equal(image, in_graph(file))


def test_transparent_pixels_are_white():
  for name in ('png rgba', 'gif transparent', 'webp lossless alpha'):
    image = Image.open(io.BytesIO(FORMATS[name][0])).convert('RGBA')
    see_through = np.asarray(image)[..., 3] == 0
    assert see_through.any()
    assert np.all(in_graph(FORMATS[name][0]).numpy()[see_through] == 255)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('little', [True, False])
def test_images_are_turned_upright(orientation, little):
  rgb = cases.pixels(4)[..., :3]
  block = cases.exif(orientation, little)
  prefixed = b'Exif\0\0' + block
  jpeg = cases.saved(rgb, 'JPEG', quality=90)
  later = [
    cases.segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x/>'),
    cases.segment(0xFE, b'a comment: Exif'),
    b'\xff\xff' + cases.segment(0xE1, prefixed)[1:],
  ]
  for file in [
    cases.saved(rgb, 'JPEG', exif=prefixed),
    cases.with_segments(jpeg, cases.segment(0xE1, prefixed)),
    jpeg[:20] + b''.join(later) + jpeg[20:],
    cases.saved(rgb, 'PNG', exif=prefixed),
    cases.saved(rgb, 'WebP', exif=prefixed, lossless=True),
    cases.saved(rgb, 'WebP', exif=block, lossless=True),
  ]:
    expected = cases.reference(file)
    turned = (orientation > 4) != (expected.shape[0] < expected.shape[1])
    assert turned
    assert np.abs(in_graph(file) - expected).max() <= 2


@pytest.mark.parametrize(
  'block',
  [
    b'',
    b'II',
    b'XX*\0' + cases.exif(6)[4:],
    cases.exif(6)[:15],
    cases.exif(0),
    cases.exif(9),
    cases.exif(65535),
    cases.replaced(cases.exif(6), 4, b'\xff\xff\xff\x7f'),
    cases.replaced(cases.exif(6), 4, b'\0\0\0\x80'),
    cases.replaced(cases.exif(6), 4, b'\xff\xff\xff\xff'),
    cases.replaced(cases.exif(6), 8, b'\xff\xff\x13'),
    cases.replaced(cases.exif(6), 12, b'\x07'),
  ],
)
def test_a_broken_exif_block_means_upright(block):
  rgb = cases.pixels(4)[..., :3]
  segment = cases.segment(0xE1, b'Exif\0\0' + block)
  png = cases.png(rgb, 2, 8, (b'eXIf', block))
  jpeg = cases.saved(rgb, 'JPEG', quality=90)
  for file, plain in [
    (png, cases.png(rgb, 2, 8)),
    (cases.with_segments(jpeg, segment), jpeg),
  ]:
    assert np.array_equal(in_graph(file), in_graph(plain))


def test_a_box_is_the_same_part_of_the_whole():
  @tf.function(input_signature=[FILE, tf.TensorSpec([4], tf.int32)])
  def part(file, box):
    return decoder.decode(decoder.read_header(file), box)

  draw = np.random.default_rng(0)
  image = draw.integers(0, 256, [67, 90, 3], np.uint8)
  options = [dict(subsampling=2), dict(subsampling=0), dict(progressive=True)]
  files = [
    cases.saved(image, 'JPEG', exif=b'Exif\0\0' + cases.exif(turn), **how)
    for turn in (1, 6)
    for how in options
  ]
  for file in (*files, cases.saved(image, 'PNG')):
    whole = in_graph(file).numpy()
    shape = np.array(whole.shape[:2])
    for _ in range(20):
      corner = draw.integers(0, shape)
      extent = draw.integers(1, shape - corner + 1)
      (top, left), (bottom, right) = corner, corner + extent
      decoded = part(file, np.concatenate([corner, extent]).astype(np.int32))
      assert np.array_equal(decoded, whole[top:bottom, left:right])


def refused_files():
  """(a part of the reason, file) by kind."""
  rgb = Image.fromarray(cases.pixels(3))
  grey = rgb.convert('L')
  tiff, gif = cases.saved(rgb, 'TIFF'), FORMATS['gif'][0]
  place = gif.index(b',\0\0\0\0')
  bmp = FORMATS['bmp 24'][0]
  keyed = (b'tRNS', b'\0\1')
  few = [cases.png(np.ones([4, 4, 1]), 0, bits, keyed) for bits in (1, 2, 4)]
  old_bmp = struct.pack('<2s4I4H', b'BM', 38, 0, 26, 12, 2, 2, 1, 24)
  old_bmp += b'\0\0\x18\0' + bytes(12)
  palette = 'BMP with a palette, or compressed'
  return {
    'palette BMP': (palette, cases.saved(rgb.quantize(9), 'BMP')),
    '1-bit BMP': (palette, cases.saved(grey.convert('1'), 'BMP')),
    'RLE BMP': (palette, cases.replaced(FORMATS['bmp grey'][0], 30, b'\1')),
    'BMP of 1987': (palette, old_bmp),
    'animated WebP': ('animated WebP', cases.animated('WebP')),
    **{f'PNG tRNS {len(f)}': ('a transparent grey', f) for f in few},
    'TIFF': ('neither JPEG, PNG, GIF, BMP nor WebP', tiff),
    'HEIC': ('neither JPEG', b'\0\0\0\x18ftypheic\0\0\0\0mif1heic'),
    'text': ('neither JPEG', b'this is no image'),
    'empty': ('neither JPEG', b''),
    'GIF, small frame': (
      'first frame does not fill it',
      cases.replaced(gif, place + 5, b'\x08\0\x08\0'),
    ),
    'GIF, cut off': ('cut off', gif[:-9]),
    'JPEG, cut off': ('', FORMATS['jpeg'][0][:-99]),
    'BMP, cut off': ('', bmp[:-99]),
  }


@pytest.mark.parametrize('name', refused_files())
def test_files_that_would_be_decoded_wrongly_are_refused(name):
  message, file = refused_files()[name]
  for function in (decode, in_graph):
    line = refusal(function, file)
    assert message in line, line
  assert refusal(decode, file) == refusal(in_graph, file)


def tiny_files(height=9, width=11):
  """A file of each kind."""
  rgb, rgba = cases.pixels(3, height, width), cases.pixels(4, height, width)
  return {
    'jpeg': cases.saved(rgb, 'JPEG'),
    'jpeg progressive': cases.saved(rgb, 'JPEG', progressive=True),
    'jpeg exif': cases.saved(rgb, 'JPEG', exif=b'Exif\0\0' + cases.exif(6)),
    'png': cases.saved(rgba, 'PNG'),
    'gif': cases.saved(Image.fromarray(rgb).quantize(9), 'GIF'),
    'bmp': cases.saved(rgb, 'BMP'),
    'webp': cases.saved(rgb, 'WebP'),
    'webp alpha': cases.saved(rgba, 'WebP', lossless=True),
  }


def test_a_file_may_be_of_one_pixel():
  for file in tiny_files(1, 1).values():
    expected = cases.reference(file)
    assert expected.shape == (1, 1, 3)
    assert np.abs(in_graph(file) - expected).max() <= 2


def test_a_file_that_is_cut_off_is_refused_or_shown():
  for name, file in tiny_files().items():
    for end in range(0, len(file), 10):
      decodes = decoder_fuzz.check(file[:end])
      assert not decodes or end > len(file) / 2, (name, end)


@pytest.mark.parametrize('fill', [b'\0', b'\xff', b'\x89PNG\r\n\x1a\n'])
def test_the_beginning_of_a_file_alone_is_refused(fill):
  for file in tiny_files().values():
    for end in (0, 1, 3, 8, 12):
      refusal(in_graph, file[:end] + fill * 40)


def test_the_beginning_of_another_format_is_refused():
  files = tiny_files().values()
  for one in files:
    for other in files:
      if one[:2] != other[:2]:
        refusal(in_graph, one[:16] + other[16:])


@pytest.mark.parametrize('name', HUGE)
def test_a_huge_image_is_refused_by_its_header(name):
  assert 'more than data.max_pixels = 50000000' in refusal(in_graph, HUGE[name])


def test_changed_files_are_refused_or_shown(tmp_path):
  checked, decoded = decoder_fuzz.fuzz(300, 0, tmp_path / 'current')
  assert checked >= 300 and 20 < decoded < 280


@pytest.mark.slow
def test_ten_thousand_changed_files_are_refused_or_shown(tmp_path):
  """In a separate process, since TensorFlow might end it."""
  current = tmp_path / 'current'
  script = [decoder_fuzz.__file__, '10000', '1', str(current)]
  done = subprocess.run([sys.executable, *script], capture_output=True)
  crashed = (
    f'{done.returncode} at {current.read_bytes()!r}\n{done.stderr[-2000:]}'
  )
  assert done.returncode == 0, crashed
  assert int(done.stdout.split()[0]) >= 10_000


def large_files():
  """(pixels for which memory may be used, file)."""
  side = 2800
  black, clear = (
    np.zeros([side, side], np.uint8),
    np.zeros([side, side, 4], 'u1'),
  )
  rgb, pixels = clear[..., :3], side**2
  frames = [Image.new('P', (2000, 2000), i) for i in range(200)]
  rotated = dict(exif=b'Exif\0\0' + cases.exif(6))
  deep = cases.png(clear.astype(np.uint16), 6, 16, interlaced=True)
  return [
    *[(0, file) for file in HUGE.values()],
    (
      2000 * 2000,
      cases.saved(frames[0], 'GIF', save_all=True, append_images=frames[1:]),
    ),
    (pixels, cases.saved(black, 'PNG')),
    (pixels, cases.saved(clear, 'PNG', **rotated)),
    (pixels, deep),
    (pixels, cases.saved(rgb, 'JPEG', **rotated)),
    (pixels, cases.saved(rgb, 'JPEG', progressive=True, subsampling=0)),
    (pixels, cases.saved(rgb, 'BMP')),
    (pixels, cases.saved(black, 'GIF')),
    (pixels, cases.saved(clear, 'WebP', lossless=True, method=0)),
    (pixels, cases.saved(clear, 'WebP', method=0)),
  ]


MEMORY = """
import resource, sys
import tensorflow as tf
from palette_jax.data import decoder

@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def decode(path):
  file = decoder.read_header(tf.io.read_file(path), 8_000_000)
  return tf.shape(decoder.decode(file))

for path in sys.argv[1:]:
  try:
    decode(tf.constant(path))
  except tf.errors.InvalidArgumentError as error:
    assert 'max_pixels' in decoder.reason(error), decoder.reason(error)
  print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_decoding_takes_twenty_bytes_a_pixel(tmp_path):
  """The peak of a process without the file, for ever larger files."""
  files = [(0, f) for f in tiny_files().values()]
  files += sorted(large_files(), key=lambda f: f[0])
  paths = [tmp_path / f'{i:02}' for i in range(len(files))]
  for path, (_, file) in zip(paths, files):
    path.write_bytes(file)
  done = subprocess.run(
    [sys.executable, '-c', MEMORY, *map(str, paths)],
    capture_output=True,
    check=True,
    cwd=decoder_fuzz.ROOT,
  )
  peaks = [int(line) for line in done.stdout.split()]
  before = peaks[len(tiny_files()) - 1]
  for peak, (pixels, file) in zip(peaks, files):
    assert peak - before <= 20 * pixels + len(file) + 2**25
