"""Prepared images, kept on a disk from their first use on.

Decoding and resizing are most of the work; from the second epoch on an image is
one read. What is kept is the whole photo, made just small enough for the
largest crop, so that every epoch still crops it elsewhere. Several processes
may share a folder on a local disk. A file of which the pixels have been changed
under the same name is not noticed: then the folder has to be deleted.
"""

import hashlib
import json
import os
import pathlib
import threading
import zlib

import numpy as np
from absl import logging

from palette_jax.data import sources

VERSION = 1  # of the preparation: another one starts another folder
MOST = 4.0  # times as long as the crop; what is longer is not kept
OFFSET, HEIGHT, WIDTH, CHECK = range(4)  # columns of the index


class Cache:
  """uint8 [h, w, 3] by record, in one growing file and an index beside it.

  The index is int64 [records, 4]: where the pixels start, plus 1 (0: not kept),
  their height and width, and their crc32, which is looked at once a process.
  """

  def __init__(
    self, folder: str, source: sources.Source, size: tuple[int, int]
  ):
    """Opens what is kept of a source for crops of this size.

    Args:
      folder: of all caches; this one is a folder in it.
      source: of the images; a pair's two images count as two records.
      size: (height, width) of the crops.

    Raises:
      ValueError: if the folder cannot be written.
    """
    what = json.dumps([VERSION, source.fingerprint(), size], sort_keys=True)
    name = hashlib.sha256(what.encode()).hexdigest()[:32]
    path = pathlib.Path(folder).expanduser() / name
    shape = len(source) * len(source.images), 4
    try:
      path.mkdir(parents=True, exist_ok=True)
      (path / 'what.json').write_text(what)
      with open(path / 'index', 'ab') as file:
        file.truncate(shape[0] * shape[1] * 8)
      # All writes append, whoever writes; the file's end says where they are.
      flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
      self._pixels = os.open(path / 'pixels', flags, 0o644)
    except OSError as error:
      raise ValueError(
        f'data.cache={folder!r} cannot be written: {error.strerror}.'
      ) from error
    self._index = np.memmap(path / 'index', np.int64, 'r+', shape=shape)
    self._checked = np.zeros(shape[0], bool)
    self._lock = threading.Lock()
    self._full = False

  def get(self, record: int) -> bytes:
    """Height and width, int32 each, and the pixels; b'' if it is not kept."""
    offset, height, width, check = self._index[record].tolist()
    if offset == 0:
      return b''
    count = height * width * 3
    pixels = os.pread(self._pixels, count, offset - 1)
    if not self._checked[record]:
      if len(pixels) != count or zlib.crc32(pixels) != check:
        logging.warning('The cache of record %d is broken: made anew.', record)
        self._index[record, OFFSET] = 0
        return b''
      self._checked[record] = True
    return np.array([height, width], '<i4').tobytes() + pixels

  def put(self, record: int, image: np.ndarray) -> np.ndarray:
    """Keeps an image, and returns it; says so once if the disk is full."""
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
    row[OFFSET] = end - written + 1  # last: from now on it is there
    return image
