"""Answers that take no model: what any model must beat.

colorization   the grey picture
inpainting     diffusion: every pixel of the hole the mean of its neighbours
uncropping     the nearest known pixel
jpeg           the decoded JPEG
"""

import concurrent.futures

import numpy as np
import scipy.ndimage
import scipy.sparse.linalg
from etils import epath
from jax.experimental import multihost_utils
from jaxtyping import Bool, UInt8

from palette_jax import images
from palette_jax.evaluation import features, matching

NAMES = {
  'colorization': 'Grey copy',
  'inpainting': 'Diffusion fill',
  'uncropping': 'Edge replication',
  'jpeg': 'The JPEG',
}


def draw(task: str, inputs: str, holes: str | None, out: epath.PathLike) -> str:
  """Writes the answers to a folder of inputs; those that are there stay.

  On several hosts each writes its share.

  Args:
    task: a name in NAMES.
    inputs: folder of what a model is given.
    holes: folder of masks, white where it paints, for tasks that have them.
    out: folder of the answers, of the same names.

  Returns:
    The folder of the answers: the inputs' own for tasks without holes.
  """
  if holes is None:
    return inputs
  fill = {'inpainting': diffused, 'uncropping': replicated}[task]
  matched = matching.match(dict(input=inputs, hole=holes))

  def one(row):
    file = epath.Path(out, f'{matched.names[row]}.png')
    if not file.exists():
      given = matching.read(matched.files['input'][row])
      mask = matching.read(matched.files['hole'][row])[..., 0] >= 128
      images.write_png(file, fill(given, mask))

  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    list(pool.map(one, features.rows_of_host(len(matched.names))))
  multihost_utils.sync_global_devices(f'answered {out}')
  return str(out)


def replicated(
  image_u8: UInt8[np.ndarray, 'h w 3'], mask: Bool[np.ndarray, 'h w']
) -> UInt8[np.ndarray, 'h w 3']:
  """Every pixel of the hole is its nearest known one."""
  rows, columns = scipy.ndimage.distance_transform_edt(
    mask, return_distances=False, return_indices=True
  )
  return image_u8[rows, columns]


def diffused(
  image_u8: UInt8[np.ndarray, 'h w 3'], mask: Bool[np.ndarray, 'h w']
) -> UInt8[np.ndarray, 'h w 3']:
  """Laplace's equation in the hole, with what is known as its boundary.

  The edge of the picture is no boundary: nothing flows across it.
  """
  height, width = mask.shape
  number = np.full(mask.shape, -1)
  number[mask] = np.arange(mask.sum())
  y, x = np.nonzero(mask)
  own = number[mask]
  neighbours = np.zeros(len(own))
  known = np.zeros([len(own), 3])
  entries = []
  for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
    v, u = y + dy, x + dx
    inside = (0 <= v) & (v < height) & (0 <= u) & (u < width)
    neighbours += inside
    v, u, row = v[inside], u[inside], own[inside]
    free = mask[v, u]
    entries.append((row[free], number[v[free], u[free]]))
    np.add.at(known, row[~free], image_u8[v[~free], u[~free]].astype(float))
  rows, columns = map(np.concatenate, zip(*entries))
  between = scipy.sparse.coo_matrix(
    (np.ones(len(rows)), (rows, columns)), shape=(len(own), len(own))
  )
  matrix = scipy.sparse.diags(neighbours) - between
  found = image_u8.copy()
  solved = scipy.sparse.linalg.spsolve(matrix.tocsc(), known)
  found[mask] = np.clip(np.rint(solved), 0, 255)
  return found
