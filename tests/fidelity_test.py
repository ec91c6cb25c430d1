"""Beside the arithmetic of pytorch-fid and torch-fidelity, on same features."""

import sys
import types
import warnings

import numpy as np
import pytest

from palette_jax.evaluation.metrics import (
  frechet,
  inception_score,
  kernel_distance,
  precision_recall,
)


def normal(n, d, shift=0.0, seed=1):
  draw = np.random.default_rng(seed)
  return (draw.standard_normal([n, d]) + shift).astype(np.float32)


@pytest.fixture
def without_torchvision(monkeypatch):
  """Both packages import torchvision, for what they do with images."""

  class Class(type):
    def __getattr__(cls, name):
      return make(name)

  class Anything(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
      return make(name)

  def make(name):
    if name.startswith('__'):
      raise AttributeError(name)
    return Class(name, (), {})

  with warnings.catch_warnings():
    # Not ours: what their imports say, and SciPy 1.17 of sqrtm(disp=...).
    warnings.simplefilter('ignore', DeprecationWarning)
    whole = Anything('torchvision')
    parts = ['', '.datasets', '.models', '.transforms']
    for name in [*parts, '.transforms.functional']:
      module = whole
      for part in name.split('.')[1:]:
        monkeypatch.setattr(module, part, Anything(part), raising=False)
        module = getattr(module, part)
      monkeypatch.setitem(sys.modules, f'torchvision{name}', module)
    yield
  for name in list(sys.modules):
    if name.split('.')[0] in ('torch_fidelity', 'pytorch_fid'):
      del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize('n', [400, 60])
def test_distances_are_pytorch_fid_s(without_torchvision, n):
  fid_score = pytest.importorskip('pytorch_fid.fid_score')
  a, b = (x.astype(float) for x in (normal(n, 96, 0.2), normal(300, 96, 0, 2)))
  a[:, :10] *= 3
  theirs = fid_score.calculate_frechet_distance(
    a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False)
  )
  reference = frechet.Moments().add(b)
  result = frechet.distance(frechet.Moments().add(a), reference)
  np.testing.assert_allclose(result, theirs, rtol=1e-6)
  np.testing.assert_allclose(frechet.estimate(a, reference).value, theirs, 1e-6)


@pytest.mark.slow
def test_distances_and_scores_are_torch_fidelity_s(without_torchvision):
  torch = pytest.importorskip('torch')
  pytest.importorskip('torch_fidelity')
  from torch_fidelity import metric_fid, metric_isc, metric_prc

  a = np.float64(normal(500, 64, 0.1))
  b = np.float64(normal(400, 64, 0, 2))
  theirs = metric_fid.fid_statistics_to_metric(
    *(metric_fid.fid_features_to_statistics(torch.tensor(x)) for x in (a, b)),
    verbose=False,
  )
  result = frechet.estimate(a, frechet.Moments().add(b))
  np.testing.assert_allclose(result.value, *theirs.values(), rtol=1e-9)

  theirs = metric_isc.isc_features_to_metric(torch.tensor(a), splits=1)
  result = inception_score.estimate(a, splits=1)
  expected = theirs['inception_score_mean']
  np.testing.assert_allclose(result.value, expected, rtol=1e-12)
  # Many splits are other splits: the same on average, and as spread.
  theirs = metric_isc.isc_features_to_metric(torch.tensor(a), splits=10)
  result = inception_score.of_splits(a, splits=10)
  expected = theirs['inception_score_mean']
  np.testing.assert_allclose(result.mean(), expected, rtol=0.005)

  # Normal features leave balls of 64 dimensions empty: few for this one.
  a, b = 0.8 * a[:, :6], b[:, :6]
  theirs = metric_prc.calculate_precision_recall_full(
    torch.tensor(a), torch.tensor(b)
  )
  result = precision_recall.estimate(a, b)
  np.testing.assert_allclose([x.value for x in result], theirs, atol=1e-7)


@pytest.mark.slow
def test_kernel_distances_are_torch_fidelity_s(without_torchvision):
  """Exactly where its subset is the set; on average where it is a part."""
  torch = pytest.importorskip('torch')
  pytest.importorskip('torch_fidelity')
  from torch_fidelity import metric_kid

  a, b = normal(300, 64, 0.1), normal(300, 64, 0, 2)
  theirs = lambda **how: metric_kid.kid_features_to_metric(  # noqa: E731
    *(torch.tensor(np.float64(x)) for x in (a, b)), verbose=False, **how
  )
  result = kernel_distance.estimate(a, b).value
  whole = theirs(kid_subsets=1, kid_subset_size=300)
  np.testing.assert_allclose(
    result, whole['kernel_inception_distance_mean'], atol=1e-6
  )
  parts = theirs(kid_subsets=1000, kid_subset_size=50)
  mean, deviation = parts.values()
  assert abs(result - mean) < 4 * deviation / 1000**0.5
