"""Photos and masks for tests, random and smooth."""

import numpy as np
from hypothesis import strategies as st
from PIL import Image


def levels(height, width, channels=3, dtype=np.uint8, seed=0):
  draw = np.random.default_rng(seed)
  most = np.iinfo(dtype).max
  coarse = draw.integers(0, 256, [4, 4, 3], np.uint8)
  smooth = Image.fromarray(coarse).resize((width, height), Image.BICUBIC)
  result = np.asarray(smooth).astype(np.float64) / 255 * most
  result = result + draw.uniform(-most / 20, most / 20, result.shape)
  return np.clip(result, 0, most).astype(dtype)[..., :channels]


def random_mask(height, width, seed=0):
  draw = np.random.default_rng(seed)
  mask = np.zeros([height, width], np.uint8)
  for _ in range(draw.integers(1, 4)):
    top, left = draw.integers(0, height), draw.integers(0, width)
    high, wide = draw.integers(1, height), draw.integers(1, width)
    mask[top : top + high, left : left + wide] = 255
  mask[0, 0] = 0
  return mask


@st.composite
def masks(draw):
  height, width = draw(st.integers(1, 120)), draw(st.integers(1, 120))
  mask = np.zeros([height, width, 1], np.float32)
  for _ in range(draw(st.integers(1, 6))):
    top, left = (
      draw(st.integers(0, height - 1)),
      draw(st.integers(0, width - 1)),
    )
    high, wide = draw(st.integers(1, 120)), draw(st.integers(1, 30))
    mask[top : top + high, left : left + wide] = 1
  return mask
