"""Model FLOPs: the operations that the network cannot do without.

They are counted in the traced network: two for each multiply-add of
convolutions, dense layers and attention products. Training takes three times as
many, since each product has two more for its gradients. Recomputation (remat),
padding and everything between the products are not counted, so that a faster
program reaches a higher share of the chip's peak.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.extend import core

from palette_jax.models import unet


@functools.cache
def forward(model: unet.UNet, height: int, width: int) -> int:
  """Returns the model FLOPs of one pass of one image."""
  image = jax.ShapeDtypeStruct([1, height, width, 3], jnp.float32)
  gamma = jax.ShapeDtypeStruct([1], jnp.float32)
  params = {'params': unet.shapes(model)}
  traced = jax.make_jaxpr(model.apply)(params, image, image, gamma)
  return count(traced.jaxpr)


def training_step(model: unet.UNet, height: int, width: int, batch: int) -> int:
  """Returns the model FLOPs of one training step on a global batch."""
  return 3 * batch * forward(model, height, width)


def count(jaxpr: core.Jaxpr) -> int:
  """Returns the model FLOPs of a traced function and of all that it calls."""
  total = 0
  for eqn in jaxpr.eqns:
    if eqn.primitive.name == 'dot_general':
      (contracted, _), _ = eqn.params['dimension_numbers']
      shape = _shape(eqn.invars[0])
      depth = math.prod(shape[axis] for axis in contracted)
      total += 2 * depth * math.prod(_shape(eqn.outvars[0]))
    elif eqn.primitive.name == 'conv_general_dilated':
      kernel = _shape(eqn.invars[1])
      features = eqn.params['dimension_numbers'].rhs_spec[0]
      depth = math.prod(kernel) // kernel[features]
      total += 2 * depth * math.prod(_shape(eqn.outvars[0]))
    else:
      times = eqn.params.get('length', 1) if eqn.primitive.name == 'scan' else 1
      total += times * sum(map(count, core.jaxprs_in_params(eqn.params)))
  return total


def _shape(atom: core.Var | core.Literal) -> tuple[int, ...]:
  return atom.aval.shape  # ty: ignore[missing-attribute]  # an array's
