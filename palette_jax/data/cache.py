"""A cache of prepared images on a local disk.

Decoding and resizing are most of the work; from the second epoch on, an image
takes a single read. The cache keeps the whole photo, reduced until its largest
crop has the size of the images, so that every epoch still crops it differently.
Several processes may share a folder. Delete the folder after changing images
under the same names: the cache does not notice.
"""

import hashlib
import json
import os
import pathlib
import threading
import zlib

import numpy as np
from absl import logging
from jaxtyping import UInt8

from palette_jax.data import records

VERSION = 1  # of the preparation; another version uses another folder
MAX_LENGTH = 4.0  # of an image, in lengths of the crop; longer ones are skipped
OFFSET, HEIGHT, WIDTH, CHECK = range(4)  # columns of the index


class Cache:
  """uint8 [h, w, 3] by record, in one growing file with an index beside it.

  The index is int64 [records, 4]: the offset of the pixels plus 1 (0: not in
  the cache), height, width, and CRC-32, which each process checks once.
  """

  def __init__(
    self, folder: str, source: records.Source, size: tuple[int, int]
  ) -> None:
    """Opens the cache of a source for crops of a size.

    Args:
      folder: of all caches; this one is a folder in it.
      source: of the images; the two images of a pair count as two records.
      size: (height, width) of the crops.

    Raises:
      ValueError: if the folder cannot be written.
    """
    key = json.dumps([VERSION, source.fingerprint(), size], sort_keys=True)
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    path = pathlib.Path(folder).expanduser() / name
    shape = len(source) * len(source.images), 4
    try:
      path.mkdir(parents=True, exist_ok=True)
      (path / 'what.json').write_text(key)
      with open(path / 'index', 'ab') as file:
        file.truncate(shape[0] * shape[1] * 8)
      # All processes append; the end of the file gives each its offset.
      flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
      self._pixels = os.open(path / 'pixels', flags, 0o644)
    except OSError as error:
      raise ValueError(
        f'data.cache={folder!r} cannot be written: {error.strerror}. Name a '
        'folder on a local disk, or leave data.cache empty.'
      ) from error
    self._index = np.memmap(path / 'index', np.int64, 'r+', shape=shape)
    self._checked = np.zeros(shape[0], bool)
    self._lock = threading.Lock()
    self._full = False

  def get(self, record: int) -> bytes:
    """Returns height and width (int32 each) and pixels; b'' if absent."""
    offset, height, width, check = self._index[record].tolist()
    if offset == 0:
      return b''
    count = height * width * 3
    pixels = os.pread(self._pixels, count, offset - 1)
    if not self._checked[record]:
      if len(pixels) != count or zlib.crc32(pixels) != check:
        logging.warning(
          'The cached image of record %d is damaged: it is replaced.', record
        )
        self._index[record, OFFSET] = 0
        return b''
      self._checked[record] = True
    return np.array([height, width], '<i4').tobytes() + pixels

  def put(
    self, record: int, image: UInt8[np.ndarray, 'h w 3']
  ) -> UInt8[np.ndarray, 'h w 3']:
    """Adds an image if there is room, and returns it; warns once if not."""
    if self._full or self._index[record, OFFSET]:
      return image
    pixels = np.ascontiguousarray(image).tobytes()
    with self._lock:
      try:
        written = os.write(self._pixels, pixels)
      except OSError as error:
        written, reason = 0, error.strerror
      else:
        reason = f'{written} of {len(pixels)} bytes were written'
      end = os.lseek(self._pixels, 0, os.SEEK_CUR)
    if written < len(pixels):
      self._full = True
      logging.warning('data.cache keeps no more images: %s.', reason)
      return image
    row = self._index[record]
    row[[HEIGHT, WIDTH, CHECK]] = *image.shape[:2], zlib.crc32(pixels)
    row[OFFSET] = end - written + 1  # Last: it makes the entry valid.
    return image
